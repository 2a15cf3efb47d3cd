"""The original's weights -> ours: of the video model, of the image model, averaged ones, whole training states."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.models import weights
from mg.models.o2_magvit2.config import O2Magvit2Config
from mg.models.o2_magvit2.model import O2Magvit2
from mg.models.o2_magvit2.names import dialect_of, to_ours, without_prefix


def reads(names: Collection[str]) -> bool:
    """Whether a checkpoint with tensors of these names is the original's."""
    return dialect_of(without_prefix(names)) != "unknown"


def convert(source: weights.TensorFile | Path | str, norm_groups: int = O2Magvit2Config.norm_groups) -> O2Magvit2:
    """Read the original's weights into a model that gives the original's results; sizes come from the tensors' shapes.

    norm_groups: which no shape tells. Raises InputError naming what is missing, unexpected or of another shape.
    """
    file = source if isinstance(source, weights.TensorFile) else weights.TensorFile(source)
    names = without_prefix(file)
    if (dialect := dialect_of(names)) == "unknown":
        raise InputError(
            f"'{file.path}' is no O2-MAGVIT2: it has no encoder.res_blocks.res_block_0.res_block_0_0; name another file"
        )
    tensors = {ours: reshaped(ours, file[names[theirs]]) for ours, theirs in to_ours(names).items()}
    model = O2Magvit2(config_of(tensors, dialect == "image", norm_groups, file.path))
    weights.assign(model, list(weights.named_parameters(model)), tensors, file.path)
    return model


def config_of(tensors: Mapping[str, np.ndarray], image_model: bool, norm_groups: int, source: Path) -> O2Magvit2Config:
    """The configuration that the shapes of tensors, under our names, tell.

    Raises InputError when a tensor that tells a size is missing or damaged.
    """
    try:
        filters = tensors["encoder.conv_in.weight"].shape[0]
        widths, blocks, growth = [], 0, []
        while (name := f"encoder.levels.{len(widths)}.blocks.0.conv1.weight") in tensors:
            widths.append(tensors[name].shape[0])
        while f"encoder.final.{blocks}.conv1.weight" in tensors:
            blocks += 1
        while (name := f"decoder.levels.{len(growth)}.upsample.conv.weight") in tensors:
            growth.append(tensors[name].shape[0] // tensors[name].shape[1])
        bits = tensors["encoder.conv_out.weight"].shape[0]
        return O2Magvit2Config(
            filters=filters,
            channel_multipliers=tuple(width // filters for width in widths),
            num_res_blocks=blocks,
            temporal_downsample=tuple(times == 2 * 4 for times in reversed(growth)),
            token_size=bits,
            norm_groups=norm_groups,
            image_model=image_model,
        )
    except KeyError as error:
        raise InputError(f"'{source}' has no tensor that means {error}; it is not a whole tokenizer") from None
    except (IndexError, ZeroDivisionError):
        raise InputError(f"'{source}' has convolutions without axes; it is damaged") from None


def reshaped(name: str, tensor: np.ndarray) -> np.ndarray:
    """Kernels of one frame and the matrices of adaptive norms become 1x1 kernels."""
    if name.endswith((".gamma.weight", ".beta.weight")) and tensor.ndim == 2:
        return tensor[:, :, None, None]
    if tensor.ndim == 5 and tensor.shape[2:] == (1, 1, 1):
        return tensor[:, :, 0]
    return tensor
