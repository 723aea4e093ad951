"""Syne Tune's schedulers as those that choose from a pool what runs next.

Those with a Gaussian process are told which configurations there are. Of the others the nearest run
of the pool that nobody has begun is the one meant, and they are told its records as those of what
they asked for. The releases up to 0.13 have MOBSTER and DyHPO.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import numpy as np

from experiments.pool_space import PoolSpace
from experiments.pools import Pool


class SyneTuneSearch:
    """A scheduler whose trials are runs of a pool.

    Args:
        pool: to search.
        scheduler: "MOBSTER", "DyHPO" or "SyncBOHB", with its own defaults.
        seed: of the scheduler.
        told: whether it is told which configurations there are.
    """

    def __init__(self, pool: Pool, scheduler: str, seed: int, told: bool) -> None:
        from syne_tune.config_space import loguniform, uniform
        from syne_tune.optimizer import baselines

        logging.disable(logging.CRITICAL)
        self._pool, self._space = pool, PoolSpace(pool)
        configs = [
            {name: config[name] for name in self._space.ranges} | {"records": pool.records}
            for config in pool.configs
        ]
        self._known = {_key(config): run for run, config in enumerate(configs)} if told else {}
        space: dict[str, Any] = {
            name: (loguniform if part.log else uniform)(part.low, part.high)
            for name, part in self._space.ranges.items()
        }
        options = {"search_options": {"debug_log": False}}
        if told:
            options["search_options"]["restrict_configurations"] = configs  # type: ignore[assignment]
        self._scheduler = getattr(baselines, scheduler)(
            {**space, "records": pool.records},
            metric="value",
            mode="max" if pool.goal == "maximize" else "min",
            resource_attr="record",
            max_resource_attr="records",
            random_seed=seed,
            **options,
        )
        self._trials: dict[int, Any] = {}
        self._runs: dict[int, int] = {}
        self._number: dict[int, int] = {}
        self._worst: float | None = None

    def ask(self) -> int | None:
        """The run of the trial that is begun or goes on."""
        from syne_tune.backend.trial_status import Trial

        number = len(self._trials)
        asked = self._scheduler.suggest(number)
        if asked is None:
            return None
        if not asked.spawn_new_trial_id:
            number = asked.checkpoint_trial_id
            if asked.config is not None:
                self._trials[number].config = asked.config
            return self._runs[number]
        run = self._known.get(_key(asked.config)) if self._known else self._space.take(asked.config)
        if run is None:
            return None
        trial = Trial(trial_id=number, config=asked.config, creation_time=datetime.now())
        self._trials[number], self._runs[number], self._number[run] = trial, run, number
        self._scheduler.on_trial_add(trial)
        return run

    def tell(self, run: int, record: int, value: float) -> bool:
        """Reports, and stays where the scheduler says so."""
        trial = self._trials[self._number[run]]
        report = {"value": self._finite(value), "record": record}
        if record == self._pool.records:
            self._scheduler.on_trial_result(trial, report)
            self._scheduler.on_trial_complete(trial, report)
            return False
        return bool(self._scheduler.on_trial_result(trial, report) == "CONTINUE")

    def _finite(self, value: float) -> float:
        if np.isfinite(value):
            return value
        finite = self._pool.curves[np.isfinite(self._pool.curves)]
        return float(finite.min() if self._pool.goal == "maximize" else finite.max())


def _key(config: dict[str, Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 12) for name, value in config.items() if name != "records")
