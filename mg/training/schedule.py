"""The learning rate of each step."""

from __future__ import annotations

import math

from mg.errors import InputError

SCHEDULES = ("constant", "cosine")


def learning_rate(
    step: int,
    base: float,
    total_steps: int,
    warmup_steps: int = 0,
    schedule: str = "constant",
    final_share: float = 0.0,
) -> float:
    """Rate of step 0, 1, ..., total_steps - 1; later steps get the last one's.

    It rises linearly from base / warmup_steps at step 0 to base at step warmup_steps - 1. Then it stays there
    ("constant"), or falls by half a cosine to final_share * base at the last step ("cosine").
    """
    if schedule not in SCHEDULES:
        raise InputError(f"schedule={schedule!r} is unknown; use one of {', '.join(SCHEDULES)}")
    if step < warmup_steps:
        return base * (step + 1) / warmup_steps
    if schedule == "constant":
        return base
    peak = max(warmup_steps - 1, 0)
    progress = min((step - peak) / max(total_steps - 1 - peak, 1), 1.0)
    return base * (final_share + (1 - final_share) * (1 + math.cos(math.pi * progress)) / 2)
