"""The TAE of SD3.5's sizes, with random weights."""

import numpy as np
import pytest
from conftest import ROOT, random_clip

from mg.models.tae.names import is_temporal
from mg.models.tae.tae import TAE_CONFIG, TemporalAutoencoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tae():
    return TemporalAutoencoder(TAE_CONFIG)


def test_the_readme_counts_its_parameters(tae):
    def millions(parameters):
        return f"{sum(p.size for p in parameters) / 1e6:.2f} M"

    readme = (ROOT / "README.md").read_text()
    assert millions(tae.get_parameters()) in readme
    assert millions(tae.encoder.get_parameters()) in readme
    assert millions(tae.decoder.get_parameters()) in readme
    assert millions(p for p in tae.get_parameters() if is_temporal(p.name)) in readme
    shipped = list(TemporalAutoencoder.from_default().get_parameters())
    assert millions(shipped) in readme
    assert millions(p for p in shipped if is_temporal(p.name)) in readme


@pytest.mark.parametrize("frames, size", [(8, 64), (1, 256)])
def test_it_encodes_and_decodes(tae, frames, size):
    recon, z, mean, logvar = tae(random_clip(1, 3, frames, size, size), seed=0)
    assert recon.shape == (1, 3, frames, size, size)
    assert z.shape == mean.shape == logvar.shape == (1, 16, 1, size // 8, size // 8)
    for tensor in (recon, z, mean, logvar):
        assert np.isfinite(tensor.asnumpy()).all()
        assert tensor.asnumpy().std() > 0
