#!/usr/bin/env bash
# The whole benchmark of this machine: every stage on one thread, and on all where threads matter.
#
#   bash recipes/bench/run.sh [--out OUT] [--corpus SPEAKERS] [--hifigan DIR] [--long] [--many]
#
# Options
#   --out DIR      bench.json, bench.txt and lengths.png (default recipes/bench/out)
#   --corpus DIR   a folder of speakers to prepare and train on; without one, a buzz
#   --hifigan DIR  a HiFi-GAN checkpoint to time
#   --long         sources of 600 and 3600 s too: half an hour more on a slow core
#   --many         10,000 files in the batch whose memory is watched: some minutes more
#
# Nothing else should run: every figure stands beside the machine's own rate, so that a disturbed one is seen.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

out="$HERE/out" corpus="" hifigan="" lengths=5,60 files=64
while [ $# -gt 0 ]; do
  case "$1" in
    --out | --corpus | --hifigan)
      [ $# -ge 2 ] || { echo "bench: $1 wants a value; see --help" >&2; exit 2; }
      printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    --long) lengths=5,60,600,3600; shift ;;
    --many) files=10000; shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "bench: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
done

source "$HERE/../common/env.sh"
mkdir -p "$out"
"$PYTHON" -m voiceae bench --threads both --lengths "$lengths" --files "$files" ${corpus:+--corpus "$corpus"} \
  ${hifigan:+--hifigan "$hifigan"} --out "$out/bench.json" --plot "$out/lengths.png" --force | tee "$out/bench.txt"
