"""What the exporters share: published PyTorch weights, or seeded random ones, into one ONNX file."""

import argparse
import logging
import sys
import warnings
from pathlib import Path

from mg import cli
from mg.errors import InputError
from mg.files import require_file, sha256, whole_file
from mg.locks import hold_file

try:
    import onnx
    import onnxruntime
    import torch
except ImportError as missing:
    sys.stderr.write(f"error: exporters need PyTorch 2.5 or later ({missing}); pip install torch onnx onnxruntime\n")
    sys.exit(2)

OPSET = 17
TOLERANCE = 1e-4
log = logging.getLogger(__name__)


def parse_args(description: str, weights: str, batch: int) -> argparse.Namespace:
    """--weights or --random_seed, --target and --batch_size."""
    parser = cli.ArgumentParser(description=description)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", help=weights)
    source.add_argument("--random_seed", type=int, help="random weights instead, for tests: figures mean nothing")
    parser.add_argument("--target", required=True, help="the .onnx file to write")
    parser.add_argument("--batch_size", type=int, default=batch, help="inputs per run (default: %(default)s)")
    args = parser.parse_args()
    if args.batch_size < 1:
        raise InputError(f"batch_size={args.batch_size} must be at least 1")
    if Path(args.target).suffix != ".onnx":
        raise InputError(f"target '{args.target}' must end in .onnx")
    return args


def origin(args: argparse.Namespace) -> dict[str, str]:
    """What the file shall say of its weights."""
    if args.weights is None:
        return {"weights": f"random, seed {args.random_seed}"}
    return {"weights": Path(args.weights).name, "weights_sha256": sha256(args.weights)}


def fill(network: torch.nn.Module, args: argparse.Namespace, unused: tuple[str, ...] = ()) -> torch.nn.Module:
    """Give `network` the weights asked for, in inference mode. Tensors whose names start with `unused` are left out."""
    if args.weights is None:
        randomise(network, args.random_seed)
    else:
        state = {name: value for name, value in read(args.weights).items() if not name.startswith(unused)}
        _check_names(network, state, args.weights)
        network.load_state_dict(state, strict=False)
    return network.eval().requires_grad_(False)


def read(path: str) -> dict[str, torch.Tensor]:
    """The tensors of a state dict's file."""
    require_file(path, "a file of PyTorch weights")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of pickle, zipfile or PyTorch, by what the file is
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"'{path}' cannot be read as PyTorch weights ({reason}); download it again") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"'{path}' holds no state dict; give the published file")
    return state


def randomise(network: torch.nn.Module, seed: int) -> None:
    """Weights that depend on `seed` alone and keep the size of activations from layer to layer."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.ndim > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("bn.weight", "running_var")):
            value.uniform_(0.8, 1.2, generator=generator)
        elif value.is_floating_point():
            value.normal_(0, 0.1, generator=generator)


def export(network: torch.nn.Module, shape: tuple[int, ...], about: dict[str, str], target: str) -> None:
    """Write `network`, from pixels of `shape` to features, and `about` as the file's metadata; whole or not at all.

    The written file is run by onnxruntime and must give PyTorch's features.
    """
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    names = {"input_names": ["pixels"], "output_names": ["features"]}
    with hold_file(target), whole_file(target) as part:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # PyTorch would rather have its other exporter, which needs more packages
            torch.onnx.export(network, (pixels,), str(part), opset_version=OPSET, dynamo=False, **names)
        model = onnx.load(str(part))
        onnx.helper.set_model_props(model, {**about, "torch": torch.__version__})
        onnx.save(model, str(part))
        difference = _compare(network, pixels, part)
    print(f"target   {target}: {', '.join(f'{key} {value}' for key, value in about.items())}")
    print(f"checked  largest difference from PyTorch {difference:.1e} of the largest feature")
    print(f"sha256   {sha256(target)}")


def _compare(network: torch.nn.Module, pixels: torch.Tensor, path: Path) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pixels": pixels.numpy()})
    with torch.no_grad():
        expected = network(pixels).numpy()
    difference = float(abs(found - expected).max() / abs(expected).max())
    if not difference < TOLERANCE:
        raise InputError(
            f"the exported network is off by {difference:.1e} of the largest feature, more than {TOLERANCE}; "
            "check the weights, or take other versions of torch and onnxruntime"
        )
    return difference


def _check_names(network: torch.nn.Module, state: dict[str, torch.Tensor], path: str) -> None:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    wanted = {name: shape for name, shape in wanted.items() if not name.endswith("num_batches_tracked")}
    found = {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    faults = {
        "missing": [name for name in wanted if name not in found],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": [name for name in found if name in wanted and found[name] != wanted[name]],
    }
    text = "; ".join(f"{len(names)} {kind} ({', '.join(names[:5])})" for kind, names in faults.items() if names)
    if text:
        raise InputError(f"'{path}' does not fit the network: {text}; give the published file")
