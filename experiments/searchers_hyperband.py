"""Hyperbands of other packages, DEHB and SMAC3, as those that choose from a pool what runs next.

They ask for configurations anywhere in the space, each to a number of records. The nearest run of
the pool that nobody has begun is the one meant, they are told its value as that of what they asked
for, and one that they ask for again goes on where it stopped.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from experiments.pool_space import PoolSpace
from experiments.pools import Pool


class Jobs(Protocol):
    """What asks for configurations, each to a number of records."""

    def ask(self) -> tuple[Any, Mapping[str, float], float] | None:
        """A job, its configuration and to how many records; None where nothing can be begun."""

    def tell(self, job: Any, loss: float) -> None:
        """Hears of the last record of a job, lower is better."""


class JobSearch:
    """Runs of a pool that are trained as far as jobs ask for.

    Args:
        pool: to search.
        jobs: what asks.
    """

    def __init__(self, pool: Pool, jobs: Jobs) -> None:
        self._pool, self._jobs = pool, jobs
        self._space = PoolSpace(pool)
        self._sign = -1.0 if pool.goal == "maximize" else 1.0
        losses = self._sign * pool.curves
        self._worst = float(losses[np.isfinite(losses)].max())
        self._runs: dict[tuple[float, ...], int] = {}
        self._spent: dict[int, int] = {}
        self._under_way: dict[int, tuple[Any, int]] = {}

    def ask(self) -> int | None:
        """The run of the next job that asks for more records than it has."""
        while (asked := self._jobs.ask()) is not None:
            job, config, records = asked
            key = tuple(config[name] for name in self._space.ranges)
            run = self._runs.get(key)
            if run is None:
                run = self._space.take(config)
                if run is None:
                    return None
                self._runs[key] = run
            count = min(self._pool.records, max(1, round(records)))
            if self._spent.get(run, 0) < count and run not in self._under_way:
                self._under_way[run] = job, count
                return run
            self._jobs.tell(job, self._loss(float(self._pool.curves[run, count - 1])))
        return None

    def tell(self, run: int, record: int, value: float) -> bool:
        """Stays until the record that was asked for."""
        self._spent[run] = record
        job, count = self._under_way[run]
        if record < count:
            return True
        del self._under_way[run]
        self._jobs.tell(job, self._loss(value))
        return False

    def _loss(self, value: float) -> float:
        return self._sign * value if np.isfinite(value) else self._worst


class DEHBJobs:
    """DEHB (Awad et al. 2021), by its own package, with its defaults and a factor of 3."""

    def __init__(self, pool: Pool, seed: int) -> None:
        from dehb import DEHB
        from loguru import logger

        logger.remove()
        self._dehb = DEHB(
            cs=configuration_space(pool, seed),
            min_fidelity=1,
            max_fidelity=pool.records,
            eta=3,
            seed=seed,
            n_workers=1,
            output_path=tempfile.mkdtemp(),
            save_freq="end",
        )

    def ask(self) -> tuple[Any, Mapping[str, float], float]:
        job = self._dehb.ask()
        return job, dict(job["config"]), float(job["fidelity"])

    def tell(self, job: Any, loss: float) -> None:
        self._dehb.tell(job, {"fitness": loss, "cost": 1.0})


class SMACJobs:
    """SMAC3's Hyperband facade (Lindauer et al. 2022), by its own package, with its defaults."""

    def __init__(self, pool: Pool, seed: int) -> None:
        from smac import MultiFidelityFacade, Scenario

        logging.disable(logging.WARNING)
        scenario = Scenario(
            configuration_space(pool, seed),
            deterministic=True,
            n_trials=100_000,
            min_budget=1,
            max_budget=pool.records,
            seed=seed,
            output_directory=tempfile.mkdtemp(),
        )
        self._facade = MultiFidelityFacade(
            scenario, lambda config, seed, budget: 0.0, overwrite=True, logging_level=False
        )

    def ask(self) -> tuple[Any, Mapping[str, float], float]:
        info = self._facade.ask()
        return info, dict(info.config), float(info.budget)

    def tell(self, job: Any, loss: float) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._facade.tell(job, TrialValue(cost=loss))


def configuration_space(pool: Pool, seed: int) -> Any:
    """The space of a pool for ConfigSpace."""
    from ConfigSpace import ConfigurationSpace, Float

    space = ConfigurationSpace(seed=seed)
    for name, part in PoolSpace(pool).ranges.items():
        space.add(Float(name, (part.low, part.high), log=part.log))
    return space
