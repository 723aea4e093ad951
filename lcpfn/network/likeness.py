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
    known = ~np.isnan(table)
    ranks = _ranks(np.where(known, table, np.inf), known)
    relevance = _relevance(ranks, known, words)
    ranks, known = ranks[..., :-1], known[..., :-1]
    difference = np.abs(ranks[..., 1:, :] - ranks[..., :1, :])
    if words is not None and words.any():
        other = (settings[..., 1:, :] != settings[..., :1, :]).astype(np.float64)
        difference = np.where(words, other, difference)
    both = known[..., 1:, :] & known[..., :1, :]
    squared = np.where(both, difference * difference, 0.0)
    counted = both.sum(-1)
    plain = np.sqrt(squared.sum(-1) / np.maximum(counted, 1))
    weights = relevance * both + 1e-12
    weighted = np.sqrt((weights * squared).sum(-1) / weights.sum(-1))
    distances = np.stack([plain, weighted], axis=-1)
    distances = np.where(counted[..., None] > 0, distances, np.nan)
    signed = np.where(ranks[..., 1:, :] < ranks[..., :1, :], -difference, difference)
    share = np.sqrt(_TOGETHER * relevance / relevance.sum(-1, keepdims=True))
    return Unlikeness(distances, np.where(both, signed, 0.0) * share)


def _ranks(values: Array, known: Array) -> Array:
    """Ranks of the known values among the runs, ties alike, in [0, 1]; the others infinite."""
    count = values.shape[-2]
    order = np.argsort(values, axis=-2)
    ordered = np.take_along_axis(values, order, axis=-2)
    place = np.arange(count)[:, None]
    begins = np.ones(values.shape, dtype=bool)
    begins[..., 1:, :] = ordered[..., 1:, :] != ordered[..., :-1, :]
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=-2)
    ends = np.ones(values.shape, dtype=bool)
    ends[..., :-1, :] = begins[..., 1:, :]
    last = np.where(ends, place, count)[..., ::-1, :]
    last = np.minimum.accumulate(last, axis=-2)[..., ::-1, :]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=-2)
    counted = known.sum(-2)[..., None, :]
    return np.where(known, ranks / np.maximum(counted - 1, 1), 0.5)


def _relevance(ranks: Array, known: Array, words: NDArray[np.bool_] | None) -> Array:
    """(..., 1, k) squared rank correlation of each hyperparameter with the last column."""
    use = known[..., :-1] & known[..., -1:]
    count = np.maximum(use.sum(-2), 1)[..., None, :]
    x, y = np.where(use, ranks[..., :-1], 0.0), np.where(use, ranks[..., -1:], 0.0)
    x = np.where(use, x - x.sum(-2)[..., None, :] / count, 0.0)
    y = np.where(use, y - y.sum(-2)[..., None, :] / count, 0.0)
    power = (x * x).sum(-2) * (y * y).sum(-2)
    squared = (x * y).sum(-2) ** 2 / np.maximum(power, 1e-12)
    # Chance alone gives as much.
    chance = 1 / np.maximum(count[..., 0, :] - 1, 1)
    found = np.maximum(squared - chance, 0.0) + _LEAST_WEIGHT
    if words is not None and words.any():
        found = np.where(words, np.maximum(found, found.mean(-1, keepdims=True)), found)
    relevance: Array = found[..., None, :]
    return relevance
