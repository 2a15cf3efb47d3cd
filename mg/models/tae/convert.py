"""Upstream's trained TAE (mindone, examples/moviegen) -> ours, with the switches that its weights need."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.models import weights
from mg.models.tae.config import TAEConfig
from mg.models.tae.inflate import sizes
from mg.models.tae.names import dialect_of, to_ours
from mg.models.tae.tae import TemporalAutoencoder

PREFIXES = ("autoencoder.", "network.", "_backbone.")
# What upstream's weights have learned: norms over the whole clip, its paddings in time.
SWITCHES = {"norm_statistics": "clip", "downsample_padding": "both", "upsample_padding": "zeros"}


def convert(source: str | Path, **changes: float | str) -> TemporalAutoencoder:
    """Read upstream's checkpoint into a TAE that gives upstream's results.

    source: `.ckpt` or `.safetensors`; names may stand under `autoencoder.`, `network.` or `_backbone.`, and then only
    those are read.
    changes: norm_num_groups, scaling_factor, shift_factor where they differ from SD3.5's; downsample_padding="end" for
    weights trained with upstream's first version, which padded there.
    Dropped: `temb_proj`, which upstream creates and never uses. Joined: the 1x1 spatial and the 1x1 temporal
    convolution of a shortcut, into one.
    """
    file = weights.TensorFile(source)
    names = {name: name for name in file}
    while not any(name.startswith(("encoder.", "decoder.")) for name in names):
        prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in names)), None)
        if prefix is None:
            break
        names = {name[len(prefix) :]: full for name, full in names.items() if name.startswith(prefix)}
    if dialect_of(names) != "moviegen":
        raise InputError(f"'{source}' is not upstream's TAE: it has no tensor encoder.conv_in.conv_spat.weight")
    used = [name for name in names if ".temb_proj." not in name]
    tensors = {ours: _transposed(ours, file[names[theirs]]) for ours, theirs in to_ours(used, "moviegen").items()}
    _join_shortcuts(tensors)
    tae = TemporalAutoencoder(TAEConfig(**{**sizes(tensors, file.path), **SWITCHES, **changes}))
    weights.assign(tae, list(weights.named_parameters(tae)), tensors, file.path)
    return tae


def _transposed(name: str, tensor: np.ndarray) -> np.ndarray:
    """1D kernels (out, in, 1, k) become (out, in, k, 1); 1x1 attention kernels become matrices."""
    if name.endswith(".weight") and (
        ".temporal." in name or ".temporal_downsample." in name or ".temporal_upsample." in name
    ):
        return np.ascontiguousarray(tensor.transpose(0, 1, 3, 2))
    if "_attention." in name and tensor.ndim == 4:
        return tensor[:, :, 0, 0]
    return tensor


def _join_shortcuts(tensors: dict[str, np.ndarray]) -> None:
    """temporal(spatial(x)) of two 1x1 convolutions is one: W = Wt Ws, b = Wt bs + bt."""
    for name in [name for name in tensors if name.endswith(".shortcut.spatial.weight")]:
        stem = name[: -len("spatial.weight")]
        spatial, spatial_bias, temporal, temporal_bias = (
            tensors.pop(f"{stem}{part}")
            for part in ("spatial.weight", "spatial.bias", "temporal.weight", "temporal.bias")
        )
        matrix = temporal[:, :, 0, 0]
        tensors[f"{stem}weight"] = np.einsum("ij,jkhw->ikhw", matrix, spatial)
        tensors[f"{stem}bias"] = matrix @ spatial_bias + temporal_bias
