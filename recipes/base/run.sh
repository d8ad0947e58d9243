#!/usr/bin/env bash
# The model and the vocoder that the package ships, from a folder of speakers to their report:
#
#   bash recipes/base/run.sh --corpus SPEAKERS --dev VCTK_SHAPED [--out OUT] [--hours H] [key=value ...]
#
# prepare -> the model in two legs (experiment=base, then base_gan from its weights) -> the vocoder in two legs
# (experiment=vocoder, then vocoder_gan, which also learns from the model's own reconstructions) -> half precision ->
# `voiceae evaluate` with the vocoder and with Griffin-Lim, on held-out speakers -> `voiceae diagnose`.
# Every step goes on where it stopped, so the same command resumes. --hours is shared out among the legs, in steps as
# measured here; without it they have the steps of their configs. Hydra overrides go to all legs; on a GPU add
# trainer=gpu.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
fail() { echo "base: error: $*" >&2; exit 1; }

corpus="" dev="" out="$HERE/out" hours="" overrides=()
while [ $# -gt 0 ]; do
  case "$1" in
    --corpus | --dev | --out | --hours) [ $# -ge 2 ] || fail "$1 wants a value"; printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    [!-]*=*) overrides+=("$1"); shift ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
done
[ -d "$corpus" ] || fail "--corpus $corpus: no such folder; give one with a subfolder for each speaker"
[ -d "$dev" ] || fail "--dev $dev: no such folder; give a corpus in VCTK's layout whose speakers are not in --corpus"
[[ "$hours" =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)?$ ]] || fail "--hours $hours: is not a number of hours, such as 1.5"

source "$HERE/../common/env.sh"
voiceae() { "$PYTHON" -m voiceae "$@"; }

leg() {  # NAME SHARE START [OVERRIDE ...]: train, or go on; SHARE: per cent of --hours; START: weights, or ""
  local name="$1" share="$2" start="$3" run=() steps=()
  shift 3
  [ -f "$out/$name.done" ] && return
  run=("experiment=$name" "data.store='$out/store'" "$@" "${overrides[@]}")
  [ -z "$start" ] || start="trainer.init_from='$start'"
  if [ -n "$hours" ]; then
    if [ ! -f "$out/$name.steps" ]; then
      "$PYTHON" "$HERE/../common/steps.py" "$("$PYTHON" -c "print(.6 * $hours * $share)")" "${run[@]}" >"$out/$name.part"
      mv "$out/$name.part" "$out/$name.steps"
    fi
    steps=("trainer.max_steps=$(cat "$out/$name.steps")")
  fi
  if [ -f "$out/$name/checkpoints/last.ckpt" ]; then
    start=trainer.resume=auto
  else
    rm -rf "${out:?}/$name"  # of a leg that was stopped before its first checkpoint
  fi
  voiceae train "${run[@]}" ${start:+"$start"} "out='$out/$name'" "${steps[@]}"
  touch "$out/$name.done"
}

mkdir -p "$out"
out="$(cd "$out" && pwd)"
voiceae prepare folder "$corpus" --out "$out/store" --waves
leg base 50 ""
leg base_gan 15 "$out/base/model.safetensors"
leg vocoder 20 ""
leg vocoder_gan 15 "$out/vocoder/model.safetensors" "loss.finetune_on_reconstructions_of='$out/base_gan/model.safetensors'"
"$PYTHON" "$HERE/ship.py" "$out/base_gan/model.safetensors" "$out/base.safetensors"
"$PYTHON" "$HERE/ship.py" "$out/vocoder_gan/model.safetensors" "$out/vocoder.safetensors"
for vocoder in "$out/vocoder.safetensors" griffinlim; do
  name="$(basename "$vocoder" .safetensors)"
  voiceae evaluate --model "$out/base.safetensors" --vocoder "$vocoder" --corpus "$dev" --out "$out/report-$name" \
    --n-pairs 60 --cache "$out/cache" --force
done
voiceae evaluate --compare "$out/report-vocoder/report.json" "$out/report-griffinlim/report.json"
voiceae diagnose "$out/base.safetensors" --store "$out/store" --out "$out/diagnosis" --force ||
  echo "base: note: the diagnosis found a failure; see $out/diagnosis"
echo "== finished: $out; base.safetensors and vocoder.safetensors go to voiceae/assets/"
