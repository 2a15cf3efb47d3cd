"""A web page that shows what an autoencoder makes of a clip or an image: reconstruction, difference, figures, latents.

Works without a network. Only this computer can open it, unless --host says otherwise.
"""

from __future__ import annotations

import argparse

from mg import cli
from mg.demo.folder import private_folder
from mg.demo.limits import Address, Limits
from mg.inference import flags


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    cli.add_flags(parser, Address, Limits)
    flags.add_model_flags(parser, tiles=False)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    address, limits = (kind(**cli.given_flags(args, kind)) for kind in (Address, Limits))
    with private_folder() as folder:
        from mg.demo.page import serve  # needs Gradio, which --help does not

        flags.set_up(args)
        serve(flags.given_session(args), limits, address, folder)


def run() -> None:
    """What is installed as mg-demo."""
    cli.run_script(main)
