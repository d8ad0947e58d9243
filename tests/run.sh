#!/usr/bin/env bash
# Makes the environment, once, and runs the tests; arguments go to pytest:
#
#     bash tests/run.sh
#     bash tests/run.sh tests/dsp -k mel
#
# The whole suite, or what options choose of it, is shared by a process a core; files that are named first run in one
# process, since every other takes seconds to import torch.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../recipes/common/env.sh"
cd "$ROOT"
shared=()
case "${1:-}" in
  "" | -*)
    cores="$("$PYTHON" -c 'from voiceae.hardware import available_cpus; print(available_cpus())')"
    # By file, because fixtures that train or export something belong to a file.
    shared=(-n "$cores" --dist loadfile)
    ;;
esac
exec "$PYTHON" -m pytest ${shared[@]+"${shared[@]}"} "$@"
