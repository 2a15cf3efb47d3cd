"""Measure peak memory: that it does not grow with the length of a clip, nor with the number of tiles.

Every case is a process of its own, of which the peak resident size is taken. Cases:
  lengths    scripts/reconstruct.py --no-use_tile on clips of 64, 256 and 1024 frames of 320x240
  tiles      scripts/reconstruct.py on 32 frames that are 1 tile and 4 tiles large, without writing videos
  4k         scripts/reconstruct.py on 8 frames of 3840x2160, in the shortest tiles there are, three at once
  stand_in   49, 97 and 330 frames of 3840x2160 through encode and decode streams with a model that only averages:
             all buffers of tiling are real, and there is no network
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mg import cli
from mg.files import whole_file
from mg.inference.clips import SAMPLE_CLIP
from mg.io.frames import resize_and_crop
from mg.io.video import read_frames, write_video
from mg.models.tiling.stream import decode_stream, encode_stream
from mg.models.tiling.tiles import Tiles
from mg.progress import show_progress
from mg.rows import measured_rows

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "reconstruct.py"
SHORT_TILES = ("--encode_tile", "8", "--decode_tile", "8", "--decode_overlap", "0", "--tile_batch", "3")
CASES = {
    "lengths": [(frames, 240, 320, ("--no-use_tile",)) for frames in (64, 256, 1024)],
    "tiles": [(32, side, side, ("--save_videos", "none")) for side in (256, 448)],
    "4k": [(8, 2160, 3840, SHORT_TILES)],
    "stand_in": [(frames, 2160, 3840, None) for frames in (49, 97, 330)],
}


class AveragingCodec:
    """Averages blocks of 8x8x8 and repeats them back: all the buffers of a model, and none of its arithmetic."""

    space_compression = time_compression = 8
    time_modes = ("blend",)

    def window_latents(self, frames: int) -> int:
        return -(-frames // 8)

    def window_frames(self, latent_frames: int) -> int:
        return 8 * latent_frames

    def filled(self, frames: int) -> int:
        return 8 * self.window_latents(frames)

    def encode_tile(self, clip, state=None, reference=None):
        clip = clip[:, :, ::8] if clip.shape[2] % 8 else (clip[:, :, ::8] + clip[:, :, 7::8]) / 2
        b, c, t, h, w = clip.shape
        return clip.reshape(b, c, t, h // 8, 8, w // 8, 8).mean((4, 6)), None

    def decode_tile(self, latents, frames, state=None, reference=None):
        return latents.repeat(8, 2).repeat(8, 3).repeat(8, 4), None


def stream_stand_in(frames: int, height: int, width: int) -> None:
    """Encode and decode frames that are made as they are needed, counting what comes out."""
    ramp = np.linspace(-1, 1, width, dtype=np.float32)
    clips = (np.broadcast_to(np.roll(ramp, n), (1, 3, 1, height, width)) for n in range(frames))
    codec, tiles, count = AveragingCodec(), Tiles(), 0
    with show_progress(total=frames, desc=f"{frames} frames of {width}x{height}", unit="frame") as bar:
        for piece in decode_stream(codec, tiles, encode_stream(codec, tiles, clips)):
            count += piece.shape[2]
            bar.update(min(piece.shape[2], frames - bar.n))
            del piece  # as who has written it does, or it is held while the next ones are made
    if not frames <= count < frames + 8:
        raise RuntimeError(f"{count} frames came out of {frames}")


def write_clip(path: Path, frames: int, height: int, width: int) -> None:
    """The sample clip in another size, forwards and backwards as often as it takes."""
    drawn = [resize_and_crop(frame, height, width) for frame in islice(read_frames(SAMPLE_CLIP), frames)]
    with write_video(path, Fraction(24)) as file:
        for frame in islice(cycle(drawn + drawn[::-1]), frames):
            file.write(frame)


def peak(command: list[str]) -> tuple[float, float]:
    """(GB at the peak, seconds) of a process that must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    return usage.ru_maxrss / 1e6, time.perf_counter() - start


def measure(frames: int, height: int, width: int, flags: tuple[str, ...] | None) -> dict[str, float]:
    if flags is None:
        memory, seconds = peak([__file__, "--one", str(frames), str(height), str(width)])
    else:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            write_clip(clip, frames, height, width)
            memory, seconds = peak([str(SCRIPT), "--input", str(clip), "--output_path", f"{folder}/out", *flags])
    return {"frames": frames, "height": height, "width": width, "peak_gb": memory, "seconds": seconds}


def main() -> None:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--output_path", default="memory.json", help="JSON file (default: %(default)s)")
    parser.add_argument("--one", type=int, nargs=3, help=argparse.SUPPRESS)
    cli.add_resume_flag(parser)
    args = parser.parse_args()
    if args.one:
        return stream_stand_in(*args.one)
    with measured_rows(args.output_path, cli.about(args), args.resume) as measured:
        rows = {case: [] for case in args.case}
        for case, known in rows.items():
            for number, one in enumerate(CASES[case]):
                row = measured.get(f"{case} {number}", partial(measure, *one))
                tqdm.write("{frames} frames of {width}x{height}: {peak_gb:.2f} GB, {seconds:.0f} s".format(**row))
                known.append(row)
        with whole_file(args.output_path) as part:
            part.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    cli.run_script(main)
