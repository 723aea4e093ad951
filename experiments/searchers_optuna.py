"""Optuna's samplers and pruners as those that choose from a pool what runs next.

A sampler proposes a configuration anywhere in the space. The nearest one of the pool that has not
been tried is run instead, and the sampler is told so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from experiments.pools import Pool
from lcpfn.forecast.arguments import Array

MakePruner = Callable[[int], BasePruner]
"""A pruner for runs of so many records."""


def pruners() -> dict[str, MakePruner]:
    """Optuna's own, as it documents them."""
    return {
        "Median": lambda records: optuna.pruners.MedianPruner(),
        "Hyperband": lambda records: optuna.pruners.HyperbandPruner(1, records, 3),
        "SuccessiveHalving": lambda records: optuna.pruners.SuccessiveHalvingPruner(),
    }


class OptunaSearch:
    """A study whose trials are runs of a pool.

    Args:
        pool: to search.
        sampler: proposes configurations.
        pruner: stops trials.
    """

    def __init__(self, pool: Pool, sampler: BaseSampler, pruner: BasePruner) -> None:
        self._pool = pool
        self._study = optuna.create_study(direction=pool.goal, sampler=sampler, pruner=pruner)
        self._space, places = _space(pool)
        self._places = places
        self._left = np.ones(len(pool.curves), dtype=bool)
        self._trials: dict[int, Trial] = {}

    def ask(self) -> int | None:
        """The nearest to what the sampler proposes."""
        if not self._left.any():
            return None
        trial = self._study.ask(self._space)
        wanted = np.array([_place(part, trial.params[name]) for name, part in self._space.items()])
        distances = ((self._places - wanted) ** 2).sum(1)
        run = int(np.where(self._left, distances, np.inf).argmin())
        self._left[run] = False
        self._trials[run] = trial
        for name, value in zip(self._space, self._pool.settings[run].tolist(), strict=True):
            part = self._space[name]
            storage, number = self._study._storage, trial._trial_id
            storage.set_trial_param(number, name, part.to_internal_repr(value), part)
        return run

    def tell(self, run: int, record: int, value: float) -> bool:
        """Reports, and prunes where the pruner says so."""
        trial = self._trials[run]
        trial.report(value, record)
        if record == self._pool.records:
            state = TrialState.COMPLETE if np.isfinite(value) else TrialState.FAIL
            self._study.tell(trial, value if np.isfinite(value) else None, state)
            return False
        if trial.should_prune():
            self._study.tell(trial, state=TrialState.PRUNED)
            return False
        return True


def _space(pool: Pool) -> tuple[dict[str, FloatDistribution], Array]:
    """The space that the pool was drawn from, as far as it shows, and where its runs lie in it."""
    space = {}
    for name, column in zip(pool.names, pool.settings.T, strict=True):
        low, high = float(column.min()), float(column.max())
        log = low > 0 and _skew(np.log(column)) < _skew(column)
        space[name] = FloatDistribution(low, high, log=bool(log))
    places = np.array(
        [
            [_place(part, value) for part, value in zip(space.values(), row, strict=True)]
            for row in pool.settings.tolist()
        ]
    )
    return space, places


def _skew(values: Array) -> float:
    spread = values.std()
    return float(abs(((values - values.mean()) ** 3).mean()) / spread**3) if spread else 0.0


def _place(part: FloatDistribution, value: float) -> float:
    if part.low == part.high:
        return 0.0
    if part.log:
        return float(np.log(value / part.low) / np.log(part.high / part.low))
    return (value - part.low) / (part.high - part.low)
