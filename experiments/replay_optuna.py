"""Replays recorded runs through Optuna's own code: a study, its trials and a real pruner."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

from experiments.replay import Method, RecordedRuns, Replay
from lcpfn.forecast.schedule import NamedSchedule
from lcpfn.integrations.optuna import LCPFNPruner

MakePruner = Callable[[int], BasePruner]
"""Makes a pruner for runs of so many records."""


def pruners(
    model: str | None = None, schedule: NamedSchedule | None = None
) -> dict[str, MakePruner]:
    """Optuna's, and ours with its default settings for a model by name or path.

    Ours is told the learning rate where one is given.

    Median and Percentile wait for five trials and five records; the halving ones keep a third.
    """
    return {
        "Optuna Median": lambda records: MedianPruner(5, 5),
        "Optuna Percentile 25": lambda records: PercentilePruner(25.0, 5, 5),
        "Optuna Hyperband": lambda records: HyperbandPruner(1, records, 3),
        "Optuna SuccessiveHalving": lambda records: SuccessiveHalvingPruner(1, 3),
        "LCPFNPruner": lambda records: LCPFNPruner(
            max_steps=records, model=model, schedule=schedule
        ),
    }


def through_optuna(make_pruner: MakePruner) -> Method:
    """The method of a pruner, asked after every record; steps count from 0, as Optuna's do."""

    def method(runs: RecordedRuns) -> Replay:
        trials, records = runs.curves.shape
        spent = np.full(trials, records)
        finished = np.ones(trials, dtype=bool)
        decisions, seconds = 0, 0.0
        study = optuna.create_study(
            study_name=runs.name, direction=runs.goal, pruner=make_pruner(records)
        )
        for index, curve in enumerate(runs.curves):
            trial = study.ask()
            for step, value in enumerate(curve):
                trial.report(float(value), step)
                begin = time.thread_time()
                stop = trial.should_prune()
                seconds += time.thread_time() - begin
                decisions += 1
                if stop:
                    spent[index] = step + 1
                    finished[index] = False
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                _complete(study, trial, float(curve[-1]))
        return Replay(spent, finished, decisions, seconds)

    return method


def _complete(study: optuna.Study, trial: optuna.Trial, final: float) -> None:
    with warnings.catch_warnings():
        # Optuna warns that it takes a trial which ends in NaN as failed, and does so.
        warnings.simplefilter("ignore", UserWarning)
        study.tell(trial, final)
