"""Features by PyTorch, in a process of its own: the exporters' networks, and each a second time by other code.

    python torch_reference.py inception|i3d FRAMES.npy FOLDER

FRAMES: (T, H, W, 3) uint8. Writes to FOLDER the features of the exporter's network with random weights of seed 0 and
of the second implementation (exporter.npy, second.npy), and the weights as the published files lay them (weights.pth;
of I3D also as TorchScript, script.pt).
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools/export"))
import torch_to_onnx


def sized(frames: np.ndarray, side: int) -> torch.Tensor:
    """As pytorch-fid and VideoGPT's FVD prepare frames: [0, 1], bilinear, [-1, 1]."""
    pixels = torch.from_numpy(frames.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    return 2 * F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False) - 1


def seeded(network: torch.nn.Module) -> torch.nn.Module:
    torch_to_onnx.randomise(network, 0)
    return network.eval()


def torchvision_inception(state: dict) -> torch.nn.Module:
    """torchvision's network, its pooling replaced by TensorFlow's."""
    from torchvision.models import inception as source

    class Functional:
        def __getattr__(self, name):
            return getattr(F, name)

        @staticmethod
        def avg_pool2d(x, kernel_size, stride, padding):
            return F.avg_pool2d(x, kernel_size, stride, padding, count_include_pad=False)

    class LastFunctional(Functional):
        @staticmethod
        def avg_pool2d(x, kernel_size, stride, padding):
            return F.max_pool2d(x, kernel_size, stride, padding)

    network = source.inception_v3(weights=None, aux_logits=False, num_classes=1008, init_weights=False)
    network.load_state_dict(state)
    network.fc = torch.nn.Identity()
    last = network.Mixed_7c.forward

    def forward_last(x):
        source.F = LastFunctional()
        result = last(x)
        source.F = Functional()
        return result

    source.F = Functional()
    network.Mixed_7c.forward = forward_last
    return network.eval()


def inception(frames: np.ndarray, folder: Path) -> None:
    import inception

    network = seeded(inception.inception())
    classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name} | classifier
    torch.save(state, folder / "weights.pth")
    torch.save({**state, "AuxLogits.fc.bias": torch.zeros(1000)}, folder / "torchvision.pth")
    pixels = sized(frames, 299)
    np.save(folder / "exporter.npy", network(pixels).numpy())
    np.save(folder / "second.npy", torchvision_inception(network.state_dict() | classifier)(pixels).numpy())


def same(x: torch.Tensor, kernel: tuple, stride: tuple, value: float = 0) -> torch.Tensor:
    """TensorFlow's SAME padding for any size."""
    sides = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride))):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides, value=value)


def i3d_by_names(state: dict, x: torch.Tensor) -> torch.Tensor:
    """Figure 3 of arXiv 1705.07750, by functions."""

    def unit(name, x, stride=1):
        weight = state[f"{name}.conv3d.weight"]
        x = F.conv3d(same(x, weight.shape[2:], (stride,) * 3), weight, stride=stride)
        parts = (state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *parts, eps=1e-3))

    def pool(x, kernel, stride):
        return F.max_pool3d(same(x, kernel, stride, -torch.inf), kernel, stride)

    def mixed(name, x):
        b1, b2 = (unit(f"{name}.b{n}b", unit(f"{name}.b{n}a", x)) for n in (1, 2))
        return torch.cat([unit(f"{name}.b0", x), b1, b2, unit(f"{name}.b3b", pool(x, (3, 3, 3), (1, 1, 1)))], 1)

    x = pool(unit("Conv3d_1a_7x7", x, 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x)), (1, 3, 3), (1, 2, 2))
    for stage, letters in ((3, "bc"), (4, "bcdef"), (5, "bc")):
        if stage > 3:
            size = (3, 3, 3) if stage == 4 else (2, 2, 2)
            x = pool(x, size, (2, 2, 2))
        for letter in letters:
            x = mixed(f"Mixed_{stage}{letter}", x)
    x = F.avg_pool3d(x, (2, 7, 7), 1)
    return F.conv3d(x, state["logits.conv3d.weight"], state["logits.conv3d.bias"]).mean((2, 3, 4))


class Published(torch.nn.Module):
    """The interface of StyleGAN-V's module."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> torch.Tensor:
        if rescale:
            x = 2 * x / 255 - 1
        if resize:
            x = F.interpolate(x, size=[x.shape[2], 224, 224], mode="trilinear", align_corners=False)
        x = self.network(x)
        return x if return_features else torch.softmax(x, 1)


def i3d(frames: np.ndarray, folder: Path) -> None:
    import i3d

    network = seeded(i3d.i3d())
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    torch.save(state, folder / "weights.pth")
    torch.jit.script(Published(network)).save(str(folder / "script.pt"))
    windows = sized(frames, 224)[: len(frames) // 16 * 16].reshape(-1, 16, 3, 224, 224).transpose(1, 2)
    np.save(folder / "exporter.npy", network(windows).numpy())
    np.save(folder / "second.npy", i3d_by_names(state, windows).numpy())


if __name__ == "__main__":
    with torch.no_grad():
        {"inception": inception, "i3d": i3d}[sys.argv[1]](np.load(sys.argv[2]), Path(sys.argv[3]))
