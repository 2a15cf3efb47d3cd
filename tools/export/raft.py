"""Export torchvision's RAFT to ONNX: two frames (1, 3, h, w) in [-1, 1] -> optical flow (1, 2, h, w) in pixels."""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import torch_to_onnx
from torch_to_onnx import OPSET, TOLERANCE, onnx, torch

from mg import cli
from mg.errors import InputError
from mg.files import sha256, whole_file
from mg.locks import hold_file
from mg.metrics.flow import OnnxFlow

try:
    from torchvision.models import optical_flow
except ImportError as missing:
    sys.stderr.write(f"error: RAFT's exporter needs torchvision ({missing}); pip install torchvision\n")
    sys.exit(2)

MULTIPLE, LEAST = 8, 128  # of RAFT's input


class Flow(torch.nn.Module):
    """The last of RAFT's successive estimates."""

    def __init__(self, raft: torch.nn.Module, updates: int):
        super().__init__()
        self.raft, self.updates = raft, updates

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return self.raft(first, second, num_flow_updates=self.updates)[-1]


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", help="torchvision's raft_large_C_T_SKHT_V2-ff5fadd5.pth, or another of its RAFTs")
    source.add_argument("--random_seed", type=int, help="random weights instead, for tests: figures mean nothing")
    parser.add_argument("--model", choices=("large", "small"), default="large", help="(default: %(default)s)")
    parser.add_argument("--height", type=int, default=256, help="rows of the network's input (default: %(default)s)")
    parser.add_argument("--width", type=int, default=256, help="columns of it (default: %(default)s)")
    parser.add_argument("--updates", type=int, default=12, help="RAFT's iterations (default: %(default)s)")
    parser.add_argument("--target", required=True, help="the .onnx file to write")
    parser.add_argument("--check", help="an .npz to write: two random frames and PyTorch's flow between them")
    args = parser.parse_args()
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    for name in ("height", "width"):
        size = getattr(args, name)
        if size < LEAST or size % MULTIPLE:
            raise InputError(f"{name}={size} must be a multiple of {MULTIPLE} and at least {LEAST}: RAFT needs it")
    if args.updates < 1:
        raise InputError(f"updates={args.updates} must be at least 1")
    if Path(args.target).suffix != ".onnx":
        raise InputError(f"target '{args.target}' must end in .onnx")
    if args.check is not None and Path(args.check).suffix != ".npz":
        raise InputError(f"check '{args.check}' must end in .npz")


def build(args: argparse.Namespace) -> torch.nn.Module:
    torch.manual_seed(args.random_seed or 0)
    raft = getattr(optical_flow, f"raft_{args.model}")(weights=None)  # its own random start keeps flows finite
    if args.weights is not None:
        torch_to_onnx.fill(raft, args)
    return Flow(raft, args.updates).eval().requires_grad_(False)


def export(
    network: torch.nn.Module, frames: tuple[torch.Tensor, ...], flow: np.ndarray, about: dict[str, str], target: str
) -> None:
    """Write `network` and, as the file's metadata, `about`: whole, and only if onnxruntime gets PyTorch's flow."""
    names = {"input_names": ["first", "second"], "output_names": ["flow"]}
    with whole_file(target) as part:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch would rather have its other exporter, which needs more packages
            torch.onnx.export(network, frames, str(part), opset_version=OPSET, dynamo=False, **names)
        model = onnx.load(str(part))
        onnx.helper.set_model_props(model, about)
        onnx.save(model, str(part))
        compare(flow, OnnxFlow(part).network(*(frame.numpy() for frame in frames)))


def compare(expected: np.ndarray, found: np.ndarray) -> None:
    difference, longest = float(abs(found - expected).max()), float(abs(expected).max())
    if not difference <= TOLERANCE * max(1.0, longest):
        raise InputError(
            f"the exported flow is off by {difference:.1e} pixels at lengths up to {longest:.1e}; "
            "check the weights, or take other versions of torch and onnxruntime"
        )
    print(f"checked  within {difference:.1e} pixels of PyTorch's flow, at lengths up to {longest:.1f}")


def main() -> None:
    args = parse_args()
    network = build(args)
    random = torch.Generator().manual_seed(0)
    frames = tuple(torch.rand((1, 3, args.height, args.width), generator=random) * 2 - 1 for _ in range(2))
    flow = network(*frames).numpy()
    about = {"model": f"torchvision raft_{args.model}, {args.updates} updates", **torch_to_onnx.origin(args)}
    with hold_file(args.target):
        export(network, frames, flow, {**about, "torch": torch.__version__}, args.target)
    if args.check is not None:
        with whole_file(args.check) as part:
            np.savez(part, first=frames[0], second=frames[1], flow=flow)
    print(f"target   {args.target}: {args.width}x{args.height}, {', '.join(f'{k} {v}' for k, v in about.items())}")
    print(f"sha256   {sha256(args.target)}")


if __name__ == "__main__":
    cli.run_script(main)
