"""Make the one weights file of LPIPS from VGG16's or AlexNet's weights and the heads of the lpips package."""

import argparse
import logging

from mg import cli, files
from mg.locks import hold_file
from mg.models import weights
from mg.models.lpips import network as lpips
from mg.models.lpips.convert import convert

log = logging.getLogger(__name__)


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    backbone = parser.add_mutually_exclusive_group(required=True)
    backbone.add_argument("--vgg", help="VGG16: torchvision's .pth, .safetensors or .npz; mindcv's .ckpt")
    backbone.add_argument("--alex", help="AlexNet: torchvision's .pth, .safetensors or .npz")
    parser.add_argument("--heads", required=True, help="the heads of lpips 0.1 for it: vgg.pth, alex.pth, or .npz")
    parser.add_argument("--target", required=True, help="the file to write, .safetensors or .ckpt")
    parser.add_argument(
        "--dtype", default="fp32", choices=weights.STORAGE_DTYPES, help="stored type (default: %(default)s)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    backbone, features = ("vgg", args.vgg) if args.vgg is not None else ("alex", args.alex)
    for source in (features, args.heads):
        weights.check_target(args.target, source)
    network, biases = convert(features, args.heads, backbone)
    with hold_file(args.target):
        lpips.write(args.target, network, biases, args.dtype)
    if not biases:
        log.warning("notice: %s: %s", features, lpips.NO_BIASES)
    name = {"vgg": "VGG16", "alex": "AlexNet"}[backbone]
    print(f"target   {args.target}: {name} {'with' if biases else 'without'} biases, stored as {args.dtype}")
    print(f"sha256   {files.sha256(args.target)}")


if __name__ == "__main__":
    cli.run_script(main)
