"""Measure what windows over time make of short and odd clips: their first frames in tiles against whole clips.

For each length, on every clip that is long enough: seconds of a compiled run, PSNR by frame, and how much larger the
steps between frames are where windows or their blends begin or end than the median of the others. Whole clips must fit
into memory. Writes a JSON file with every clip's figures, and prints means as a table.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import numpy as np
from measure_seams import lines, load
from tqdm import tqdm

from mg import cli, runtime
from mg.checks import require_whole
from mg.errors import InputError
from mg.files import whole_file
from mg.io.clip import find_media, is_video
from mg.models import families
from mg.models.autoencoder import Autoencoder
from mg.models.tiling import stream
from mg.models.tiling.tiles import Tiles
from mg.progress import show_progress
from mg.rows import measured_rows

LENGTHS = (17, 33, 49, 65, 100)


def in_tiles(model: Autoencoder, clip: np.ndarray) -> np.ndarray:
    """The reconstruction in the model's tiles, (1, 3, T, H, W)."""
    latents = map(model.latents.decoded, stream.encode_stream(model, model.tiles, [clip]))
    pieces = list(stream.decode_stream(model, model.tiles, latents, lambda: clip.shape[2]))
    return np.concatenate(pieces, 2)[:, :, : clip.shape[2]]


def as_a_whole(model: Autoencoder, clip: np.ndarray) -> np.ndarray:
    """The same in one window; a clip that ends inside a latent frame is filled up to its end."""
    filled = np.concatenate([clip] + [clip[:, :, -1:]] * (model.filled(clip.shape[2]) - clip.shape[2]), 2)
    latents = model.latents.decoded(model.encode_tile(filled)[0])
    return model.decode_tile(latents, clip.shape[2])[0][:, :, : clip.shape[2]]


WAYS = {"tiles": in_tiles, "whole": as_a_whole}


def row(model: Autoencoder, clip: np.ndarray) -> dict[str, dict]:
    """Of each way: seconds, PSNR of every frame in dB, and the steps at the tiled way's lines over the others'."""
    at, figures = lines(model, model.tiles, clip.shape)["t"], {}
    for way, reconstruct in WAYS.items():
        reconstruct(model, clip)  # compiles
        start = time.perf_counter()
        recon = reconstruct(model, clip)
        seconds = time.perf_counter() - start
        error = np.square(recon - clip, dtype=np.float64).mean((0, 1, 3, 4))
        figures[way] = {"seconds": seconds, "psnr": (10 * np.log10(4 / error)).tolist(), "ends": steps_at(recon, at)}
        model.release_graphs()
    return figures


def steps_at(clip: np.ndarray, at: list[int]) -> list[float]:
    """Mean absolute step into each frame of `at`, over the median of the steps into all others."""
    steps = np.abs(np.diff(clip.astype(np.float64), axis=2)).mean((0, 1, 3, 4))
    others = np.delete(steps, [line - 1 for line in at])
    return [float(steps[line - 1] / np.median(others)) for line in at]


def table(rows: dict[str, dict[str, dict[str, dict]]]) -> str:
    """Markdown: a line for each length and way; PSNR and seconds are means over clips, steps geometric ones."""
    text = ["| frames | way | clips | seconds | PSNR | first frame | last frame | worst against whole | step at ends |"]
    text.append("|---" * 9 + "|")
    for length, clips in rows.items():
        for way in WAYS:
            found = [clip[way] for clip in clips.values()]
            psnr = np.array([one["psnr"] for one in found])
            worst = (psnr - np.array([clip["whole"]["psnr"] for clip in clips.values()])).mean(0).min()
            ends = [end for one in found for end in one["ends"]]
            cells = [f"{np.mean([one['seconds'] for one in found]):.1f}"]
            cells += [f"{value:.2f}" for value in (psnr.mean(), psnr[:, 0].mean(), psnr[:, -1].mean(), worst)]
            cells += [f"{np.exp(np.mean(np.log(ends))):.3f}" if ends else "-"]
            text.append(f"| {length} | {way} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(text)


def measure(model: Autoencoder, path: Path, length: int, max_side: int) -> dict[str, dict] | None:
    """The row of a clip; None of one that is shorter."""
    clip = load(path, length, max_side, model.space_compression)
    return row(model, clip) if clip.shape[2] == length else None


def main() -> None:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, help="a video, or a folder of videos")
    parser.add_argument("--ckpt_path", help="weights of any family (default: those that ship with mg)")
    parser.add_argument("--output_path", default="lengths.json", help="JSON file (default: %(default)s)")
    cli.add_resume_flag(parser)
    parser.add_argument("--num_frames", type=int, nargs="+", default=LENGTHS, help="(default: 17 33 49 65 100)")
    parser.add_argument("--max_side", type=int, default=128, help="shrink larger frames to it (default: %(default)s)")
    parser.add_argument("--device_target", default="CPU", choices=runtime.DEVICES)
    cli.add_flags(parser, Tiles)
    args = parser.parse_args()
    for length in args.num_frames:
        require_whole("num_frames", length, 2)
    require_whole("max_side", args.max_side, 16)
    runtime.setup(args.device_target)
    model = families.load(args.ckpt_path, **cli.given_flags(args, Tiles))
    paths = list(filter(is_video, find_media(args.input, leave_out=args.output_path)))
    with measured_rows(args.output_path, cli.about(args), args.resume) as measured:
        rows = {}
        for length in args.num_frames:
            bar = show_progress(paths, desc=f"{length} frames", unit="clip")
            work = {path.name: partial(measure, model, path, length, args.max_side) for path in paths}
            found = {path.name: measured.get(f"{path.name} {length}", work[path.name]) for path in bar}
            rows[length] = {name: one for name, one in found.items() if one}
            if not rows[length]:
                raise InputError(f"no clip of '{args.input}' has {length} frames; give longer ones")
        text = table(rows)
        with whole_file(args.output_path) as part:
            part.write_text(json.dumps({"lengths": rows, "table": text}, indent=2) + "\n")
    tqdm.write(text)


if __name__ == "__main__":
    cli.run_script(main)
