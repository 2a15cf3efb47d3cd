"""Single-head self-attention over the pixels of a frame, over the frames of a pixel, and over all pixels before."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import HeUniform, initializer

from mg.models.layers.folds import from_frames, from_pixels, to_frames, to_pixels
from mg.models.layers.norm import GroupNorm

# Scores held at once, in elements (128 MB in fp32). A 1280x720 frame has 14,400 latent pixels: 829 MB of scores.
MAX_SCORES = 2**25


class Linear(nn.Cell):
    """Matrix product over the last axis; starts random, as the unit matrix ("unit") or at zero ("zero")."""

    def __init__(self, channels: int, start: str = "random"):
        super().__init__()
        self.weight = Parameter(initializer(HeUniform(5**0.5), (channels, channels), mstype.float32))
        self.bias = Parameter(initializer("zeros", (channels,), mstype.float32))
        self.matmul = ops.MatMul(transpose_b=True)
        self.bias_add = ops.BiasAdd()
        if start != "random":
            unit = np.eye(channels, dtype=np.float32) * (start == "unit")
            self.weight.set_data(Tensor(unit))

    def construct(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        flat = self.bias_add(self.matmul(flat, self.weight.astype(x.dtype)), self.bias.astype(x.dtype))
        return flat.reshape(x.shape)


class Attend(nn.Cell):
    """softmax(q k^T / sqrt(C)) v for (N, L, C), a block of queries at a time; softmax in fp32."""

    def __init__(self):
        super().__init__()
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.mix = ops.BatchMatMul()

    def construct(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        count, length, channels = query.shape
        query = query * channels**-0.5
        block = max(1, min(length, MAX_SCORES // (count * length)))
        outputs = []
        for start in range(0, length, block):
            queries = query if block == length else query[:, start : start + block]
            if outputs:  # one block after the other, or all their scores would be held at once
                queries = ops.depend(queries, outputs[-1])
            outputs.append(self.of_block(queries, key, value, start))
        return ops.concat(outputs, 1) if len(outputs) > 1 else outputs[0]

    def of_block(self, queries: Tensor, key: Tensor, value: Tensor, start: int) -> Tensor:
        """What the queries from `start` on see."""
        scores = self.scores(queries, key).astype(mstype.float32)
        return self.mix(ops.softmax(scores, -1).astype(value.dtype), value)


class AttendBefore(Attend):
    """The same, in which a token sees itself and those before it.

    Each block is computed against the keys up to its end and no more: all scores together would be L x L.
    """

    def of_block(self, queries: Tensor, key: Tensor, value: Tensor, start: int) -> Tensor:
        stop = start + queries.shape[1]
        scores = self.scores(queries, key[:, start:stop]).astype(mstype.float32) + _not_after(stop - start)
        if start:
            scores = ops.concat((self.scores(queries, key[:, :start]).astype(mstype.float32), scores), 2)
        return self.mix(ops.softmax(scores, -1).astype(value.dtype), value[:, :stop])


@ops.constexpr
def _not_after(length: int) -> Tensor:
    """(length, length) fp32: 0 where a key comes no later than its query, else next to minus infinity."""
    return Tensor(np.triu(np.full((length, length), -1e30, np.float32), 1))


class SpatialAttention(nn.Cell):
    """x + attention over the pixels of every frame.  (B, T, C, H, W), same shape out.

    With `of_bands`, of frames of which others have the other rows; see `mg.models.layers.bands`.
    """

    def __init__(self, channels: int, groups: int, statistics: str = "frame"):
        super().__init__()
        self.norm = GroupNorm(groups, channels, statistics)
        self.query = Linear(channels)
        self.key = Linear(channels)
        self.value = Linear(channels)
        self.attend = Attend()
        self.projection = Linear(channels)
        self.of_bands = None

    def construct(self, x: Tensor) -> Tensor:
        frames = to_frames(self.norm(x))
        tokens = frames.reshape(*frames.shape[:2], -1).transpose(0, 2, 1)
        seen = tokens if self.of_bands is None else self.of_bands(tokens)
        tokens = self.attend(self.query(tokens), self.key(seen), self.value(seen))
        frames = self.projection(tokens).transpose(0, 2, 1).reshape(frames.shape)
        return x + from_frames(frames, x.shape[0])


class TemporalAttention(nn.Cell):
    """x + attention over the frames at every pixel.  (B, T, C, H, W), same shape out.

    Starts as the identity: the projection is zero. Query, key and value start as unit matrices, so that a fresh model
    is the same wherever it is built.
    """

    def __init__(self, channels: int, groups: int, statistics: str):
        super().__init__()
        self.norm = GroupNorm(groups, channels, statistics)
        self.query = Linear(channels, "unit")
        self.key = Linear(channels, "unit")
        self.value = Linear(channels, "unit")
        self.attend = Attend()
        self.projection = Linear(channels, "zero")

    def construct(self, x: Tensor) -> Tensor:
        batch, _, _, height, width = x.shape
        tokens = to_pixels(self.norm(x))
        tokens = self.attend(self.query(tokens), self.key(tokens), self.value(tokens))
        return x + from_pixels(self.projection(tokens), batch, height, width)


class CausalAttention(SpatialAttention):
    """x + attention over all pixels of a clip in raster order: none sees later ones, of its own frame neither.

    (B, T, C, H, W), same shape out. The norm's statistics are the whole clip's.
    """

    def __init__(self, channels: int, groups: int):
        super().__init__(channels, groups, "clip")
        self.attend = AttendBefore()

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        tokens = self.norm(x).reshape(batch * frames, channels, height * width).transpose(0, 2, 1)
        if self.of_bands is not None:  # in raster order a band sees of each other one something: all compute all
            tokens = self.of_bands(tokens)
        count = tokens.shape[1]
        tokens = tokens.reshape(batch, frames * count, channels)
        tokens = self.attend(self.query(tokens), self.key(tokens), self.value(tokens))
        tokens = self.projection(tokens).reshape(batch * frames, count, channels)
        if self.of_bands is not None:
            tokens = self.of_bands.own(tokens, height * width)
        return x + tokens.transpose(0, 2, 1).reshape(x.shape)
