"""Expected improvement at the last step: of trials that have begun, and of those that have not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.extrapolation import Extrapolation

_GRID = (np.arange(1000) + 0.5) / 1000


def expected_improvement(post: Extrapolation, incumbent: float) -> float:
    """E[how much the last step beats the incumbent; 0 where it does not], in the metric's unit.

    Args:
        post: forecast of a trial, the last step being its horizon.
        incumbent: final value of the best finished trial.
    """
    values = post.quantile(_GRID)[:, -1]
    gains = values - incumbent if post.goal == "maximize" else incumbent - values
    return float(np.maximum(gains, 0).mean())


def untried_improvement(outlooks: Sequence[float], goal: Goal) -> float:
    """Expected improvement of a trial that has not begun, one like the others.

    Of n + 1 trials that are alike each is the best with probability 1 / (n + 1). By how much is
    read off the best quarter's mean excess over the rest, as of an exponential tail.

    Args:
        outlooks: (n,) final values, expected ones for trials that have not finished.
        goal: which direction is better.

    Returns:
        infinity below four of them, too few to tell.
    """
    count = len(outlooks)
    if count < 4:
        return math.inf
    ordered = np.sort(outlooks)[:: -1 if goal == "maximize" else 1]
    top = count // 4
    excess = abs(float(ordered[:top].mean() - ordered[top]))
    return excess / (count + 1)
