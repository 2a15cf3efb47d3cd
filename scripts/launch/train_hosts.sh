#!/usr/bin/env bash
# Train on several hosts. Run it on each of them, with the same address and the host's own number:
#   scripts/launch/train_hosts.sh --master_addr 10.0.0.1 --hosts 4 --node_rank 0 RECIPE RUN_FOLDER [FLAGS ...]
# RUN_FOLDER is on a file system that all hosts see; rank 0, on host 0, writes there. CARDS (8) is per host.
set -euo pipefail
while [[ ${1:-} == --* ]]; do
  case $1 in
    --master_addr) address=$2 ;;
    --hosts) hosts=$2 ;;
    --node_rank) node=$2 ;;
    *) echo "error: unknown option $1; use --master_addr, --hosts, --node_rank before the recipe" >&2; exit 2 ;;
  esac
  shift 2
done
: "${address:?error: give --master_addr, the address of host 0}" "${hosts:?error: give --hosts}"
: "${node:?error: give --node_rank, 0 on the host of --master_addr}"
recipe=$1 run=$2
shift 2
cards=${CARDS:-8}
exec python scripts/launch/ranks.py --hosts "$hosts" --host "$node" --address "$address" --port "${PORT:-8118}" "$cards" \
  scripts/train.py --config "$recipe" --output_path "$run" --device_target Ascend "$@"
