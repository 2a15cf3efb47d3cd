"""LPIPS of the frames of a clip.  Zhang et al. (arXiv 1801.03924), version 0.1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from mindspore import Tensor

from mg import files
from mg.errors import InputError
from mg.io.pixels import to_clip
from mg.models.lpips.network import LPIPS as Network

MOST_AT_ONCE = 4
_PIXELS = 256 * 256


class LPIPS:
    """The metric "lpips": a distance for each frame, 0 for equal ones; lower is better. Computed in fp32.

    path: a file of tools/convert_lpips.py, on VGG16 or AlexNet. Raises InputError when it is missing or another file.
    most: frames of up to 256x256 that go through the network at once; fewer of larger ones, which need the memory.
    """

    name = "lpips"

    def __init__(self, path: Path | str | None, most: int = MOST_AT_ONCE):
        self.network, self.most = Network(path), most
        self.about = {"definition": f"LPIPS 0.1 of every frame ({variant(self.network)}), fp32", **about(path)}

    def scorer(self) -> _Scorer:
        return _Scorer(self.network, self.most)


class _Scorer:
    def __init__(self, network: Network, most: int):
        self.network, self.most, self.batches = network, most, None

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        if self.batches is None:
            check_size(self.network, original)
            self.batches = Batches(self.network, frames_at_once(original, self.most))
        self.batches.add(to_image(original), to_image(recon))

    def finish(self) -> np.ndarray:
        return np.zeros(0) if self.batches is None else self.batches.finish()


class Batches:
    """Scores items by a network that takes `count` of them at once; the last batch is filled up with its last item.

    So the network is compiled once for a size of frames. network: of tensors (count, ...) -> (count,).
    """

    def __init__(self, network: Callable[..., Tensor], count: int):
        self.network, self.count = network, count
        self.items, self.scores = [], []

    def add(self, *item: np.ndarray) -> None:
        self.items.append(item)
        if len(self.items) == self.count:
            self._run()

    def finish(self) -> np.ndarray:
        """The scores of all items, (n,) float64."""
        if self.items:
            self._run()
        return np.array(self.scores, np.float64)

    def _run(self):
        filled = self.items + self.items[-1:] * (self.count - len(self.items))
        tensors = [Tensor(np.stack(column)) for column in zip(*filled)]
        self.scores += self.network(*tensors).asnumpy()[: len(self.items)].tolist()
        self.items = []


def variant(network: Network) -> str:
    """The backbone, and whether it is that of published figures."""
    return network.backbone if network.biases else f"{network.backbone} without biases: perceptual, but not LPIPS"


def about(path: Path | str) -> dict[str, str]:
    """What a report says of the weights."""
    return {"weights": Path(path).name, "weights_sha256": files.sha256(path)}


def check_size(network: Network, frame: np.ndarray) -> None:
    """Refuse frames in which the backbone finds no feature."""
    height, width, _ = frame.shape
    least = getattr(network, network.backbone).least_side
    if min(height, width) < least:
        raise InputError(
            f"frames are {width}x{height}, but LPIPS ({network.backbone}) needs {least} pixels in width and height; "
            "compare larger frames or leave out lpips and flolpips"
        )


def frames_at_once(frame: np.ndarray, most: int) -> int:
    """Frames in a batch, by their size: `most` of 256x256, fewer of larger ones."""
    height, width, _ = frame.shape
    return max(1, min(most, most * _PIXELS // (height * width)))


def to_image(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (3, H, W) fp32 in [-1, 1]."""
    return to_clip(frame[None])[:, 0]
