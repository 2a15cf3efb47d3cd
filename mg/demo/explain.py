"""A file through the autoencoder and back, with everything that can be shown of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from mg.data.transforms import resize_and_crop
from mg.demo.limits import Limits, Request
from mg.demo.pictures import draw_curves, draw_latents
from mg.errors import InputError
from mg.inference.reconstruct import Models
from mg.io import image, pixels, video
from mg.io.media import find_media, is_image
from mg.io.pictures import amplified_difference
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models.tae.tae import MIN_SIZE, TemporalAutoencoder

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


@dataclass(frozen=True)
class _Opened:
    """frames: (H, W, 3) uint8, in the size that the model gets. total: about how many there are."""

    frames: Iterator[np.ndarray]
    total: int
    fps: Fraction | None
    height: int
    width: int
    notes: list[str]


def explain(models: Models, request: Request, limits: Limits, folder: Path, report: Report) -> Explanation:
    """Reconstruct what is asked for, and write what there is to see of it to `folder`.

    Changes the models' tiles to those of the request.  Raises InputError for a file that cannot be used, and for what
    the limits do not allow.
    """
    limits.check(request)
    opened = _open(request, limits)
    report(0.0, "starting; a new size is compiled first")
    models.tiles = request.tiles
    tae = models.get(opened.total, opened.height, opened.width)
    suffix = ".png" if opened.fps is None else ".mp4"
    names = ("original", "reconstruction", "difference")
    clips = tuple(folder / f"{request.source.stem}_{name}{suffix}" for name in names)
    latents, scores = [], []
    with ExitStack() as stack:
        writers = [stack.enter_context(video.write_video(path, opened.fps)) for path in clips if opened.fps is not None]
        for original, recon in _round_trip(tae, opened, request.sample, latents):
            shown = (original, recon, amplified_difference(original, recon))
            for writer, frame in zip(writers, shown):
                writer.write(frame)
            scores.append((psnr(original, recon), ssim(original, recon)))
            report(len(scores) / (opened.total + 1), f"{len(scores)} of {opened.total} frames")
    if opened.fps is None:
        for path, frame in zip(clips, shown):
            image.write_image(path, frame)
    report(opened.total / (opened.total + 1), "drawing")
    z = np.stack(latents, 1)
    of_psnr, of_ssim = map(list, zip(*scores))
    curves = None
    if len(scores) > 1:
        curves = folder / "curves.png"
        draw_curves(curves, {"PSNR in dB": of_psnr, "SSIM": of_ssim}, tae.time_compression)
    pictures = _draw_latents(tae, z, len(scores), folder)
    sizes = (opened.height, opened.width, opened.fps, z.shape)
    return Explanation(clips, curves, pictures, *sizes, of_psnr, of_ssim, opened.notes)


def _open(request: Request, limits: Limits) -> _Opened:
    """Raises InputError for a file that cannot be read, and for frames that are too small."""
    source = find_media(request.source, leave_out=request.source.parent / "results")[0]
    notes = []
    if is_image(source):
        frames, total, fps = iter([image.read_image(source)]), 1, None
    else:
        info = video.probe(source)
        frames, total, fps = video.read_frames(source), min(info.frames, request.num_frames), info.fps
        if info.frames > total:
            most = f" This page takes at most {limits.max_frames}." if info.frames > limits.max_frames else ""
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
    taken = islice(_joined(first, frames), request.num_frames)
    return _Opened((resize_and_crop(frame, height, width) for frame in taken), total, fps, height, width, notes)


def _joined(first: np.ndarray, others: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from others


def _round_trip(
    tae: TemporalAutoencoder, opened: _Opened, sample: bool, kept: list[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (original, reconstruction) frame by frame; latents (z, h, w) are added to `kept` as they come by."""
    waiting = deque()

    def clips() -> Iterator[np.ndarray]:
        for frame in opened.frames:
            waiting.append(frame)
            yield pixels.to_clip(frame[None])[None]

    def latents() -> Iterator[np.ndarray]:
        for z, mean, _ in tae.encode_stream(clips(), seed=0):
            kept.append((z if sample else mean).asnumpy()[0, :, 0])
            yield kept[-1][None]

    for piece in tae.decode_stream(latents()):
        recon = piece.asnumpy()[0, :, : len(waiting), : opened.height, : opened.width]
        if not np.isfinite(recon).all():
            raise InputError(f"what comes back is not finite in {tae.compute_dtype}; this page needs --dtype fp32")
        for frame in pixels.to_frames(recon):
            yield waiting.popleft(), frame


def _draw_latents(tae: TemporalAutoencoder, z: np.ndarray, frames: int, folder: Path) -> list[tuple[Path, str]]:
    """Pictures and captions of the latent frames of z, (z, t, h, w), as a diffusion model sees them."""
    scaled = (z - tae.config["shift_factor"]) * tae.config["scaling_factor"]
    limit = float(np.percentile(np.abs(scaled), 99.5)) or 1.0
    drawn = []
    for index in np.unique(np.linspace(0, z.shape[1] - 1, MOST_LATENT_PICTURES).round().astype(int)):
        first, last = tae.frames(index) + 1, min(tae.frames(index + 1), frames)
        of_frames = f"frames {first} to {last}" if last > first else f"frame {first}"
        path = folder / f"latents_{index + 1}.png"
        draw_latents(path, scaled[:, index], limit)
        drawn.append((path, f"latent frame {index + 1}: {of_frames}"))
    return drawn
