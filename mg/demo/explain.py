"""A file through an autoencoder and back, with everything that can be shown of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from mg.demo.limits import Limits, Request
from mg.demo.pictures import draw_latents, draw_tokens
from mg.errors import InputError
from mg.evaluation.curves import Curves
from mg.evaluation.round_trip import generator_of, round_trip
from mg.io import image, video
from mg.io.clip import Clip, find_media, open_clip
from mg.io.frames import resize_and_crop
from mg.io.pictures import amplified_difference
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models.autoencoder import Autoencoder
from mg.models.session import Session

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
    size: tuple[int, int]
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
        return 3 * self.frames * self.size[0] * self.size[1] / float(np.prod(self.latent_shape))


def explain(session: Session, request: Request, limits: Limits, folder: Path, report: Report) -> Explanation:
    """Reconstruct what is asked for, and write what there is to see of it to `folder`.

    Changes the session's tiles to those of the request.  Raises InputError for a file that cannot be used, and for what
    the limits do not allow.
    """
    limits.allow(request)
    clip, notes = _open(request, limits)
    if min(clip.size) < session.model.min_size:
        height, width = clip.size
        raise InputError(
            f"'{request.source.name}' has frames of {width}x{height}; sides of at least {session.model.min_size} are "
            "needed: choose a size"
        )
    session.use_tile = request.use_tile
    session.tiles = request.tiles or session.model.default_tiles
    compiles = session.prepare(clip.total, *clip.size)
    report(0.0, f"compiling for this size, {session.compile_time}" if compiles else "starting")
    stem = request.source.stem
    suffix = ".png" if clip.fps is None else ".mp4"
    names = ("original", "reconstruction", "difference")
    clips = tuple(folder / f"{stem}_{name}{suffix}" for name in names)
    latents, scores = [], []
    clip = replace(clip, frames=_told(clip, report))
    with ExitStack() as stack:
        writers = [
            stack.enter_context(video.write_video(path, clip.fps, times=clip.times)) for path in clips if clip.fps
        ]
        generators = [generator_of(request.source.name, 0)] if request.sample else None
        for (original,), (recon,) in round_trip(session, [clip], generators=generators, latents=latents):
            shown = (original, recon, amplified_difference(original, recon))
            for writer, frame in zip(writers, shown):
                writer.write(frame)
            scores.append((psnr(original, recon), ssim(original, recon)))
            report((1 + len(scores) / clip.total) / 2, f"{len(scores)} of {clip.total} frames decoded")
    if clip.fps is None:
        for path, frame in zip(clips, shown):
            image.write_image(path, frame)
    report(1.0, "drawing")
    model, curves = session.model, None
    if len(scores) > 1:
        curves = folder / "curves.png"
        drawn = Curves(("psnr", "ssim"), model.time_compression)
        drawn.add(np.array(scores))
        drawn.draw(curves)
    z = np.concatenate(latents, 2)[0]
    pictures = _draw_latents(model, z, len(scores), folder)
    return Explanation(clips, curves, pictures, clip.size, clip.fps, z.shape, *map(list, zip(*scores)), notes)


def _told(clip: Clip, report: Report) -> Iterator[np.ndarray]:
    """The frames of a clip; the first half of the progress is that they are read."""
    for number, frame in enumerate(clip.frames):
        yield frame
        report(number / clip.total / 2, f"{number} of {clip.total} frames encoded")


def _open(request: Request, limits: Limits) -> tuple[Clip, list[str]]:
    """The clip in the size that the model gets, and what was cut or scaled.

    Raises InputError for a file that cannot be read.
    """
    (source,) = find_media(request.source, leave_out=request.source)
    clip, notes = open_clip(source), []
    total = min(clip.total, request.num_frames)
    if clip.total > total:
        most = f" This page takes at most {limits.max_frames}." if request.num_frames == limits.max_frames else ""
        notes.append(f"Cut to the first {total} of {clip.total} frames.{most}")
    before = clip.size
    size = limits.size(*before) if request.size is None else (request.size, request.size)
    if size != before:
        why = f". This page takes sides of at most {limits.max_side}." if request.size is None else ", centre cut out."
        notes.append(f"Scaled from {before[1]}x{before[0]} to {size[1]}x{size[0]}{why}")
    sized = (resize_and_crop(frame, *size) for frame in islice(clip.frames, request.num_frames))
    return replace(clip, frames=sized, total=total, size=size), notes


def _draw_latents(model: Autoencoder, z: np.ndarray, frames: int, folder: Path) -> list[tuple[Path, str]]:
    """Pictures and captions of the latent frames of z, (z, t, h, w): tokens, or as a diffusion model sees them."""
    integers = model.latents.integers(z[None])
    scaled = model.factors.scale(z)
    limit = float(np.percentile(np.abs(scaled), 99.5)) or 1.0
    drawn = []
    for index in np.unique(np.linspace(0, z.shape[1] - 1, MOST_LATENT_PICTURES).round().astype(int)):
        first, last = model.frames(index), min(model.frames(index + 1), frames) - 1
        of_frames = f"frames {first} to {last}" if last > first else f"frame {first}"
        path = folder / f"latents_{index}.png"
        if integers is None:
            draw_latents(path, scaled[:, index], limit)
        else:
            draw_tokens(path, integers[0, index], model.latents.vocabulary)
        drawn.append((path, f"latent frame {index}: {of_frames}"))
    return drawn
