#!/usr/bin/env bash
# Makes the environment, once, and runs the tests; arguments go to pytest:
#
#     bash tests/run.sh
#     bash tests/run.sh tests/audio -k mel
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common/env.sh"
cd "$ROOT"
# All of them go by files to as many processes as there are cores, at most four; chosen ones are run in one.
[ $# -gt 0 ] || set -- -n auto --maxprocesses 4 --dist loadfile
exec "$PYTHON" -m pytest "$@"
