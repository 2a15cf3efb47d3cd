"""The learning rate against written lists."""

import pytest

from mg.errors import InputError
from mg.training.schedule import learning_rate


def rates(steps, **settings):
    return [learning_rate(step, 8.0, steps, **settings) for step in range(steps)]


def test_constant_with_and_without_warm_up():
    assert rates(3) == [8, 8, 8]
    assert rates(6, warmup_steps=4) == [2, 4, 6, 8, 8, 8]
    assert rates(3, warmup_steps=1) == [8, 8, 8]
    assert rates(2, warmup_steps=4) == [2, 4]


def test_cosine_ends_at_the_final_share():
    assert rates(5, schedule="cosine") == pytest.approx([8, 6.828427124746190, 4, 1.171572875253810, 0], abs=1e-12)
    assert rates(5, schedule="cosine", final_share=0.5) == pytest.approx(
        [8, 7.414213562373095, 6, 4.585786437626905, 4], abs=1e-12
    )
    assert rates(6, schedule="cosine", warmup_steps=4) == pytest.approx([2, 4, 6, 8, 4, 0], abs=1e-12)


def test_steps_after_the_last_keep_its_rate_and_one_step_is_at_the_base():
    assert learning_rate(9, 8.0, 5, schedule="cosine", final_share=0.25) == pytest.approx(2)
    assert rates(1, schedule="cosine") == [8]
    assert rates(2, schedule="cosine", warmup_steps=2) == [4, 8]


def test_an_unknown_schedule_is_refused():
    with pytest.raises(InputError, match="schedule='linear' is unknown; use one of constant, cosine"):
        learning_rate(0, 1.0, 2, schedule="linear")
