"""What every family promises: shapes, determinism, files, modes, windows, streams, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import graphs, pynative
from kinds import KINDS, build, clip, register
from mindspore import ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

from mg.errors import InputError
from mg.models import families, weights

register()


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.family)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    """Not to be changed."""
    return build(kind)


@pytest.fixture(scope="module")
def tiled(kind):
    """The same weights in small tiles."""
    return build(kind, **kind.tiles)


def arrays(tensors):
    return [tensor.asnumpy() for tensor in tensors]


def test_every_length_and_odd_sizes_come_back(model):
    side, shape = model.space_compression, (2, model.channels_in_latent)
    space = (-(-17 // side), -(-22 // side))
    for frames in range(1, 11):
        count = model.latent_frames(frames)
        assert model.frames(count) >= frames > model.frames(count - 1)
        with pynative():
            z, *rest = arrays(model.encode(clip(2, 3, frames, 17, 22), seed=0))
        assert z.shape == (*shape, count, *space)
        assert all(array.shape[-3:] == z.shape[-3:] and np.isfinite(array).all() for array in rest)
        if frames in (1, 10) or model.latent_frames(frames + 1) > count:  # shorter clips of as many are cut
            with pynative():
                recon = model.decode(z, frames).asnumpy()
            assert recon.shape == (2, 3, frames, space[0] * side, space[1] * side)
            assert np.isfinite(recon).all()


def test_an_image_is_a_clip_of_one_frame(model):
    x = clip(2, 3, 17, 22)
    with pynative():
        image, video = arrays(model(x, seed=3)), arrays(model(x[:, :, None], seed=3))
    assert image[0].shape == x.shape
    for one, other in zip(image, video):
        np.testing.assert_array_equal(one, other[..., 0, :, :])


def test_a_file_gives_the_same_model(kind, model, tmp_path):
    for name in ("model.safetensors", "model.ckpt"):
        model.save(tmp_path / name)
        loaded = families.load(tmp_path / name, dtype="fp32")
        assert type(loaded) is type(model)
        assert loaded.config == model.config
        assert loaded.weights_path == tmp_path / name
        own, read = (weights.named_parameters(one) for one in (model, loaded))
        assert own.keys() == read.keys()
        for key, parameter in own.items():
            np.testing.assert_array_equal(parameter.asnumpy(), read[key].asnumpy())
    with pytest.raises(InputError, match="no_such"):
        families.load(tmp_path / "model.ckpt", no_such=1)
    with pytest.raises(InputError, match=f"of the family {kind.family}, but"):
        families.load(tmp_path / "model.ckpt", family="tae" if kind.family != "tae" else "image_vae")


def test_graphs_give_what_operators_give_one_by_one(tiled, monkeypatch):
    first = {}  # tile of each network: what it was given, and its result

    def kept(method):
        def call(array, *others):
            result, state = method(array, *others)
            first.setdefault(method, ((array, *others), result))
            return result, state

        return call

    for name in ("encode_tile", "decode_tile"):
        monkeypatch.setattr(tiled, name, kept(getattr(tiled, name)), raising=False)
    tiled(clip(1, 3, 12, 16, 16), seed=0)
    assert len(first) == 2 and tiled.graphs >= 2
    graphs = dict(tiled._graphs)
    with pynative():
        for method, (given, graph) in first.items():
            tiled.release_graphs()
            single, _ = method(*given)
            np.testing.assert_allclose(graph, single, atol=1e-4 * max(1, np.abs(single).max()))
    tiled._graphs.update(graphs)


def test_what_is_drawn_depends_on_the_seed_alone_and_nothing_else_is(tiled):
    x = clip(1, 3, 12, 16, 16)
    first, second, other = (arrays(tiled.encode(x, seed=seed)) for seed in (1, 1, 2))
    for one, again in zip(first, second):
        np.testing.assert_array_equal(one, again)
    for one, another in zip(first[1:], other[1:]):  # what a sample is drawn from, or the codes
        np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize("height, width", [(16, 16), pytest.param(40, 33, marks=pytest.mark.slow)])
def test_streams_are_calls_in_pieces(tiled, height, width):
    x, frames = clip(1, 3, 12, height, width), 12
    pieces = [x[:, :, start : start + 3] for start in range(0, frames, 3)]
    whole = arrays(tiled.encode(x, seed=0))
    parts = [arrays(piece) for piece in tiled.encode_stream(pieces, seed=0)]
    recon = tiled.decode(whole[0], frames).asnumpy()
    latents = (whole[0][:, :, index : index + 1] for index in range(whole[0].shape[2]))
    stream = np.concatenate(arrays(tiled.decode_stream(latents, frames)), 2)
    for index, array in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[index] for part in parts], -3), array)
    np.testing.assert_array_equal(stream, recon)
    assert recon.shape[2] == frames


def test_windows_give_what_the_whole_gives_where_that_is_promised(kind, model, tiled):
    x = clip(1, 3, 12, 16, 16)
    with graphs() if kind.exact else pynative():
        model.use_tile = False
        whole = arrays(model(x, seed=0))
        model.use_tile = True
    windows = arrays(tiled(x, seed=0))
    same = [
        one.shape == other.shape and np.allclose(one, other, atol=2e-6 * np.abs(one).max())
        for one, other in zip(whole, windows)
    ]
    assert all(same) if kind.exact else not same[0]


class Probe(nn.Cell):
    """The sum of all outputs of a training forward, each weighted at random: no gradient of it is zero by chance."""

    def __init__(self, forward):
        super().__init__(auto_prefix=False)
        self.forward = forward

    def construct(self, x, *noises):
        outputs, total = self.forward(x, *noises), 0.0
        for index, name in enumerate(self.forward.outputs):
            total = total + (outputs[name] * ops.cos(outputs[name] + index)).sum()
        return total


def test_gradients_reach_every_parameter(kind):
    model = build(kind)
    forward = model.training_forward()
    shape = (1, 3, 5, 16, 16)
    noises = [Tensor(clip(*noise, seed=1)) for noise in forward.noise_shapes(shape)]
    parameters = ParameterTuple(model.trainable_params())
    with pynative():
        gradients = ops.grad(Probe(forward), None, parameters)(Tensor(clip(*shape)), *noises)
    assert len(gradients) == len(weights.named_parameters(model))
    dead = [p.name for p, g in zip(parameters, gradients) if not np.abs(g.astype(mstype.float32).asnumpy()).max() > 0]
    assert not dead


def test_factors_of_each_channel_go_and_come(model):
    z = clip(2, model.channels_in_latent, 3, 4, 5)
    scaled = model.scale(Tensor(z)).asnumpy()
    scaling, shift = (
        np.broadcast_to(f, model.channels_in_latent) for f in (model.factors.scaling, model.factors.shift)
    )
    for channel in range(model.channels_in_latent):
        np.testing.assert_allclose(scaled[:, channel], (z[:, channel] - shift[channel]) * scaling[channel], rtol=1e-5)
    np.testing.assert_allclose(model.unscale(Tensor(scaled)).asnumpy(), z, atol=1e-6)
    image = model.scale(Tensor(z[:, :, 0])).asnumpy()
    np.testing.assert_array_equal(image, scaled[:, :, 0])


def test_what_cannot_be_encoded_or_decoded_is_one_line(model):
    for wrong, words in (
        (np.zeros((1, 3, 4, 16, 16), np.uint8), "must be floating"),
        (np.zeros((1, 4, 4, 16, 16), np.float32), "must be \\(B, 3, T, H, W\\)"),
        (np.zeros((1, 3, 0, 16, 16), np.float32), "no empty axis"),
        (np.zeros((1, 3, 4, model.min_size - 1, 16), np.float32), f"at least {model.min_size}"),
        ([1.0], "is a list"),
    ):
        with pytest.raises(InputError, match=words):
            model.encode(wrong)
    z = np.zeros((1, model.channels_in_latent, 2, 4, 4), np.float32)
    with pytest.raises(InputError, match=r"must be from \d+ to"):
        model.decode(z, 100)
    with pytest.raises(InputError, match="z has shape"):
        model.decode(z[:, :-1])
    with pytest.raises(InputError, match="seed="):
        model.encode(np.zeros((1, 3, 16, 16), np.float32), seed=-1)
