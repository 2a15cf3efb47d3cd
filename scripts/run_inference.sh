#!/usr/bin/env bash
# Reconstruct an image or a video as users of O2-MAGVIT2 know it: edit what is below, or give its flags,
#   scripts/run_inference.sh [--modal image|video] [--ckpt-path FILE] [-i INPUT] [-o FOLDER] [--target-pixels N]
#       [--max-num-frames N] [--extract-frame-interval N] [FLAGS of scripts/reconstruct.py ...]
# target_pixels: of the shorter side. Nothing is cut off: not the last frames, and not the sides.
set -euo pipefail
modal=  # told by the input's suffix
ckpt_path=o2_magvit2.safetensors
input=input.mp4
output=samples/recons
target_pixels=384
max_num_frames=
extract_frame_interval=1

rest=()
while (($#)); do
  case $1 in
    --modal | --ckpt-path | -i | -o | --target-pixels | --max-num-frames | --extract-frame-interval)
      (($# > 1)) || { echo "error: $1 needs a value after it" >&2; exit 2; } ;;&
    --modal) modal=$2 ;;
    --ckpt-path) ckpt_path=$2 ;;
    -i) input=$2 ;;
    -o) output=$2 ;;
    --target-pixels) target_pixels=$2 ;;
    --max-num-frames) max_num_frames=$2 ;;
    --extract-frame-interval) extract_frame_interval=$2 ;;
    --config-path) echo "error: --config-path is not needed, the weights know their sizes; leave it out" >&2; exit 2 ;;
    *) rest+=("$1"); shift; continue ;;
  esac
  shift 2
done
case $modal in
  "" | image | video) ;;
  *) echo "error: --modal $modal is neither image nor video; leave it out, the input's suffix tells" >&2; exit 2 ;;
esac
exec python scripts/reconstruct.py --ckpt_path "$ckpt_path" --input "$input" --output_path "$output" \
  --resolution "$target_pixels" --sample_stride "$extract_frame_interval" \
  ${max_num_frames:+--num_frames "$max_num_frames"} ${rest[@]+"${rest[@]}"}
