#!/usr/bin/env bash
# What each part of the base recipe is worth: every variant trained for the same frames with the same seed, each scored on
# the same pairs of unseen speakers.
#
#   bash recipes/base/ablate.sh --store STORE --dev VCTK_SHAPED [--out OUT] [--steps 300] [--pairs 30] [--only NAME,...]
#
# STORE is what recipes/base/run.sh prepared. Finished variants are skipped, so it can be done in parts; the table is
# OUT/ablation.md.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
fail() { echo "ablate: error: $*" >&2; exit 1; }

store="" dev="" out="$HERE/ablation" steps=300 pairs=30 only=""
while [ $# -gt 0 ]; do
  case "$1" in
    --store | --dev | --out | --steps | --pairs | --only)
      [ $# -ge 2 ] || fail "$1 wants a value"; printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
done
[ -f "$store/store.json" ] || fail "--store $store: is no feature store; make one with voiceae prepare"
[ -d "$dev" ] || fail "--dev $dev: no such folder; give a corpus in VCTK's layout whose speakers are not in the store"

source "$HERE/../common/env.sh"
declare -A variants=(
  [base]=""
  [no-pitch]="model/pitch=none"
  [no-changes]="loss.perturbed_share=0"
  [no-contrast]="loss.weights.speaker=0"
  [muon]="optim.kind=muon"
  [wide-code]="loss.weights.kl.value=0.0005"
  [vq]="model/bottleneck=vq"
)
mkdir -p "$out"
out="$(cd "$out" && pwd)"
for name in base no-pitch no-changes no-contrast muon wide-code vq; do
  [ -z "$only" ] || [[ ",$only," == *",$name,"* ]] || continue
  [ -f "$out/$name/report/report.json" ] && continue
  resume=()
  [ -d "$out/$name/run" ] && resume=(trainer.resume=auto)
  # shellcheck disable=SC2086  # a variant may be several overrides
  "$PYTHON" -m voiceae train experiment=base "data.store='$store'" "out='$out/$name/run'" "name=$name" \
    "trainer.max_steps=$steps" optim.warmup_steps=$((steps / 10)) trainer.picture_every=0 "${resume[@]}" ${variants[$name]}
  "$PYTHON" -m voiceae evaluate --model "$out/$name/run/model.safetensors" --corpus "$dev" --out "$out/$name/report" \
    --n-pairs "$pairs" --scorers speaker,content,mos --force
done
"$PYTHON" "$HERE/ablation.py" "$out" | tee "$out/ablation.md"
