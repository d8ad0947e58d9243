#!/usr/bin/env bash
# The model and the vocoder that the package ships, from folders of speakers to their reports, on a CPU or a GPU:
#
#   bash recipes/base/run.sh --corpus SPEAKERS [--corpus MORE] [--aligned RENDERINGS] --dev VCTK_SHAPED [--dev DIR:folder]
#                            [--out OUT] [--hours H] [--start DIR] [--model wide] [key=value ...]
#
# prepare -> the legs: the speaker encoder (experiment=speaker), the model (base, then base_gan), the vocoder (vocoder, then
# vocoder_gan, which also learns from the model's own reconstructions) -> half precision -> on every --dev `voiceae
# evaluate`, beside the bundled model on the same pairs, `voiceae verify` and `voiceae diagnose`.
# --corpus and --aligned hold a subfolder for each speaker; --dev DIR[:KIND] is a corpus of other speakers, KIND one of
# vctk (the default), libritts, folder and csv. Every step goes on where it stopped, so the same command resumes. --hours is
# shared out among the legs, in steps as measured here; without it they have the steps of their configs. --start is a
# folder of weights to begin with. Hydra overrides go to all legs, NAME:key=value to leg NAME; trainer=gpu is chosen where
# there is one.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
fail() { echo "base: error: $*" >&2; exit 1; }

corpora=() aligned=() devs=() out="$HERE/out" hours="" start="" model="" overrides=()
while [ $# -gt 0 ]; do
  case "$1" in
    --corpus | --aligned | --dev | --out | --hours | --start | --model) [ $# -ge 2 ] || fail "$1 wants a value" ;;&
    --corpus) corpora+=("$2"); shift 2 ;;
    --aligned) aligned+=(--aligned "$2"); shift 2 ;;
    --dev) devs+=("$2"); shift 2 ;;
    --out | --hours | --start | --model) printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; exit 0 ;;
    [!-]*=*) overrides+=("$1"); shift ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
done
source "$HERE/../common/corpora.sh"
[ ${#corpora[@]} -gt 0 ] || fail "--corpus is missing; give a folder with a subfolder for each speaker"
for each in "${corpora[@]}"; do
  [ -d "$each" ] || fail "--corpus $each: no such folder; give one with a subfolder for each speaker"
done
check_devs "${devs[@]}"
[[ "$hours" =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)?$ ]] || fail "--hours $hours: is not a number of hours, such as 1.5"

source "$HERE/../common/env.sh"
voiceae() { "$PYTHON" -m voiceae "$@"; }
mkdir -p "$out"
out="$(cd "$out" && pwd)"
if [[ " ${overrides[*]}" != *" trainer="* ]] && "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  overrides+=(trainer=gpu)
fi

voiceae prepare folder "${corpora[@]}" "${aligned[@]}" --out "$out/store" --waves $(teacher_option)
"$PYTHON" "$HERE/../common/legs.py" --store "$out/store" --out "$out" \
  --legs speaker:10,base:45,base_gan:15,vocoder:15,vocoder_gan:15 \
  ${hours:+--minutes "$("$PYTHON" -c "print(60 * $hours)")"} ${start:+--start "$start"} ${model:+--model "$model"} \
  "${overrides[@]}"
"$PYTHON" "$HERE/ship.py" "$out/base_gan/model.safetensors" "$out/base.safetensors"
"$PYTHON" "$HERE/ship.py" "$out/vocoder_gan/model.safetensors" "$out/vocoder.safetensors"
for dev in "${devs[@]}"; do
  name="$(dev_name "$dev")"
  corpus=(--corpus "$(dev_folder "$dev")" --kind "$(dev_kind "$dev")")
  judge=(evaluate "${corpus[@]}" --n-pairs 60 --cache "$out/cache" --force)
  voiceae "${judge[@]}" --model base --out "$out/report-$name-bundled"
  voiceae "${judge[@]}" --model "$out/base.safetensors" --vocoder "$out/vocoder.safetensors" --out "$out/report-$name"
  voiceae evaluate --compare "$out/report-$name-bundled/report.json" "$out/report-$name/report.json"
  voiceae verify "${corpus[@]}" --model "$out/base.safetensors" --out "$out/report-$name/verification.json" --force
  voiceae diagnose "$out/base.safetensors" --store "$out/store" "${corpus[@]}" --out "$out/diagnosis-$name" --force ||
    echo "base: note: the diagnosis found a failure; see $out/diagnosis-$name"
done
echo "== finished: $out; base.safetensors and vocoder.safetensors go to voiceae/assets/"
