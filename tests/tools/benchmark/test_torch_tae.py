"""The PyTorch peer of the benchmark: the same results, in the memory layout that was asked for."""

import sys

import numpy as np
import pytest
from conftest import ROOT, random_clip

from mg.models.weights import named_parameters

sys.path.insert(0, str(ROOT / "tools/benchmark"))


@pytest.fixture(params=["contiguous_format", "channels_last"])
def peer(random_nano, request):
    """The random nano model in PyTorch, and its memory format."""
    torch = pytest.importorskip("torch")
    from torch_tae import TAE

    tae = TAE(dict(random_nano.config)).requires_grad_(False)
    weights = {name: torch.from_numpy(p.asnumpy()) for name, p in named_parameters(random_nano).items()}
    tae.load_state_dict(weights, strict=True)
    memory_format = getattr(torch, request.param)
    return tae.to(memory_format=memory_format), memory_format


def test_a_peer_gives_the_same_results(random_nano, peer):
    import torch

    tae, _ = peer
    clip, latents = random_clip(1, 3, 9, 32, 16), random_clip(1, 4, 2, 4, 2)
    pairs = [
        (random_nano.encoder(clip)[0], tae.encoder(torch.from_numpy(clip.asnumpy()))[0]),
        (random_nano.encoder(clip)[1], tae.encoder(torch.from_numpy(clip.asnumpy()))[1]),
        (random_nano.decoder(latents), tae.decoder(torch.from_numpy(latents.asnumpy()))),
        (random_nano.decoder(latents[:, :, :1]), tae.decoder(torch.from_numpy(latents.asnumpy()[:, :, :1]))),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.asnumpy(), theirs.numpy(), atol=1e-4 * float(theirs.abs().max()))


def test_a_peer_keeps_its_memory_layout(peer):
    import torch
    from torch_tae import SpatialConv, TemporalConv

    tae, memory_format = peer
    seen = []

    def look(conv, inputs, output):
        seen.extend(x.is_contiguous(memory_format=memory_format) for x in (inputs[0], output))

    convs = [module for module in tae.modules() if isinstance(module, (SpatialConv, TemporalConv))]
    first = (tae.encoder.conv_in.spatial, tae.decoder.conv_in.spatial)  # these are given clips and latents as they are
    for conv in convs:
        if conv not in first:
            conv.register_forward_hook(look)
    tae.encoder(torch.zeros(2, 3, 8, 32, 16))
    tae.decoder(torch.zeros(2, 4, 2, 4, 2))
    assert seen == [True] * 2 * (len(convs) - len(first))
