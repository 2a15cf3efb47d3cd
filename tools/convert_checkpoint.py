"""Convert a checkpoint of another program to a weights file of ours. Which program wrote it, its tensors' names say.

Image VAEs of diffusers and SD's single files need no conversion: every command loads them as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from dataclasses import dataclass

from mg import cli, files
from mg.errors import InputError
from mg.locks import hold_file
from mg.models import weights
from mg.models.asymmetric_magvit2 import convert as asymmetric_magvit2
from mg.models.autoencoder import Autoencoder
from mg.models.names import find_file
from mg.models.o2_magvit2 import convert as o2_magvit2
from mg.models.o2_magvit2.config import O2Magvit2Config
from mg.models.opensora_vae import convert as opensora
from mg.models.tae import convert as moviegen
from mg.models.tae.config import TAEConfig


@dataclass(frozen=True)
class Converter:
    """reads: whether tensors of these names are its. convert: (file, **options) -> model. options: what it takes."""

    reads: Callable[[Collection[str]], bool]
    convert: Callable[..., Autoencoder]
    options: tuple[str, ...] = ()


# By what a checkpoint is of, in words. A family with a conversion adds a line.
CONVERTERS = {
    "upstream's TAE (mindone, examples/moviegen)": Converter(
        moviegen.reads,
        moviegen.convert,
        ("norm_num_groups", "scaling_factor", "shift_factor", "downsample_padding"),
    ),
    "AsymmetricMagVitV2": Converter(asymmetric_magvit2.reads, asymmetric_magvit2.convert, ("norm_num_groups",)),
    "Open-Sora's video VAE": Converter(opensora.reads, opensora.convert, ("spatial",)),
    "O2-MAGVIT2 (cofe-ai)": Converter(o2_magvit2.reads, o2_magvit2.convert, ("norm_groups",)),
}


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--src", required=True, help="the checkpoint: .ckpt, .safetensors, a PyTorch file, or a folder")
    parser.add_argument("--target", required=True, help="the file to write, .ckpt or .safetensors")
    parser.add_argument(
        "--dtype", default="fp32", choices=weights.STORAGE_DTYPES, help="stored type (default: %(default)s)"
    )
    options = parser.add_argument_group(
        "what the checkpoint does not say", "for upstream's TAE, where it is not said otherwise"
    )
    for name, kind in (("norm_num_groups", int), ("scaling_factor", float), ("shift_factor", float)):
        text = f"(default: {getattr(TAEConfig, name)})"
        options.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=text)
    text = f"of O2-MAGVIT2, for sizes other than the published ones (default: {O2Magvit2Config.norm_groups})"
    options.add_argument("--norm_groups", type=int, default=argparse.SUPPRESS, help=text)
    options.add_argument(
        "--downsample_padding",
        default=argparse.SUPPRESS,
        choices=("both", "end"),
        help="'end' for weights trained with its first version (default: both)",
    )
    options = parser.add_argument_group("what the checkpoint does not hold", "for Open-Sora's temporal VAE alone")
    text = "an image VAE, a file or a folder of diffusers (default: the checkpoint's own)"
    options.add_argument("--spatial", metavar="PATH", default=argparse.SUPPRESS, help=text)
    return parser.parse_args()


def main() -> None:
    options = vars(parse_args())
    source, target, dtype = (options.pop(key) for key in ("src", "target", "dtype"))
    weights.check_target(target, source)
    file = weights.TensorFile(find_file(source))
    what, converter = converter_for(file)
    odd = [name for name in options if name not in converter.options]
    if odd:
        raise InputError(f"--{odd[0]} means nothing for {what}; leave it out")
    model = converter.convert(file, **options)
    with hold_file(target):
        model.save(target, dtype)
    for key, value in model.config.items():
        print(f"config   {key} = {value}")
    print(f"target   {target}: {len(list(model.get_parameters()))} tensors stored as {dtype}")
    print(f"sha256   {files.sha256(target)}")


def converter_for(file: weights.TensorFile) -> tuple[str, Converter]:
    """Who reads a checkpoint, and what it is of. Raises InputError when nobody does."""
    for what, converter in CONVERTERS.items():
        if converter.reads(file):
            return what, converter
    raise InputError(
        f"'{file.path}' is not {', nor '.join(CONVERTERS)}: its tensors have other names ({', '.join([*file][:2])}, "
        "...); if it is an image VAE, it is loaded as it is"
    )


if __name__ == "__main__":
    cli.run_script(main)
