"""Upstream's trained TAE (mindone, examples/moviegen) -> ours, with the switches that its weights need."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.models import weights
from mg.models.image_vae.read import as_matrix
from mg.models.sizes import sizes_of
from mg.models.tae.config import TAEConfig
from mg.models.tae.inflate import as_keys
from mg.models.tae.names import dialect_of, is_temporal, to_ours
from mg.models.tae.tae import TemporalAutoencoder

PREFIXES = ("autoencoder.", "network.", "_backbone.")


def reads(names: Collection[str]) -> bool:
    """Whether a checkpoint with tensors of these names is upstream's."""
    return dialect_of(_without_prefix(names)) == "moviegen"


def convert(
    source: weights.TensorFile | Path | str,
    norm_num_groups: int = TAEConfig.norm_num_groups,
    scaling_factor: float = TAEConfig.scaling_factor,
    shift_factor: float = TAEConfig.shift_factor,
    downsample_padding: str = "both",
) -> TemporalAutoencoder:
    """Read upstream's checkpoint into a TAE that gives upstream's results.

    source: `.ckpt` or `.safetensors`; names may stand under `autoencoder.`, `network.` or `_backbone.`, and then only
    those are read.
    downsample_padding: "end" for weights trained with upstream's first version, which padded there.
    Dropped: `temb_proj`, which upstream creates and never uses. Joined: the 1x1 spatial and the 1x1 temporal
    convolution of a shortcut, into one.
    """
    file = source if isinstance(source, weights.TensorFile) else weights.TensorFile(source)
    names = _without_prefix(file)
    if dialect_of(names) != "moviegen":
        raise InputError(f"'{file.path}' is not upstream's TAE: it has no tensor encoder.conv_in.conv_spat.weight")
    used = [name for name in names if ".temb_proj." not in name]
    tensors = {ours: _reshaped(ours, file[names[theirs]]) for ours, theirs in to_ours(used, "moviegen").items()}
    _join_shortcuts(tensors)
    config = TAEConfig(
        **as_keys(sizes_of(tensors, file.path, ".spatial")),
        norm_num_groups=norm_num_groups,
        scaling_factor=scaling_factor,
        shift_factor=shift_factor,
        norm_statistics="clip",
        downsample_padding=downsample_padding,
        upsample_padding="zeros",
    )
    tae = TemporalAutoencoder(config)
    weights.assign(tae, list(weights.named_parameters(tae)), tensors, file.path)
    return tae


def _without_prefix(names: Iterable[str]) -> dict[str, str]:
    """{name without prefixes: whole name} of the tensors that stand under upstream's prefixes, or of all."""
    found = {name: name for name in names}
    while not any(name.startswith(("encoder.", "decoder.")) for name in found):
        prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in found)), None)
        if prefix is None:
            break
        found = {name[len(prefix) :]: whole for name, whole in found.items() if name.startswith(prefix)}
    return found


def _reshaped(name: str, tensor: np.ndarray) -> np.ndarray:
    """1D kernels (out, in, 1, k) become (out, in, k, 1); 1x1 attention kernels become matrices."""
    in_time = is_temporal(name) and "_attention." not in name
    if in_time and tensor.ndim == 4:
        return np.ascontiguousarray(tensor.transpose(0, 1, 3, 2))
    return as_matrix(name, tensor)


def _join_shortcuts(tensors: dict[str, np.ndarray]) -> None:
    """temporal(spatial(x)) of two 1x1 convolutions is one: W = Wt Ws, b = Wt bs + bt. Odd ones are left."""
    parts = ("spatial.weight", "spatial.bias", "temporal.weight", "temporal.bias")
    for name in [name for name in tensors if name.endswith(".shortcut.spatial.weight")]:
        stem = name[: -len("spatial.weight")]
        if not all(f"{stem}{part}" in tensors for part in parts):
            continue
        out, into = tensors[name].shape[:2] if tensors[name].ndim == 4 else (0, 0)
        if [tensors[f"{stem}{part}"].shape for part in parts] != [(out, into, 1, 1), (out,), (out, out, 1, 1), (out,)]:
            continue
        spatial, spatial_bias, temporal, temporal_bias = (tensors.pop(f"{stem}{part}") for part in parts)
        matrix = temporal[:, :, 0, 0]
        tensors[f"{stem}weight"] = np.einsum("ij,jkhw->ikhw", matrix, spatial)
        tensors[f"{stem}bias"] = matrix @ spatial_bias + temporal_bias
