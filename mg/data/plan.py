"""What each step takes, from the seed alone: its shape, its files, their random choices. Nothing is read here.

Every rank plans the same; how many ranks, micro batches and threads share the work does not change what is planned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache

import numpy as np

from mg.checks import is_whole, require_whole
from mg.data.config import DataConfig
from mg.errors import InputError

VIDEO, IMAGE = "video", "image"
_STEP, _ORDER, _SAMPLE, _REPLACEMENT, NOISE, _MOVING, _SIZE = range(7)  # what a random stream is for
_LISTS = {VIDEO: 0, IMAGE: 1}


@dataclass(frozen=True)
class Position:
    """How far a training is: optimizer steps done, and samples taken from the videos and from the images."""

    step: int = 0
    videos: int = 0
    images: int = 0

    def __post_init__(self):
        for field, value in asdict(self).items():
            if not is_whole(value) or value < 0:
                raise InputError(f"position {field}={value!r} must be a whole number; the checkpoint is damaged")

    def as_dict(self) -> dict[str, int]:
        """Plain numbers, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, numbers: Mapping[str, int]) -> Position:
        """Back from a checkpoint."""
        if set(numbers) != {field.name for field in fields(cls)}:
            raise InputError(f"position {dict(numbers)} must have step, videos and images; the checkpoint is damaged")
        return cls(**numbers)

    def after(self, source: str, samples: int) -> Position:
        """One step later, which took `samples` from the list `source`."""
        videos, images = (samples, 0) if source == VIDEO else (0, samples)
        return Position(self.step + 1, self.videos + videos, self.images + images)


@dataclass(frozen=True)
class Share:
    """One rank's share of every step: `micro_batches` (gradient accumulation) of `batch_size` samples each."""

    batch_size: int
    micro_batches: int = 1
    rank: int = 0
    ranks: int = 1

    def __post_init__(self):
        for field, least in (("batch_size", 1), ("micro_batches", 1), ("ranks", 1), ("rank", 0)):
            require_whole(field, getattr(self, field), least)
        if self.rank >= self.ranks:
            raise InputError(f"rank={self.rank} must be below ranks={self.ranks}; ranks count from 0")

    @property
    def samples(self) -> int:
        """Of a step, on this rank."""
        return self.batch_size * self.micro_batches

    def starts(self, start: int) -> list[int]:
        """Where each micro batch of a step begins that takes its samples from `start` on.

        Micro batch m of rank r has the batch_size samples from (m * ranks + r) * batch_size on. So all ranks together
        see what one sees with their batches together.
        """
        firsts = (micro * self.ranks + self.rank for micro in range(self.micro_batches))
        return [start + first * self.batch_size for first in firsts]


@dataclass(frozen=True)
class Sample:
    """File number `index` of the list `source`, in the list's `epoch`; a clip of `shape` (T, H, W) is cut from it."""

    source: str
    epoch: int
    index: int
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class StepPlan:
    """One rank's part of a step: its micro batches, and the position of all ranks after it."""

    number: int
    shape: tuple[int, int, int]
    samples: tuple[tuple[Sample, ...], ...]
    position: Position


def step_shape(config: DataConfig, seed: int, number: int) -> tuple[int, int, int]:
    """(T, H, W) of the clips of optimizer step `number`, which counts from 0; T = 1 is an image."""
    frames = step_frames(config, seed, number)
    return (frames, *step_size(config, seed, number, frames))


def step_frames(config: DataConfig, seed: int, number: int) -> int:
    """Frames of step `number`; 1 is an image."""
    if config.mixed_strategy == "mixed_video_random":
        return config.frame_buckets[_generator(seed, _STEP, number).integers(len(config.frame_buckets))]
    if config.mixed_strategy == "mixed_video_image":
        is_image = _generator(seed, _STEP, number).random() < config.mixed_image_ratio
        return 1 if is_image else config.sample_n_frames
    return 1 if config.mixed_strategy == "image_only" else config.sample_n_frames


def step_size(config: DataConfig, seed: int, number: int, frames: int) -> tuple[int, int]:
    """Height and width of step `number`, whose clips have so many frames."""
    sizes = config.sizes_of(frames)
    return sizes[_generator(seed, _SIZE, number).integers(len(sizes))]


def step_source(config: DataConfig, seed: int, number: int, frames: int, images: int) -> str:
    """The list that step `number`, of so many frames, takes its files from when there are so many images."""
    if frames == 1:
        return IMAGE if images else VIDEO
    return IMAGE if _generator(seed, _MOVING, number).random() < config.moving_image_ratio else VIDEO


def sample_at(seed: int, source: str, size: int, place: int) -> tuple[int, int]:
    """(epoch, index) of number `place` in the endless sequence of a list of `size` files.

    Each epoch is a new permutation of the list.
    """
    epoch, rest = divmod(place, size)
    return epoch, int(_order(seed, source, epoch, size)[rest])


def replacements(seed: int, sample: Sample, size: int) -> np.ndarray:
    """The other files of the list, in the order in which they are tried when `sample` cannot be read."""
    order = _generator(seed, _REPLACEMENT, _LISTS[sample.source], sample.epoch, sample.index).permutation(size)
    return order[order != sample.index]


def choices(seed: int, sample: Sample, attempt: int) -> np.random.Generator:
    """Where a sample's random choices come from; `attempt` 0 is the sample, the others are its replacements."""
    return _generator(seed, _SAMPLE, _LISTS[sample.source], sample.epoch, sample.index, attempt)


def plan_steps(
    config: DataConfig, sizes: Mapping[str, int], seed: int, share: Share, position: Position
) -> Iterator[StepPlan]:
    """Plan for ever, from `position` on, the steps of one rank. sizes: how many files each list has.

    A step takes consecutive samples of one list, for all its micro batches and ranks.
    """
    while True:
        number, shape = position.step, step_shape(config, seed, position.step)
        source = step_source(config, seed, number, shape[0], sizes[IMAGE])
        start = position.images if source == IMAGE else position.videos
        samples = tuple(
            tuple(
                Sample(source, *sample_at(seed, source, sizes[source], place), shape)
                for place in range(first, first + share.batch_size)
            )
            for first in share.starts(start)
        )
        position = position.after(source, share.ranks * share.samples)
        yield StepPlan(number, shape, samples, position)


@lru_cache(maxsize=4)
def _order(seed: int, source: str, epoch: int, size: int) -> np.ndarray:
    return _generator(seed, _ORDER, _LISTS[source], epoch).permutation(size)


def _generator(seed: int, *purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, *purpose])
