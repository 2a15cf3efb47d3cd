"""Two folders of clips, made by anyone, against each other."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mg.io.frames import covering_size, resize_and_crop
from mg.errors import InputError
from mg.files import make_folder
from mg.inference.options import MAX_SIZE
from mg.io import image, video
from mg.io.media import find_media, is_image
from mg.metrics.metric import Metric
from mg.evaluation.report import clear_report, summary, summary_of, write_report
from mg.evaluation.tally import ClipScores, Tally

logger = logging.getLogger(__name__)

_MIN_SIZE = 16


@dataclass(frozen=True)
class Sampling:
    """What is taken of each clip, in this order.

    sample_fps: the frame that is shown at each 1/sample_fps seconds; None takes every frame.
    sample_rate: every so many-th of these. num_frames: so many from the start; None takes all.
    resolution: scale to this length of the shorter side; crop_size: cut this square out of the centre.
    """

    sample_fps: Fraction | None = None
    sample_rate: int = 1
    num_frames: int | None = None
    resolution: int | None = None
    crop_size: int | None = None

    def __post_init__(self):
        if self.sample_fps is not None and self.sample_fps <= 0:
            raise InputError(f"sample_fps={self.sample_fps} must be positive; leave it out for every frame")
        for name in ("sample_rate", "num_frames"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= sys.maxsize:
                raise InputError(f"{name}={value} must be at least 1")
        for name in ("resolution", "crop_size"):
            value = getattr(self, name)
            if value is not None and not _MIN_SIZE <= value <= MAX_SIZE:
                raise InputError(
                    f"{name}={value} must be from {_MIN_SIZE} to {MAX_SIZE}; leave it out to keep the size"
                )
        if self.resolution and self.crop_size and self.crop_size > self.resolution:
            raise InputError(f"crop_size={self.crop_size} must not exceed resolution={self.resolution}")

    def taken(self, frames: Iterator[np.ndarray], fps: Fraction | None) -> Iterator[np.ndarray]:
        """The frames that are taken of a clip of `fps` frames a second, None of an image."""
        if self.sample_fps is not None and fps is not None:
            frames = at_times(frames, fps / self.sample_fps)
        chosen = islice(islice(frames, 0, None, self.sample_rate), self.num_frames)
        return (self.sized(frame) for frame in chosen)

    def sized(self, frame: np.ndarray) -> np.ndarray:
        """A frame of the size asked for."""
        height, width, _ = frame.shape
        if self.resolution is not None:
            height, width = covering_size((height, width), self.resolution, self.resolution)
            frame = resize_and_crop(frame, height, width)
        if self.crop_size is None:
            return frame
        if min(height, width) < self.crop_size:
            raise InputError(f"frames of {width}x{height} are smaller than crop_size={self.crop_size}; use resolution")
        top, left = (height - self.crop_size) // 2, (width - self.crop_size) // 2
        return np.ascontiguousarray(frame[top : top + self.crop_size, left : left + self.crop_size])


def at_times(frames: Iterator[np.ndarray], step: Fraction) -> Iterator[np.ndarray]:
    """Frame floor(k * step) for k = 0, 1, ...: dropped or repeated as another frame rate needs it."""
    taken = 0
    for index, frame in enumerate(frames):
        while int(taken * step) == index:
            yield frame
            taken += 1


def compare(
    real_folder: Path | str,
    generated_folder: Path | str,
    output_path: Path | str,
    metrics: Sequence[Metric],
    sampling: Sampling = Sampling(),
) -> int:
    """Score the clips of one folder against those of equal names, but for the suffix, in the other.

    Writes metrics.json, clips.csv, frames.csv and curves.png to `output_path`. Returns the number of clips that could
    not be used, such as without a partner or of another length: each is named in the log and in metrics.json.
    """
    started = time.monotonic()
    real, generated = (_by_name(folder, output_path) for folder in (real_folder, generated_folder))
    output = make_folder(output_path)
    tally = Tally(output, metrics)
    tally.clear()
    clear_report(output)
    names, failed = sorted(real.keys() | generated.keys()), 0
    try:
        for number, name in enumerate(tqdm(names, desc="comparing", unit="clip")):
            try:
                if name not in real or name not in generated:
                    lacking = generated_folder if name in real else real_folder
                    raise InputError(f"there is no clip of that name in '{lacking}'")
                row, scores = _score(name, real[name], generated[name], tally, sampling)
                tally.keep(number, row, scores)
                logger.info("%s: %s", name, summary(row))
            except InputError as error:
                failed += 1
                tally.fail(number, name, str(error))
                logger.error("error: %s: %s", name, error)
        if failed == len(names):
            raise InputError(f"no clip of '{generated_folder}' could be compared: {tally.failed()[0]['why']}")
        run = {"seconds": round(time.monotonic() - started, 1)}
        report = write_report(output, tally, _protocol(sampling), run)
        logger.info("mean: %s", summary_of(report))
        logger.info("%d clips compared, %d failed; results are in %s", len(report["clips"]), failed, output)
    finally:
        tally.clear()
    return failed


def _by_name(folder: Path | str, output: Path | str) -> dict[str, Path]:
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"'{folder}' is no folder; name one of clips")
    found = {}
    for path in find_media(folder, leave_out=output):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise InputError(f"'{path}' and '{found[name]}' differ only in their suffix; rename one")
        found[name] = path
    return found


def _open(path: Path, sampling: Sampling) -> tuple[Iterator[np.ndarray], Fraction | None]:
    if is_image(path):
        return sampling.taken(iter([image.read_image(path)]), None), None
    fps = video.probe(path).fps
    return sampling.taken(video.read_frames(path), fps), fps


def _score(
    name: str, real: Path, generated: Path, tally: Tally, sampling: Sampling
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    (originals, fps), (recons, _) = (_open(path, sampling) for path in (real, generated))
    scores, count = ClipScores(tally.metrics), 0
    bar = tqdm(zip_longest(originals, recons), desc=name, unit="frame", leave=False)
    for original, recon in bar:
        if original is None or recon is None:
            shorter = generated if recon is None else real
            raise InputError(f"'{shorter}' ends after {count} frames, and its partner does not; use --num_frames")
        if original.shape != recon.shape:
            sizes = " and ".join(f"{frame.shape[1]}x{frame.shape[0]}" for frame in (original, recon))
            raise InputError(f"the sizes of the frames differ: {sizes}; use --resolution and --crop_size")
        scores.add(original, recon)
        count += 1
    arrays, means = scores.finish()
    height, width, _ = original.shape
    kind = {"kind": "image"} if fps is None else {"kind": "video", "fps": str(fps)}
    return {"file": name, **kind, "frames": count, "width": width, "height": height, **means}, arrays


def _protocol(sampling: Sampling) -> dict[str, object]:
    options = {name: str(value) if isinstance(value, Fraction) else value for name, value in asdict(sampling).items()}
    return {
        "options": options,
    }
