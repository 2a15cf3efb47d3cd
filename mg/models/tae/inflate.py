"""Two-dimensional image VAE -> TAE that gives exactly what the image VAE gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.models import weights
from mg.models.tae.config import TAEConfig
from mg.models.tae.names import dialect_of, is_temporal, to_ours
from mg.models.tae.tae import TemporalAutoencoder

PREFIX = "first_stage_model."
# What a file is that is no image VAE, by whose tensor names it has.
_FOREIGN = "none of its tensors has a name that an AutoencoderKL of diffusers or of SD's original code has"
_NOT_AN_IMAGE_VAE = {
    "mg": "it is a TAE already; load it with TemporalAutoencoder(pretrained=...)",
    "moviegen": "it is upstream's TAE; use tools/convert_checkpoint.py",
}
_FACTORS = ("norm_num_groups", "scaling_factor", "shift_factor")


@dataclass(frozen=True)
class Inflation:
    """A TAE made from an image VAE, and what was done to make it."""

    tae: TemporalAutoencoder
    source: Path
    tensors_read: int
    tensors_ignored: int
    tensors_at_identity: int
    origins: dict[str, str]


def inflate(source: str | Path) -> Inflation:
    """Read an image VAE and build the TAE that starts from it.

    source: a `.safetensors` file with diffusers' names, the folder that holds it, or an SD single-file checkpoint, of
    whose tensors only those under `first_stage_model.` are read. Sizes come from the tensors' shapes; norm groups,
    scaling and shift from a `config.json` beside the file, else SD3.5's.
    Raises InputError naming what is missing, unexpected or of another shape.
    """
    path = _find_file(Path(source))
    file = weights.TensorFile(path)
    prefix = PREFIX if any(name.startswith(PREFIX) for name in file) else ""
    names = [name[len(prefix) :] for name in file if name.startswith(prefix)]
    dialect = dialect_of(names)
    if dialect not in ("diffusers", "ldm"):
        raise InputError(f"'{path}' is not an image VAE: {_NOT_AN_IMAGE_VAE.get(dialect, _FOREIGN)}")
    tensors = {ours: as_matrix(ours, file[prefix + theirs]) for ours, theirs in to_ours(names, dialect).items()}
    stored = _read_config_json(path.with_name("config.json"))
    config = TAEConfig(**sizes(tensors, path), **{key: stored[key] for key in _FACTORS if key in stored})
    _require_same_sizes(stored, config, path)
    tae = TemporalAutoencoder(config)
    parameters = list(weights.named_parameters(tae))
    weights.assign(tae, [name for name in parameters if not is_temporal(name)], tensors, path)
    return Inflation(
        tae=tae,
        source=path,
        tensors_read=len(tensors),
        tensors_ignored=len(file) - len(tensors),
        tensors_at_identity=sum(map(is_temporal, parameters)),
        origins={key: "config.json" if key in stored else "SD3.5's default" for key in _FACTORS},
    )


def sizes(tensors: dict[str, np.ndarray], source: Path) -> dict[str, object]:
    """The sizes of a TAE (ch, ch_mult, num_res_blocks, z_channels) read from the shapes of its tensors, our names."""
    try:
        ch = tensors["encoder.conv_in.spatial.weight"].shape[0]
        widths = []
        while (name := f"encoder.levels.{len(widths)}.blocks.0.conv1.spatial.weight") in tensors:
            widths.append(tensors[name].shape[0])
        blocks = 0
        while f"encoder.levels.0.blocks.{blocks}.conv1.spatial.weight" in tensors:
            blocks += 1
        z_channels = tensors["encoder.conv_out.spatial.weight"].shape[0] // 2
    except KeyError as error:
        raise InputError(
            f"'{source}' has no tensor that means {error}; it is not a whole encoder and decoder"
        ) from None
    except IndexError:
        raise InputError(f"'{source}' has convolutions without axes; it is damaged") from None
    if ch == 0:
        raise InputError(f"'{source}' has an empty first convolution; it is damaged")
    return {
        "ch": ch,
        "ch_mult": tuple(width / ch for width in widths),
        "num_res_blocks": blocks,
        "z_channels": z_channels,
    }


def _find_file(source: Path) -> Path:
    if not source.is_dir():
        return source
    files = sorted(source.glob("*.safetensors"))
    preferred = source / "diffusion_pytorch_model.safetensors"
    if preferred in files:
        return preferred
    if len(files) != 1:
        raise InputError(f"folder '{source}' holds {len(files)} .safetensors files; name the one to inflate")
    return files[0]


def _read_config_json(path: Path) -> dict[str, object]:
    """The parts of a diffusers config.json that are not null; empty when there is no such file."""
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not JSON ({error}); correct it, or move it away to use SD3.5's values") from None
    if not isinstance(stored, dict):
        raise InputError(f"'{path}' is not a JSON object; correct it, or move it away to use SD3.5's values")
    return {key: value for key, value in stored.items() if value is not None}


def _require_same_sizes(stored: dict[str, object], config: TAEConfig, path: Path) -> None:
    expected = {
        "block_out_channels": list(config.channels),
        "layers_per_block": config.num_res_blocks,
        "latent_channels": config.z_channels,
    }
    for key, value in expected.items():
        if stored.get(key, value) != value:
            raise InputError(
                f"config.json beside '{path}' says {key}={stored[key]}, but the tensors say {value}; "
                "it belongs to another model: move it away or bring the right one"
            )


def as_matrix(name: str, tensor: np.ndarray) -> np.ndarray:
    """Attention projections stored as 1x1 convolutions, (C, C, 1, 1), become matrices."""
    if "_attention." in name and tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        return tensor[:, :, 0, 0]
    return tensor
