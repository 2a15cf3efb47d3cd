"""Export the I3D (RGB, Kinetics-400) that FVD is defined by to ONNX: (n, 3, 16, 224, 224) in [-1, 1] -> (n, 400)."""

from __future__ import annotations

import warnings
import zipfile
from collections import OrderedDict

import torch_to_onnx
from torch_to_onnx import torch

from mg import cli
from mg.errors import InputError
from mg.files import require_file

# Channels: 1x1; 1x1, 3x3; 1x1, 3x3; 1x1 after pooling.
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class Pad(torch.nn.ConstantPad3d):
    """TensorFlow's SAME padding with zeros, for sizes that the stride divides: the odd one goes to the end."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
        sides = []
        for size, step in zip(reversed(kernel), reversed(stride)):
            total = max(size - step, 0)
            sides += [total // 2, total - total // 2]
        super().__init__(tuple(sides), 0.0)


class Unit(torch.nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, into: int, out: int, kernel: int, stride: int = 1):
        super().__init__()
        self.pad = Pad((kernel,) * 3, (stride,) * 3)
        self.conv3d = torch.nn.Conv3d(into, out, kernel, stride, bias=False)
        self.bn = torch.nn.BatchNorm3d(out, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv3d(self.pad(x))))


class Logits(torch.nn.Module):
    """A 1x1 convolution with bias."""

    def __init__(self, into: int, out: int):
        super().__init__()
        self.conv3d = torch.nn.Conv3d(into, out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv3d(x)


class Mixed(torch.nn.Module):
    """Four branches side by side, their channels joined."""

    def __init__(self, into: int, widths: tuple[int, ...]):
        super().__init__()
        self.b0 = Unit(into, widths[0], 1)
        self.b1a, self.b1b = Unit(into, widths[1], 1), Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit(into, widths[3], 1), Unit(widths[3], widths[4], 3)
        self.b3a, self.b3b = pool((3, 3, 3), (1, 1, 1)), Unit(into, widths[5], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class Detector(torch.nn.Module):
    """The published TorchScript module, told to give logits and to leave size and range of pixels alone."""

    def __init__(self, module: torch.jit.ScriptModule):
        super().__init__()
        self.module = module

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.module(pixels, rescale=False, resize=False, return_features=True)


def pool(kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> torch.nn.Sequential:
    """Largest of what is never negative, so that zeros do for padding."""
    return torch.nn.Sequential(Pad(kernel, stride), torch.nn.MaxPool3d(kernel, stride))


def i3d() -> torch.nn.Sequential:
    """Carreira and Zisserman (arXiv 1705.07750), up to the logits. Names are those of piergiaj's rgb_imagenet.pt.

    Of 16 frames 8, 4 and 2 are left, and the last pooling leaves one: the logits are those of the whole window.
    """
    layers = [
        ("Conv3d_1a_7x7", Unit(3, 64, 7, 2)),
        ("MaxPool3d_2a_3x3", pool((1, 3, 3), (1, 2, 2))),
        ("Conv3d_2b_1x1", Unit(64, 64, 1)),
        ("Conv3d_2c_3x3", Unit(64, 192, 3)),
        ("MaxPool3d_3a_3x3", pool((1, 3, 3), (1, 2, 2))),
    ]
    channels = 192
    for name, widths in MIXED.items():
        if name == "Mixed_4b":
            layers.append(("MaxPool3d_4a_3x3", pool((3, 3, 3), (2, 2, 2))))
        if name == "Mixed_5b":
            layers.append(("MaxPool3d_5a_2x2", pool((2, 2, 2), (2, 2, 2))))
        layers.append((name, Mixed(channels, widths)))
        channels = sum(widths[k] for k in (0, 2, 4, 5))
    layers += [
        ("avg_pool", torch.nn.AvgPool3d((2, 7, 7), 1)),
        ("logits", Logits(channels, 400)),
        ("flatten", torch.nn.Flatten()),
    ]
    return torch.nn.Sequential(OrderedDict(layers))


def is_torchscript(path: str) -> bool:
    """Whether the file holds code beside its tensors."""
    require_file(path, "a file of PyTorch weights")
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return any("/code/" in name for name in file.namelist())


def load_detector(path: str) -> torch.jit.ScriptModule:
    """The detector, with its choices frozen in.

    Raises InputError where it does not take a window, or gives something else than 400 logits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated, but published
            detector = torch.jit.script(Detector(torch.jit.load(path, map_location="cpu")).eval())
            detector = torch.jit.freeze(detector, optimize_numerics=False)
        shape = tuple(detector(torch.zeros(1, 3, 16, 224, 224)).shape)
    except Exception as error:  # of PyTorch, by what the file is
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"'{path}' does not run as i3d_torchscript.pt does ({reason}); download it again") from None
    if shape != (1, 400):
        raise InputError(f"'{path}' gives {shape} for a window, but FVD needs (1, 400); give i3d_torchscript.pt")
    return detector


def main() -> None:
    weights = "StyleGAN-V's i3d_torchscript.pt; or a state dict: piergiaj's rgb_imagenet.pt, i3d_pretrained_400.pt"
    args = torch_to_onnx.parse_args(__doc__, weights, batch=1)
    if args.weights is not None and is_torchscript(args.weights):
        network, variant = load_detector(args.weights), "I3D RGB, Kinetics-400, logits; TorchScript"
    else:
        network, variant = torch_to_onnx.fill(i3d(), args), "I3D RGB, Kinetics-400, logits; state dict"
    about = {"variant": variant, **torch_to_onnx.origin(args)}
    torch_to_onnx.export(network, (args.batch_size, 3, 16, 224, 224), about, args.target)


if __name__ == "__main__":
    cli.run_script(main)
