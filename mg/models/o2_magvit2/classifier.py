"""How different frames look to a classifier of images, by what it says of them: the original's perceptual loss."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.errors import InputError
from mg.models import weights
from mg.models.layers.folds import frames_first, to_frames
from mg.models.lpips.network import IMAGENET_SCALE, IMAGENET_SHIFT
from mg.models.names import find_file

SIDE = 224  # pixels: of what classifiers were trained on


class LogitsDistance(nn.Cell):
    """(clip, reconstruction) -> mean squared difference of a classifier's logits of their frames, an fp32 scalar.

    Both (B, 3, T, H, W) in [-1, 1]. Frames are resized to 224 x 224 and normalised as the classifier was trained; the
    original leaves the latter out. The classifier is frozen and in inference form.
    network: mindcv's name of it. path: its weights. dtype: of its convolutions.
    Raises InputError for a name that mindcv does not know, and weights that are missing or another network's.
    """

    def __init__(self, network: str, path: str | None, dtype: mstype):
        super().__init__()
        if path is None:
            raise InputError(
                "logits_weight is above 0, but there is no classifier; give logits_ckpt, its weights, and "
                "logits_network, mindcv's name of it; or set perceptual_weight and lpips_weights instead"
            )
        self.network = _classifier(network, path, dtype)
        self.resize = Resize()
        self.shift = Tensor(IMAGENET_SHIFT, mstype.float32).reshape(1, 3, 1, 1)
        self.scale = Tensor(IMAGENET_SCALE, mstype.float32).reshape(1, 3, 1, 1)

    def construct(self, clip: Tensor, recon: Tensor) -> Tensor:
        difference = self.logits(recon) - self.logits(clip)
        return (difference * difference).mean()

    def logits(self, clip: Tensor) -> Tensor:
        """(B*T, classes) fp32."""
        frames = self.resize(to_frames(frames_first(clip.astype(mstype.float32))))
        return self.network((frames - self.shift) / self.scale).astype(mstype.float32)


class Resize(nn.Cell):
    """(N, 3, H, W) -> (N, 3, 224, 224), bilinear; what is made smaller is averaged, so that it has no aliases."""

    def __init__(self):
        super().__init__()
        self.over_width, self.over_height = ops.MatMul(transpose_b=True), ops.BatchMatMul()

    def construct(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        x = self.over_width(x.reshape(-1, width), _weights(width)).reshape(-1, height, SIDE)
        taps = ops.broadcast_to(_weights(height), (count * channels, SIDE, height))
        return self.over_height(taps, x).reshape(count, channels, SIDE, SIDE)


@ops.constexpr
def _weights(length: int) -> Tensor:
    """What each of 224 samples takes of `length` ones, (224, length) fp32: triangles as wide as the larger step."""
    step = length / SIDE
    distances = np.arange(length) + 0.5 - (np.arange(SIDE)[:, None] + 0.5) * step
    weights = np.maximum(0, 1 - np.abs(distances) / max(step, 1))
    return Tensor((weights / weights.sum(1, keepdims=True)).astype(np.float32))


def _classifier(name: str, path: str, dtype: mstype) -> nn.Cell:
    import mindcv  # takes seconds, and nothing else needs it
    from mindspore import amp

    try:
        network = mindcv.create_model(name)
    except RuntimeError:
        raise InputError(f"logits_network={name} is no network of mindcv; mindcv.list_models() names them") from None
    file = weights.TensorFile(find_file(path))
    places = {parameter.name: place for place, parameter in weights.named_parameters(network).items()}
    weights.assign(network, places.values(), {places.get(name, name): file[name] for name in file}, file.path)
    for parameter in network.get_parameters():
        parameter.requires_grad = False
    network.set_train(False)
    return network if dtype == mstype.float32 else amp.auto_mixed_precision(network, "O2", dtype)
