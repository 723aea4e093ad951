"""How alike runs are made: distances of hyperparameters, whatever they are.

A hyperparameter is a column of numbers; those that are words have been numbered. Two runs differ in
one by how many of the runs lie between them, so the unit and the scale of a hyperparameter do not
matter. Two distances are taken: one in which all hyperparameters count alike, and one in which
those count more that go along with how well the runs do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LEAST_WEIGHT = 0.02
# Squared weights of the moves of all hyperparameters, however many there are.
_TOGETHER = 7.0


class Unlikeness(NamedTuple):
    """How differently a run and its peers are made.

    Args:
        distances: (..., n, 2) of all hyperparameters together; NaN for a peer that shares no known
            one with the run.
        moves: (..., n, k) of each hyperparameter, which way and how far, the more the better it
            goes along with how well the runs do; 0 where unknown. None where none is known.
    """

    distances: Array
    moves: Array | None


def unlikeness(
    settings: Array, worths: Array, words: NDArray[np.bool_] | None = None
) -> Unlikeness:
    """How differently a run and its peers are made.

    Args:
        settings: (..., 1 + n, k) hyperparameters of the run and, behind it, of its peers; NaN where
            unknown.
        worths: (..., 1 + n) how well they do, such as the medians of their forecasts.
        words: (k,) which hyperparameters have no order; default none.
    """
    table = np.concatenate([settings, worths[..., None]], axis=-1)
    table = np.ascontiguousarray(np.swapaxes(table, -1, -2))
    known = ~np.isnan(table)
    ranks = _ranks(table, known)
    relevance = _relevance(ranks, known, words)
    ranks, known = ranks[..., :-1, :], known[..., :-1, :]
    moved = ranks[..., 1:] - ranks[..., :1]
    both = known[..., 1:] & known[..., :1]
    if words is not None and words.any():
        other = settings[..., 1:, :] != settings[..., :1, :]
        unlike = np.where(moved < 0, -1.0, 1.0) * np.swapaxes(other, -1, -2)
        moved = np.where(words[:, None], unlike, moved)
    moved = moved * both
    squared = moved * moved
    counted = both.sum(-2)
    # All hyperparameters count alike in the first, by their relevance in the second.
    weights = np.empty((*relevance.shape[:-1], 2, relevance.shape[-1]))
    weights[..., 0, :] = 1.0
    weights[..., 1, :] = relevance
    distances = np.sqrt(weights @ squared / np.maximum(weights @ both, 1e-12))
    distances = np.where(counted[..., None, :] > 0, distances, np.nan)
    share = np.sqrt(_TOGETHER * relevance / relevance.sum(-1, keepdims=True))
    return Unlikeness(np.swapaxes(distances, -1, -2), np.swapaxes(moved * share[..., None], -1, -2))


def _ranks(values: Array, known: Array) -> Array:
    """Ranks (..., k, n) of the known values of each row, ties alike, in [0, 1]; others a half."""
    less = np.less(values[..., :, None], values[..., None, :]).astype(np.float32)
    # Those below less those above; what is not known is neither.
    one = np.ones(values.shape[-1], np.float32)
    off = (one @ less - less @ one).astype(np.float64)
    most = np.maximum(known.sum(-1, keepdims=True) - 1, 1)
    ranks: Array = 0.5 + 0.5 * off / most
    return ranks


def _relevance(ranks: Array, known: Array, words: NDArray[np.bool_] | None) -> Array:
    """(..., k) squared rank correlation of each hyperparameter with the last row."""
    use = (known[..., :-1, :] & known[..., -1:, :]).astype(np.float64)
    x, y = (ranks[..., :-1, :] - 0.5) * use, ranks[..., -1, :] - 0.5
    # Sums of products of one, y and its square with one, x and its square.
    powers = np.empty((*y.shape, 3))
    powers[..., 0] = 1.0
    powers[..., 1] = y
    powers[..., 2] = y * y
    zeroth, first, second = use @ powers, x @ powers, (x * x) @ powers
    count = np.maximum(zeroth[..., 0], 1)
    power_x = second[..., 0] - first[..., 0] ** 2 / count
    power_y = zeroth[..., 2] - zeroth[..., 1] ** 2 / count
    together = first[..., 1] - first[..., 0] * zeroth[..., 1] / count
    squared = together**2 / np.maximum(power_x * power_y, 1e-12)
    # Chance alone gives as much.
    found = np.maximum(squared - 1 / np.maximum(count - 1, 1), 0.0) + _LEAST_WEIGHT
    if words is not None and words.any():
        found = np.where(words, np.maximum(found, found.mean(-1, keepdims=True)), found)
    relevance: Array = found
    return relevance
