"""Forecasts of the runs of a pool, made when they are first asked for and kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np

import lcpfn
from experiments.pools import Pool
from lcpfn.atomic import write_atomically
from lcpfn.forecast.arguments import Array, Goal
from lcpfn.forecast.best import BestSoFar, Of
from lcpfn.forecast.bounded import Bounded, Marginal
from lcpfn.forecast.bounds import Bounds, bounds_that_hold, telling_values
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.search.divergence import divergence, usable
from lcpfn.search.forecasts import Question

_TAIL = (0.0005, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075)
LEVELS = np.array([*_TAIL, *np.linspace(0.1, 0.9, 17), *(1 - level for level in reversed(_TAIL))])
"""Levels at which forecasts are kept; between them they are interpolated."""


class PoolForecasts:
    """The forecast of the end of every run of a pool after each of its records.

    Args:
        pool: whose runs.
        model: what forecasts.
        folder: where they are kept, by pool and weights; None keeps nothing.
        of: whether the last value of a run is forecast or its best.
    """

    def __init__(
        self, pool: Pool, model: lcpfn.LCPFN, folder: Path | None = None, of: Of = "best"
    ) -> None:
        self._pool, self._model, self.of = pool, model, of
        runs, records = pool.curves.shape
        self._made = np.zeros(runs, dtype=bool)
        self._quantiles = np.full((runs, records, len(LEVELS)), np.nan, dtype=np.float32)
        self._seen = telling_values(filter(usable, pool.curves.ravel().tolist()))
        self._new = 0
        sha = str(model.card.get("sha256", "unnamed"))[:12]
        name = f"{pool.name.replace('/', '__')}-{len(pool.curves)}-{of}-{sha}.npz"
        self._path = None if folder is None else folder / name
        if self._path is not None and self._path.exists():
            with np.load(self._path) as kept:
                self._made[kept["runs"]] = True
                self._quantiles[kept["runs"]] = kept["quantiles"]

    def quantiles(self, run: int, count: int) -> Array:
        """(levels,) of the end of a run after its first records; NaN once it has diverged."""
        if not self._made[run]:
            self._make(run)
        kept: Array = self._quantiles[run, count - 1].astype(np.float64)
        return kept

    def __call__(self, question: Question) -> Kept:
        """Answers a search, whose runs are known by their number in the pool."""
        run = question.run
        assert isinstance(run, int)
        steps = np.array([step for step, _ in question.records])
        quantiles = self.quantiles(run, int(steps[-1]))
        return Kept(quantiles, question.goal, question.horizon, steps)

    def keep(self) -> None:
        """Writes what has been made."""
        if self._path is None or not self._new:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        runs = np.flatnonzero(self._made)
        content = BytesIO()
        np.savez(content, runs=runs, quantiles=self._quantiles[runs])
        write_atomically(self._path, content.getvalue())
        self._new = 0

    def _make(self, run: int) -> None:
        pool = self._pool
        self._made[run], self._new = True, self._new + 1
        values = pool.curves[run]
        values = values[: _until_divergence(values, pool.goal)]
        if not len(values):
            return
        posts = self._model.backtest(
            values,
            horizon=pool.records,
            goal=pool.goal,
            bounds=bounds_that_hold("auto", values[:1].tolist(), pool.goal, self._seen),
            of=self.of,
        )
        # Prefix by prefix the quantiles would cost more than the forecast.
        ends = [post.at_horizon()._margins for post in posts]
        together = _side_by_side([end.later if isinstance(end, BestSoFar) else end for end in ends])
        quantiles = np.asarray(together.quantile(LEVELS[:, None])).T
        if self.of == "best":
            better = np.maximum if pool.goal == "maximize" else np.minimum
            so_far = better.accumulate(np.where(np.isnan(values), values[0], values))
            quantiles = better(quantiles, so_far[:, None])
        self._quantiles[run, : len(ends)] = quantiles


def _side_by_side(each: Sequence[Marginal]) -> Marginal:
    """Forecasts within the same bounds as one batch."""
    known = [one.open if isinstance(one, Bounded) else one for one in each]
    together = BinnedDistribution(
        np.concatenate([np.asarray(one.location) for one in known]),
        np.concatenate([np.asarray(one.scale) for one in known]),
        np.concatenate([np.asarray(one.log_masses) for one in known]),
    )
    first = each[0]
    if isinstance(first, Bounded):
        return replace(first, open=together)
    return replace(together, low=first.low, high=first.high)


class Kept:
    """A forecast by its quantiles at `LEVELS`.

    Args:
        quantiles: (levels,).
        goal, horizon: as of the run.
        steps: (n,) of what it rests on.
    """

    bounds: Bounds = (None, None)

    def __init__(self, quantiles: Array, goal: Goal, horizon: float, steps: Array) -> None:
        self.goal: Goal = goal
        self.horizon = horizon
        self.observed_steps = steps
        self._quantiles = quantiles

    def allowing(self, value: float) -> Kept:
        """Itself: its bounds hold the values of all runs."""
        return self

    def prob_better(self, than: float) -> float:
        """P(the end beats a value)."""
        below = float(np.interp(than, self._quantiles, LEVELS, 0.0, 1.0))
        return 1 - below if self.goal == "maximize" else below

    def quantile(self, q: object) -> Array:
        """Quantiles of the end, (levels, 1)."""
        return np.interp(np.atleast_1d(np.asarray(q, float)), LEVELS, self._quantiles)[:, None]


def _until_divergence(values: Array, goal: Goal) -> int:
    first = int(np.argmax(np.isfinite(values)))
    for count in range(first + 1, len(values) + 1):
        if divergence(values[:count].tolist(), goal) is not None:
            return count - 1
    return len(values) if np.isfinite(values[0]) else 0
