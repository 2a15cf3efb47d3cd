"""Export the encoder and the decoder of a TAE as MindIR, each for one shape.

encoder.mindir: clip (B, 3, T, H, W) in [-1, 1] -> mean, logvar (B, z, ceil(T/8), ceil(H/8), ceil(W/8)) in fp32.
decoder.mindir: latents (B, z, t, h, w), unscaled -> clip (B, 3, 8t, 8h, 8w) in fp32, not clipped to [-1, 1].
export.json: shapes and types of both, the weights' SHA-256, and what latents are scaled and shifted by.

The inputs have the compute type. Load with mindspore.load and run with nn.GraphCell, on the kind of device it was
exported for.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mindspore as ms
from mg.models.tae.inputs import MIN_SIZE
from mindspore import Tensor, nn, ops

from mg import cli, runtime
from mg.checks import require_whole
from mg.errors import InputError
from mg.files import make_folder, sha256, whole_file
from mg.inference.options import MAX_SIZE
from mg.models.tae.tae import DEFAULT_WEIGHTS, TemporalAutoencoder


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt_path", default=DEFAULT_WEIGHTS, help="weights of a TAE (default: the shipped model)")
    parser.add_argument("--output_path", default="exported", help="folder for the three files (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=16, help="of a clip; 1 for images (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"), help="(default: 256 256)")
    parser.add_argument("--batch_size", type=int, default=1, help="clips at once (default: %(default)s)")
    parser.add_argument(
        "--dtype", default="auto", choices=runtime.DTYPE_NAMES, help="auto: fp32 on CPU, bf16 on Ascend"
    )
    parser.add_argument("--device_target", default="CPU", choices=runtime.DEVICES)
    return parser.parse_args()


def check_shape(frames: int, size: tuple[int, int], batch_size: int) -> None:
    require_whole("frames", frames, 1)
    require_whole("batch_size", batch_size, 1)
    if not all(MIN_SIZE <= side <= MAX_SIZE for side in size):
        raise InputError(f"size={size[0]} {size[1]} must be from {MIN_SIZE} to {MAX_SIZE}; choose another")


def shapes(tae: TemporalAutoencoder, clip: tuple[int, ...]) -> dict[str, dict[str, list]]:
    """What goes into each network and what comes out, for clips of shape (B, 3, T, H, W)."""
    batch, _, frames, *size = clip
    small = [-(-side // tae.space_compression) for side in size]
    latents = [batch, tae.config["z_channels"], tae.latent_frames(frames), *small]
    decoded = [batch, 3, tae.frames(latents[2]), *(side * tae.space_compression for side in small)]
    return {
        "encoder": {"input": list(clip), "outputs": [latents, latents]},
        "decoder": {"input": latents, "outputs": [decoded]},
    }


def export(network: nn.Cell, example: Tensor, path: Path) -> str:
    """Write the graph of `network` for inputs like `example`; returns the file's SHA-256."""
    with whole_file(path) as part:
        ms.export(network, example, file_name=str(part), file_format="MINDIR")
        part.chmod(0o644)  # MindSpore writes files that even their owner cannot change
    return sha256(path)


def main() -> None:
    args = parse_args()
    check_shape(args.frames, tuple(args.size), args.batch_size)
    runtime.setup(args.device_target)
    folder = make_folder(args.output_path)
    tae = TemporalAutoencoder(pretrained=args.ckpt_path, dtype=args.dtype)
    about = {
        "weights_sha256": sha256(args.ckpt_path),
        "scaling_factor": tae.config["scaling_factor"],
        "shift_factor": tae.config["shift_factor"],
        "input_dtype": str(tae.compute_dtype),
        "output_dtype": "Float32",
        "device_target": args.device_target,
        "mindspore": ms.__version__,
        **shapes(tae, (args.batch_size, 3, args.frames, *args.size)),
    }
    for name in ("encoder", "decoder"):
        path = folder / f"{name}.mindir"
        example = ops.zeros(tuple(about[name]["input"]), tae.compute_dtype)
        about[name]["sha256"] = export(getattr(tae, name), example, path)
        print(f"{name}  {path}: {about[name]['input']} -> {about[name]['outputs']}")
    with whole_file(folder / "export.json") as part:
        part.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    cli.run_script(main)
