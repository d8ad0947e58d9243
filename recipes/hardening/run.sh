#!/usr/bin/env bash
# What breaks: malformed inputs, kills, closed folders, and streams that never end. About two hours of one quiet core.
#
#   bash recipes/hardening/run.sh [--out OUT] [--inputs N] [--kills N] [--hours-tiny H] [--hours-base H]
#
# Options
#   --out DIR        fuzz.json, kill_and_resume.json, permissions.json, stream-tiny.json, stream-base.json (default recipes/hardening/out)
#   --inputs N       malformed inputs (default 10000)
#   --kills N        kills of each of prepare, train and convert (default 100)
#   --hours-tiny H   of audio through the stream of a toy model (default 24)
#   --hours-base H   of audio through the stream of the bundled model (default 4)
#
# Each part writes its figures as it goes on, and the exit status is 1 where any part found something.
set -uo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

out="$HERE/out" inputs=10000 kills=100 hours_tiny=24 hours_base=4
while [ $# -gt 0 ]; do
  case "$1" in
    --out | --inputs | --kills | --hours-tiny | --hours-base)
      [ $# -ge 2 ] || { echo "hardening: $1 wants a value; see --help" >&2; exit 2; }
      name="${1#--}"; printf -v "${name//-/_}" '%s' "$2"; shift 2 ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "hardening: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
done

source "$HERE/../common/env.sh"
mkdir -p "$out" || exit 1
found=0
"$PYTHON" "$HERE/fuzz.py" --count "$inputs" --out "$out" || found=1
"$PYTHON" "$HERE/kill_and_resume.py" prepare train convert --count "$kills" --out "$out" || found=1
"$PYTHON" "$HERE/permissions.py" --out "$out" || found=1
"$PYTHON" "$HERE/stream_soak.py" --hours "$hours_tiny" --model tiny --json "$out/stream-tiny.json" || found=1
"$PYTHON" "$HERE/stream_soak.py" --hours "$hours_base" --model base --json "$out/stream-base.json" || found=1
exit "$found"
