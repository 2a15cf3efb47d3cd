#!/usr/bin/env bash
# Train O2-MAGVIT2's image model, the first stage, as its users know it; run it on each node:
#   scripts/run_train_2d.sh NODE_RANK MASTER_ADDR[:PORT] NUM_NODES NUM_GPUS --image_folder IMAGES [FLAGS ...]
# All else is as in run_train_3d.sh, which it runs with the recipe of the image stage.
set -euo pipefail
export RECIPE=${RECIPE:-configs/o2_magvit2/train/stage1_images.yaml}
export RUN_FOLDER=${RUN_FOLDER:-runs/o2_magvit2/stage1_images}
exec scripts/run_train_3d.sh "$@"
