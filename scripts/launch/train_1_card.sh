#!/usr/bin/env bash
# Train on one Ascend card.  scripts/launch/train_1_card.sh RECIPE RUN_FOLDER [FLAGS of train.py ...]
set -euo pipefail
recipe=$1 run=$2
shift 2
exec python scripts/train.py --config "$recipe" --output_path "$run" --device_target Ascend "$@"
