#!/usr/bin/env bash
# Train O2-MAGVIT2's video model as its users know it; run it on each node:
#   scripts/run_train_3d.sh NODE_RANK MASTER_ADDR[:PORT] NUM_NODES NUM_GPUS [FLAGS of scripts/train.py ...]
# NUM_GPUS is how many cards all nodes have together. The flags name the data, such as --video_folder CLIPS, and win over
# the recipe. RUN_FOLDER is on a file system that all nodes see.
set -euo pipefail
recipe=${RECIPE:-configs/o2_magvit2/train/stage2_videos.yaml}
run=${RUN_FOLDER:-runs/o2_magvit2/stage2_videos}

if (($# < 4)); then
  echo "error: give NODE_RANK MASTER_ADDR[:PORT] NUM_NODES NUM_GPUS, such as 0 127.0.0.1:8118 1 8, then flags" >&2
  exit 2
fi
node=$1 address=$2 nodes=$3 cards=$4
shift 4
for number in "$node" "$nodes" "$cards"; do
  [[ $number =~ ^[0-9]+$ ]] || { echo "error: $number is no whole number; NODE_RANK, NUM_NODES, NUM_GPUS are" >&2; exit 2; }
done
if ((nodes < 1 || cards < 1 || cards % nodes)); then
  echo "error: $cards cards are not as many on each of $nodes nodes; NUM_GPUS is of all nodes together" >&2
  exit 2
fi
[[ $address == *:* ]] && export PORT=${address##*:}
CARDS=$((cards / nodes)) exec scripts/launch/train_hosts.sh --master_addr "${address%%:*}" --hosts "$nodes" \
  --node_rank "$node" "$recipe" "$run" "$@"
