"""Counted arithmetic against what the networks, the tiles and PyTorch compute."""

import sys

import mindspore as ms
import numpy as np
import pytest
from conftest import NANO, ROOT
from mindspore import Tensor

sys.path.insert(0, str(ROOT / "tools"))

import count_flops

from mg.models import tiling
from mg.models.layers.attention import Attend, Linear
from mg.models.layers.conv import Conv2d, Phase
from mg.models.tae.config import TAEConfig
from mg.models.tae.forward import TAEForward
from mg.models.tiling.stream import Tiles

CONFIG = TAEConfig(**NANO)


def test_a_convolution_is_counted_as_by_hand():
    assert count_flops.convolution(positions=5, in_channels=3, out_channels=8, kernel=9) == 2 * 5 * 3 * 8 * 9
    # 32 pixels of 3 -> 8 channels by 3x3, then 8 -> 8 by 3
    assert count_flops.conv2_5d(count_flops.Size(2, 4, 4), 3, 8) == 13824 + 12288
    assert count_flops.conv2_5d(count_flops.Size(2, 4, 4), 3, 8, folded=True) == 13824 + 12288
    # joined: 3 frames of 3 channels -> 20 by 3x3
    assert count_flops.conv2_5d(count_flops.Size(2, 4, 4), 3, 20, folded=True) == 2 * 32 * 9 * 20 * 9
    # 3 sequences of 4 tokens of 8 channels: four linear layers, scores, mixing
    assert count_flops.attention(3, 4, 8) == 4 * (2 * 12 * 64) + 2 * (2 * 3 * 16 * 8)


@pytest.fixture
def counted(monkeypatch):
    """Operations of the package's own cells as they run in pynative mode, from the shapes that they see."""
    done = []

    def watch(kind, operations, method="construct"):
        compute = getattr(kind, method)

        def watched(self, *inputs):
            output = compute(self, *inputs)
            done.append(operations(self, output, *inputs))
            return output

        monkeypatch.setattr(kind, method, watched)

    watch(Conv2d, lambda cell, y, x: 2 * y.size * cell.weight.size // cell.weight.shape[0], "without_bias")
    watch(Phase, lambda cell, y, x, weight, bias: 2 * y.size * weight.shape[1] * int(np.prod(cell.kernel)))
    watch(Linear, lambda cell, y, x: 2 * y.size * cell.weight.shape[1])
    watch(Attend, lambda cell, y, query, key, value: 4 * y.size * key.shape[1])
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield done
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize("clip", [(9, 40, 28), (1, 16, 16)])
def test_the_encoder_computes_what_is_counted(random_nano, counted, clip):
    random_nano.encoder(Tensor(np.zeros((1, 3, *clip), np.float32)))
    assert sum(counted) == count_flops.part("encode", CONFIG, count_flops.Size(*clip))


@pytest.mark.parametrize("latents", [(1, 3, 2), (2, 3, 2)])
def test_the_decoder_computes_what_is_counted(random_nano, counted, latents):
    random_nano.decoder(Tensor(np.zeros((1, 4, *latents), np.float32)))
    frames = count_flops.Size(*(8 * side for side in latents))
    assert sum(counted) == count_flops.part("decode", CONFIG, frames, computed=True)
    plain = count_flops.part("decode", CONFIG, frames)
    assert plain > (1.05 if latents[0] > 1 else 3) * sum(counted)


@pytest.mark.parametrize("frames", [8, 16])
def test_a_step_computes_what_is_counted(random_nano, counted, frames):
    forward = TAEForward(random_nano)
    clip = Tensor(np.zeros((1, 3, frames, 16, 16), np.float32))
    forward(clip, Tensor(np.zeros(forward.noise_shape(clip.shape), np.float32)))
    random_nano.set_train(False)
    assert 3 * sum(counted) == count_flops.part("train", CONFIG, count_flops.Size(frames, 16, 16), computed=True)


def test_a_step_is_three_times_both_ways():
    clip = count_flops.Size(9, 32, 32)
    both = sum(count_flops.part(name, CONFIG, clip) for name in ("encode", "decode"))
    assert count_flops.part("train", CONFIG, clip) == 3 * both


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["encode", "decode"])
def test_tiles_are_counted_as_they_are_computed(name, shared):
    tiles = Tiles(16, 8, 16, 8, 16, 8, tile_batch=2, shared_statistics=shared)
    sizes = []

    class Codec:
        time_compression = space_compression = 8

        def latent_frames(self, frames):
            return -(-frames // 8)

        def frames(self, latent_frames):
            return 8 * latent_frames

        def encode_tile(self, clip, state, reference):
            sizes.extend([clip.shape[2:]] * (len(clip) + (reference is not None)))
            return np.zeros((len(clip), 2, clip.shape[2] // 8, 2, 2), np.float32), None

        def decode_tile(self, latents, state, reference):
            sizes.extend([tuple(8 * side for side in latents.shape[2:])] * (len(latents) + (reference is not None)))
            return np.zeros((len(latents), 3, 8 * latents.shape[2], 16, 16), np.float32), None

    stream = tiling.encode_stream if name == "encode" else tiling.decode_stream
    shape = (1, 3, 37, 30, 40) if name == "encode" else (1, 4, 5, 4, 5)
    list(stream(Codec(), tiles, [np.zeros(shape, np.float32)]))
    computed = sum(count_flops.part(name, CONFIG, count_flops.Size(*size), computed=True) for size in sizes)
    assert len(sizes) > 20
    assert count_flops.tiled(name, CONFIG, count_flops.Size(37, 30, 40), tiles) == computed


def test_pytorch_counts_the_same_plain_arithmetic():
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode
    from torch_tae import TAE

    tae = TAE(dict(CONFIG.as_mapping())).requires_grad_(False)
    inputs = {"encode": (tae.encoder, (1, 3, 8, 32, 16)), "decode": (tae.decoder, (1, 4, 1, 4, 2))}
    for name, (network, shape) in inputs.items():
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(torch.zeros(shape))
        assert counter.get_total_flops() == count_flops.part(name, CONFIG, count_flops.Size(8, 32, 16))
