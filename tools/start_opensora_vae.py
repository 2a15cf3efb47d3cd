"""Put a fresh temporal VAE of Open-Sora's over a trained image VAE: what stage 1 of its training starts from.

tools/start_opensora_vae.py --spatial stable-diffusion-xl-base-1.0/vae --target models/opensora_vae_start.safetensors
"""

from __future__ import annotations

import argparse

import mindspore as ms

from mg import cli, files
from mg.checks import require_whole
from mg.config import read_recipe
from mg.locks import hold_file
from mg.models import weights
from mg.models.opensora_vae.convert import start


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--spatial", required=True, help="an image VAE: a file, or a folder of diffusers")
    parser.add_argument("--target", required=True, help="the file to write, .ckpt or .safetensors")
    parser.add_argument("--model_config", help="YAML of the sizes that are not the image VAE's (default: Open-Sora's)")
    parser.add_argument("--seed", type=int, default=0, help="of the temporal VAE's weights (default: %(default)s)")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse_args()
    require_whole("seed", args.seed, 0)
    weights.check_target(args.target)
    sizes = None if args.model_config is None else read_recipe(args.model_config)
    ms.set_seed(args.seed)
    model = start(args.spatial, sizes)
    with hold_file(args.target):
        model.save(args.target)
    for key, value in model.config.items():
        print(f"config   {key} = {value}")
    millions = sum(parameter.size for parameter in model.get_parameters()) / 1e6
    print(f"target   {args.target}: {millions:.2f} M parameters")
    print(f"sha256   {files.sha256(args.target)}")


if __name__ == "__main__":
    cli.run_script(main)
