#!/usr/bin/env bash
# Trains on several hosts without a scheduler: start this on every one of them, all with the same overrides.
#
#   bash recipes/cluster/torchrun.sh --nodes 2 --node-rank 0 --head 10.0.0.1 experiment=vctk data.store=STORE  # on 10.0.0.1
#   bash recipes/cluster/torchrun.sh --nodes 2 --node-rank 1 --head 10.0.0.1 experiment=vctk data.store=STORE  # on the other
#
# The checkout, the store and the run folder must have the same paths everywhere, the run folder the same content too.
#
# Options
#   --nodes N         hosts (default 1)
#   --node-rank R     which of them this is, from 0 (default 0)
#   --head ADDRESS    address of host 0, as the others see it (default 127.0.0.1)
#   --port P          free port there (default 29500)
#   --processes N     on each host (default: one a GPU that nvidia-smi lists, or one where there is none)
#   --interface NAME  network device that the processes talk over (default: their choice)
#   KEY=VALUE, ~KEY   Hydra overrides, to `voiceae train`
#
# Where a process dies, all hosts end with an error. The same command goes on from the last checkpoint.
set -euo pipefail

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }
misused() { echo "torchrun: $*; see --help" >&2; exit 2; }

nodes=1 node_rank=0 head=127.0.0.1 port=29500 processes="" interface="" overrides=()
while [ $# -gt 0 ]; do
  case "$1" in
    --nodes | --node-rank | --head | --port | --processes | --interface)
      [ $# -ge 2 ] || misused "$1 wants a value"
      name="${1#--}"; printf -v "${name//-/_}" '%s' "$2"; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    [!-]*=* | "~"*) overrides+=("$1"); shift ;;
    *) misused "unknown argument $1" ;;
  esac
done

# Hosts must not all make the environment at once, so it has to be there: any other recipe makes it.
PYTHON="${PYTHON:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/.venv/bin/python}"
[ -x "$PYTHON" ] || { echo "torchrun: error: $PYTHON is not there; install voiceae, or name another PYTHON=" >&2; exit 1; }
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
if [ -n "$interface" ]; then export GLOO_SOCKET_IFNAME="$interface" NCCL_SOCKET_IFNAME="$interface"; fi

gpus="$( (nvidia-smi --list-gpus 2>/dev/null || true) | wc -l)"
machine=()
if [ "$gpus" = 0 ]; then
  machine=(trainer.accelerator=cpu trainer.threads=1)
fi
[ -n "$processes" ] || processes=$(( gpus > 0 ? gpus : 1 ))

exec "$PYTHON" -m torch.distributed.run --nnodes "$nodes" --node-rank "$node_rank" --nproc-per-node "$processes" \
  --master-addr "$head" --master-port "$port" --max-restarts 0 -m voiceae train trainer=ddp "${machine[@]}" \
  trainer.num_nodes="$nodes" trainer.devices="$processes" trainer.resume=auto "${overrides[@]}"
