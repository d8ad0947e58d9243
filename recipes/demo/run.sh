#!/usr/bin/env bash
# From a fresh checkout to converted speech: makes the environment, once, and runs demo.py; arguments go to it.
#
#     bash recipes/demo/run.sh
#     bash recipes/demo/run.sh --source me.wav --target you.wav --out mine/
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common/env.sh"
exec "$PYTHON" "$ROOT/recipes/demo/demo.py" "$@"
