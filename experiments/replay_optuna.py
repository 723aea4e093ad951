"""Replays recorded runs through Optuna's own code: a study, its trials and a real pruner."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

from experiments.replay import Action, Method, RecordedRuns, Replay, side_by_side
from lcpfn.integrations.optuna import LCPFNPruner

MakePruner = Callable[[int], BasePruner]
"""Makes a pruner for runs of so many records."""


def pruners() -> dict[str, MakePruner]:
    """Optuna's.

    Median and Percentile wait for five trials and five records; the halving ones keep a third.
    """
    return {
        "Optuna Median": lambda records: MedianPruner(5, 5),
        "Optuna Percentile 25": lambda records: PercentilePruner(25.0, 5, 5),
        "Optuna Hyperband": lambda records: HyperbandPruner(1, records, 3),
        "Optuna SuccessiveHalving": lambda records: SuccessiveHalvingPruner(1, 3),
    }


def ours(**settings: Any) -> MakePruner:
    """Our pruner, with its defaults but for the settings given."""
    return lambda records: LCPFNPruner(max_steps=records, **settings)


class _Study:
    """Trials of a study; steps count from 0, as Optuna's do."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._trials: dict[int, optuna.Trial] = {}
        self._last: dict[int, float] = {}

    def begin(self, trial: int) -> None:
        """Asks for the next trial."""
        self._trials[trial] = self._study.ask()

    def report(self, trial: int, step: int, value: float, unbegun: int) -> Action:
        """Reports a record and asks the pruner."""
        self._trials[trial].report(value, step - 1)
        self._last[trial] = value
        return "stop" if self._trials[trial].should_prune() else "continue"

    def end(self, trial: int, finished: bool) -> None:
        """Tells how the trial ended."""
        if not finished:
            self._study.tell(self._trials[trial], state=optuna.trial.TrialState.PRUNED)
            return
        with warnings.catch_warnings():
            # Optuna warns that it takes a trial which ends in NaN as failed, and does so.
            warnings.simplefilter("ignore", UserWarning)
            self._study.tell(self._trials[trial], self._last[trial])

    def choose(self) -> int | None:
        """Optuna cannot pause a trial."""
        return None


def through_optuna(make_pruner: MakePruner) -> Method:
    """The method of a pruner, asked after every record."""

    def method(runs: RecordedRuns, workers: int) -> Replay:
        pruner = make_pruner(runs.curves.shape[1])
        study = optuna.create_study(study_name=runs.name, direction=runs.goal, pruner=pruner)
        return side_by_side(runs, workers, _Study(study))

    return method
