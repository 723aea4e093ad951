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

from experiments.pool_space import PoolSpace
from experiments.pools import Pool

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
        self._pool, self._configs = pool, pool.configs
        self._study = optuna.create_study(direction=pool.goal, sampler=sampler, pruner=pruner)
        self._pool_space = PoolSpace(pool)
        self._space = {
            name: FloatDistribution(part.low, part.high, log=part.log)
            for name, part in self._pool_space.ranges.items()
        }
        self._trials: dict[int, Trial] = {}

    def ask(self) -> int | None:
        """The nearest to what the sampler proposes."""
        trial = self._study.ask(self._space)
        run = self._pool_space.take(trial.params)
        if run is None:
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        self._trials[run] = trial
        for name, part in self._space.items():
            value = part.to_internal_repr(self._configs[run][name])
            self._study._storage.set_trial_param(trial._trial_id, name, value, part)
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
