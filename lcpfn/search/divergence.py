"""Signs in a run's records that its training broke down; needs no forecast."""

from __future__ import annotations

from collections.abc import Sequence

from lcpfn.forecast.arguments import Goal

# A record this many times the size of anything before it is no noise.
_EXPLOSION = 1e4
# Forecasts are made of values below this; see `lcpfn.forecast.curve.read_curve`.
_LARGEST = 1e150


def usable(value: float) -> bool:
    """Whether a record is a number to reckon with: neither NaN nor infinite nor beyond 1e150."""
    return abs(value) <= _LARGEST


def divergence(values: Sequence[float], goal: Goal) -> str | None:
    """Why the newest record shows that training broke down; None where it does not.

    It does where it is NaN, infinite or beyond 1e150, and where it is worse than any before it by
    over 10,000 times the largest size among them. Before the first usable record nothing does: a
    metric that is not there yet is missing.

    >>> divergence([2.3, 1.9, 88_000.0], goal="minimize")
    'the newest record is 88000, far beyond all before it: the run has diverged'

    Args:
        values: the run's records, oldest first.
        goal: "maximize" or "minimize".
    """
    earlier = [float(value) for value in values[:-1] if usable(value)]
    if not earlier:
        return None
    newest = float(values[-1])
    if not usable(newest):
        return f"the newest record is {newest:g}: the run has diverged"
    sign = 1 if goal == "minimize" else -1
    excess = sign * newest - max(sign * value for value in earlier)
    size = max(abs(value) for value in earlier)
    if size > 0 and excess > _EXPLOSION * size:
        return f"the newest record is {newest:g}, far beyond all before it: the run has diverged"
    return None
