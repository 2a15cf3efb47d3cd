"""What a network is said to take in memory, and what it takes; what does not fit is refused before it is computed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mg import runtime
from mg.errors import InputError
from mg.models import families
from mg.models.graph import memory, require_memory
from mg.models.session import Session

PEAK = """
import sys
import numpy as np
from mg import runtime
from mg.models import families
runtime.setup()
model = families.load() if sys.argv[1] == "shipped" else families.build(sys.argv[1])
shape = tuple(map(int, sys.argv[3:]))
def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
batch, before = np.zeros(shape, np.float32), kilobytes("VmRSS")
model.compute(sys.argv[2], batch)
print("took", 1024 * (kilobytes("VmHWM") - before))
"""
CASES = [
    ("shipped", "encoder", (1, 3, 16, 384, 384)),
    ("shipped", "encoder", (1, 3, 1, 1024, 1024)),
    ("shipped", "decoder", (1, 16, 1, 128, 128)),
    ("shipped", "decoder", (1, 16, 2, 48, 48)),
    ("image_vae", "encoder", (1, 3, 1, 768, 768)),
    ("image_vae", "decoder", (1, 16, 1, 96, 96)),
    ("tae", "encoder", (1, 3, 1, 512, 512)),
    ("tae", "decoder", (1, 16, 1, 64, 64)),
]


@pytest.mark.slow
@pytest.mark.parametrize("family, name, shape", CASES)
def test_the_estimate_is_within_30_percent_of_the_peak(family, name, shape):
    model = families.load() if family == "shipped" else families.build(family)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, family, name, *map(str, shape)], capture_output=True, text=True, timeout=600
    )
    taken = int(done.stdout.split("took")[1])
    assert 0.7 * taken <= memory(model, name, shape) <= 1.3 * taken, f"{taken / 1e6:.0f} MB"


def test_what_does_not_fit_is_refused_before_it_is_computed(session, monkeypatch):
    monkeypatch.setattr(runtime, "free_memory", lambda: 400_000_000)
    whole = Session(session.model, use_tile=False)
    frame = np.zeros((1, 3, 1, 1600, 1600), np.float32)
    whole.prepare(1, 1600, 1600)
    with pytest.raises(InputError, match=r"takes about .* GB for 1x3x1x1600x1600 at once.*--use_tile") as error:
        list(whole.encode([frame]))
    assert "\n" not in str(error.value)
    session.model.tiles = session.model.default_tiles


def test_what_nobody_has_measured_or_knows_is_computed(session, monkeypatch):
    for free in (None, 10**15):
        monkeypatch.setattr(runtime, "free_memory", lambda free=free: free)
        require_memory(session.model, "encoder", (1, 3, 2, 1600, 1600))
    monkeypatch.setattr(runtime, "free_memory", lambda: 0)
    monkeypatch.setattr(session.model, "live_values", lambda name, length: None, raising=False)
    require_memory(session.model, "encoder", (1, 3, 2, 1600, 1600))
    assert memory(session.model, "encoder", (1, 3, 2, 1600, 1600)) is None
