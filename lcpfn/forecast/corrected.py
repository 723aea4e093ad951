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
# Correlations that tables are made for; between them they are mixed.
_LEVELS = 24
_INNER = 4
_LEAST_MASS = 1e-24
_LEAST_JUMP = 1e-9


@dataclass(frozen=True)
class Corrected:
    """A batch of corrected distributions; see `lcpfn.forecast.distribution`.

    Args:
        base: (...,) the distributions as they were.
        masses: (..., BINS) probability that the value comes within each bin of the base's own
            probabilities.
    """

    base: Distribution
    masses: Array

    def __getitem__(self, index: Any) -> Corrected:
        return Corrected(self.base[index], self.masses[index])

    def expand(self, *shape: int) -> Corrected:
        """The distribution broadcast to another batch shape."""
        return Corrected(self.base.expand(*shape), np.broadcast_to(self.masses, (*shape, BINS)))

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
        return self._corrected(np.asarray(self.base.cdf(y)))

    def log_prob(self, y: Any) -> Array:
        """Log-density at y, broadcast against (...,); -inf outside the bounds."""
        below = np.asarray(self.base.cdf(y))
        before = np.asarray(self.base.cdf(np.nextafter(y, -np.inf)))
        index = _bin_of(below)
        with np.errstate(divide="ignore"):
            density = np.log(_at(self.masses, index) / WIDTHS[index])
            # A value that has a probability of its own, as the best record so far.
            jump = np.log(self._corrected(below) - self._corrected(before))
        found = np.asarray(self.base.log_prob(y)) + density
        density = np.where(below - before > _LEAST_JUMP, jump, found)
        return density

    def uncorrected(self, q: Array) -> Array:
        """The base's probability at a corrected one, broadcast against (...,)."""
        upto = np.cumsum(self.masses, -1)
        if upto.size == BINS:
            # One distribution, however many probabilities.
            return np.interp(q, np.append(0.0, upto), EDGES)
        index = np.minimum((q[..., None] >= upto).sum(-1), BINS - 1)
        mass = np.maximum(_at(self.masses, index), _LEAST_MASS)
        left = q - (_at(upto, index) - _at(self.masses, index))
        found: Array = EDGES[index] + np.clip(left / mass, 0, 1) * WIDTHS[index]
        return found.clip(0, 1)

    def _corrected(self, below: Array) -> Array:
        """The corrected probability at one of the base's, broadcast against (...,)."""
        if self.masses.size == BINS:
            upto = np.append(0.0, np.cumsum(self.masses))
            return np.asarray(np.interp(below, EDGES, upto)).clip(0, 1)
        index = _bin_of(below)
        before = _at(np.cumsum(self.masses, -1), index) - _at(self.masses, index)
        inside = (below - EDGES[index]) / WIDTHS[index] * _at(self.masses, index)
        corrected: Array = np.clip(before + inside, 0, 1)
        return corrected

    @property
    def _nodes(self) -> tuple[Array, Array]:
        """Values and weights (k, ...) of a quadrature over the bins."""
        inside = (EDGES[:-1, None] + WIDTHS[:, None] * (1 + _NODES) / 2).ravel()
        batch = self.masses.ndim - 1
        values = np.asarray(self.base.quantile(inside.reshape(-1, *[1] * batch)))
        weights = np.moveaxis(self.masses, -1, 0)[:, None] * _NODE_WEIGHTS.reshape(-1, *[1] * batch)
        return values, weights.reshape(values.shape) / 2


def _bin_of(chance: Array) -> Any:
    return np.clip(np.searchsorted(EDGES, chance, "right") - 1, 0, BINS - 1)


def _at(table: Array, index: Any) -> Array:
    """The entries of rows (..., BINS) at indices, broadcast against (...,)."""
    rows = np.broadcast_to(table, (*np.shape(index), BINS))
    return np.take_along_axis(rows, np.asarray(index)[..., None], -1)[..., 0]


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
    levels = togetherness(progress) * _LEVELS
    below = np.minimum(levels.astype(int), _LEVELS - 1)
    tables = {
        level: masses @ _transition(level) for level in {*below.tolist(), *(below + 1).tolist()}
    }
    share = (levels - below)[:, None]
    lower = np.stack([tables[level] for level in below.tolist()])
    upper = np.stack([tables[level + 1] for level in below.tolist()])
    mixed: Array = lower + share * (upper - lower)
    return mixed


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
