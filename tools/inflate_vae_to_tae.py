"""Inflate an image VAE (SD3.5's, or one of its layout) to a TAE that gives exactly the same for images."""

import argparse

from mg import cli, files
from mg.locks import hold_file
from mg.models import weights
from mg.models.tae.inflate import inflate


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--src", required=True, help="a .safetensors file (diffusers or single-file), or its folder")
    parser.add_argument("--target", required=True, help="the file to write, .ckpt or .safetensors")
    parser.add_argument(
        "--dtype", default="fp32", choices=weights.STORAGE_DTYPES, help="stored type (default: %(default)s)"
    )
    parser.add_argument("--omit_identity", action="store_true", help="leave out the parameters that inflation adds")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    weights.check_target(args.target)
    done = inflate(args.src)
    weights.check_target(args.target, done.source)
    with hold_file(args.target):
        done.tae.save(args.target, args.dtype, args.omit_identity)
    config = done.tae.config
    print(f"source   {done.source}: {done.tensors_read} tensors read and inflated, {done.tensors_ignored} ignored")
    print(f"identity {done.tensors_at_identity} temporal tensors added, each starting as the identity")
    for key, value in config.items():
        print(f"config   {key} = {value}" + (f" (from {done.origins[key]})" if key in done.origins else ""))
    print(f"target   {args.target}: stored as {args.dtype}" + (", identity left out" if args.omit_identity else ""))
    print(f"sha256   {files.sha256(args.target)}")


if __name__ == "__main__":
    cli.run_script(main)
