#!/usr/bin/env bash
# Ten minutes on one large GPU: packed recordings in, weights out, whatever happens to the machine afterwards.
#
#   bash recipes/base/gpu.sh --opus PACK.tar [--opus ...] [--aligned PACK.tar ...] --out OUT [--minutes 10] [key=value ...]
#
# unpack -> features on all cores -> the legs of recipes/base/run.sh, at the largest batch that pays. Every minute OUT gets
# the averaged weights in half precision in parts of at most 15 MiB, and the log (recipes/base/publish.py); a later call
# goes on from them by --start OUT, with fresh optimisers.
#
#   --opus P          pack or folder of speakers' folders; recipes/base/pack.py makes packs
#   --aligned P       pack or folder of aligned renderings
#   --out DIR         what is kept: at most 8 files of at most 15 MiB
#   --work DIR        what is not: features and checkpoints (default: a temporary folder, removed at the end)
#   --minutes M       for everything (default 10)
#   --start DIR       weights to begin with, as OUT holds them
#   --model NAME      option of the config group `model`, such as wide (up to 11 M weights)
#   --legs LIST       NAME:SHARE,... (default speaker:10,base:40,base_gan:20,vocoder:15,vocoder_gan:15)
#   --wheels DIR      install from here without a network, beside the torch that python3 has (recipes/base/wheels.txt)
#   --steps N         so many steps of each leg instead of minutes: a rehearsal
#   --device D        cuda or cpu (default cuda)
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
BEGAN=$SECONDS
source "$HERE/../common/corpora.sh"
fail() { echo "gpu: error: $*" >&2; exit 1; }

opus=() aligned=() out="" work="" minutes=10 start="" model="" wheels="" steps="" device=cuda overrides=()
legs=speaker:10,base:40,base_gan:20,vocoder:15,vocoder_gan:15
while [ $# -gt 0 ]; do
  case "$1" in
    --opus | --aligned)
      [ $# -ge 2 ] || fail "$1 wants a value"
      [ -e "$2" ] || fail "$1 $2: no such pack or folder"
      [ "$1" = --opus ] && opus+=("$2") || aligned+=("$2"); shift 2 ;;
    --out | --work | --minutes | --start | --model | --legs | --wheels | --steps | --device)
      [ $# -ge 2 ] || fail "$1 wants a value"; printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    [!-]*=*) overrides+=("$1"); shift ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
done
[ ${#opus[@]} -gt 0 ] || fail "give recordings, as --opus PACK.tar"
[ -n "$out" ] || fail "--out is missing; give a folder for the weights"
[ -z "$start" ] || [ -d "$start" ] || fail "--start $start: no such folder"
[[ "$minutes" =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--minutes $minutes: is not a number of minutes, such as 10"
case "$device" in cuda) trainer=gpu ;; cpu) trainer=cpu ;; *) fail "--device $device: is neither cuda nor cpu" ;; esac

temporary=""
if [ -z "$work" ]; then temporary="$(mktemp -d)"; work="$temporary"; fi
mkdir -p "$work" "$out"
work="$(cd "$work" && pwd)" out="$(cd "$out" && pwd)"
publisher=""
trap '[ -z "$publisher" ] || kill "$publisher" 2>/dev/null || true; [ -z "$temporary" ] || rm -rf "$temporary"' EXIT

if [ -n "$wheels" ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$work/site" "$wheels"/*.whl
  export PYTHONPATH="$work/site:$HERE/../.." OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  PYTHON=python3
else
  source "$HERE/../common/env.sh"
fi

folder_of() {  # PATH NAME: the folder, or the pack unpacked into WORK/NAME, as $folder
  folder="$1"
  [ -d "$1" ] && return
  folder="$work/$2"
  mkdir -p "$folder"
  tar -xf "$1" -C "$folder" || fail "$1: is neither a folder nor a tar file"
}

prepare=(prepare folder)
for each in "${!opus[@]}"; do folder_of "${opus[$each]}" "opus-$each"; prepare+=("$folder"); done
for each in "${!aligned[@]}"; do folder_of "${aligned[$each]}" "aligned-$each"; prepare+=(--aligned "$folder"); done
prepare+=(--out "$work/store" --waves --no-progress)
# The teacher takes a fifth of the ten minutes, so it is asked only where its leg is to come.
[[ "$legs" != *speaker* || -n "$start" ]] || prepare+=($(teacher_option))
"$PYTHON" -m voiceae "${prepare[@]}"
echo "== features after $((SECONDS - BEGAN)) s"

# A training that was interrupted may be published to the end of the next.
rm -f "$work/ended"
"$PYTHON" "$HERE/publish.py" "$work" "$out" --every 10 &
publisher=$!
if [ -n "$steps" ]; then
  budget=(--steps "$steps")
else
  # Half a minute is left for the last weights.
  budget=(--minutes "$("$PYTHON" -c "print(max(.1, $minutes - ($SECONDS - $BEGAN + 30) / 60))")")
fi
code=0
"$PYTHON" "$HERE/../common/legs.py" --store "$work/store" --out "$work" --legs "$legs" "${budget[@]}" \
  ${start:+--start "$start"} ${model:+--model "$model"} \
  "trainer=$trainer" trainer.picture_every=0 trainer.checkpoint_minutes=0.8 "${overrides[@]}" || code=$?
touch "$work/ended"
wait "$publisher" || code=$?
publisher=""
echo "== finished after $((SECONDS - BEGAN)) s: $(du -sh "$out" | cut -f 1) in $out"
exit "$code"
