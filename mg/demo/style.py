"""Words, colours and layout of the page."""

from __future__ import annotations

from html import escape

import numpy as np

from mg.demo.explain import Explanation
from mg.demo.limits import Limits
from mg.io import image, video
from mg.models.autoencoder import Autoencoder

INTRODUCTION = """
<div class="introduction">
  <h1>What an autoencoder keeps</h1>
  <p>The encoder turns every block of {block} into a handful of numbers, the <b>latents</b>; the decoder makes pictures
  of them again. Diffusion models paint in these latents: what is lost here, they can never show. Give it a clip or an
  image, and see what comes back.</p>
  <p class="about">At work: {weights}, of the family {family}. It takes videos ({videos}) and images ({images}) of up to
  {megabytes} MB, the first {frames} frames, in up to {side} pixels a side.</p>
</div>
"""

WAITING = """
<div class="waiting"><p>Upload a clip or an image, or take the sample clip, and press <b>Run</b>.</p>
<p>The first run of a size compiles the networks for it, which takes half a minute or so.</p></div>
"""

CSS = """
.gradio-container { width: 100% !important; max-width: 1500px !important; margin: 0 auto !important; }
.gradio-container:has(.waiting) .later { display: none; }
.html-container { padding: 0 !important; }
.introduction h1 { font-size: 1.7rem; font-weight: 700; letter-spacing: -0.02em; margin: 0.2rem 0 0.4rem; }
.introduction p { max-width: 62rem; color: var(--body-text-color-subdued); line-height: 1.5; margin: 0; }
.introduction .about { font-size: 0.85rem; margin-top: 0.5rem; }
.waiting { border: 1px dashed var(--border-color-primary); border-radius: 12px; padding: 3.5rem 1.5rem;
  text-align: center; color: var(--body-text-color-subdued); }
.waiting p { margin: 0.2rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(126px, 1fr)); gap: 10px; }
.card { background: var(--block-background-fill); border: 1px solid var(--border-color-primary); border-radius: 12px;
  padding: 10px 14px; }
.card.latents { grid-column: span 2; }
.card .name { font-size: 0.75rem; color: var(--body-text-color-subdued); }
.card .value { font-size: 1.2rem; font-weight: 700; letter-spacing: -0.02em; white-space: nowrap; }
.card .more { font-size: 0.75rem; color: var(--body-text-color-subdued); }
.notes { margin: 10px 2px 0; font-size: 0.85rem; color: var(--body-text-color-subdued); }
.controls { position: sticky; top: 12px; }
@media (max-width: 760px) { .controls { position: static; } .introduction h1 { font-size: 1.35rem; } }
"""

# The three players start, stop and move as one.
KEEP_TOGETHER = """
() => {
  const others = (one) => [...document.querySelectorAll(".together video")].filter((video) => video !== one);
  const follow = (event, act) => document.addEventListener(event, ({ target }) => {
    if (target.closest && target.closest(".together")) others(target).forEach((video) => act(video, target));
  }, true);
  const meet = (video, target) => {
    if (Math.abs(video.currentTime - target.currentTime) > 0.02) video.currentTime = target.currentTime;
  };
  follow("play", (video, target) => { if (video.paused) { meet(video, target); video.play(); } });
  follow("pause", (video, target) => { if (!target.ended && !video.paused) { video.pause(); meet(video, target); } });
  follow("seeked", meet);
}
"""


def introduction(model: Autoencoder, limits: Limits) -> str:
    """What the page is about: blocks that become one latent, the model at work, and what may be uploaded."""
    frames, side = model.time_compression, model.space_compression
    pixels = f"{side} &times; {side} pixels"
    weights = "random weights" if model.weights_path is None else f"<b>{escape(model.weights_path.name)}</b>"
    return INTRODUCTION.format(
        block=pixels if frames == 1 else f"{frames} frames of {pixels}",
        weights=weights,
        family=escape(model.family),
        videos=" ".join(suffix.removeprefix(".") for suffix in video.SUFFIXES),
        images=" ".join(suffix.removeprefix(".") for suffix in image.SUFFIXES),
        megabytes=limits.max_megabytes,
        frames=limits.max_frames,
        side=limits.max_side,
    )


def cards(told: Explanation) -> str:
    """The figures that matter most, and what was done to the upload, as HTML."""
    z, t, h, w = told.latent_shape
    frames = "an image" if told.fps is None else f"{told.frames} frames, {float(told.fps):.4g} fps"
    shown = (
        ("PSNR", f"{np.mean(told.psnr):.2f} dB", _spread(told.psnr, 2)),
        ("SSIM", f"{np.mean(told.ssim):.4f}", _spread(told.ssim, 3)),
        ("Size", f"{told.size[1]} &times; {told.size[0]}", frames),
        ("Latents", f"{z} &times; {t} &times; {h} &times; {w}", "channels, frames, rows, columns"),
        ("Compression", f"{told.compression:.4g} : 1", "numbers in for one kept"),
    )
    html = "".join(
        f'<div class="card {name.lower()}"><div class="name">{name}</div><div class="value">{value}</div>'
        f'<div class="more">{more}</div></div>'
        for name, value, more in shown
    )
    notes = " ".join(map(escape, told.notes))
    return f'<div class="cards">{html}</div>' + (f'<p class="notes">{notes}</p>' if notes else "")


def figures(told: Explanation) -> dict[str, object]:
    """All figures, for JSON."""
    return {
        "psnr": round(float(np.mean(told.psnr)), 4),
        "ssim": round(float(np.mean(told.ssim)), 6),
        "frames": told.frames,
        "width": told.size[1],
        "height": told.size[0],
        "fps": None if told.fps is None else str(told.fps),
        "latent_shape": list(told.latent_shape),
        "compression": round(told.compression, 2),
        "notes": told.notes,
        "psnr_by_frame": [round(value, 4) for value in told.psnr],
        "ssim_by_frame": [round(value, 6) for value in told.ssim],
    }


def _spread(values: list[float], digits: int) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}" if len(values) > 1 else "of one frame"
