"""Export the InceptionV3 that FID is defined by to ONNX: (n, 3, 299, 299) in [-1, 1] -> (n, 2048)."""

from __future__ import annotations

from collections import OrderedDict

import torch_to_onnx
from torch_to_onnx import torch

from mg import cli

PUBLISHED = "pt_inception-2015-12-05-6726825d.pth"
POOL = "pool"
Step = tuple  # name, channels, kernel, and the stride 2 of a step that shrinks


class Unit(torch.nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, into: int, out: int, kernel: int | tuple[int, int], stride: int = 1, padding="same"):
        super().__init__()
        self.conv = torch.nn.Conv2d(into, out, kernel, stride, padding, bias=False)
        self.bn = torch.nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Mixed(torch.nn.Module):
    """Branches side by side, their channels joined. A branch is a chain of steps; a list in it forks into its steps."""

    def __init__(self, into: int, branches: list[list[Step | str | list[Step]]], pool: torch.nn.Module):
        super().__init__()
        self.pool, self.branches = pool, branches
        for branch in branches:
            channels = into
            for step in branch:
                if step != POOL:
                    forks = step if isinstance(step, list) else [step]
                    channels = sum(self._add(channels, *fork) for fork in forks)

    def _add(self, into: int, name: str, out: int, kernel: int | tuple[int, int], stride: int = 1) -> int:
        self.add_module(name, Unit(into, out, kernel, stride, "same" if stride == 1 else 0))
        return out

    def _run(self, step: Step | str | list[Step], x: torch.Tensor) -> torch.Tensor:
        if isinstance(step, list):
            return torch.cat([self._run(fork, x) for fork in step], 1)
        return getattr(self, step if step == POOL else step[0])(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        results = []
        for branch in self.branches:
            result = x
            for step in branch:
                result = self._run(step, result)
            results.append(result)
        return torch.cat(results, 1)


def average() -> torch.nn.Module:
    """Of TensorFlow: the padding is not counted."""
    return torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def shrink() -> torch.nn.Module:
    return torch.nn.MaxPool2d(3, 2)


def mixed_35(into: int, pooled: int) -> Mixed:
    """At 35x35."""
    branches = [
        [("branch1x1", 64, 1)],
        [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
        [POOL, ("branch_pool", pooled, 1)],
    ]
    return Mixed(into, branches, average())


def mixed_35_to_17(into: int) -> Mixed:
    branches = [
        [("branch3x3", 384, 3, 2)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2)],
        [POOL],
    ]
    return Mixed(into, branches, shrink())


def mixed_17(inner: int) -> Mixed:
    """At 17x17."""
    row, column = (1, 7), (7, 1)
    double = [(f"branch7x7dbl_{n}", inner, kernel) for n, kernel in enumerate((1, column, row, column), 1)]
    branches = [
        [("branch1x1", 192, 1)],
        [("branch7x7_1", inner, 1), ("branch7x7_2", inner, row), ("branch7x7_3", 192, column)],
        [*double, ("branch7x7dbl_5", 192, row)],
        [POOL, ("branch_pool", 192, 1)],
    ]
    return Mixed(768, branches, average())


def mixed_17_to_8() -> Mixed:
    wide = [("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1))]
    branches = [[("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)], [*wide, ("branch7x7x3_4", 192, 3, 2)], [POOL]]
    return Mixed(768, branches, shrink())


def mixed_8(into: int, pool: torch.nn.Module) -> Mixed:
    """At 8x8."""

    def fork(name: str) -> list[Step]:
        return [(f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1))]

    branches = [
        [("branch1x1", 320, 1)],
        [("branch3x3_1", 384, 1), fork("branch3x3_2")],
        [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), fork("branch3x3dbl_3")],
        [POOL, ("branch_pool", 192, 1)],
    ]
    return Mixed(into, branches, pool)


def inception() -> torch.nn.Sequential:
    """Szegedy et al. (arXiv 1512.00567), as TensorFlow's network of 2015-12-05 has it, up to the last average pooling.

    Two things differ from the paper and from torchvision's: average pooling does not count its padding, and the last
    block pools by maximum. Names are those of the published PyTorch file.
    """
    layers = [
        ("Conv2d_1a_3x3", Unit(3, 32, 3, 2, 0)),
        ("Conv2d_2a_3x3", Unit(32, 32, 3, 1, 0)),
        ("Conv2d_2b_3x3", Unit(32, 64, 3)),
        ("MaxPool_1", shrink()),
        ("Conv2d_3b_1x1", Unit(64, 80, 1)),
        ("Conv2d_4a_3x3", Unit(80, 192, 3, 1, 0)),
        ("MaxPool_2", shrink()),
        ("Mixed_5b", mixed_35(192, 32)),
        ("Mixed_5c", mixed_35(256, 64)),
        ("Mixed_5d", mixed_35(288, 64)),
        ("Mixed_6a", mixed_35_to_17(288)),
        *[(f"Mixed_6{letter}", mixed_17(inner)) for letter, inner in zip("bcde", (128, 160, 160, 192))],
        ("Mixed_7a", mixed_17_to_8()),
        ("Mixed_7b", mixed_8(1280, average())),
        ("Mixed_7c", mixed_8(2048, torch.nn.MaxPool2d(3, 1, 1))),
        ("AvgPool", torch.nn.AdaptiveAvgPool2d(1)),
        ("Flatten", torch.nn.Flatten()),
    ]
    return torch.nn.Sequential(OrderedDict(layers))


def main() -> None:
    args = torch_to_onnx.parse_args(__doc__, weights=f"pytorch-fid's {PUBLISHED}", batch=8)
    network = torch_to_onnx.fill(inception(), args, unused=("fc.",))
    about = {"variant": "InceptionV3 of TensorFlow's FID, pool3", **torch_to_onnx.origin(args)}
    torch_to_onnx.export(network, (args.batch_size, 3, 299, 299), about, args.target)


if __name__ == "__main__":
    cli.run_script(main)
