"""Scales on which runs are compared, so that no unit of a metric matters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.run_facts import fact

Array = NDArray[np.float64]

FAR_AWAY = 1e250
"""Where those are put who are not there; farther than any number of a metric that counts."""
LARGEST = 1e200
_LEAST_SIZE = 1e-290
_LEAST_RATIO = 1e-9
_LEAST_CHANCE = 1e-5
_LEAST_SPREAD, _LEAST_STRIDE = 0.01, 0.02


def units(own: Array, middles: Array, count: Array) -> Array:
    """What differences are divided by.

    Args:
        own: (..., FACTS) the run at hand.
        middles: (..., n) medians of the forecasts of its peers, far away for who is not there.
        count: (...,) how many.

    Returns:
        (..., 3): the width of the run's forecast, the spread of the forecasts of all runs, and how
        far the run has come.
    """
    first, value, low, level, high = (
        own[..., fact(name)] for name in ("first", "value", "low", "middle", "high")
    )
    wide = np.maximum(high - low, np.maximum(_LEAST_RATIO * np.abs(level), _LEAST_SIZE))
    stride = np.abs(value - first)
    middles = np.concatenate([level[..., None], middles], axis=-1)[..., None]
    spread = median(np.abs(middles - median(middles, count + 1)[..., None, :]), count + 1)
    found = np.empty((*count.shape, 3))
    found[..., 0] = wide
    found[..., 1] = np.maximum(spread[..., 0], _LEAST_SPREAD * wide)
    found[..., 2] = np.maximum(stride, _LEAST_STRIDE * wide)
    return found


def scores(chance: Array) -> Array:
    """Probabilities on a scale without ends."""
    inside = np.clip(chance, _LEAST_CHANCE, 1 - _LEAST_CHANCE)
    return np.asarray(0.5 * np.log(inside / (1 - inside)))


def logs(sizes: Array) -> Array:
    """Logarithms of sizes, those of nothing finite."""
    return np.asarray(np.log(np.maximum(sizes, _LEAST_SIZE)))


def median(values: Array, count: Array) -> Array:
    """The lower median (..., k) of the first of some values (..., n, k), in order of size."""
    ordered = np.sort(values, axis=-2)
    if values.ndim == 2:
        return np.asarray(ordered[max((int(count) - 1) // 2, 0)])
    index = np.maximum((count.astype(np.int64) - 1) // 2, 0)[..., None, None]
    index = np.broadcast_to(index, (*index.shape[:-1], values.shape[-1]))
    return np.asarray(np.take_along_axis(ordered, index, axis=-2)[..., 0, :])
