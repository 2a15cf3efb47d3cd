"""Optical flow by a network from an ONNX file that the user brings."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mg.io.pixels import to_clip
from mg.metrics.onnx import Network

_REMEDY = (
    "make one with 'python tools/export/raft.py --weights raft_large_C_T_SKHT_V2-ff5fadd5.pth --target raft.onnx' "
    "and give it as --flow_onnx (docs/metrics.md), or leave flolpips out"
)


class OnnxFlow:
    """Flow from one frame to another: two (H, W, 3) uint8 -> (H, W, 2) fp32, x and y, in pixels.

    path: a network of two inputs (1, 3, h, w) in [-1, 1] and one output (1, 2, h, w) in its own pixels. Frames of
    another size are resized to the network's, and the flow back, with its lengths. A file that leaves h and w free gets
    the frames as they are. Raises InputError for a missing file or another network.
    """

    def __init__(self, path: Path | str | None):
        frame = (1, 3, None, None)
        self.network = Network(path, "optical flow", _REMEDY, [frame, frame], (1, 2, None, None))
        height, width = self.network.inputs[0][2:]
        self.size = None if height is None or width is None else (height, width)
        at = "the frames' size" if self.size is None else f"{width}x{height}"
        self.about = {f"flow_{key}": value for key, value in {"size": at, **self.network.about}.items()}

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        size = self.size or first.shape[:2]
        flow = self.network(*(to_clip(resize(frame, size)[None]).transpose(1, 0, 2, 3) for frame in (first, second)))
        return resize_flow(flow[0].transpose(1, 2, 0), first.shape[:2])


def resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) -> (*size, C): bilinear, or the mean over areas where that makes it smaller."""
    if frame.shape[:2] == size:
        return frame
    smaller = size[0] <= frame.shape[0] and size[1] <= frame.shape[1]
    return cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def resize_flow(flow: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A flow (h, w, 2) in its own pixels -> (H, W, 2) in pixels of `size` (H, W)."""
    scale = np.array([size[1] / flow.shape[1], size[0] / flow.shape[0]], np.float32)
    return resize(np.ascontiguousarray(flow), size) * scale
