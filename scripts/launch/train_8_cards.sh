#!/usr/bin/env bash
# Train on the cards of one host, data parallel.  CARDS=8 scripts/launch/train_8_cards.sh RECIPE RUN_FOLDER [FLAGS ...]
set -euo pipefail
recipe=$1 run=$2
shift 2
cards=${CARDS:-8}
exec python scripts/launch/ranks.py "$cards" scripts/train.py --config "$recipe" --output_path "$run" --device_target Ascend "$@"
