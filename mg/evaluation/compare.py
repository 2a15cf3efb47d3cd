"""Two folders of clips, made by anyone, against each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.evaluation.report import clear_report, reported, summary
from mg.evaluation.tally import ClipScores, Tally
from mg.io.clip import Sampling, find_media, open_clip
from mg.locks import hold_folder
from mg.metrics.metric import Metric
from mg.progress import show_progress

logger = logging.getLogger(__name__)


def compare(
    real_folder: Path | str,
    generated_folder: Path | str,
    output_path: Path | str,
    metrics: Sequence[Metric],
    sampling: Sampling = Sampling(),
    resume: bool = False,
) -> int:
    """Score the clips of one folder against those of equal names, but for the suffix, in the other.

    Writes metrics.json, clips.csv, frames.csv and curves.png to `output_path`. Returns the number of clips that could
    not be used, such as without a partner or of another length: each is named in the log and in metrics.json. An
    interruption keeps what is finished and writes a report of it; resume goes on from there.
    """
    folders, output = (Path(real_folder), Path(generated_folder)), Path(output_path)
    pairs = [_by_name(folder, output) for folder in folders]
    names, protocol = sorted(pairs[0].keys() | pairs[1].keys()), _protocol(sampling)
    with hold_folder(output):
        tally = Tally(output, metrics, names)
        about = {**protocol, "metrics": [metric.about for metric in metrics], "folders": list(map(str, folders))}
        tally.begin(about, resume)
        clear_report(output)
        with reported(tally, protocol):
            finished = tally.finished()
            for number, name in enumerate(show_progress(names, desc="comparing", unit="clip")):
                if number not in finished:
                    _compare(tally, number, [of.get(name) for of in pairs], folders, sampling)
            if not tally.finished():
                raise InputError(f"no clip of '{folders[1]}' could be compared: {tally.failed()[0]['why']}")
            return len(tally.failed())


def _compare(
    tally: Tally, number: int, pair: list[Path | None], folders: tuple[Path, Path], sampling: Sampling
) -> None:
    """Score one clip, or note why that cannot be done."""
    name = tally.names[number]
    try:
        if None in pair:
            raise InputError(f"there is no clip of that name in '{folders[pair.index(None)]}'")
        row, scores = _score(name, *pair, tally, sampling)
    except InputError as error:
        tally.fail(number, name, str(error))
        logger.error("error: %s: %s", name, error)
    else:
        tally.keep(number, row, scores)
        logger.info("%s: %s", name, summary(row))


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


def _score(
    name: str, real: Path, generated: Path, tally: Tally, sampling: Sampling
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    clip, other = open_clip(real, sampling), open_clip(generated, sampling)
    scores, count = ClipScores(tally.metrics), 0
    bar = show_progress(zip_longest(clip.frames, other.frames), total=clip.total, desc=name, unit="frame", leave=False)
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
    kind = {"kind": "image"} if clip.fps is None else {"kind": "video", "fps": str(clip.fps)}
    return {"file": name, **kind, "frames": count, "width": width, "height": height, **means}, arrays


def _protocol(sampling: Sampling) -> dict[str, object]:
    options = {name: str(value) if isinstance(value, Fraction) else value for name, value in asdict(sampling).items()}
    return {"options": options}
