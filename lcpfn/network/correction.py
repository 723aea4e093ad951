"""A density over the probabilities of a forecast: what corrects it.

A forecast that is right makes the value that comes lie at a probability that is uniform between 0
and 1. What is learned from other runs is how it is not: a piecewise constant density over that
probability, with bins that are fine at both ends, where decisions are made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TAIL = (0.0, 1e-5, 1e-4, 3e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.02, 0.035, 0.05, 0.075)
_CENTRE = tuple(np.linspace(0.1, 0.9, 33).tolist())

EDGES: Array = np.array([*_TAIL, *_CENTRE, *(1 - edge for edge in reversed(_TAIL))])
"""Edges of the bins, (bins + 1,), from 0 to 1, symmetric."""
WIDTHS: Array = np.diff(EDGES)
BINS = len(WIDTHS)
_LOG_WIDTHS = np.log(WIDTHS)


def mirrored(masses: Array) -> Array:
    """The masses of the bins (..., BINS) where the other direction is the better one."""
    return masses[..., ::-1]


def tempered(log_masses: Array, power: Array) -> Array:
    """The masses (..., BINS) of a density that is raised to a power (...,).

    Args:
        log_masses: (..., BINS) of the bins.
        power: in [0, 1]; 0 for no correction.
    """
    logits = np.asarray(power)[..., None] * (log_masses - _LOG_WIDTHS) + _LOG_WIDTHS
    masses = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(masses / masses.sum(-1, keepdims=True))
