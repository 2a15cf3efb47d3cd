"""What H.264 makes of the bits that latents take: an honest yardstick for the figures of scripts/reconstruct.py.

Each clip, taken as that script takes it with the same flags, is encoded by x264 with the lowest rate factor (crf, in
steps of 1/16) whose video packets are no larger than the clip's latents. Latents, of the model that --ckpt_path names,
count --bits for a value (1 for codes, whose channels are bits) and are not coded any further. Writes
<output_path>/<clip>.mp4 and metrics.json; exits with 2 if a clip failed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from mg import cli
from mg.checks import require_whole
from mg.errors import InputError, OutputError
from mg.files import whole_file
from mg.inference import flags
from mg.inference.clips import Source, find_sources
from mg.io.clip import Sampling, open_clip
from mg.io.video import read_frames, write_video
from mg.locks import hold_folder
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models import families
from mg.models.autoencoder import Autoencoder
from mg.progress import show_progress
from mg.rows import measured_rows

STEPS = 16  # of a rate factor of 1
WORST = 51 * STEPS
RATE = Fraction(25)  # of an image
INFORMATION = 6  # the type of H.264's units of supplemental information


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    flags.add_source_flags(parser)
    flags.add_sampling_flags(parser)
    parser.add_argument("--ckpt_path", help="the model's weights (default: those that ship with mg)")
    parser.add_argument("--bits", type=int, default=8, help="of each value of the latents (default: %(default)s)")
    parser.add_argument("--output_path", default="h264", help="folder for results (default: %(default)s)")
    cli.add_resume_flag(parser)
    args = parser.parse_args()
    require_whole("bits", args.bits, 1)
    return args


def bits_of_latents(model: Autoencoder, frames: np.ndarray, bits: int) -> int:
    """Of a clip (T, H, W, 3)."""
    sides = [-(-side // model.space_compression) for side in frames.shape[1:3]]
    return bits * model.channels_in_latent * model.latent_frames(len(frames)) * int(np.prod(sides))


def encode(frames: np.ndarray, fps: Fraction, step: int, path: Path) -> int:
    """Write a clip with the rate factor step / STEPS; gives its bits."""
    with write_video(path, fps, step / STEPS) as video:
        for frame in frames:
            video.write(frame)
    return size_in_bits(path)


def size_in_bits(path: Path) -> int:
    """Of the video's packets, without what describes the encoder: x264 writes 5,400 bits about itself."""
    bits = 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            data, at = bytes(packet), 0
            while at < len(data):  # units, each after its length in four bytes
                end = at + 4 + int.from_bytes(data[at : at + 4], "big")
                bits += 8 * (end - at) * (data[at + 4] & 31 != INFORMATION)
                at = end
    return bits


def best(frames: np.ndarray, fps: Fraction, most: int, target: Path) -> tuple[int, int]:
    """Write the clip with the lowest rate factor, by bisection, that takes at most so many bits: (bits, its step).

    The worst there is, if even that takes more.
    """
    low, high = 0, WORST
    with tempfile.TemporaryDirectory() as folder:
        while low < high:
            middle = (low + high) // 2
            if encode(frames, fps, middle, Path(folder) / "clip.mp4") <= most:
                high = middle
            else:
                low = middle + 1
    return encode(frames, fps, low, target), low


def score(source: Source, sampling: Sampling, model: Autoencoder, bits: int, target: Path) -> dict[str, object]:
    """Encode a clip into `target` and compare it with what comes back."""
    clip = open_clip(source.path, sampling)
    frames = np.stack(list(clip.frames))
    most = bits_of_latents(model, frames, bits)
    taken, step = best(frames, clip.fps or RATE, most, target)
    scores = [(psnr(*pair), ssim(*pair)) for pair in zip(frames, read_frames(target))]
    if len(scores) != len(frames):
        raise InputError(f"'{target}' has {len(scores)} frames of {len(frames)}, so it cannot be compared")
    return {
        "file": source.name,
        "frames": len(frames),
        **dict(zip(("psnr", "ssim"), np.mean(scores, 0).tolist())),
        "crf": step / STEPS,
        "bits_per_pixel": taken / frames[..., 0].size,
        "of_latents": taken / most,
    }


def find_targets(args: argparse.Namespace) -> dict[Source, Path]:
    """Where each clip's result goes; refuses to write over a source."""
    sources = find_sources(args.output_path, args.input, args.csv_path, args.video_folder)
    targets = {source: Path(args.output_path) / f"{source.stem}.mp4" for source in sources}
    for source, target in targets.items():
        if target.resolve() == source.path.resolve():
            raise InputError(f"'{source.path}' would be written over; name another output_path")
    return targets


def main() -> int:
    args = parse_args()
    sampling, model = flags.given_sampling(args), families.load(args.ckpt_path, "fp32")
    report, targets = Path(args.output_path) / "metrics.json", find_targets(args)
    rows, failed = [], {}
    with hold_folder(args.output_path), measured_rows(report, cli.about(args), args.resume) as measured:
        report.unlink(missing_ok=True)
        for source, target in show_progress(targets.items(), unit="clip"):
            try:
                row = measured.get(source.name, partial(score, source, sampling, model, args.bits, target))
            except OutputError:
                raise
            except InputError as error:
                failed[source.name] = str(error)
                tqdm.write(f"failed: {error}")
                continue
            rows.append(row)
            line = "{file}: {psnr:.2f} dB, SSIM {ssim:.4f}, crf {crf}, {of_latents:.3f} of the bits".format(**row)
            tqdm.write(line + (", although no rate factor is worse" if row["of_latents"] > 1 else ""))
        with whole_file(report) as part:
            part.write_text(json.dumps({"bits": args.bits, "clips": rows, "failed": failed}, indent=2) + "\n")
    return 2 if failed else 0


if __name__ == "__main__":
    cli.run_script(main)
