"""Measure what tiling costs: tiled against untiled reconstructions of real clips, for several ways of tiling.

Untiled clips must fit into memory: measure space on few large frames (the defaults), time on many small ones
(--num_frames 80 --max_side 128). Writes a JSON file with every clip's figures, and prints their means as a table.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
from tqdm import tqdm

from mg import cli, runtime
from mg.errors import InputError
from mg.files import whole_file
from mg.io import pixels, video
from mg.io.clip import find_media, is_video
from mg.io.frames import resize_and_crop
from mg.metrics.seams import step_ratio
from mg.models import families
from mg.models.autoencoder import Autoencoder
from mg.models.tiling import stream
from mg.models.tiling.plan import edges, windows
from mg.models.tiling.tiles import Tiles
from mg.progress import show_progress
from mg.rows import measured_rows

AXES = {"t": 2, "y": 3, "x": 4}
_ROUNDING_DB = 120  # what is closer than this differs by the rounding of fp32 alone


def variants(tiles: Tiles) -> dict[str, Tiles]:
    """Each with its blend in time and space; the first four with statistics of every tile's own.

    Windows that share nothing anyway differ in space alone.
    """

    def blended(way: str, shared: bool = False) -> Tiles:
        return replace(tiles, time_blend=way, spatial_blend=way, shared_statistics=shared)

    return {
        "no overlap": replace(
            blended("linear"), encode_overlap=0, encode_context=0, decode_overlap=0, spatial_overlap=0
        ),
        "mean blend": blended("mean"),
        "linear blend": blended("linear"),
        "cosine blend": blended("cosine"),
        "cosine blend, shared statistics": blended("cosine", shared=True),
    }


def load(path, frames: int, max_side: int, unit: int) -> np.ndarray:
    """(1, 3, T, H, W) from the start of a clip, shrunk to `max_side`, H and W cut to multiples of `unit`."""
    clip = []
    for frame in islice(video.read_frames(path), frames):
        height, width, _ = frame.shape
        scale = min(1.0, max_side / max(height, width))
        size = (int(side * scale) // unit * unit for side in (height, width))
        clip.append(resize_and_crop(frame, *size))
    return pixels.to_clip(np.stack(clip))[None]


def lines(model: Autoencoder, tiles: Tiles, shape: tuple[int, ...]) -> dict[str, list[int]]:
    """Where tiles or their ramps start or end, along t, y and x of the pixels."""
    _, _, frames, height, width = shape
    encode = windows(frames, tiles.encode_window, tiles.encode_overlap, context=tiles.encode_context)
    decode = windows(model.frames(model.latent_frames(frames)), tiles.decode_window, tiles.decode_overlap)
    plans = () if tiles.time_mode == "carry" else (encode, decode)  # what carries a state has no lines
    time = {line for plan in plans for line in edges(plan, tiles.time_blend) if line < frames}
    space = (windows(side, tiles.spatial_tile, tiles.spatial_overlap, last_at_end=True) for side in (height, width))
    return dict(zip(AXES, (sorted(time), *(edges(plan, tiles.spatial_blend) for plan in space))))


def decibels(signal: float, error: np.ndarray) -> float | None:
    power = float(np.mean(np.square(error, dtype=np.float64)))
    return None if power == 0 else 10 * np.log10(signal / power)


def compare(model: Autoencoder, tiles: Tiles, clip, whole_latents, whole) -> dict[str, float | None]:
    """Figures of one way of tiling; PSNR in dB with peak-to-peak 2, losses are untiled minus tiled."""
    frames = clip.shape[2]
    latents = model.latents.decoded(np.concatenate(list(stream.encode_stream(model, tiles, [clip])), 2))

    def decode(z: np.ndarray) -> np.ndarray:
        return np.concatenate(list(stream.decode_stream(model, tiles, [z], lambda: frames)), 2)[:, :, :frames]

    tiled, decoded_only = decode(latents), decode(whole_latents)
    row = {
        "latents_db": decibels(float(whole_latents.var()), latents - whole_latents),
        "psnr_to_untiled": decibels(4, tiled - whole),
        "psnr_loss": decibels(4, whole - clip) - decibels(4, tiled - clip),
        "psnr_loss_decode_only": decibels(4, whole - clip) - decibels(4, decoded_only - clip),
    }
    exact_to = row["psnr_to_untiled"] or np.inf
    for letter, at in lines(model, tiles, clip.shape).items():
        before, after, error = (step_ratio(a, AXES[letter], at) for a in (whole, tiled, tiled - whole))
        row[f"seam_{letter}"] = after / before if before and after else None
        row[f"error_{letter}"] = error if exact_to < _ROUNDING_DB else None
    return row


def row(model: Autoencoder, name: str, clip: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Figures of one clip, by way of tiling."""
    latents = model.latents.decoded(model.encode_tile(clip)[0])
    whole = model.decode_tile(latents, clip.shape[2])[0][:, :, : clip.shape[2]]
    model.release_graphs()
    bar = show_progress(variants(model.tiles).items(), desc=name, unit="way")
    return {way: compare(model, chosen, clip, latents, whole) for way, chosen in bar}


def table(rows: dict[str, dict[str, dict]]) -> str:
    """Markdown: a line for each way of tiling, means over clips; ratios as geometric means."""
    ways = list(next(iter(rows.values())))
    keys = list(next(iter(rows.values()))[ways[0]])
    text = [f"| tiling | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    for way in ways:
        cells = []
        for key in keys:
            values = [row[way][key] for row in rows.values() if row[way][key] is not None]
            ratio = key.startswith(("seam", "error"))
            mean = np.exp(np.mean(np.log(values))) if ratio and values else np.mean(values) if values else None
            cells.append("-" if mean is None else f"{mean:.3f}" if "loss" in key or ratio else f"{mean:.1f}")
        text.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(text)


def main() -> None:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, help="a video, or a folder of videos")
    parser.add_argument("--ckpt_path", help="weights of any family (default: those that ship with mg)")
    parser.add_argument("--output_path", default="seams.json", help="JSON file (default: %(default)s)")
    cli.add_resume_flag(parser)
    parser.add_argument("--num_frames", type=int, default=8, help="of each clip (default: %(default)s)")
    parser.add_argument("--max_side", type=int, default=640, help="shrink larger frames to it (default: %(default)s)")
    parser.add_argument("--device_target", default="CPU", choices=runtime.DEVICES)
    cli.add_flags(parser, Tiles)
    args = parser.parse_args()
    runtime.setup(args.device_target)
    if args.num_frames < 1 or args.max_side < 16:
        raise InputError(f"num_frames={args.num_frames} must be at least 1 and max_side={args.max_side} at least 16")
    model = families.load(args.ckpt_path, **{"tile_batch": 2, **cli.given_flags(args, Tiles)})
    with measured_rows(args.output_path, cli.about(args), args.resume) as measured:
        rows = {}
        for path in filter(is_video, find_media(args.input, leave_out=args.output_path)):
            clip = load(path, args.num_frames, args.max_side, model.space_compression)
            if any(lines(model, model.tiles, clip.shape).values()):
                name = f"{path.name} {clip.shape[2]}x{clip.shape[4]}x{clip.shape[3]}"
                rows[name] = measured.get(name, partial(row, model, name, clip))
        if not rows:
            raise InputError(f"no clip of '{args.input}' is larger than a tile; give larger ones or smaller tiles")
        text = table(rows)
        with whole_file(args.output_path) as part:
            part.write_text(json.dumps({"clips": rows, "table": text}, indent=2) + "\n")
    tqdm.write(text)


if __name__ == "__main__":
    cli.run_script(main)
