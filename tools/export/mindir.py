"""Export the encoder and the decoder of a model as MindIR, each for one shape.

encoder.mindir: clip (B, 3, T, H, W) in [-1, 1] -> raw output in fp32, (B, z, t, h, w): mean and logvar, or with codes
the one whose signs are their bits.
decoder.mindir: latents (B, z, t, h, w), unscaled -> clip (B, 3, T, H, W) in fp32, not clipped to [-1, 1]. Where it has
more frames than the clip, those of an Open-Sora VAE are its last ones, of other families its first.
export.json: shapes and types of both, the weights' SHA-256, and what latents are scaled and shifted by.

H and W are rounded up to whole latents, and T to what the family encodes: repeat the last row, column and frame.

The inputs have the compute type. Load with mindspore.load and run with nn.GraphCell, on the kind of device it was
exported for.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mindspore as ms
from mindspore import Tensor, nn, ops

from mg import cli, runtime
from mg.checks import require_whole
from mg.errors import InputError
from mg.files import TogetherWritten, sha256
from mg.io.frames import SIDES
from mg.locks import hold_folder
from mg.models import families
from mg.models.autoencoder import Autoencoder


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt_path", help="weights of any family (default: those that ship with mg)")
    parser.add_argument("--output_path", default="exported", help="folder for the three files (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=16, help="of a clip; 1 for images (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"), help="(default: 256 256)")
    parser.add_argument("--batch_size", type=int, default=1, help="clips at once (default: %(default)s)")
    parser.add_argument(
        "--dtype", default="auto", choices=runtime.DTYPE_NAMES, help="auto: fp32 on CPU, bf16 on Ascend"
    )
    parser.add_argument("--device_target", default="CPU", choices=runtime.DEVICES)
    return parser.parse_args()


def check_shape(args: argparse.Namespace, least: int) -> None:
    require_whole("frames", args.frames, 1)
    require_whole("batch_size", args.batch_size, 1)
    if not all(least <= side <= SIDES[1] for side in args.size):
        raise InputError(f"size={args.size[0]} {args.size[1]} must be from {least} to {SIDES[1]}; choose another")


def shapes(model: Autoencoder, clip: tuple[int, ...]) -> dict[str, dict[str, list]]:
    """What goes into each network and what comes out, for clips of shape (B, 3, T, H, W)."""
    batch, _, frames, *size = clip
    small = [-(-side // model.space_compression) for side in size]
    whole = [side * model.space_compression for side in small]
    latents = [batch, model.channels_in_latent, model.window_latents(frames), *small]
    decoded = [batch, 3, model.window_frames(latents[2]), *whole]
    return {
        "encoder": {
            "input": [batch, 3, model.filled(frames), *whole],
            "outputs": [latents] * len(model.latents.outputs),
        },
        "decoder": {"input": latents, "outputs": [decoded]},
    }


def export(network: nn.Cell, example: Tensor, path: Path) -> str:
    """Write the graph of `network` for inputs like `example`; returns the file's SHA-256."""
    ms.export(network, example, file_name=str(path), file_format="MINDIR")
    path.chmod(0o644)  # MindSpore writes files that even their owner cannot change
    return sha256(path)


def main() -> None:
    args = parse_args()
    runtime.setup(args.device_target, dtype=args.dtype)
    folder, model = Path(args.output_path), families.load(args.ckpt_path, args.dtype)
    check_shape(args, model.min_size)
    about = {
        "family": model.family,
        "weights_sha256": sha256(model.weights_path),
        "scaling_factor": model.factors.scaling,
        "shift_factor": model.factors.shift,
        "input_dtype": str(model.compute_dtype),
        "output_dtype": "Float32",
        "device_target": args.device_target,
        "mindspore": ms.__version__,
        **shapes(model, (args.batch_size, 3, args.frames, *args.size)),
    }
    with hold_folder(args.output_path), TogetherWritten() as written:
        for name in ("encoder", "decoder"):
            path = folder / f"{name}.mindir"
            example = ops.zeros(tuple(about[name]["input"]), model.compute_dtype)
            about[name]["sha256"] = export(getattr(model, name), example, written.part(path))
            print(f"{name}  {path}: {about[name]['input']} -> {about[name]['outputs']}")
        written.part(folder / "export.json").write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    cli.run_script(main)
