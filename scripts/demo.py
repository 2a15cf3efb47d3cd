"""A web page that shows what an autoencoder makes of a clip or an image: reconstruction, difference, figures, latents.

Works without a network. Only this computer can open it, unless --host says otherwise.
"""

from __future__ import annotations

import argparse

from mg import cli
from mg.demo.limits import Limits
from mg.inference import flags


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    group = parser.add_argument_group("Page")
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    group.add_argument("--port", type=int, default=7860, help="port to listen on (default: %(default)s)")
    cli.add_flags(parser, Limits)
    flags.add_model_flags(parser, tiles=False)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    limits = Limits(**cli.given_flags(args, Limits))
    from mg.demo.page import serve  # needs Gradio, which --help does not

    flags.set_up(args)
    serve(flags.given_session(args), limits, args.host, args.port)


if __name__ == "__main__":
    cli.run_script(main)
