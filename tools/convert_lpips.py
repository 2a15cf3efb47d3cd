"""Make the one weights file of the perceptual loss from VGG16's weights and the heads of the lpips package."""

import argparse
import logging

from mg import files, runtime
from mg.losses import lpips
from mg.losses.convert import convert
from mg.models import weights

log = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    parser = runtime.ArgumentParser(description=__doc__)
    parser.add_argument("--vgg", required=True, help="VGG16: torchvision's .pth, .safetensors or .npz; mindcv's .ckpt")
    parser.add_argument("--heads", required=True, help="the heads of lpips 0.1 for VGG16: vgg.pth, or .npz")
    parser.add_argument("--target", required=True, help="the file to write, .safetensors or .ckpt")
    parser.add_argument(
        "--dtype", default="fp32", choices=weights.STORAGE_DTYPES, help="stored type (default: %(default)s)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    for source in (args.vgg, args.heads):
        weights.check_target(args.target, source)
    network, biases = convert(args.vgg, args.heads)
    lpips.write(args.target, network, biases, args.dtype)
    if not biases:
        log.warning("notice: %s: %s", args.vgg, lpips.NO_BIASES)
    print(f"target   {args.target}: VGG16 {'with' if biases else 'without'} biases, stored as {args.dtype}")
    print(f"sha256   {files.sha256(args.target)}")


if __name__ == "__main__":
    runtime.run_script(main)
