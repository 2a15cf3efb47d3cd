"""A file through the autoencoder and back, with everything that can be shown of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np

from mg.io.frames import resize_and_crop
from mg.demo.limits import Limits, Request
from mg.demo.pictures import draw_latents
from mg.errors import InputError
from mg.inference.models import Models
from mg.inference.options import Options
from mg.inference.round_trip import round_trip
from mg.inference.clips import Clip, Source
from mg.io import image, video
from mg.io.media import find_media, is_image
from mg.io.pictures import amplified_difference
from mg.evaluation.curves import Curves
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models.tae.inputs import MIN_SIZE
from mg.models.tae.tae import TemporalAutoencoder

MOST_LATENT_PICTURES = 8

# Takes the share that is done, 0 to 1, and what is being done.
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Explanation:
    """Files that show what became of a clip, or of an image (whose `fps` is None), and figures.

    clips: original, reconstruction and difference, MP4 or PNG, as the autoencoder sees and makes them.
    curves: PSNR and SSIM by frame; None of an image.  latents: pictures of latent frames, and captions.
    latent_shape: (z, t, h, w).  psnr, ssim: of each frame.  notes: what was cut or scaled, in sentences.
    """

    clips: tuple[Path, Path, Path]
    curves: Path | None
    latents: list[tuple[Path, str]]
    height: int
    width: int
    fps: Fraction | None
    latent_shape: tuple[int, int, int, int]
    psnr: list[float]
    ssim: list[float]
    notes: list[str]

    @property
    def frames(self) -> int:
        return len(self.psnr)

    @property
    def compression(self) -> float:
        """Numbers that go in for each number of the latents."""
        return 3 * self.frames * self.height * self.width / float(np.prod(self.latent_shape))


def explain(models: Models, request: Request, limits: Limits, folder: Path, report: Report) -> Explanation:
    """Reconstruct what is asked for, and write what there is to see of it to `folder`.

    Changes the models' tiles to those of the request.  Raises InputError for a file that cannot be used, and for what
    the limits do not allow.
    """
    limits.check(request)
    clip, notes = _open(request, limits)
    report(0.0, "starting; a new size is compiled first")
    models.tiles = request.tiles
    suffix = ".png" if clip.fps is None else ".mp4"
    names = ("original", "reconstruction", "difference")
    clips = tuple(folder / f"{request.source.stem}_{name}{suffix}" for name in names)
    latents, scores = [], []
    with ExitStack() as stack:
        writers = [stack.enter_context(video.write_video(path, clip.fps)) for path in clips if clip.fps is not None]
        options = Options(sample=request.sample)
        for (original,), (recon,) in round_trip(models, [clip], options, latents=latents):
            shown = (original, recon, amplified_difference(original, recon))
            for writer, frame in zip(writers, shown):
                writer.write(frame)
            scores.append((psnr(original, recon), ssim(original, recon)))
            report(len(scores) / (clip.total + 1), f"{len(scores)} of {clip.total} frames")
    if clip.fps is None:
        for path, frame in zip(clips, shown):
            image.write_image(path, frame)
    report(clip.total / (clip.total + 1), "drawing")
    curves = None
    if len(scores) > 1:
        curves = folder / "curves.png"
        drawn = Curves(("psnr", "ssim"), models.compression[0])
        drawn.add(np.array(scores))
        drawn.draw(curves)
    z = np.concatenate(latents, 2)[0]
    pictures = _draw_latents(models.tae, z, len(scores), folder)
    return Explanation(clips, curves, pictures, *clip.size, clip.fps, z.shape, *map(list, zip(*scores)), notes)


def _open(request: Request, limits: Limits) -> tuple[Clip, list[str]]:
    """The clip in the size that the model gets, and what was cut or scaled.

    Raises InputError for a file that cannot be read, and for frames that are too small.
    """
    source = find_media(request.source, leave_out=request.source.parent / "results")[0]
    notes = []
    if is_image(source):
        frames, total, fps = iter([image.read_image(source)]), 1, None
    else:
        info = video.probe(source)
        frames, total, fps = video.read_frames(source), min(info.frames, request.num_frames), info.fps
        if info.frames > total:
            most = f" This page takes at most {limits.max_frames}." if request.num_frames == limits.max_frames else ""
            notes.append(f"Cut to the first {total} of {info.frames} frames.{most}")
    first = next(frames)
    before = first.shape[:2]
    height, width = limits.size(*before) if request.size is None else (request.size, request.size)
    if min(height, width) < MIN_SIZE:
        raise InputError(
            f"'{source}' has frames of {width}x{height}; sides of at least {MIN_SIZE} are needed: choose a size"
        )
    if (height, width) != before:
        why = f". This page takes sides of at most {limits.max_side}." if request.size is None else ", centre cut out."
        notes.append(f"Scaled from {before[1]}x{before[0]} to {width}x{height}{why}")
    taken = islice(chain([first], frames), request.num_frames)
    sized = (resize_and_crop(frame, height, width) for frame in taken)
    return Clip(Source(source, source.name, source.stem), sized, total, (height, width), fps), notes


def _draw_latents(tae: TemporalAutoencoder, z: np.ndarray, frames: int, folder: Path) -> list[tuple[Path, str]]:
    """Pictures and captions of the latent frames of z, (z, t, h, w), as a diffusion model sees them."""
    scaled = (z - tae.config["shift_factor"]) * tae.config["scaling_factor"]
    limit = float(np.percentile(np.abs(scaled), 99.5)) or 1.0
    drawn = []
    for index in np.unique(np.linspace(0, z.shape[1] - 1, MOST_LATENT_PICTURES).round().astype(int)):
        first, last = tae.frames(index), min(tae.frames(index + 1), frames) - 1
        of_frames = f"frames {first} to {last}" if last > first else f"frame {first}"
        path = folder / f"latents_{index}.png"
        draw_latents(path, scaled[:, index], limit)
        drawn.append((path, f"latent frame {index}: {of_frames}"))
    return drawn
