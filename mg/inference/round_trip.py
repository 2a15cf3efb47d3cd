"""Frames through the model and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from mindspore import Tensor

from mg.errors import InputError
from mg.inference.models import Models, seed_of
from mg.inference.options import Options
from mg.inference.clips import Clip
from mg.io import pixels
from mg.models.latents import draw_noise, sample
from mg.models.tae.tae import TemporalAutoencoder

_IMAGES = 8  # frames that go through the image model at once


def round_trip(
    models: Models, clips: Sequence[Clip], options: Options, batch: int = 1, latents: list[np.ndarray] | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield originals and reconstructions, (clips, H, W, 3) uint8 each, frame by frame, as reading and decoding go on.

    clips: up to `batch`, of one size and length; the model always computes `batch`, so that one graph serves all.
    latents: a list to which what is decoded is added, (clips, z, 1, h, w) of a latent frame at a time.
    """
    height, width = clips[0].size
    tae = models.get(clips[0].total, height, width)
    waiting = deque()

    def frames() -> Iterator[np.ndarray]:
        for pictures in zip(*(clip.frames for clip in clips)):
            waiting.append(np.stack(pictures))
            filled = pictures + pictures[-1:] * (batch - len(pictures))
            yield np.stack([pixels.to_clip(picture[None]) for picture in filled])

    def kept() -> Iterator[Tensor]:
        for z in _latents(tae, frames(), clips, options, batch):
            if latents is not None:
                latents.append(z.asnumpy()[: len(clips)])
            yield z

    for piece in tae.decode_stream(kept()):
        for recon in decoded_frames(piece.asnumpy(), len(clips), len(waiting), (height, width), tae):
            yield waiting.popleft(), recon
        del piece  # or it is held while the next window is computed


def decoded_frames(
    piece: np.ndarray, clips: int, frames: int, size: tuple[int, int], tae: TemporalAutoencoder
) -> Iterator[np.ndarray]:
    """Up to `frames` frames (clips, H, W, 3) uint8, cut to size, of what a model decodes, (B, 3, T, H, W).

    Raises InputError for a value that is not finite.
    """
    kept = piece[:clips, :, :frames, : size[0], : size[1]]
    if not np.isfinite(kept).all():
        raise InputError(f"what is decoded is not finite in {tae.compute_dtype}; use --dtype fp32")
    for index in range(kept.shape[2]):
        yield np.stack([pixels.to_frames(clip[:, index : index + 1])[0] for clip in kept])


def with_spatial(
    models: Models, steps: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Add to originals and reconstructions what the image model alone makes of each frame."""
    steps = iter(steps)
    for chunk in iter(lambda: list(islice(steps, _IMAGES)), []):
        clips, height, width, _ = chunk[0][0].shape
        tae = models.get(1, height, width)
        originals = np.concatenate([original for original, _ in chunk])
        filled = np.concatenate((originals, *[originals[-clips:]] * (_IMAGES - len(chunk))))
        images = np.stack([pixels.to_clip(picture[None]) for picture in filled])
        ((_, mean, _),) = tae.encode_stream([images])
        (piece,) = tae.decode_stream([mean])
        (spatial,) = decoded_frames(piece.asnumpy(), len(originals), 1, (height, width), tae)
        for (original, recon), pictures in zip(chunk, spatial.reshape(len(chunk), clips, *spatial.shape[1:])):
            yield original, recon, pictures


def _latents(
    tae: TemporalAutoencoder, frames: Iterator[np.ndarray], clips: Sequence[Clip], options: Options, batch: int
) -> Iterator[Tensor]:
    generators = [np.random.default_rng(seed_of(clip.source.name, options.seed)) for clip in clips]
    for _, mean, logvar in tae.encode_stream(frames, seed=0):
        if not options.sample:
            yield mean
            continue
        noise = [draw_noise((1, *mean.shape[1:]), generator) for generator in generators]
        yield sample(mean, logvar, Tensor(np.concatenate(noise + noise[-1:] * (batch - len(noise)))))
