"""The web page, in Gradio. Everything it shows comes from `mg.demo.explain`."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from mg.demo.explain import Explanation, explain
from mg.demo.limits import Limits, Request
from mg.demo.one_thread import OneThread
from mg.demo.style import CSS, KEEP_TOGETHER, WAITING, cards, figures, introduction
from mg.errors import InputError
from mg.inference.clips import SAMPLE_CLIP
from mg.models.autoencoder import Autoencoder
from mg.models.session import Session

try:
    import gradio as gr
except ImportError as error:
    raise InputError(
        f"the page needs Gradio 6.31 or a later 6 ({error}); "
        "install it with pip install -e '.[demo]', on Python 3.10 or later"
    ) from None

logger = logging.getLogger(__name__)

SIZES = (64, 128, 256, 512, 768, 1024)
TILE_FIELDS = ("encode_tile", "encode_overlap", "decode_tile", "decode_overlap", "spatial_tile", "spatial_overlap")
_TILE_LABELS = ("encode: frames", "of which shared", "decode: frames", "of which shared", "side in pixels", "shared")
_MOST_WAITING = 16
_KEPT_SECONDS = 3600


def serve(session: Session, limits: Limits, host: str, port: int) -> None:
    """Show the page at host:port until interrupted; the model works in the calling thread.

    All files, of visitors and of results, lie in one temporary folder, which is removed in the end.
    """
    line = OneThread()
    with tempfile.TemporaryDirectory(prefix="mg_demo_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = f"{folder}/gradio"
        os.environ["GRADIO_ANALYTICS_ENABLED"] = os.environ["GRADIO_RUN_HISTORY"] = "False"
        logging.getLogger("httpx").setLevel(logging.WARNING)
        page = build(Desk(session, limits, line, Path(folder)))
        fonts = (gr.themes.utils.fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif")
        try:
            page.launch(
                server_name=host,
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                max_file_size=f"{limits.max_megabytes}mb",
                footer_links=["api"],
                theme=gr.themes.Default(primary_hue="indigo", neutral_hue="slate", radius_size="lg", font=fonts),
                css=CSS,
                js=KEEP_TOGETHER,
            )
        except OSError as error:
            raise InputError(f"cannot listen on {host}:{port} ({error}); choose another --host or --port") from None
        logger.info("the page is at %s", page.local_url)
        try:
            line.work()
        except KeyboardInterrupt:
            logger.info("stopped")
        finally:
            page.close(verbose=False)


@dataclass(frozen=True)
class Desk:
    """Where requests of visitors become work for the thread of the model."""

    session: Session
    limits: Limits
    line: OneThread
    folder: Path

    def run(
        self,
        upload: str | None,
        size: int,
        num_frames: int,
        latents: str,
        use_tile: bool,
        *sizes: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008, this is how Gradio hands it over
    ) -> Iterator[tuple]:
        """What is to be shown, once, in the order of the page's outputs; files live until Gradio has copied them."""
        with _told_on_the_page(upload), tempfile.TemporaryDirectory(dir=self.folder) as results:
            if upload is None:
                raise InputError("there is nothing to work on yet: upload a clip or an image, or take the sample clip")
            tiles = self.session.model.default_tiles.but(**dict(zip(TILE_FIELDS, sizes)))
            request = Request(Path(upload), num_frames, size or None, latents == "sample", tiles, use_tile)
            report = partial(_report, copy_context(), progress)
            progress(0, desc="waiting for the model")
            yield _shown(self.line.do(partial(explain, self.session, request, self.limits, Path(results), report)))

    def sample_clip(self) -> str:
        """The clip that ships with the package, as a file that Gradio may hand out."""
        path = self.folder / SAMPLE_CLIP.name
        with _told_on_the_page(None):
            if not path.exists():
                shutil.copy(SAMPLE_CLIP, path)
        return str(path)


def build(desk: Desk) -> gr.Blocks:
    """The page's parts, from top to bottom."""
    limits, model = desk.limits, desk.session.model
    with gr.Blocks(title="Autoencoder", analytics_enabled=False, delete_cache=(600, _KEPT_SECONDS)) as page:
        gr.HTML(introduction(model.time_compression, model.space_compression))
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=290, elem_classes="controls"):
                upload = gr.File(label="A clip or an image", height=150, elem_id="upload")
                sample_clip = gr.Button("Take the sample clip", size="sm", elem_id="sample_clip")
                choices = [("as it is", 0), *((f"{side} x {side}", side) for side in SIZES if side <= limits.max_side)]
                info = "scaled to cover it, centre cut out"
                size = gr.Dropdown(choices, value=0, label="Size", info=info, elem_id="size")
                most = limits.max_frames
                num_frames = gr.Slider(1, most, min(32, most), step=1, label="Frames, from the start", elem_id="frames")
                kind_of_latents = [("mean", "mean"), ("a sample", "sample")]
                info = "what is decoded: the posterior's"
                latents = gr.Radio(kind_of_latents, value="mean", label="Latents", info=info)
                info = "without: windows of a few whole frames, worst at their ends; faster where frames are large"
                use_tile = gr.Checkbox(True, label="Compute in tiles", info=info)
                with gr.Accordion("Sizes of tiles", open=False) as tile_sizes:
                    sizes = [_tile_row(model, first) for first in range(0, len(TILE_FIELDS), 2)]
                run = gr.Button("Run", variant="primary", size="lg", elem_id="run")
            with gr.Column(scale=3, min_width=320):
                results = _results()
        inputs = [upload, size, num_frames, latents, use_tile, *(number for pair in sizes for number in pair)]
        sample_clip.click(desk.sample_clip, None, upload, api_name="sample_clip")
        use_tile.change(lambda on: gr.update(visible=on), use_tile, tile_sizes, api_visibility="private")
        run.click(desk.run, inputs, results, api_name="reconstruct", concurrency_limit=1, show_progress_on=results[0])
    return page.queue(max_size=_MOST_WAITING)


def _tile_row(model: Autoencoder, first: int) -> list[gr.Number]:
    in_space = TILE_FIELDS[first].startswith("spatial")
    step = model.space_compression if in_space else model.time_compression
    settings = {"precision": 0, "min_width": 100, "step": step}
    with gr.Row():
        return [
            gr.Number(getattr(model.default_tiles, TILE_FIELDS[index]), label=_TILE_LABELS[index], **settings)
            for index in (first, first + 1)
        ]


def _results() -> list[gr.components.Component]:
    """What `_shown` fills, in its order; nothing but the first is to be seen before."""
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


def _shown(told: Explanation) -> tuple[Any, ...]:
    """An explanation as values of the parts that `_results` made."""
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


def _report(context: Any, progress: gr.Progress, share: float, what: str) -> None:
    """Gradio finds out whose progress it is by the context of the thread that it called."""
    context.run(progress, share, desc=what)


@contextmanager
def _told_on_the_page(upload: str | None) -> Iterator[None]:
    """What goes wrong becomes a message for the visitor: InputErrors with their text, others are logged."""
    try:
        yield
    except InputError as error:
        logger.info("refused: %s", error)
        text = str(error).replace(f"{Path(upload).parent}/", "") if upload else str(error)
        raise gr.Error(escape(text, quote=False), print_exception=False, duration=30) from None
    except Exception as error:
        logger.exception("a request failed")
        text = "Something went wrong that is not your fault. The log of this page says what."
        raise gr.Error(text, print_exception=False, duration=30) from error
