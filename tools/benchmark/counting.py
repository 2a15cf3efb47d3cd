"""What a model computes, and what a training step keeps for its backward pass: counted while it runs, for any family.

Nothing is multiplied on the way: in PyNative mode, convolutions, matrix products, norms, SiLU and softmax are replaced
by stand-ins that give zeros of the right shape and say what they would have done. So a model is written once, and a
large one is counted in seconds.

Operations: of convolutions and matrix products, a multiplication and an addition being two; those that add kernels up
before they are used are among them. Norms, activations, biases and softmax are left out.

Bytes kept for the backward pass, for tensors in the compute type unless said otherwise:
  convolution           its input; over time, padded and folded
  matrix product        its left factor, and its right one unless that is a weight
  GroupNorm             the centred values in fp32; per frame, the groups' deviations and, twice, the channels' scales;
                        on a CPU also its scale at full size, in fp32 (mg.models.layers.by_device)
  SiLU                  its input; its output is the next convolution's input
  softmax               its result in fp32, and, unless that is fp32, its cast
A cell that is recomputed keeps its input alone; the largest such cell is there once, while it is computed again. Left
out: losses and their networks, samples of the latents, gradients of activations, scratch of kernels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from mg.models.autoencoder import Autoencoder
from mg.models.layers.attention import Linear
from mg.models.layers.norm import GroupNorm
from mg.models.tiling import stream

_NEIGHBOURS = 4  # a tensor that several matrix products take is found again among so many


@dataclass
class Block:
    """A cell that can be recomputed. kept: its bytes; input_bytes: of its input, which may be among them."""

    level: int
    input: Tensor | None
    input_bytes: int
    kept: int = 0
    keeps_input: bool = False

    @property
    def again(self) -> int:
        """Bytes besides its input while it is computed again."""
        return self.kept - (self.input_bytes if self.keeps_input else 0)


class Counter:
    """Operations, and bytes that are kept, of all that runs in `watching`.

    element: bytes of the compute type; 0 counts operations alone. on_cpu: whether bytes are those on a CPU.
    """

    def __init__(self, element: int = 0, on_cpu: bool = False):
        self.element, self.on_cpu = element, on_cpu
        self.operations = 0
        self.elsewhere = 0  # bytes kept outside of blocks
        self.blocks: list[Block] = []
        self._open: Block | None = None
        self._recent = deque(maxlen=_NEIGHBOURS)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, operators are stand-ins, in PyNative mode."""
        stand_ins = {
            (ops.Conv2D, "__call__"): lambda operator, *inputs: self._convolution(operator, *inputs),
            (ops.MatMul, "__call__"): lambda operator, *inputs: self._matmul(operator, *inputs),
            (ops.BatchMatMul, "__call__"): lambda operator, *inputs: self._batch_matmul(operator, *inputs),
            (Linear, "construct"): lambda cell, x: self._linear(cell, x),
            (GroupNorm, "construct"): lambda cell, x: self._norm(cell, x),
            (ops, "silu"): self._silu,
            (ops, "softmax"): self._softmax,
        }
        mode = ms.get_context("mode")
        ms.set_context(mode=ms.PYNATIVE_MODE)
        # Threads of that mode that pass operators on wait busily, as root with real-time priority: two on two cores may
        # keep the third from running for ever.
        ms.runtime.launch_blocking()
        with ExitStack() as stack:
            stack.callback(ms.set_context, mode=mode)
            for (owner, name), stand_in in stand_ins.items():
                stack.callback(setattr, owner, name, getattr(owner, name))
                setattr(owner, name, stand_in)
            yield

    @contextmanager
    def blocks_of(self, levels: list[list[nn.Cell]]) -> Iterator[None]:
        """Inside, cells that can be recomputed are told apart, by the level they are of."""
        with ExitStack() as stack:
            for level, cells in enumerate(levels):
                for cell in cells:
                    enter = lambda cell, inputs, level=level: self._enter(level, inputs[0])  # noqa: E731
                    stack.callback(cell.register_forward_pre_hook(enter).remove)
                    stack.callback(cell.register_forward_hook(lambda *_: self._leave()).remove)
            yield

    @property
    def numbers(self) -> list[int]:
        """All that was counted, in a fixed order."""
        return [self.operations, self.elsewhere, *(n for block in self.blocks for n in (block.input_bytes, block.kept))]

    @numbers.setter
    def numbers(self, numbers: list[int]):
        self.operations, self.elsewhere, *rest = numbers
        for block, input_bytes, kept in zip(self.blocks, rest[::2], rest[1::2]):
            block.input_bytes, block.kept = input_bytes, kept

    def kept(self, recomputed: int = 0) -> int:
        """Bytes when the blocks of the first so many levels are recomputed."""
        again = [block for block in self.blocks if block.level < recomputed]
        saved = sum(block.kept - block.input_bytes for block in again)
        everything = self.elsewhere + sum(block.kept for block in self.blocks)
        return everything - saved + max((block.again for block in again), default=0)

    def _enter(self, level: int, x: Tensor) -> None:
        self._open = Block(level, x, self.element * x.size)

    def _leave(self) -> None:
        self._open.input = None
        self.blocks.append(self._open)
        self._open = None

    def _keep(self, size: int) -> None:
        if self._open is None:
            self.elsewhere += size
        else:
            self._open.kept += size

    def _keep_tensor(self, x: Tensor, element: int, near: bool = False) -> None:
        """Keep a tensor, once; near: whether it may be kept already by one of the last matrix products."""
        if not element:
            return
        if self._open is not None and _is_same(x, self._open.input):
            if self._open.keeps_input:
                return
            self._open.keeps_input = True
        if near:
            if any(_is_same(x, other) for other in self._recent):
                return
            self._recent.append(x)
        self._keep(element * x.size)

    def _convolution(self, operator: ops.Conv2D, x: Tensor, weight: Tensor) -> Tensor:
        sides = zip(x.shape[2:], weight.shape[2:], (operator.pad[:2], operator.pad[2:]), operator.stride[2:])
        sides = [(side + sum(padding) - kernel) // stride + 1 for side, kernel, padding, stride in sides]
        shape = (x.shape[0], weight.shape[0], *sides)
        self.operations += 2 * int(np.prod(shape)) * int(np.prod(weight.shape[1:]))
        self._keep_tensor(x, self.element)
        return ops.zeros(shape, x.dtype)

    def _matmul(self, operator: ops.MatMul, a: Tensor, b: Tensor) -> Tensor:
        self._keep_tensor(a, self.element, near=True)
        return self._product(operator, a, b)

    def _batch_matmul(self, operator: ops.BatchMatMul, a: Tensor, b: Tensor) -> Tensor:
        self._keep_tensor(a, self.element, near=True)
        self._keep_tensor(b, self.element, near=True)
        return self._product(operator, a, b)

    def _product(self, operator: ops.MatMul | ops.BatchMatMul, a: Tensor, b: Tensor) -> Tensor:
        columns = b.shape[-2 if operator.transpose_b else -1]
        self.operations += 2 * a.size * columns
        return ops.zeros((*a.shape[:-1], columns), a.dtype)

    def _linear(self, cell: Linear, x: Tensor) -> Tensor:
        """A cell of its own: several of them take the same tokens, which are kept once."""
        self._keep_tensor(x, self.element, near=True)
        self.operations += 2 * x.size * cell.weight.shape[0]
        return ops.zeros((*x.shape[:-1], cell.weight.shape[0]), x.dtype)

    def _norm(self, cell: GroupNorm, x: Tensor) -> Tensor:
        if self.element:
            frames, channels = x.shape[0] * x.shape[1], x.shape[2]
            full_size = 2 if self.on_cpu else 1
            self._keep(4 * (full_size * x.size + frames * (cell.groups + 2 * channels)))
        return ops.zeros(x.shape, x.dtype)

    def _silu(self, x: Tensor) -> Tensor:
        self._keep_tensor(x, self.element)
        return ops.zeros(x.shape, x.dtype)

    def _softmax(self, x: Tensor, axis: int = -1) -> Tensor:
        self._keep_tensor(x, 4 if self.element else 0, near=self.element == 4)
        return x


class CountedTiles:
    """A model for `mg.models.tiling` whose tiles are counted: the first of each shape; others are taken to be alike."""

    def __init__(self, model: Autoencoder):
        self.model, self.operations = model, 0
        self._first: dict[tuple, tuple[int, tuple[np.ndarray, Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def encode_tile(self, clip: np.ndarray, state: Any = None, reference: np.ndarray | None = None):
        return self._tile("encode_tile", (clip,), state, reference)

    def decode_tile(self, latents: np.ndarray, frames: int, state: Any = None, reference: np.ndarray | None = None):
        return self._tile("decode_tile", (latents, frames), state, reference)

    def _tile(self, door: str, inputs: tuple, state: Any, reference: np.ndarray | None) -> tuple[np.ndarray, Any]:
        key = (door, inputs[0].shape, inputs[1:], state is None, reference is None)
        if key not in self._first:
            counter = Counter()
            with counter.watching(), self.model.evaluating():
                result = getattr(self.model, door)(*inputs, state, reference)
            self._first[key] = counter.operations, result
        operations, result = self._first[key]
        self.operations += operations
        return result


def count(model: Autoencoder, part: str, clip: tuple[int, int, int], element: int = 0, on_cpu: bool = False) -> Counter:
    """One clip (T, H, W) through a part of PARTS, whole. element, on_cpu: see `Counter`.

    Operations and bytes are polynomials of the second degree in the number of pixels, since attention compares each of
    them with each. So what is larger than three of the smallest frames is counted at one, two and three of them.
    """
    unit = -(-model.min_size // model.space_compression)
    side, area = unit * model.space_compression, Fraction(1, unit**2)
    for length in clip[1:]:
        area *= -(-length // model.space_compression)
    clips = [(clip[0], side, n * side) for n in (1, 2, 3)] if area > 3 else [clip]
    counters = [Counter(element, on_cpu) for _ in clips]
    for counter, small in zip(counters, clips):
        with counter.watching(), counter.blocks_of(model.recompute_levels()):
            PARTS[part](model, small)
    if area > 3:
        counters[0].numbers = [_carried_on(*numbers, area) for numbers in zip(*(each.numbers for each in counters))]
    return counters[0]


def count_tiled(model: Autoencoder, part: str, clip: tuple[int, int, int]) -> int:
    """Operations of encode or decode of one clip (T, H, W) in the model's tiles, which share some of it."""
    tiles = CountedTiles(model)
    if part == "encode":
        pieces = stream.encode_stream(tiles, model.tiles, [np.zeros((1, 3, *clip), np.float32)])
    else:
        latents = np.zeros((1, *latents_of(model, clip, model.latent_frames(clip[0]))), np.float32)
        pieces = stream.decode_stream(tiles, model.tiles, [latents], lambda: clip[0])
    deque(pieces, maxlen=0)
    return tiles.operations


def latents_of(model: Autoencoder, clip: tuple[int, int, int], frames: int) -> tuple[int, ...]:
    """(z, t, h, w) of a clip (T, H, W) of so many latent frames."""
    return (model.channels_in_latent, frames, *(-(-side // model.space_compression) for side in clip[1:]))


def _encode(model: Autoencoder, clip: tuple[int, int, int]) -> None:
    with model.evaluating():
        frames = model.filled(clip[0])
        model.encode_tile(stream.padded(np.zeros((1, 3, *clip), np.float32), model.space_compression, frames))


def _decode(model: Autoencoder, clip: tuple[int, int, int]) -> None:
    with model.evaluating():
        latents = latents_of(model, clip, model.window_latents(clip[0]))
        model.decode_tile(np.zeros((1, *latents), np.float32), clip[0])


def _forward(model: Autoencoder, clip: tuple[int, int, int]) -> None:
    forward = model.training_forward()
    shapes = [(1, 3, *clip), *forward.noise_shapes((1, 3, *clip))]
    forward(*(ops.zeros(shape, ms.float32) for shape in shapes))
    model.set_train(False)


# forward: of a training step, without its backward pass, which is twice as much
PARTS = {"encode": _encode, "decode": _decode, "forward": _forward}


def _carried_on(first: int, second: int, third: int, at: Fraction) -> int:
    """The value at `at` of the polynomial of the second degree with these values at 1, 2 and 3."""
    return int(first + (at - 1) * (second - first) + (at - 1) * (at - 2) / 2 * (third - 2 * second + first))


def _is_same(x: Tensor, other: Tensor) -> bool:
    """Whether two tensors are one in memory, as views are."""
    return x.size == other.size and x.data_ptr() == other.data_ptr()
