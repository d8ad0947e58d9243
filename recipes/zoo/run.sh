#!/usr/bin/env bash
# Every system of the family on equal terms: trained for the same time, scored on the same pairs, in one table.
#
#   bash recipes/zoo/run.sh --corpus SPEAKERS --dev VCTK_SHAPED                   # thirteen times ten minutes, and scoring
#   bash recipes/zoo/run.sh --corpus SPEAKERS --dev VCTK_SHAPED --only vae,vqvae  # a part; the table has what there is
#   bash recipes/zoo/run.sh --corpus SPEAKERS --dev VCTK_SHAPED --device cuda --minutes 30
#
# prepare -> for each system: count the steps that fit into the time, train, evaluate, diagnose -> table and plot.
# What has finished is skipped the next time, and a training that was cut short goes on where it stopped.
#
# Options
#   --corpus DIR     a folder with a subfolder for each training speaker
#   --dev DIR        a corpus in VCTK's layout, of speakers who are not in --corpus
#   --out DIR        results (default recipes/zoo/out)
#   --store DIR      a feature store of --corpus that is there already
#   --only NAMES     systems, separated by commas (default: all thirteen)
#   --minutes M      of training for each system (default 10, with --device cuda 30)
#   --steps N        train every system for as many steps instead of as much time
#   --pairs N        pairs that each system is scored on (default 30)
#   --scorers LIST   which to use (default speaker,content,mos; see voiceae evaluate --help)
#   --jobs N         processes that prepare and score (default 1)
#   --device D       cpu or cuda (default cpu)
#   --readme FILE    put the table into FILE too, between its lines <!-- zoo:begin --> and <!-- zoo:end -->
#   key=value        Hydra overrides for every training; different ones want another --out
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ALL=(ae ae_stacked ae_binary ae_onehot vae vae_decoupled vqvae adain_vc again_vc autovc multitarget vqmivc gradient_reversal)

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }
fail() { echo "zoo: error: $*" >&2; exit 1; }
misused() { echo "zoo: $*; see --help" >&2; exit 2; }

corpus="" dev="" out="$HERE/out" store="" only="" minutes="" steps="" pairs=30 scorers=speaker,content,mos
jobs=1 device=cpu readme="" overrides=()
while [ $# -gt 0 ]; do
  case "$1" in
    --corpus | --dev | --out | --store | --only | --minutes | --steps | --pairs | --scorers | --jobs | --device | --readme)
      [ $# -ge 2 ] || misused "$1 wants a value"
      printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    [!-]*=*) overrides+=("$1"); shift ;;
    *) misused "unknown argument $1" ;;
  esac
done
case "$device" in
  cpu) minutes="${minutes:-10}" ;;
  cuda) minutes="${minutes:-30}" ;;
  *) misused "--device is cpu or cuda, not $device" ;;
esac
[[ "$minutes" =~ ^[0-9]+(\.[0-9]+)?$ ]] || misused "--minutes $minutes: is not a number"
for number in "${steps:-1}" "$pairs" "$jobs"; do
  [[ "$number" =~ ^[1-9][0-9]*$ ]] || misused "$number: is not a whole number above 0"
done
systems=("${ALL[@]}")
[ -z "$only" ] || IFS=, read -r -a systems <<<"$only"
for name in "${systems[@]}"; do
  [[ " ${ALL[*]} " == *" $name "* ]] || misused "$name: is not one of ${ALL[*]}"
done
[ -d "$corpus" ] || fail "--corpus $corpus: no such folder; give one with a subfolder for each speaker"
[ -d "$dev" ] || fail "--dev $dev: no such folder; give a corpus in VCTK's layout whose speakers are not in --corpus"
[ -z "$readme" ] || grep -q '<!-- zoo:begin -->' "$readme" || fail "--readme $readme: has no line <!-- zoo:begin -->"

source "$HERE/../common/env.sh"
voiceae() { "$PYTHON" -m voiceae "$@"; }
mkdir -p "$out"
out="$(cd "$out" && pwd)"
store="${store:-$out/store}"
[ -f "$store/store.json" ] || voiceae prepare folder "$corpus" --out "$store" --jobs "$jobs"
store="$(cd "$store" && pwd)"

# Small batches, for a budget of minutes allows few steps.
common=("data.store='$store'" data.batch_size=32 trainer.checkpoint_minutes=3)
[ "$device" = cpu ] || common+=(trainer=gpu)
common+=("${overrides[@]}")

remember() {  # an OUT belongs to one budget, one store and one set of overrides
  local made="${steps:+$steps steps}" file="$out/made-from.txt"
  made="${made:-$minutes minutes} a system, $pairs pairs, $device, ${common[*]}"
  if [ -f "$file" ] && [ "$(cat "$file")" != "$made" ]; then
    fail "$out: was made with $(cat "$file"); choose another --out for $made"
  fi
  echo "$made" >"$file"
}

plan() {  # NAME: what makes the experiment as long as its time
  local count="$steps" probe
  if [ -z "$count" ]; then
    "$PYTHON" "$HERE/../common/plan.py" "$1" 24 "${common[@]}" >"$out/$1/probe.txt"  # as many steps as steps.py tries
    mapfile -t probe <"$out/$1/probe.txt"
    count="$("$PYTHON" "$HERE/../common/steps.py" "$minutes" "experiment=$1" "${common[@]}" "${probe[@]}" | tail -n 1)"
  fi
  echo "$1: $count steps"
  "$PYTHON" "$HERE/../common/plan.py" "$1" "$count" "${common[@]}" >"$out/$1/plan.part"
  mv "$out/$1/plan.part" "$out/$1/plan.txt"
}

train() {
  local planned
  [ -f "$out/$1/plan.txt" ] || plan "$1"
  mapfile -t planned <"$out/$1/plan.txt"
  voiceae train "experiment=$1" "${common[@]}" "${planned[@]}" "out='$out/$1/run'" trainer.resume=auto
}

evaluate() {  # the rows that do not depend on the system are scored once: the cache knows a wave again
  voiceae evaluate --model "$out/$1/run/model.safetensors" --corpus "$dev" --out "$out/$1/report" --n-pairs "$pairs" \
    --scorers "$scorers" --jobs "$jobs" --device "$device" --force
}

diagnose() {  # says with code 1 that an area failed, which is a result
  voiceae diagnose "$out/$1/run/model.safetensors" --store "$store" --out "$out/$1/diagnosis" --force ||
    [ -f "$out/$1/diagnosis/diagnosis.png" ]
}

stage() {  # NAME COMMAND: unless it has finished
  if [ -f "$out/$1/.finished-$2" ]; then echo "== $1, $2: finished before"; return; fi
  echo "== $1, $2"
  # Called without `||` or `if`, so that `set -e` ends the script at the first command that fails.
  "$2" "$1"
  touch "$out/$1/.finished-$2"
}

remember
for name in "${systems[@]}"; do
  mkdir -p "$out/$name"
  stage "$name" train
  stage "$name" evaluate
  stage "$name" diagnose
done
"$PYTHON" "$HERE/table.py" "$out" --systems "${ALL[@]}" ${readme:+--readme "$readme"}
echo "== finished: $out/zoo.md, zoo.csv, zoo.png"
