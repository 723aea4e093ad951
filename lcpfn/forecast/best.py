"""The best value up to a step: the better of the best record so far and of what is to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array, Goal
from lcpfn.forecast.bounded import Marginal
from lcpfn.forecast.curve import Curve
from lcpfn.forecast.distribution import Distribution

Of = Literal["last", "best"]
"""What is forecast of a step: the value at it, or the best one up to it."""


def read_of(of: str) -> Of:
    """Checks what is to be forecast."""
    if of not in get_args(Of):
        raise InputError(f"of is {of!r}, but must be 'last' or 'best'")
    return of  # type: ignore[return-value]


def best_of(values: Array, goal: Goal) -> float:
    """The best of some values."""
    return float(values.max() if goal == "maximize" else values.min())


def best_so_far(drawn: Array, curve: Curve) -> Array:
    """Drawn values (count, m) that follow a curve, as the best so far at each step."""
    best = best_of(curve.values, curve.goal)
    if curve.goal == "maximize":
        return np.maximum(np.maximum.accumulate(drawn, 1), best)
    return np.minimum(np.minimum.accumulate(drawn, 1), best)


def answered(forecast: Marginal, curve: Curve, of: Of) -> Distribution:
    """What a forecast in the metric's unit says of what was asked about a curve."""
    if of == "last":
        return forecast
    return BestSoFar(forecast, best_of(curve.values, curve.goal), curve.goal)


@dataclass(frozen=True)
class BestSoFar:
    """Distributions of the best value up to a step; see `lcpfn.forecast.distribution`.

    No mass lies on the worse side of the best record, and the record itself has the probability
    that nothing better comes.

    Args:
        later: of the best record still to come, in numpy.
        best: the best record so far, within the bounds of `later`.
        goal: which direction is better.
    """

    later: Marginal
    best: float
    goal: Goal

    def __getitem__(self, index: Any) -> BestSoFar:
        return BestSoFar(self.later[index], self.best, self.goal)

    def expand(self, *shape: int) -> BestSoFar:
        """The distribution broadcast to another batch shape."""
        return BestSoFar(self.later.expand(*shape), self.best, self.goal)

    @property
    def prob_kept(self) -> Array:
        """P(no later record is better), (...,)."""
        below = np.asarray(self.later.cdf(np.float64(self.best)))
        return below if self.goal == "maximize" else 1 - below

    @property
    def mean(self) -> Array:
        """Expected value, (...,)."""
        kept = self.prob_kept
        mean: Array = kept * self.best + (1 - kept) * self._improved.mean
        return mean

    @property
    def std(self) -> Array:
        """Standard deviation, (...,)."""
        kept, improved, mean = self.prob_kept, self._improved, self.mean
        inside = improved.std**2 + (improved.mean - mean) ** 2
        deviation: Array = np.sqrt(kept * (self.best - mean) ** 2 + (1 - kept) * inside)
        return deviation

    def quantile(self, q: Array) -> Array:
        """Inverse of `cdf`, broadcast against (...,). q in [0, 1]."""
        better = np.maximum if self.goal == "maximize" else np.minimum
        result: Array = better(self.later.quantile(q), self.best)
        return result

    def cdf(self, y: Array) -> Array:
        """P(Y <= y), broadcast against (...,)."""
        open_cdf = self.later.cdf(y)
        if self.goal == "maximize":
            return np.where(np.asarray(y) >= self.best, open_cdf, 0.0)
        return np.where(np.asarray(y) >= self.best, 1.0, open_cdf)

    @np.errstate(divide="ignore")
    def log_prob(self, y: Array) -> Array:
        """Log-density at y, broadcast against (...,); -inf on the worse side of the best record.

        At the best record itself it is the logarithm of the probability that nothing better comes.
        """
        beyond = np.asarray(y) - self.best
        beyond = beyond if self.goal == "maximize" else -beyond
        at_best = np.where(beyond == 0, np.log(self.prob_kept), -np.inf)
        return np.where(beyond > 0, self.later.log_prob(y), at_best)

    @property
    def _improved(self) -> Marginal:
        """What comes, given that it is better than the best record."""
        if self.goal == "maximize":
            return self.later.truncate(self.best, self.later.high)
        return self.later.truncate(self.later.low, self.best)
