"""Cached latents as a source for MindSpore datasets: what a diffusion model is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.io.latent_index import read_index
from mg.io.latents import read_latents
from mg.models.latents import Factors


class LatentSource:
    """Latents of a cache that scripts/encode.py finished, sampled and scaled, or codes, by number.

        source = LatentSource("latents", frames=4)
        data = ms.dataset.GeneratorDataset(source, ["latents"], shuffle=True, python_multiprocessing=False).batch(2)
        for source.epoch in range(10):
            for (z,) in data.create_tuple_iterator(num_epochs=1):  # (2, z, 4, h, w) in fp32
                ...

    Each item is one array, fp32 (z, t, h, w), (z - shift) * scaling with the factors that its file records. Of a
    posterior a sample is drawn; it, and where a clip is cut, are functions of (seed, epoch, number) alone, so neither
    threads nor order change them. Processes (python_multiprocessing) would not see `epoch` change.
    frames: latent frames to cut out of each clip, anywhere; None keeps all. scaled: False gives raw latents.
    codes: of a cache of codes; items are int32 (1, t, h, w) then, of which nothing is drawn and nothing scaled.
    Raises InputError for a cache without index or of several weights, and for a clip that is shorter than `frames`.
    """

    def __init__(
        self, cache: Path | str, seed: int = 0, frames: int | None = None, scaled: bool = True, codes: bool = False
    ):
        if seed < 0 or (frames is not None and frames < 1):
            raise InputError(f"seed={seed} must be at least 0, and frames={frames} at least 1 or None for all")
        self.cache, self.seed, self.frames, self.scaled, self.codes = Path(cache), seed, frames, scaled, codes
        self.epoch = 0
        rows = read_index(cache)
        weights = {row["weights_sha256"]: row["file"] for row in rows}
        if len(weights) > 1:
            raise InputError(
                f"'{cache}' holds latents of {len(weights)} different weights (of '{min(weights.values())}' and "
                f"'{max(weights.values())}'); encode each into a folder of its own"
            )
        short = [row["file"] for row in rows if frames is not None and row["shape"][1] < frames]
        if short:
            raise InputError(
                f"{len(short)} clips of '{cache}' are shorter than frames={frames} latent frames ({short[0]}, ...); "
                "take fewer, or encode longer clips"
            )
        self.files = [row["file"] for row in rows]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> np.ndarray:
        path = self.cache / self.files[index]
        latents = read_latents(path)
        header = latents.header
        if header.of_codes != self.codes:
            asked = "codes are" if self.codes else "a posterior or sample is"
            raise InputError(
                f"'{path}' holds {header.kind}, and {asked} asked for; use codes={not self.codes}, or another cache"
            )
        rng = np.random.default_rng((self.seed, self.epoch, int(index)))
        if self.frames is not None:
            latents = latents.cut(rng.integers(latents.shape[1] - self.frames + 1), self.frames)
        z = latents.drawn(rng)
        if self.codes:
            return _as_int32(path, z)
        if self.scaled:
            z = Factors(header.scaling_factor, header.shift_factor).scale(z)
        return np.ascontiguousarray(z)


def _as_int32(path: Path, codes: np.ndarray) -> np.ndarray:
    if codes.max() > np.iinfo(np.int32).max or codes.min() < 0:
        raise InputError(f"'{path}' has codes from {codes.min()} to {codes.max()}, but 31 bits are taken; encode again")
    return np.ascontiguousarray(codes, np.int32)
