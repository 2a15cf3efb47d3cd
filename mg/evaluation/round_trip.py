"""Frames through a model and back: what commands, the page and validation all do."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from mg.io import pixels
from mg.io.clip import Clip
from mg.models.session import Session

_IMAGES = 8  # frames that go through an image model at once


def round_trip(
    session: Session,
    clips: Sequence[Clip],
    batch: int = 1,
    generators: Sequence[np.random.Generator] | None = None,
    latents: list[np.ndarray] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield originals and reconstructions, (clips, H, W, 3) uint8 each, frame by frame, as reading and decoding go on.

    clips: up to `batch`, of one size and length; the model always computes `batch`, so that one graph serves all.
    generators: of each clip's sample, where samples are decoded; without, what is decoded is the most likely.
    latents: a list to which what is decoded is added, (clips, z, t, h, w) of a piece at a time.
    """
    height, width = clips[0].size
    session.prepare(clips[0].total, height, width)
    kind, waiting, read = session.model.latents, deque(), 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for pictures in zip(*(clip.frames for clip in clips)):
            waiting.append(np.stack(pictures))
            read += 1
            filled = pictures + pictures[-1:] * (batch - len(pictures))
            yield np.stack([pixels.to_clip(picture[None]) for picture in filled])

    def decoded() -> Iterator[np.ndarray]:
        for raw in session.encode(frames()):
            z = kind.decoded(raw, generators)
            if latents is not None:
                latents.append(z[: len(clips)])
            yield z

    for piece in session.decode(decoded(), lambda: read):
        for index in range(min(piece.shape[2], len(waiting))):
            yield waiting.popleft(), frame_at(piece, index, len(clips), (height, width))
        del piece  # or it is held while the next window is computed


def with_image_model(
    session: Session, steps: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Add to originals and reconstructions what a model makes of each frame alone."""
    steps = iter(steps)
    for chunk in iter(lambda: list(islice(steps, _IMAGES)), []):
        clips, height, width, _ = chunk[0][0].shape
        session.prepare(1, height, width)
        originals = np.concatenate([original for original, _ in chunk])
        filled = np.concatenate((originals, *[originals[-clips:]] * (_IMAGES - len(chunk))))
        images = np.stack([pixels.to_clip(picture[None]) for picture in filled])
        latents = map(session.model.latents.decoded, session.encode([images]))
        (piece,) = session.decode(latents, 1)
        alone = frame_at(piece, 0, len(originals), (height, width))
        for (original, recon), pictures in zip(chunk, alone.reshape(len(chunk), clips, *alone.shape[1:])):
            yield original, recon, pictures


def frame_at(piece: np.ndarray, index: int, clips: int, size: tuple[int, int]) -> np.ndarray:
    """One frame of the first clips of what a model decodes, (B, 3, T, H, W) -> (clips, height, width, 3) uint8."""
    kept = piece[:clips, :, index : index + 1, : size[0], : size[1]]
    return np.stack([pixels.to_frames(clip)[0] for clip in kept])


def generator_of(name: str, seed: int) -> np.random.Generator:
    """What a clip's sample is drawn by: its own, whichever rank has it and whatever came before."""
    digest = hashlib.sha256(f"{seed} {name}".encode(errors="surrogateescape")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
