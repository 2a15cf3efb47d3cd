"""Convert a TAE trained with mindone's examples/moviegen, with the switches that its weights need."""

import argparse

from mg import cli, files
from mg.models import weights
from mg.models.tae.config import TAEConfig
from mg.models.tae.convert import convert


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--src", required=True, help="upstream's checkpoint, .ckpt or .safetensors")
    parser.add_argument("--target", required=True, help="the file to write, .ckpt or .safetensors")
    parser.add_argument(
        "--dtype", default="fp32", choices=weights.STORAGE_DTYPES, help="stored type (default: %(default)s)"
    )
    parser.add_argument("--norm_num_groups", type=int, default=TAEConfig.norm_num_groups)
    parser.add_argument("--scaling_factor", type=float, default=TAEConfig.scaling_factor)
    parser.add_argument("--shift_factor", type=float, default=TAEConfig.shift_factor)
    parser.add_argument(
        "--downsample_padding",
        default="both",
        choices=("both", "end"),
        help="'end' for weights trained with upstream's first version (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> None:
    args = vars(parse_args())
    source, target, dtype = (args.pop(key) for key in ("src", "target", "dtype"))
    weights.check_target(target, source)
    tae = convert(source, **args)
    tae.save(target, dtype)
    for key, value in tae.config.items():
        print(f"config   {key} = {value}")
    print(f"target   {target}: {len(list(tae.get_parameters()))} tensors stored as {dtype}")
    print(f"sha256   {files.sha256(target)}")


if __name__ == "__main__":
    cli.run_script(main)
