#!/usr/bin/env bash
# Makes the environment, once, and runs the tests; arguments go to pytest:
#
#     bash tests/run.sh
#     bash tests/run.sh tests/audio -k mel
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common/env.sh"
cd "$ROOT"
exec "$PYTHON" -m pytest "$@"
