"""Two folders of clips, made by anyone, against each other."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mg.errors import InputError
from mg.evaluation.report import clear_report, summary, summary_of, write_report
from mg.evaluation.tally import ClipScores, Tally
from mg.files import make_folder
from mg.io.clip import Sampling, find_media, open_clip
from mg.metrics.metric import Metric

logger = logging.getLogger(__name__)


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


def _score(
    name: str, real: Path, generated: Path, tally: Tally, sampling: Sampling
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    clip, other = open_clip(real, sampling), open_clip(generated, sampling)
    scores, count = ClipScores(tally.metrics), 0
    bar = tqdm(zip_longest(clip.frames, other.frames), total=clip.total, desc=name, unit="frame", leave=False)
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
