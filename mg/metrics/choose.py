"""Metrics by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mg.errors import InputError
from mg.metrics.chroma import Chroma, ChromaPeak
from mg.metrics.fid import FID
from mg.metrics.flicker import Flicker
from mg.metrics.flolpips import FloLPIPS
from mg.metrics.flow import OnnxFlow
from mg.metrics.fvd import FVD
from mg.metrics.lpips import LPIPS, MOST_AT_ONCE
from mg.metrics.metric import Metric, PerFrame
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim


@dataclass(frozen=True)
class NetworkFiles:
    """Files of the networks that some metrics need; docs/metrics.md says how to make them."""

    lpips_weights: str | None = None
    flow_onnx: str | None = None
    inception_onnx: str | None = None
    i3d_onnx: str | None = None


_MAKERS = {
    "psnr": lambda files, batch: PerFrame(
        "psnr", psnr, "dB, peak 255, of each frame, then the mean over frames; identical frames count as 100 dB"
    ),
    "ssim": lambda files, batch: PerFrame(
        "ssim", ssim, "Gaussian window 11x11, sigma 1.5, of each frame and channel, then the mean"
    ),
    "lpips": lambda files, batch: LPIPS(files.lpips_weights, batch),
    "flolpips": lambda files, batch: _flolpips(files, batch),
    "fid": lambda files, batch: FID(files.inception_onnx),
    "fvd": lambda files, batch: FVD(files.i3d_onnx),
    "flicker": lambda files, batch: Flicker(),
    "chroma": lambda files, batch: Chroma(),
    "chroma_peak": lambda files, batch: ChromaPeak(),
}
METRICS = tuple(_MAKERS)


def choose_metrics(
    names: Sequence[str], files: NetworkFiles = NetworkFiles(), batch: int = MOST_AT_ONCE
) -> list[Metric]:
    """A metric for each name, in order; networks take `batch` frames at once.

    Raises InputError for an unknown name, and for a file that is missing.
    """
    if batch < 1:
        raise InputError(f"batch_size={batch} must be at least 1")
    unknown = [name for name in names if name not in _MAKERS]
    if unknown or not names:
        raise InputError(f"metric={', '.join(unknown) or 'none'} is unknown; choose from {' '.join(METRICS)}")
    return [_MAKERS[name](files, batch) for name in dict.fromkeys(names)]


def _flolpips(files: NetworkFiles, batch: int) -> FloLPIPS:
    flow = OnnxFlow(files.flow_onnx)
    return FloLPIPS(files.lpips_weights, flow, flow.about, batch)
