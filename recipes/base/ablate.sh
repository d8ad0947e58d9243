#!/usr/bin/env bash
# What each part of the base recipe is worth: every variant trained for the same frames with the same seed, each scored on
# the same pairs of unseen speakers of every --dev.
#
#   bash recipes/base/ablate.sh --store STORE --dev VCTK_SHAPED [--dev DIR:folder] [--out OUT] [--steps 300] [--pairs 60]
#                               [--only NAME,...] [--scorers LIST] [key=value ...]
#
# STORE is what recipes/base/run.sh prepared, DIR[:KIND] as there; --steps are those of the leg `base`, the others have
# their share. Hydra overrides go to all legs of all variants. Finished variants are skipped, so it can be done in parts;
# the tables are OUT/ablation.md, one a dev set. `python recipes/base/ablation.py OUT --half 0` has the pairs to choose by,
# `--half 1` those to report.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
fail() { echo "ablate: error: $*" >&2; exit 1; }

store="" devs=() out="$HERE/ablation" steps=300 pairs=60 only="" scorers="" overrides=()
while [ $# -gt 0 ]; do
  case "$1" in
    --store | --dev | --out | --steps | --pairs | --only | --scorers) [ $# -ge 2 ] || fail "$1 wants a value" ;;&
    --dev) devs+=("$2"); shift 2 ;;
    --store | --out | --steps | --pairs | --only | --scorers) printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    [!-]*=*) overrides+=("$1"); shift ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
done
[ -f "$store/store.json" ] || fail "--store $store: is no feature store; make one with voiceae prepare"
source "$HERE/../common/corpora.sh"
check_devs "${devs[@]}"

source "$HERE/../common/env.sh"
# The leg `speaker` hears 128 crops of 160 frames a step, `base` 64 of 128: the frames of 2.5 steps.
few=$((steps / 5 > 0 ? steps / 5 : 1)) last=$((steps / 4 > 0 ? steps / 4 : 1))
all="--legs speaker,base,base_gan --steps $few,$steps,$last"
declare -A variants=(
  [base]="$all"
  [no-speaker-leg]="--legs base,base_gan --steps $((steps + 5 * few / 2)),$last"
  [no-aligned]="$all data.aligned_share=0"
  [no-own-conversions]="$all loss.own_conversion_share=0"
  [no-timbre]="$all model/timbre=none"
  [no-gan]="--legs speaker,base --steps $few,$((steps + last))"
  [no-changes]="$all loss.perturbed_share=0"
  [wide]="$all model=wide"
)
mkdir -p "$out"
out="$(cd "$out" && pwd)"
for name in base no-speaker-leg no-aligned no-own-conversions no-timbre no-gan no-changes wide; do
  [ -z "$only" ] || [[ ",$only," == *",$name,"* ]] || continue
  # Variants of the same speaker encoder and the same model share its leg.
  if [ "$name" != base ] && [[ "$name" =~ ^no-(aligned|own-conversions|gan|changes)$ ]] && [ -f "$out/base/run/speaker.done" ] &&
    [ ! -e "$out/$name/run" ]; then
    mkdir -p "$out/$name/run"
    cp -r "$out/base/run/speaker" "$out/base/run/speaker.done" "$out/$name/run/"
  fi
  read -ra words <<<"${variants[$name]}"
  # What is of the losses of one leg is unknown to another, so each word goes to the legs that have it.
  legs=() own=()
  for word in "${words[@]}"; do
    case "$word" in
      loss.* | data.aligned_share=*) own+=("base:$word" "base_gan:$word") ;;
      *=*) own+=("$word") ;;
      *) legs+=("$word") ;;
    esac
  done
  "$PYTHON" "$HERE/../common/legs.py" --store "$store" --out "$out/$name/run" "${legs[@]}" trainer.picture_every=0 \
    "${overrides[@]}" "${own[@]}"
  model="$out/$name/run/base_gan/model.safetensors"
  [ -f "$model" ] || model="$out/$name/run/base/model.safetensors"
  for dev in "${devs[@]}"; do
    report="$out/$name/$(dev_name "$dev")"
    [ -f "$report/report.json" ] || "$PYTHON" -m voiceae evaluate --model "$model" --corpus "$(dev_folder "$dev")" \
      --kind "$(dev_kind "$dev")" --out "$report" --n-pairs "$pairs" ${scorers:+--scorers "$scorers"} --cache "$out/cache" --force
  done
done
"$PYTHON" "$HERE/ablation.py" "$out" | tee "$out/ablation.md"
