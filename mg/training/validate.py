"""How good a model is by now: the figures of scripts/inference_tae.py, and pictures."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn
from tqdm import tqdm

from mg.data.config import DataConfig
from mg.data.validation import ValidationClip, validation_clips
from mg.errors import InputError
from mg.io import image, pixels, video
from mg.io.pictures import contact_sheet, side_by_side
from mg.losses.objective import Figures
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.distributed import Average

logger = logging.getLogger(__name__)

_PICTURES = 4
_FPS = 24


def validate(
    model: nn.Cell, figures: Figures, config: DataConfig, rank: int, ranks: int, reduce: Average, folder: Path
) -> dict[str, float]:
    """Reconstruct every clip from the posterior's mean; the means over clips of PSNR, SSIM, terms and total.

    Clips are shared out among ranks, and the figures are those of all. The first few of each rank are written to
    `folder` as pictures and side by side. Files that cannot be read are named in the log and counted as "failed".
    """
    names = ("psnr", "ssim", *figures.names)
    sums, scored, failed = np.zeros(len(names)), 0, 0
    clips = validation_clips(config, rank, ranks)
    for number, clip in enumerate(tqdm(clips, desc="validation", unit="clip", leave=False, disable=rank > 0)):
        if clip.frames is None:
            logger.warning("validation leaves out %s: %s", clip.path, clip.reason)
            failed += 1
            continue
        scores, recon = _score(model, figures, clip)
        if not np.isfinite(list(scores.values())).all():
            raise InputError(f"the reconstruction of '{clip.path}' is not finite; go on from an older checkpoint")
        sums += [scores[name] for name in names]
        scored += 1
        if number < _PICTURES:
            _draw(folder / f"rank{rank}_{number}_{clip.path.stem}", clip, recon, scores)
    packed = np.asarray([*sums, scored, failed], np.float32)
    *sums, scored, failed = (reduce((Tensor(packed),))[0].asnumpy() * ranks).tolist()
    if scored == 0:
        raise InputError(f"none of the {failed:.0f} validation clips can be read; check validation_video_folder")
    return {**{name: total / scored for name, total in zip(names, sums)}, "clips": scored, "failed": failed}


def _score(model: nn.Cell, figures: Figures, clip: ValidationClip) -> tuple[dict[str, float], np.ndarray]:
    frames, height, width, _ = clip.frames.shape
    x = Tensor(np.ascontiguousarray(pixels.to_clip(clip.frames))[None])
    _, mean, logvar = model.encode(x, seed=0)
    recon = Tensor(np.ascontiguousarray(model.decode(mean, frames).asnumpy()[..., :height, :width]))
    pictures = pixels.to_frames(np.nan_to_num(recon.asnumpy()[0]))
    scores = {
        "psnr": float(np.mean([psnr(*pair) for pair in zip(clip.frames, pictures)])),
        "ssim": float(np.mean([ssim(*pair) for pair in zip(clip.frames, pictures)])),
    }
    return {**scores, **dict(zip(figures.names, figures(recon, mean, logvar, x).asnumpy().tolist()))}, pictures


def _draw(target: Path, clip: ValidationClip, recon: np.ndarray, scores: dict[str, float]) -> None:
    chosen = sorted({round(index) for index in np.linspace(0, len(recon) - 1, 6)})
    title = f"{clip.path.name}: PSNR {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}"
    pairs = [(clip.frames[index], recon[index]) for index in chosen]
    labels = [f"frame {index}" for index in chosen]
    image.write_image(target.with_name(target.name + "_sheet.png"), contact_sheet(title, labels, pairs))
    if len(recon) > 1:
        with video.write_video(target.with_name(target.name + "_side_by_side.mp4"), Fraction(_FPS)) as file:
            for original, picture in zip(clip.frames, recon):
                file.write(side_by_side(original, picture))
