# The one environment, `.venv`, of every script here. To be sourced by bash:
#
#     source "$(dirname "${BASH_SOURCE[0]}")/../common/env.sh"
#
# It is made once and taken as it is from then on; a stamp in it remembers what it was made from (this file,
# pyproject.toml, this folder), so a second run installs nothing. Wanted: Python 3.11 or later, pip, and no compiler.
#
# Sets      ROOT (the checkout), PYTHON (the interpreter of .venv)
# Reads     VOICEAE_PYTHON (the interpreter to make .venv from; python3.11, python3 or python otherwise)

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
PYTHON="$ROOT/.venv/bin/python"

_env_find_python() {  # first interpreter that is new enough
  local name
  for name in "${VOICEAE_PYTHON:-}" python3.11 python3 python python3.12 python3.13; do
    [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$name"; return; }
  done
  echo "error: Python 3.11 or later is wanted, and there is none; name one with VOICEAE_PYTHON=/path/to/python" >&2
  return 1
}

_env_make() {  # a .venv with pip in it, from whatever is there
  local base
  base="$(_env_find_python)" || return 1
  "$PYTHON" -m pip --version >/dev/null 2>&1 && return 0
  "$base" -m venv --clear "$ROOT/.venv" >/dev/null 2>&1 && return 0
  # Some systems package Python without ensurepip: then the pip that is there puts one in.
  "$base" -m venv --clear --without-pip "$ROOT/.venv" && "$base" -m pip --python "$PYTHON" install -q pip
}

_env_pip() {  # install, with what pip says in a file
  "$PYTHON" -m pip --disable-pip-version-check install "$@" >>"$ROOT/.venv/install.log" 2>&1
}

_env_install() {
  : >"$ROOT/.venv/install.log"
  # Resemblyzer asks for a package that must be compiled; webrtcvad-wheels, already there, supplies the same module.
  if ! { _env_pip --editable "$ROOT[all,dev]" && _env_pip --no-deps Resemblyzer; }; then
    tail -n 20 "$ROOT/.venv/install.log" >&2
    return 1
  fi
  _env_pip pyworld ||
    echo "note: pyworld could not be built here (it needs a C compiler); what needs it is left out, with the reason" >&2
}

_env_stamp() {  # what the environment was made from
  "$PYTHON" -c 'import hashlib, sys
digest = hashlib.sha256(repr((sys.version, sys.argv[1])).encode())
for path in sys.argv[2:]: digest.update(open(path, "rb").read())
print(digest.hexdigest())' "$ROOT" "$ROOT/pyproject.toml" "$ROOT/recipes/common/env.sh" 2>/dev/null
}

_env_ready() {
  local stamp
  [ -f "$ROOT/.venv/.voiceae" ] && stamp="$(_env_stamp)" && [ "$(cat "$ROOT/.venv/.voiceae")" = "$stamp" ]
}

_env_ensure() {
  _env_ready && return 0
  echo "making the environment $ROOT/.venv (once; some minutes, about 6 GB) ..." >&2
  # Removed first: an install that is cut short must not look complete.
  rm -f "$ROOT/.venv/.voiceae"
  _env_make && _env_install && _env_stamp >"$ROOT/.venv/.voiceae"
}

_env_ensure || { echo "error: the environment could not be made; see above" >&2; exit 1; }

# Small convolutions get slower, not faster, from a second thread on a busy machine.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
