"""How good a model is by now: figures, and pictures. Clips go through it as they do in scripts/reconstruct.py."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from mindspore import Tensor

from mg.data.config import DataConfig
from mg.data.file_lists import find_files
from mg.data.plan import Share
from mg.data.validation import ValidationClip, validation_clips
from mg.distributed import Average
from mg.errors import InputError
from mg.evaluation.codebook import CodeUse, draw_use
from mg.evaluation.curves import Curves
from mg.evaluation.round_trip import round_trip
from mg.io import image, pixels, video
from mg.io.clip import Clip
from mg.io.pictures import contact_sheet, side_by_side
from mg.losses.objective import Figures
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models.autoencoder import Autoencoder
from mg.models.session import Session
from mg.models.terms import RECONSTRUCTION
from mg.progress import show_progress
from mg.training.build import Parts
from mg.training.recipe import Recipe

logger = logging.getLogger(__name__)

_PICTURES = 4
_FPS = 24


def validation_data(recipe: Recipe) -> DataConfig | None:
    """Where validation clips come from, if there are some; looked up now, not when the first validation is due."""
    training, data = recipe.training, recipe.data
    if training.validation_video_folder is None:
        return None
    config = replace(
        data,
        csv_path=training.validation_csv_path,
        video_folder=training.validation_video_folder,
        image_csv_path=None,
        image_folder=None,
        moving_image_ratio=0.0,
        mixed_strategy="image_only" if data.mixed_strategy == "image_only" else "mixed_video_image",
        sample_n_frames=training.validation_frames or max(2, data.sample_n_frames),
        image_size=training.validation_image_size or data.image_size,
        size_buckets=(),
        most_pixels=0,
        resize_to=None,
    )
    try:
        find_files(config)
    except InputError as error:
        raise InputError(f"validation clips: {error}") from None
    return config


class Validation:
    """Reconstructs validation clips from the most likely latents, in tiles where they are larger than one."""

    def __init__(self, parts: Parts, clips: DataConfig, share: Share):
        self.clips, self.rank, self.ranks = clips, share.rank, share.ranks
        self.objective, self.session = parts.objective, Listening(parts.model)
        given = [name for name in parts.forward.outputs if name in (RECONSTRUCTION, *parts.model.latents.outputs)]
        self.figures = Figures(parts.objective, given)
        self.average = Average(share.ranks)

    def run(self, number: int, folder: Path) -> dict[str, float]:
        """The means over all clips, of all ranks, of PSNR, SSIM, and the terms and total as weighed at step `number`.

        Terms that need more than a clip, its latents and its reconstruction are left out. Where latents are codes, how
        all clips together use them is told as "codes_...". The first few clips of each rank are written to `folder` as
        pictures and side by side, with what there is to draw of all. Files that cannot be read are named in the log and
        counted as "failed".
        """
        names = ("psnr", "ssim", *(self.figures.names if self.figures.chosen else ()))
        sums, scored, failed, together = np.zeros(len(names)), 0, 0, Together(self.session.model)
        clips = validation_clips(self.clips, self.rank, self.ranks)
        bar = show_progress(clips, desc="validation", unit="clip", leave=False, disable=self.rank > 0)
        weights = self.objective.weights_at(number)
        with self.session.model.evaluating():
            for index, clip in enumerate(bar):
                if clip.frames is None:
                    logger.warning("validation leaves out %s: %s", clip.path, clip.reason)
                    failed += 1
                    continue
                scores, recon = self._score(clip, weights, together)
                sums += [scores[name] for name in names]
                scored += 1
                if index < _PICTURES:
                    _draw(folder / f"rank{self.rank}_{index}_{clip.path.stem}", clip, recon, scores)
        packed = np.asarray([*sums, scored, failed], np.float32)
        *sums, scored, failed = (self.average((Tensor(packed),))[0].asnumpy() * self.ranks).tolist()
        if scored == 0:
            raise InputError(f"none of the {failed:.0f} validation clips can be read; check validation_video_folder")
        means = {name: total / scored for name, total in zip(names, sums)}
        together.draw(folder, self.rank)
        return {**means, **together.figures(self.rank, self.ranks), "clips": scored, "failed": failed}

    def _score(self, clip: ValidationClip, weights: Tensor, together: Together) -> tuple[dict[str, float], np.ndarray]:
        """Figures of a clip, and its reconstruction (T, H, W, 3) uint8. `together` gets to know of it."""
        total, height, width, _ = clip.frames.shape
        opened = Clip(clip.path, iter(clip.frames), (height, width), total, total, None)
        try:
            pairs = [(original[0], recon[0]) for original, recon in round_trip(self.session, [opened])]
        except InputError as error:
            raise InputError(f"validation of '{clip.path}': {error}; go on from an older checkpoint") from None
        by_frame = {name: [metric(*pair) for pair in pairs] for name, metric in (("psnr", psnr), ("ssim", ssim))}
        scores = {name: float(np.mean(values)) for name, values in by_frame.items()}
        together.add(by_frame, np.concatenate(self.session.raw, 2))
        x = Tensor(np.ascontiguousarray(pixels.to_clip(clip.frames))[None])
        outputs = self.session.heard(total, height, width)
        terms = self.figures.by_name(
            weights, x, {name: Tensor(np.ascontiguousarray(array)) for name, array in outputs.items()}
        )
        if not np.isfinite(list(terms.values())).all():
            raise InputError(f"the reconstruction of '{clip.path}' is not finite; go on from an older checkpoint")
        return {**scores, **terms}, np.stack([recon for _, recon in pairs])


class Together:
    """What there is to say of all clips of a rank together: scores by frame, and how codes are used where there are."""

    def __init__(self, model: Autoencoder):
        self.latents, self.codes = model.latents, CodeUse()
        group = model.time_compression
        self.curves = Curves(("psnr", "ssim"), group if group > 1 else None)

    def add(self, scores: Mapping[str, list[float]], raw: np.ndarray) -> None:
        """A clip: its scores by frame, and its raw latents. Images have no place in curves over time."""
        if len(scores["psnr"]) > 1:
            self.curves.add(np.stack([scores[name] for name in self.curves.names], 1))
        integers = self.latents.integers(raw)
        if integers is not None:
            self.codes.add(integers)

    def draw(self, folder: Path, rank: int) -> None:
        """Scores by frame and by the position among the frames of a latent frame; the use of codes."""
        self.curves.draw(folder / f"rank{rank}_curves.png")
        if self.codes.tokens:
            draw_use(folder / f"rank{rank}_codes.png", self.codes, self.latents.vocabulary)

    def figures(self, rank: int, ranks: int) -> dict[str, float]:
        """Of the codes of all ranks; none where latents are no codes."""
        if self.latents.vocabulary is None:
            return {}
        figures = self.codes.over_ranks(rank, ranks).figures(self.latents.vocabulary)
        return {f"codes_{name}": value for name, value in figures.items()}


class Listening(Session):
    """A session that keeps what a model gives for a clip, beside handing it on: terms are computed of that."""

    def __init__(self, model):
        super().__init__(model)
        self.raw, self.decoded = [], []

    def encode(self, clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        self.raw.clear()
        return _kept(super().encode(clips), self.raw)

    def decode(
        self, latents: Iterable[np.ndarray], frames: int | Callable[[], int] | None = None
    ) -> Iterator[np.ndarray]:
        self.decoded.clear()
        return _kept(super().decode(latents, frames), self.decoded)

    def heard(self, frames: int, height: int, width: int) -> dict[str, np.ndarray]:
        """Reconstruction (B, 3, T, H, W), cut to size, and named latents of the last clip; they are then forgotten."""
        recon = np.concatenate(self.decoded, 2)[:, :, :frames, :height, :width]
        outputs = self.model.latents.named(np.concatenate(self.raw, 2))
        self.raw.clear()
        self.decoded.clear()
        return {RECONSTRUCTION: recon, **outputs}


def _kept(pieces: Iterator[np.ndarray], where: list[np.ndarray]) -> Iterator[np.ndarray]:
    for piece in pieces:
        where.append(piece)
        yield piece


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
