"""Forecasts corrected in probability space: by at which of their own probabilities values come.

The correction is learned for the end of the run. A step on the way there goes along with the end
only in part, so it is corrected in part: as much as a Gaussian copula has it of two moments whose
normal scores correlate by `togetherness`; at the end that is the whole correction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.forecast.distribution import Distribution
from lcpfn.network.correction import BINS, EDGES, WIDTHS

_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(4)
# Of the normal scores of the next steps and the end, and how fast it becomes one.
_SOON, _POWER = 0.65, 0.35
# Correlations that are told apart.
_LEVELS = 24
_INNER = 4
_LEAST_INSIDE = 1e-12


@dataclass(frozen=True)
class Corrected:
    """A batch of corrected distributions; see `lcpfn.forecast.distribution`.

    Args:
        base: (...,) the distributions as they were.
        masses: (..., bins) probability that the value comes within each bin of the base's own
            probabilities.
        edges: (..., bins + 1) or (bins + 1,) of these bins, from 0 to 1.
    """

    base: Distribution
    masses: Array
    edges: Array

    @staticmethod
    def at_edges(base: Distribution, masses: Array) -> Corrected:
        """A correction with the bins that the network has."""
        return Corrected(base, masses, EDGES)

    def __getitem__(self, index: Any) -> Corrected:
        edges = self.edges if self.edges.ndim == 1 else self.edges[index]
        return Corrected(self.base[index], self.masses[index], edges)

    def expand(self, *shape: int) -> Corrected:
        """The distribution broadcast to another batch shape."""
        edges = self.edges
        if edges.ndim > 1:
            edges = np.broadcast_to(edges, (*shape, edges.shape[-1]))
        masses = np.broadcast_to(self.masses, (*shape, self.masses.shape[-1]))
        return Corrected(self.base.expand(*shape), masses, edges)

    @property
    def mean(self) -> Array:
        """Expected value, (...,)."""
        values, weights = self._nodes
        mean: Array = (weights * values).sum(0)
        return mean

    @property
    def std(self) -> Array:
        """Standard deviation, (...,)."""
        values, weights = self._nodes
        centred = values - (weights * values).sum(0)
        deviation: Array = np.sqrt((weights * centred**2).sum(0))
        return deviation

    def quantile(self, q: Any) -> Array:
        """Inverse of `cdf`, broadcast against (...,). q in [0, 1]."""
        return np.asarray(self.base.quantile(self.uncorrected(np.asarray(q, np.float64))))

    def cdf(self, y: Any) -> Array:
        """P(Y <= y), broadcast against (...,)."""
        below = np.asarray(self.base.cdf(y))
        index = self._bin(below, self.edges)
        left, width = _at(self.edges[..., :-1], index), _at(np.diff(self.edges), index)
        inside = np.clip((below - left) / np.maximum(width, _LEAST_INSIDE), 0, 1)
        return np.minimum(_at(self._before, index) + inside * _at(self.masses, index), 1.0)

    def log_prob(self, y: Any) -> Array:
        """Log-density at y, broadcast against (...,); -inf outside the bounds."""
        below = np.asarray(self.base.cdf(y))
        index = self._bin(below, self.edges)
        with np.errstate(divide="ignore"):
            density = np.log(_at(self.masses, index) / _at(np.diff(self.edges), index))
        found: Array = np.asarray(self.base.log_prob(y)) + density
        return found

    def uncorrected(self, q: Array) -> Array:
        """The base's probability at a corrected one, broadcast against (...,)."""
        before = self._before
        ends = np.concatenate([before, np.ones((*before.shape[:-1], 1))], -1)
        index = self._bin(q, ends)
        mass = np.maximum(_at(self.masses, index), _LEAST_INSIDE**2)
        inside = np.clip((q - _at(before, index)) / mass, 0, 1)
        found: Array = _at(self.edges[..., :-1], index) + inside * _at(np.diff(self.edges), index)
        return np.clip(found, 0, 1)

    @property
    def _before(self) -> Array:
        """(..., bins) probability below each bin."""
        before = np.cumsum(self.masses, -1)
        return np.concatenate([np.zeros((*before.shape[:-1], 1)), before[..., :-1]], -1)

    @staticmethod
    def _bin(place: Array, edges: Array) -> Any:
        if edges.ndim == 1:
            return np.clip(np.searchsorted(edges, place, "right") - 1, 0, len(edges) - 2)
        return np.minimum((place[..., None] >= edges[..., 1:]).sum(-1), edges.shape[-1] - 2)

    @property
    def _nodes(self) -> tuple[Array, Array]:
        """Values and weights (k, ...) of a quadrature over the bins."""
        shape = self.masses.shape[:-1]
        left, width = self.edges[..., :-1], np.diff(self.edges)
        inside = left[..., None] + width[..., None] * (1 + _NODES) / 2
        inside = np.broadcast_to(inside, (*shape, *inside.shape[-2:])).reshape(*shape, -1)
        weights = (self.masses[..., None] * _NODE_WEIGHTS / 2).reshape(*shape, -1)
        values = np.asarray(self.base.quantile(np.moveaxis(inside, -1, 0)))
        return values, np.moveaxis(weights, -1, 0)


def _at(table: Array, index: Any) -> Array:
    """The entries of rows (..., n), or of one row for all, at (..., ) indices."""
    if table.ndim == 1:
        return table[index]
    rows = np.broadcast_to(table, (*np.shape(index), table.shape[-1]))
    return np.take_along_axis(rows, index[..., None], -1)[..., 0]


def togetherness(progress: Array) -> Array:
    """How the normal scores of a moment correlate with those of the end.

    A run that does better than forecast soon does so at its end, too: on recorded runs the
    correlation is 0.7 for the next few steps, 0.8 after a tenth and 0.9 after a third of the way.

    Args:
        progress: (m,) share of the way from the last record to the end, in [0, 1].
    """
    found: Array = _SOON + (1 - _SOON) * np.clip(progress, 0, 1) ** _POWER
    return found


def carried(masses: Array, progress: Array) -> Array:
    """A correction of the end as it applies on the way there.

    Args:
        masses: (BINS,) of the correction of the end.
        progress: (m,) as for `togetherness`.

    Returns:
        (m, BINS).
    """
    levels = np.rint(togetherness(progress) * _LEVELS).astype(int)
    return np.stack([masses @ _transition(level) if level else WIDTHS for level in levels.tolist()])


# Tables of at most some ten thousand numbers, made once.
_below = np.vectorize(NormalDist().cdf, otypes=[np.float64])
_score = np.vectorize(
    lambda chance: NormalDist().inv_cdf(chance) if 0 < chance < 1 else (chance - 0.5) * math.inf,
    otypes=[np.float64],
)


@lru_cache(maxsize=_LEVELS + 1)
def _transition(level: int) -> Array:
    """(BINS, BINS) probability of each bin on the way given each bin at the end."""
    if level >= _LEVELS:
        return np.eye(BINS)
    correlation = level / _LEVELS
    inside = EDGES[:-1, None] + WIDTHS[:, None] * (np.arange(_INNER) + 0.5) / _INNER
    centre = correlation * _score(inside)[..., None]
    below = _below((_score(EDGES) - centre) / math.sqrt(1 - correlation**2)).mean(1)
    table = np.diff(below, axis=-1)
    # What corrects nothing at the end corrects nothing before, in spite of rounding: Sinkhorn.
    for _ in range(30):
        table = table * (WIDTHS / (WIDTHS @ table))
        table = table / table.sum(-1, keepdims=True)
    return np.asarray(table * (WIDTHS / (WIDTHS @ table)))
