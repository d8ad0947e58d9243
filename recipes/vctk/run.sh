#!/usr/bin/env bash
# VCTK 0.92 from download to objective summary, in numbered stages:
#
#   -1  download     VCTK 0.92 (11 GB, resumable, checksum), unless the corpus is there
#    0  prepare      feature store                                        OUT/store
#    1  train        the speaker encoder, then the model                  OUT/run
#    2  convert      held-out pairs, woman to man and man to woman        OUT/pairs.csv, OUT/converted
#    3  embed        every speaker, and the map of the voices             OUT/speakers.npz, OUT/speakers.png
#    4  evaluate     objective summary                                    OUT/summary
#
#   bash recipes/vctk/run.sh                                         # all of it; wants a GPU
#   bash recipes/vctk/run.sh --corpus VCTK --out OUT                 # with the corpus at hand
#   bash recipes/vctk/run.sh --stage 2 --stop-stage 3
#   bash recipes/vctk/run.sh --corpus SMALL --experiment vctk_mini   # a small corpus on a CPU, minutes
#   bash recipes/vctk/run.sh --minutes 10 --device cuda              # as much training as fits, at the largest batch that pays
#   bash recipes/vctk/run.sh optim.learning_rate=5e-4 seed=1         # Hydra overrides go to `voiceae train`; vctk:key=value
#                                                                    # to the leg vctk alone, speaker:key=value to the other
#
# Options
#   --corpus DIR        VCTK's folder (default recipes/vctk/data)
#   --out DIR           results (default recipes/vctk/out)
#   --experiment NAME   configs/experiment/NAME.yaml (default vctk; for a corpus of fewer than 50 speakers vctk_mini)
#   --stage N           first stage (default -1)
#   --stop-stage N      last stage (default 4)
#   --pairs N           pairs to convert and score in each direction (default 20; for fewer than 50 speakers 3)
#   --scorers LIST       what stage 4 uses (default: all that are installed; see voiceae evaluate --help)
#   --jobs N            processes that prepare (default: all cores) and score (default: one)
#   --device D          auto, cpu or cuda (default auto)
#   --minutes M         train for so long instead of the experiment's steps
#   --steps N           train for so many steps instead: a rehearsal
#   --force             do finished stages again
#
# A finished stage is skipped the next time; a training that was cut short goes on where it stopped. With --minutes or
# --steps, OUT/weights has the newest averaged weights all along, in half precision and in parts of at most 15 MiB.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
URL="${VCTK_URL:-https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip}"
SHA256="${VCTK_SHA256:-f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c}"

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }
fail() { echo "vctk: error: $*" >&2; exit 1; }
misused() { echo "vctk: $*; see --help" >&2; exit 2; }

corpus="$HERE/data" out="$HERE/out" experiment="" stage=-1 stop_stage=4
pairs="" scorers="" jobs="" device=auto minutes="" steps="" held_out=8 force="" overrides=()
while [ $# -gt 0 ]; do
  case "$1" in
    --corpus | --out | --experiment | --stage | --stop-stage | --pairs | --scorers | --jobs | --device | --minutes | --steps)
      [ $# -ge 2 ] || misused "$1 wants a value"
      name="${1#--}"; printf -v "${name//-/_}" '%s' "$2"; shift 2 ;;
    --force) force=--force; shift ;;
    -h | --help) usage; exit 0 ;;
    [!-]*=*) overrides+=("$1"); shift ;;
    *) misused "unknown argument $1" ;;
  esac
done
for number in "$stage" "$stop_stage"; do
  [[ "$number" =~ ^(-1|[0-4])$ ]] || misused "a stage is a number from -1 to 4, not $number"
done

source "$HERE/../common/env.sh"
source "$HERE/../common/corpora.sh"
voiceae() { "$PYTHON" -m voiceae "$@"; }

# ---- Stages

has_audio() { [ -d "$corpus/wav48_silence_trimmed" ] || [ -d "$corpus/VCTK-Corpus-0.92/wav48_silence_trimmed" ]; }

download() {
  echo "== stage -1, download"
  if has_audio; then echo "$corpus is there already"; return; fi
  local archive="$corpus/VCTK-Corpus-0.92.zip"
  if [ ! -f "$archive" ]; then
    # A mistyped --corpus must not fill somebody's folder.
    [ -f "$archive.part" ] || [ -z "$(ls -A "$corpus" 2>/dev/null)" ] || fail "$corpus: is neither VCTK (it has no" \
      "wav48_silence_trimmed) nor empty; give another --corpus"
    mkdir -p "$corpus"
    echo "downloading VCTK 0.92 (11 GB) to $corpus"
    curl --fail --location --continue-at - --retry 3 --output "$archive.part" "$URL" || fail "VCTK 0.92 could not be" \
      "downloaded from $URL; run again to go on, or put VCTK-Corpus-0.92.zip into $corpus, or unpack it there"
    mv "$archive.part" "$archive"
  fi
  echo "checking $archive"
  local sum
  sum="$("$PYTHON" -c 'import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], "rb"), "sha256").hexdigest())' \
    "$archive")"
  [ "$sum" = "$SHA256" ] || fail "$archive: its SHA-256 is $sum instead of $SHA256; remove it and run again"
  echo "unpacking"
  rm -rf "$corpus/.unpacking"
  "$PYTHON" -m zipfile -e "$archive" "$corpus/.unpacking" || fail "$archive: could not be unpacked into $corpus"
  mv "$corpus/.unpacking"/* "$corpus/"
  rmdir "$corpus/.unpacking"
  has_audio || fail "$archive: holds no wav48_silence_trimmed"
}

prepare() {
  voiceae prepare vctk "$corpus" --out "$out/store" --valid-speakers "$held_out" $(teacher_option) ${jobs:+--jobs "$jobs"} $force
}

train() {
  # After --force the run starts anew; otherwise it goes on from its last checkpoint, if there is one.
  [ -z "$force" ] || rm -rf "$out/run"
  local given=() publisher="" code=0
  [ -z "$trainer" ] || given+=("trainer=$trainer")
  [ "$experiment" != vctk_mini ] || given+=(speaker:trainer.max_steps=60 speaker:optim.warmup_steps=20 speaker:data.batch_size=32)
  if [ -n "$minutes$steps" ]; then
    given+=(trainer.checkpoint_minutes=0.8)
    mkdir -p "$out/run"
    rm -f "$out/run/ended"
    "$PYTHON" "$HERE/../base/publish.py" "$out/run" "$out/weights" --every 10 &
    publisher=$!
  fi
  "$PYTHON" "$HERE/../common/legs.py" --store "$out/store" --out "$out/run" --legs "$legs" \
    ${minutes:+--minutes "$minutes"} ${steps:+--steps "$steps"} "${given[@]}" "${overrides[@]}" || code=$?
  [ -z "$publisher" ] || { touch "$out/run/ended"; wait "$publisher" || code=$?; }
  return "$code"
}

convert() {
  "$PYTHON" "$HERE/choose.py" "$out/store" --pairs "$out/pairs.csv" --count "$pairs"
  voiceae convert --pairs "$out/pairs.csv" --root "$corpus" --out-dir "$out/converted" --model "$model" \
    --device "$device" --force
}

embed() {
  "$PYTHON" "$HERE/choose.py" "$out/store" --clips "$out/clips.txt" --count 5
  local clips
  mapfile -t clips <"$out/clips.txt"
  voiceae embed "${clips[@]}" --out "$out/speakers.npz" --plot "$out/speakers.png" --model "$model" \
    --device "$device" --force
}

evaluate() {
  voiceae evaluate --corpus "$corpus" --pairs "$out/pairs.csv" --out "$out/summary" --model "$model" \
    --device "$device" ${scorers:+--scorers "$scorers"} ${jobs:+--jobs "$jobs"} --cache "$out/cache" --force
}

run_stage() {  # NUMBER COMMAND: unless it lies outside the asked range or has finished
  local stamp="$out/.finished/$1"
  if [ "$1" -lt "$stage" ] || [ "$1" -gt "$stop_stage" ]; then return; fi
  if [ -f "$stamp" ] && [ -z "$force" ]; then echo "== stage $1, $2: finished before"; return; fi
  echo "== stage $1, $2"
  # Called without `||` or `if`, so that `set -e` ends the script at the first command that fails.
  "$2"
  mkdir -p "$out/.finished"
  touch "$stamp"
}

look_at_corpus() {  # small ones get a small experiment, fewer pairs, and hold out two speakers of each sex
  local speakers
  speakers="$(find -L "$corpus" -mindepth 2 -maxdepth 3 -type d -path '*/wav48_silence_trimmed/*' | wc -l)"
  [ "$speakers" -ge 50 ] || held_out=4
  [ -n "$pairs" ] || { [ "$speakers" -ge 50 ] && pairs=20 || pairs=3; }
  [ -z "$experiment" ] || return 0
  experiment=vctk
  [ "$speakers" -ge 50 ] || experiment=vctk_mini
  echo "$speakers speakers: --experiment $experiment"
}

remember() {  # an OUT belongs to one corpus, one experiment and one set of overrides
  local made="$corpus experiment=$experiment${overrides[*]:+ ${overrides[*]}}" file="$out/made-from.txt"
  if [ -f "$file" ] && [ "$(cat "$file")" != "$made" ]; then
    fail "$out: was made from $(cat "$file"); choose another --out for $made"
  fi
  echo "$made" >"$file"
}

[ "$stage" -ge 0 ] || download
[ "$stop_stage" -ge 0 ] || exit 0
has_audio || fail "$corpus: has no wav48_silence_trimmed; put VCTK 0.92 there, or download it with --stage -1"
mkdir -p "$out"
corpus="$(cd "$corpus" && pwd)" out="$(cd "$out" && pwd)"
look_at_corpus
legs="$experiment" trainer=""
case "$experiment" in
  vctk | vctk_mini | base)
    legs="speaker:15,$experiment:85"
    on_gpu="$device"
    [ "$device" != auto ] || on_gpu="$("$PYTHON" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')"
    [ "$on_gpu" = cuda ] && trainer=gpu || trainer=cpu
    [ "$experiment$trainer$device$minutes$steps" != vctkcpuauto ] || fail "--experiment vctk: 100,000 steps want a GPU," \
      "and there is none; give --minutes M for what fits, or --experiment vctk_mini" ;;
esac
remember
model="$out/run/$experiment/model.safetensors"
run_stage 0 prepare
run_stage 1 train
run_stage 2 convert
run_stage 3 embed
run_stage 4 evaluate
echo "== finished: $out"
