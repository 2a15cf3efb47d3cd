"""The web page, in Gradio. Everything it shows comes from `mg.demo.explain`."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from mg.demo.calls import Calls, Uploads
from mg.demo.door import Door, Hosts
from mg.demo.explain import Explanation, explain
from mg.demo.limits import Address, Limits, Request
from mg.demo.one_thread import Job, OneThread
from mg.demo.style import CSS, KEEP_TOGETHER, introduction
from mg.errors import InputError
from mg.inference.clips import SAMPLE_CLIP
from mg.models.session import Session

try:
    import gradio as gr
    from gradio.context import LocalContext
    from starlette.middleware import Middleware

    from mg.demo.parts import TILE_FIELDS, results, shown, tile_row
except ImportError as error:
    raise InputError(
        f"the page needs Gradio 6.31 or a later 6 ({error}); "
        "install it with pip install -e '.[demo]', on Python 3.10 or later"
    ) from None

logger = logging.getLogger(__name__)

SIZES = (64, 128, 256, 512, 768, 1024)
_KEPT_SECONDS = 3600
_IDLE_S = 0.1


def serve(session: Session, limits: Limits, address: Address, folder: Path) -> None:
    """Show the page until interrupted; the model works in the calling thread.

    All files, of visitors and of results, lie in `folder`, which should be a `private_folder`.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)
    line, uploads = OneThread(), Uploads()
    page = build(Desk(session, limits, line, folder, uploads))
    door = {
        "hosts": Hosts(address.host, address.port, address.allow_host),
        "calls": Calls(page.fns, uploads),
        "folder": folder,
        "max_megabytes": limits.max_megabytes,
    }
    fonts = (gr.themes.utils.fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif")
    try:
        page.launch(
            server_name=address.host,
            server_port=address.port,
            app_kwargs={"middleware": [Middleware(_behind(door))]},
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            max_file_size=f"{limits.max_megabytes}mb",
            theme=gr.themes.Default(primary_hue="indigo", neutral_hue="slate", radius_size="lg", font=fonts),
            css=CSS,
            js=KEEP_TOGETHER,
        )
    except OSError as error:
        raise InputError(
            f"cannot listen on {address.host}:{address.port} ({error}); choose another --host or --port"
        ) from None
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
    uploads: Uploads

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

            def task(job: Job) -> Explanation:
                def watched(share: float, what: str) -> None:
                    job.check()
                    report(share, what)

                return explain(self.session, request, self.limits, Path(results), watched)

            def tell(before: int) -> None:
                report(0.0, f"waiting: {before} before you")

            yield shown(self.line.do(task, Job(*_visitor()), tell))

    def stop(self) -> None:
        """Stop what the visitor has asked for."""
        self.line.stop(_visitor()[1])

    def sample_clip(self) -> str:
        """The clip that ships with the package, as a file that Gradio may hand out."""
        with _told_on_the_page(None):
            path = gr.processing_utils.save_file_to_cache(SAMPLE_CLIP, os.environ["GRADIO_TEMP_DIR"])
            self.uploads.allow(path)
        return path


def _behind(settings: dict[str, Any]) -> Callable[..., Door]:
    """What Starlette makes a middleware of."""
    return lambda app: Door(app, **settings)


def _visitor() -> tuple[str, str]:
    """The address, and the session, of whose request the current thread works on."""
    request = LocalContext.request.get(None)
    client = getattr(request, "client", None)
    return getattr(client, "host", "") or "", getattr(request, "session_hash", None) or ""


def build(desk: Desk) -> gr.Blocks:
    """The page's parts, from top to bottom."""
    limits, model = desk.limits, desk.session.model
    with gr.Blocks(title="Autoencoder", analytics_enabled=False, delete_cache=(600, _KEPT_SECONDS)) as page:
        gr.HTML(introduction(model, limits))
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
                drawn = bool(model.latents.drawn_as)
                latents = gr.Radio(kind_of_latents, value="mean", label="Latents", info=info, visible=drawn)
                info = "without: windows of a few whole frames, worst at their ends; faster where frames are large"
                use_tile = gr.Checkbox(True, label="Compute in tiles", info=info)
                with gr.Accordion("Sizes of tiles", open=False) as tile_sizes:
                    sizes = [tile_row(model, first) for first in range(0, len(TILE_FIELDS), 2)]
                run = gr.Button("Run", variant="primary", size="lg", elem_id="run")
                stop = gr.Button("Stop", size="sm", elem_id="stop")
            with gr.Column(scale=3, min_width=320):
                parts = results()
        inputs = [upload, size, num_frames, latents, use_tile, *(number for pair in sizes for number in pair)]
        sample_clip.click(desk.sample_clip, None, upload, api_name="sample_clip")
        use_tile.change(lambda on: gr.update(visible=on), use_tile, tile_sizes, api_visibility="private")
        run.click(desk.run, inputs, parts, api_name="reconstruct", show_progress_on=parts[0])
        stop.click(desk.stop, None, None, api_name="stop", queue=False)
    page.queue(default_concurrency_limit=None)  # who waits is up to OneThread
    page._queue.sleep_when_free = _IDLE_S  # it looks a thousand times a second otherwise,
    page._queue.progress_update_sleep_when_free = _IDLE_S  # and a hundred times for progress
    return page


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
