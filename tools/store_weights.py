"""Store a trained model of any family for use: in a smaller type, with the shift and scaling of its own latents.

--statistics takes the file that tools/latent_statistics.py wrote of latents that these very weights encoded. Without
it, the factors stay as they are. --format diffusers writes a folder that diffusers' AutoencoderKL loads: of an image
VAE, or of what a TAE does with single images, where attention over time, which AutoencoderKL has not, is left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mg import cli, files
from mg.errors import InputError
from mg.locks import hold_file, hold_folder
from mg.models import families, weights
from mg.models.autoencoder import Autoencoder
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.image_vae.model import ImageVAE
from mg.models.image_vae.write import write_diffusers
from mg.models.tae.image_half import image_half
from mg.models.tae.tae import TemporalAutoencoder

FORMATS = ("mg", "diffusers")


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--src", required=True, help="weights of any family, .ckpt or .safetensors")
    parser.add_argument("--target", required=True, help="the file to write, .ckpt or .safetensors, or the folder")
    parser.add_argument("--format", default="mg", choices=FORMATS, help="whose it is (default: %(default)s)")
    parser.add_argument(
        "--dtype", default="fp16", choices=weights.STORAGE_DTYPES, help="stored type (default: %(default)s)"
    )
    parser.add_argument("--statistics", help="JSON file of tools/latent_statistics.py")
    parser.add_argument(
        "--per_channel", action="store_true", help="a factor for each channel, where a family can have them"
    )
    return parser.parse_args()


def factors(path: str, source: str, per_channel: bool) -> dict[str, float | list[float]]:
    """The configuration's shift and scaling from statistics of latents that the weights `source` encoded."""
    try:
        figures = json.loads(files.require_file(path, "statistics of latents").read_text())
        found, sha256 = {}, figures["weights_sha256"]
        for name in ("scaling", "shift"):
            of_channels = [channel[name] for channel in figures["channels"]] if per_channel else None
            found[f"{name}_factor"] = of_channels if per_channel else figures[name]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' has no statistics of latents ({type(error).__name__}: {error}); "
            "write it with tools/latent_statistics.py"
        ) from None
    if sha256 != files.sha256(Path(source)):
        raise InputError(f"'{path}' is of latents of other weights ({sha256}) than '{source}'; encode with these first")
    return found


def store_for_diffusers(model: Autoencoder, folder: str, dtype: str) -> None:
    """Write the folder. Raises InputError for a family of which AutoencoderKL can compute nothing."""
    if model.family == ImageVAE.family:
        tensors = {name: parameter.asnumpy() for name, parameter in weights.named_parameters(model).items()}
        config, exact = ImageVAEConfig.from_mapping(model.config), True
    elif model.family == TemporalAutoencoder.family:
        config, tensors, exact = image_half(model)
    else:
        raise InputError(f"diffusers' AutoencoderKL is an image VAE, and {model.family} has none; name other weights")
    with hold_folder(folder):
        write_diffusers(folder, config, tensors, dtype)
    print(f"target   {folder}: {len(tensors)} tensors stored as {dtype}")
    if not exact:
        print("note     trained attention over time is left out: images come out close to the TAE's, not the same")


def main() -> None:
    args = parse_args()
    if args.format == "mg":
        weights.check_target(args.target, args.src)
    trained = families.load(args.src, "fp32")
    own = {} if args.statistics is None else factors(args.statistics, args.src, args.per_channel)
    missing = [name for name in own if name not in trained.config]
    if missing:
        raise InputError(f"the family {trained.family} has no {missing[0]}; leave --statistics out")
    stored = families.build(trained.family, {**trained.config, **own}, "fp32")
    for parameter, value in zip(stored.get_parameters(), trained.get_parameters()):
        parameter.set_data(value)
    if args.format == "diffusers":
        store_for_diffusers(stored, args.target, args.dtype)
        return
    with hold_file(args.target):
        stored.save(args.target, args.dtype)
    for key, value in stored.config.items():
        print(f"config   {key} = {value}")
    print(f"target   {args.target}: {Path(args.target).stat().st_size / 1e6:.1f} MB, stored as {args.dtype}")
    print(f"sha256   {files.sha256(Path(args.target))}")


if __name__ == "__main__":
    cli.run_script(main)
