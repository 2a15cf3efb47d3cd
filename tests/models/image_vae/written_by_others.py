"""Image VAEs as other programs write them: our names turned into theirs, the other way round from the rules."""

import json

import numpy as np
from safetensors.numpy import save_file

_DIFFUSERS = (
    ("encoder.levels.", "encoder.down_blocks."),
    ("decoder.levels.", "decoder.up_blocks."),
    (".blocks.", ".resnets."),
    ("spatial_downsample.conv", "downsamplers.0.conv"),
    ("spatial_upsample.conv", "upsamplers.0.conv"),
    ("middle.block1", "mid_block.resnets.0"),
    ("middle.block2", "mid_block.resnets.1"),
    ("middle.spatial_attention.norm", "mid_block.attentions.0.group_norm"),
    ("middle.spatial_attention", "mid_block.attentions.0"),
    ("norm_out", "conv_norm_out"),
    (".shortcut.", ".conv_shortcut."),
    ("encoder.quant_conv", "quant_conv"),
    ("decoder.post_quant_conv", "post_quant_conv"),
)
_NEW_ATTENTION = ((".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".projection.", ".to_out.0."))
_OLD_ATTENTION = ((".projection.", ".proj_attn."),)
_LDM = (
    ("encoder.levels.", "encoder.down."),
    ("decoder.levels.0.", "decoder.up.1."),  # of a VAE of two levels
    ("decoder.levels.1.", "decoder.up.0."),
    (".blocks.", ".block."),
    ("spatial_downsample.conv", "downsample.conv"),
    ("spatial_upsample.conv", "upsample.conv"),
    ("middle.block1", "mid.block_1"),
    ("middle.block2", "mid.block_2"),
    ("middle.spatial_attention", "mid.attn_1"),
    (".query.", ".q."),
    (".key.", ".k."),
    (".value.", ".v."),
    (".projection.", ".proj_out."),
    (".shortcut.", ".nin_shortcut."),
    ("encoder.quant_conv", "quant_conv"),
    ("decoder.post_quant_conv", "post_quant_conv"),
)
DIALECTS = {"diffusers": _DIFFUSERS + _NEW_ATTENTION, "old diffusers": _DIFFUSERS + _OLD_ATTENTION, "ldm": _LDM}


def tensors_of(model, dialect):
    """{their name: array}; the original code's attention is made of 1x1 convolutions."""
    tensors = {}
    for parameter in model.get_parameters():
        name, value = parameter.name, parameter.asnumpy()
        if dialect == "ldm" and "attention" in name and value.ndim == 2:
            value = value[:, :, None, None]
        for ours, theirs in DIALECTS[dialect]:
            name = name.replace(ours, theirs)
        tensors[name] = value
    return tensors


def write_folder(folder, tensors, config=None):
    """A folder as diffusers has it, with a config.json if one is given; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    save_file(contiguous, str(folder / "diffusion_pytorch_model.safetensors"))
    if config is not None:
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder
