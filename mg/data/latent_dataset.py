"""Cached latents as a source for MindSpore datasets: what a diffusion model is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.io.latents import read_index, read_latents


class LatentSource:
    """Latents of a cache that scripts/encode_tae.py finished, sampled and scaled, by number.

        source = LatentSource("latents", frames=4)
        data = ms.dataset.GeneratorDataset(source, ["latents"], shuffle=True, python_multiprocessing=False).batch(2)
        for source.epoch in range(10):
            for (z,) in data.create_tuple_iterator(num_epochs=1):  # (2, z, 4, h, w) in fp32
                ...

    Each item is one array, fp32 (z, t, h, w), (z - shift) * scaling with the factors that its file records. Of a
    posterior a sample is drawn; it, and where a clip is cut, are functions of (seed, epoch, number) alone, so neither
    threads nor order change them. Processes (python_multiprocessing) would not see `epoch` change.
    frames: latent frames to cut out of each clip, anywhere; None keeps all. scaled: False gives raw latents.
    Raises InputError for a cache without index or of several weights, and for a clip that is shorter than `frames`.
    """

    def __init__(self, cache: Path | str, seed: int = 0, frames: int | None = None, scaled: bool = True):
        if seed < 0 or (frames is not None and frames < 1):
            raise InputError(f"seed={seed} must be at least 0, and frames={frames} at least 1 or None for all")
        self.cache, self.seed, self.frames, self.scaled, self.epoch = Path(cache), seed, frames, scaled, 0
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
        header, arrays = latents.header, latents.arrays
        if header.kind == "codes":
            raise InputError(f"'{path}' holds integer codes; sampled, scaled latents need a posterior or a sample")
        rng = np.random.default_rng((self.seed, self.epoch, int(index)))
        if self.frames is not None:
            first = rng.integers(latents.shape[1] - self.frames + 1)
            arrays = {name: array[:, first : first + self.frames] for name, array in arrays.items()}
        z = arrays["z"] if header.kind == "sample" else _sample(arrays["mean"], arrays["std"], rng)
        if self.scaled:
            z = (z - np.float32(header.shift_factor)) * np.float32(header.scaling_factor)
        return np.ascontiguousarray(z)


def _sample(mean: np.ndarray, std: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return mean + std * rng.standard_normal(mean.shape, dtype=np.float32)
