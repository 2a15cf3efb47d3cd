#!/usr/bin/env bash
# Train on the cards of one host, data parallel.  CARDS=8 scripts/launch/train_8_cards.sh RECIPE RUN_FOLDER [FLAGS ...]
set -euo pipefail
recipe=$1 run=$2
shift 2
cards=${CARDS:-8}
exec msrun --worker_num="$cards" --local_worker_num="$cards" --master_port="${PORT:-8118}" \
  --log_dir="$run/ranks" --join=True --cluster_time_out=600 \
  scripts/train.py --config "$recipe" --output_path "$run" --device_target Ascend "$@"
