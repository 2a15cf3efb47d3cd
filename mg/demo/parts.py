"""The page's parts: numbers that say how tiles lie, and what shows a result."""

from __future__ import annotations

from typing import Any

import gradio as gr

from mg.demo.explain import Explanation
from mg.demo.style import WAITING, cards, figures
from mg.models.autoencoder import Autoencoder

TILE_FIELDS = ("encode_tile", "encode_overlap", "decode_tile", "decode_overlap", "spatial_tile", "spatial_overlap")
_TILE_LABELS = ("encode: frames", "of which shared", "decode: frames", "of which shared", "side in pixels", "shared")


def tile_row(model: Autoencoder, first: int) -> list[gr.Number]:
    """Two numbers beside each other: fields `first` and the next one."""
    in_space = TILE_FIELDS[first].startswith("spatial")
    step = model.space_compression if in_space else model.time_compression
    settings = {"precision": 0, "min_width": 100, "step": step}
    with gr.Row():
        return [
            gr.Number(getattr(model.default_tiles, TILE_FIELDS[index]), label=_TILE_LABELS[index], **settings)
            for index in (first, first + 1)
        ]


def results() -> list[gr.components.Component]:
    """What `shown` fills, in its order; nothing but the first is to be seen before."""
    summary = gr.HTML(WAITING, elem_id="summary")
    names = ("Original", "Reconstruction", "Difference, 4 times as bright")
    with gr.Row(elem_classes="together"):  # only three of them are to be seen
        videos = [
            gr.Video(label=name, visible=False, autoplay=True, loop=True, interactive=False, min_width=200, buttons=[])
            for name in names
        ]
        images = [
            gr.Image(label=name, visible=False, interactive=False, min_width=200, buttons=["fullscreen"])
            for name in names
        ]
    download = gr.DownloadButton("Download the reconstruction", visible=False, size="sm", elem_id="download")
    curves = gr.Image(show_label=False, visible=False, interactive=False, buttons=[], elem_id="curves")
    latents = gr.Gallery(
        show_label=False,
        visible=False,
        interactive=False,
        preview=True,
        selected_index=0,
        object_fit="contain",
        height=420,
        buttons=["fullscreen"],
        elem_id="latents",
    )
    with gr.Accordion("All figures", open=False, elem_classes="later"):
        numbers = gr.JSON(show_label=False)
    return [summary, *videos, *images, download, curves, latents, numbers]


def shown(told: Explanation) -> tuple[Any, ...]:
    """An explanation as values of the parts that `results` made."""
    moving = told.fps is not None
    clips = list(map(str, told.clips))
    nothing = [gr.update(value=None, visible=False)] * 3
    there = [gr.update(value=clip, visible=True) for clip in clips]
    return (
        cards(told),
        *(there if moving else nothing),
        *(nothing if moving else there),
        gr.update(value=clips[1], visible=True),
        gr.update(value=told.curves and str(told.curves), visible=told.curves is not None),
        gr.update(value=[(str(path), caption) for path, caption in told.latents], visible=True, selected_index=0),
        figures(told),
    )
