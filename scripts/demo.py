"""A web page that shows what a TAE makes of a clip or an image: reconstruction, difference, figures, latents.

Works without a network. Only this computer can open it, unless --host says otherwise.
"""

import argparse

from mg import cli, runtime
from mg.demo.limits import Limits
from mg.inference import flags
from mg.inference.models import Models


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    flags.add_model_flags(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: %(default)s)")
    limits = {"max_frames": "most frames", "max_side": "longest side", "max_megabytes": "largest upload"}
    for name, what in limits.items():
        default = getattr(Limits, name)
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} of a clip (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    limits = Limits(args.max_frames, args.max_side, args.max_megabytes)
    from mg.demo.page import serve  # needs Gradio, which --help does not

    runtime.setup(args.device_target, args.mode, args.jit_level)
    models = Models(args.ckpt_path, args.dtype, None)
    serve(models, limits, args.host, args.port)


if __name__ == "__main__":
    cli.run_script(main)
