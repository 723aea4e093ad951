"""Which of several runs ends best, by the forecasts of their ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lcpfn.forecast.arguments import Array, Goal

# Levels at which forecasts are taken, each for the same share of what may happen.
LEVELS = (np.arange(64) + 0.5) / 64


def chances_to_end_best(ends: Sequence[Array], goal: Goal) -> list[float]:
    """The probability of each run to end better than all others.

    Ends are taken as independent of each other. Runs that tie share.

    >>> ends = [np.array([0.9]), np.array([0.8, 1.0]), np.array([0.1, 0.2])]
    >>> chances_to_end_best(ends, "maximize")
    [0.5, 0.5, 0.0]

    Args:
        ends: of each run, (n,) values that its end takes with equal probability, such as the
            quantiles of its forecast at `LEVELS`, or (1,) the value of one that has ended.
        goal: "maximize" or "minimize".

    Returns:
        Probabilities that add up to one, as nearly as the values allow.
    """
    if not ends:
        return []
    sign = 1 if goal == "maximize" else -1
    ordered = [np.sort(sign * np.asarray(end, dtype=np.float64)) for end in ends]
    owners = np.repeat(np.arange(len(ends)), [len(end) for end in ordered])
    values = np.concatenate(ordered)
    # Sums of logarithms would lose the zeros that tell losers.
    best = np.ones(len(values))
    for number, other in enumerate(ordered):
        below = np.searchsorted(other, values, "left") + np.searchsorted(other, values, "right")
        beaten = below / (2 * len(other))
        best *= np.where(owners == number, 1.0, beaten)
    sums = np.array([best[owners == number].mean() for number in range(len(ends))])
    total = sums.sum()
    chances: list[float] = (sums / total if total > 0 else sums).tolist()
    return chances
