#!/usr/bin/env bash
# The model that the package ships, from a folder of speakers to its report:
#
#   bash recipes/base/run.sh --corpus SPEAKERS --dev VCTK_SHAPED [--out OUT] [key=value ...]
#
# prepare -> leg one (experiment=base) -> leg two (experiment=base_critic, from the weights of leg one) -> half
# precision -> `voiceae evaluate` of both legs on speakers that neither heard. Every step goes on where it stopped, so
# the same command resumes. Hydra overrides go to both legs; on one core of a laptop leg one takes 70 minutes and leg two
# about 20, on a GPU add trainer=gpu trainer.precision=bf16.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
fail() { echo "base: error: $*" >&2; exit 1; }

corpus="" dev="" out="$HERE/out" overrides=()
while [ $# -gt 0 ]; do
  case "$1" in
    --corpus | --dev | --out) [ $# -ge 2 ] || fail "$1 wants a folder"; printf -v "${1#--}" '%s' "$2"; shift 2 ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    [!-]*=*) overrides+=("$1"); shift ;;
    *) fail "unknown argument $1; see --help" ;;
  esac
done
[ -d "$corpus" ] || fail "--corpus $corpus: no such folder; give one with a subfolder for each speaker"
[ -d "$dev" ] || fail "--dev $dev: no such folder; give a corpus in VCTK's layout whose speakers are not in --corpus"

source "$HERE/../common/env.sh"
voiceae() { "$PYTHON" -m voiceae "$@"; }
leg() {  # NAME [OVERRIDE ...]
  local name="$1"; shift
  voiceae train "experiment=$name" "data.store='$out/store'" "out='$out/$name'" "$@" "${overrides[@]}"
}

mkdir -p "$out"
out="$(cd "$out" && pwd)"
[ -f "$out/store/store.json" ] || voiceae prepare folder "$corpus" --out "$out/store"
leg base trainer.resume=auto
if [ -f "$out/base_critic/checkpoints/last.ckpt" ]; then
  leg base_critic trainer.resume=auto
else
  leg base_critic "trainer.init_from='$out/base/model.safetensors'"
fi
for name in base base_critic; do
  "$PYTHON" "$HERE/ship.py" "$out/$name/model.safetensors" "$out/$name.safetensors"
  voiceae evaluate --model "$out/$name.safetensors" --corpus "$dev" --out "$out/report-$name" --n-pairs 60 \
    --cache "$out/cache" --force
done
voiceae evaluate --compare "$out/report-base/report.json" "$out/report-base_critic/report.json"
echo "== finished: $out; copy the better one to voiceae/assets/base.safetensors"
