#!/usr/bin/env bash
# What the weight of the KL buys and costs: one training a weight, each scored, and both figures drawn over the weight.
#
#   bash recipes/sweep/run.sh --store STORE --corpus VCTK_SHAPED [--out OUT] [--weights W,W,...] [--jobs N] [key=value ...]
#   bash recipes/sweep/run.sh --store STORE --corpus VCTK_SHAPED --launcher submitit_slurm hydra.launcher.partition=gpu
#
# Options
#   --store DIR      what to train on (voiceae prepare)
#   --corpus DIR     speakers to evaluate on, in VCTK's layout, none of them in the store
#   --out DIR        results (default recipes/sweep/out)
#   --weights LIST   of the KL (default 0.0005,0.002,0.008,0.03)
#   --steps N        of each training (default 600: a look at the direction, not good voices)
#   --pairs N        to score each model on (default 30)
#   --launcher NAME  joblib (processes here) or submitit_slurm (jobs of a cluster)
#   --jobs N         trainings at a time with joblib (default 1)
#   KEY=VALUE        Hydra overrides, to all trainings
#
# A training that was cut short goes on where it stopped; a scored model is not scored again.
# Leaves OUT/kl.png, OUT/kl.csv and a folder for every weight.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }
misused() { echo "sweep: $*; see --help" >&2; exit 2; }

store="" corpus="" out="$HERE/out" weights=0.0005,0.002,0.008,0.03 steps=600 pairs=30 launcher=joblib jobs=1 overrides=()
while [ $# -gt 0 ]; do
  case "$1" in
    --store | --corpus | --out | --weights | --steps | --pairs | --launcher | --jobs)
      [ $# -ge 2 ] || misused "$1 wants a value"; printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    [!-]*=*) overrides+=("$1"); shift ;;
    *) misused "unknown argument $1" ;;
  esac
done
[ -f "$store/store.json" ] || misused "--store $store: is no feature store"
[ -d "$corpus" ] || misused "--corpus $corpus: no such folder"

source "$HERE/../common/env.sh"
"$PYTHON" -c "import hydra_plugins.hydra_${launcher%%_*}_launcher" 2>/dev/null ||
  { echo "sweep: error: the launcher is not there; $PYTHON -m pip install -e '.[sweep]'" >&2; exit 1; }
[ "$launcher" != joblib ] || overrides+=("hydra.launcher.n_jobs=$jobs")
mkdir -p "$out"
out="$(cd "$out" && pwd)" store="$(cd "$store" && pwd)"

common=(experiment=base "data.store='$store'" data.batch_size=32)
# Annealing, warm-up and averaging are drawn together to so few steps.
plan="$("$PYTHON" "$HERE/../common/plan.py" base "$steps" "${common[@]:1}")"
mapfile -t planned <<<"$plan"
# The folder of each training is named by what was swept, and only by that.
"$PYTHON" -m voiceae train -m "${common[@]}" "${planned[@]}" "out='$out/runs'" "loss.weights.kl.value=$weights" \
  trainer.resume=auto "hydra/launcher=$launcher" 'hydra.sweep.subdir=kl-${loss.weights.kl.value}' "${overrides[@]}"
for run in "$out"/runs/kl-*; do
  [ -f "$run/scores/report.json" ] ||
    "$PYTHON" -m voiceae evaluate --model "$run/model.safetensors" --corpus "$corpus" --scorers speaker,content \
      --n-pairs "$pairs" --out "$run/scores" --force
done
"$PYTHON" "$HERE/plot.py" "$out/runs" --out "$out/kl"
echo "== finished: $out/kl.png"
