"""What H.264 makes of the bits that latents take: an honest yardstick for the figures of scripts/inference_tae.py.

Each clip, taken as that script takes it with the same flags, is encoded by x264 with the lowest rate factor (crf, in
steps of 1/16) whose video packets are no larger than the clip's latents. Latents count --bits for a value, 16 values
for 8x8x8 pixels, and are not coded any further. Writes <output_path>/<clip>.mp4 and metrics.json; prints a table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from mg import runtime
from mg.checks import require_whole
from mg.files import make_folder, whole_file
from mg.inference import flags
from mg.inference.options import Options
from mg.inference.sources import Clip, find_sources, open_clip
from mg.io.video import read_frames, write_video
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models.tae.config import TAEConfig

LATENTS = TAEConfig()
STEPS = 16  # of a rate factor of 1
WORST = 51 * STEPS
RATE = Fraction(25)  # of an image


def parse_args() -> argparse.Namespace:
    parser = runtime.ArgumentParser(description=__doc__)
    flags.add_source_flags(parser)
    flags.add_clip_flags(parser)
    parser.add_argument("--bits", type=int, default=8, help="of each value of the latents (default: %(default)s)")
    parser.add_argument("--output_path", default="h264", help="folder for results (default: %(default)s)")
    args = parser.parse_args()
    require_whole("bits", args.bits, 1)
    return args


def bits_of_latents(frames: np.ndarray, bits: int) -> int:
    """Of a clip (T, H, W, 3)."""
    sides = [-(-side // LATENTS.compression) for side in frames.shape[:3]]
    return bits * LATENTS.z_channels * int(np.prod(sides))


def encode(frames: np.ndarray, fps: Fraction, step: int, path: Path) -> int:
    """Write a clip with the rate factor step / STEPS; gives the bits of its packets."""
    with write_video(path, fps, step / STEPS) as video:
        for frame in frames:
            video.write(frame)
    with av.open(str(path)) as container:
        return 8 * sum(packet.size for packet in container.demux(video=0))


def best(frames: np.ndarray, fps: Fraction, most: int, path: Path) -> tuple[int, int]:
    """Leave at `path` the clip with the lowest rate factor that takes at most so many bits: (bits, its step).

    The worst there is stays if even that takes more.
    """
    low, high = 0, WORST
    while low < high:
        middle = (low + high) // 2
        if encode(frames, fps, middle, path) <= most:
            high = middle
        else:
            low = middle + 1
    return encode(frames, fps, low, path), low


def score(clip: Clip, bits: int, target: Path) -> dict[str, object]:
    """Encode a clip into `target` and compare it with what comes back."""
    frames = np.stack(list(clip.frames))
    most = bits_of_latents(frames, bits)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        taken, step = best(frames, clip.fps or RATE, most, path)
        pairs = list(zip(frames, read_frames(path)))
        make_folder(target.parent)
        with whole_file(target) as part:
            shutil.copyfile(path, part)
    return {
        "file": clip.source.name,
        "frames": len(frames),
        "psnr": float(np.mean([psnr(*pair) for pair in pairs])),
        "ssim": float(np.mean([ssim(*pair) for pair in pairs])),
        "crf": step / STEPS,
        "bits_per_pixel": taken / frames[..., 0].size,
        "of_latents": taken / most,
    }


def main() -> None:
    args = parse_args()
    options = Options(args.num_frames, flags.given_size(args), stride=args.sample_stride)
    output = make_folder(args.output_path)
    sources = find_sources(output, args.input, args.csv_path, args.video_folder)
    rows = []
    for source in tqdm(sources, unit="clip"):
        rows.append(score(open_clip(source, options), args.bits, output / f"{source.stem}.mp4"))
        tqdm.write("{file}: {psnr:.2f} dB, SSIM {ssim:.4f}, crf {crf}, {of_latents:.3f} of the bits".format(**rows[-1]))
    with whole_file(output / "metrics.json") as part:
        part.write_text(json.dumps({"bits": args.bits, "clips": rows}, indent=2) + "\n")


if __name__ == "__main__":
    runtime.run_script(main)
