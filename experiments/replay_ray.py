"""Replays recorded runs through Ray Tune's own schedulers: their real methods, trial by trial.

Starting a process for each of thousands of recorded trials would measure Ray, not the scheduler.
So each scheduler is asked as Tune's controller asks it: `on_trial_add`, `on_trial_result` after
every record, `on_trial_complete` or `on_trial_remove`. One trial runs at a time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, TrialScheduler

from experiments.replay import Method, RecordedRuns, Replay
from lcpfn.forecast.schedule import NamedSchedule

TIME, METRIC = "training_iteration", "value"

MakeScheduler = Callable[[int, str], TrialScheduler]
"""Makes a scheduler for runs of so many records, given "min" or "max"."""


def schedulers(
    model: str | None = None, schedule: NamedSchedule | None = None
) -> dict[str, MakeScheduler]:
    """Ray's, and ours with its default settings for a model by name or path.

    Ours is told the learning rate where one is given.

    ASHA keeps a third at each rung, the first after one record; median stopping waits for five
    records and five trials.
    """
    found: dict[str, MakeScheduler] = {"Ray ASHA": _asha, "Ray MedianStopping": _median}
    if find_spec("lcpfn.integrations.ray") is not None:
        found["LCPFNScheduler"] = partial(_lcpfn, model=model, schedule=schedule)
    return found


def _asha(records: int, mode: str) -> TrialScheduler:
    return ASHAScheduler(TIME, METRIC, mode, max_t=records, grace_period=1, reduction_factor=3)


def _median(records: int, mode: str) -> TrialScheduler:
    return MedianStoppingRule(TIME, METRIC, mode, grace_period=5, min_samples_required=5)


def _lcpfn(
    records: int, mode: str, model: str | None, schedule: NamedSchedule | None
) -> TrialScheduler:
    from lcpfn.integrations.ray import LCPFNScheduler

    return LCPFNScheduler(records, TIME, METRIC, mode, model=model, schedule=schedule)


class _Controller:
    """What schedulers ask of Tune's controller: its trials, the running one last."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []

    def get_trials(self) -> list[Trial]:
        return self.trials

    def get_live_trials(self) -> list[Trial]:
        return self.trials[-1:]


def through_ray(make_scheduler: MakeScheduler) -> Method:
    """The method of a scheduler, asked after every record."""

    def method(runs: RecordedRuns) -> Replay:
        with warnings.catch_warnings():
            # ASHA warns of rungs that hold nothing but NaN.
            warnings.simplefilter("ignore", RuntimeWarning)
            return _replay(runs, make_scheduler)

    return method


def _replay(runs: RecordedRuns, make_scheduler: MakeScheduler) -> Replay:
    trials, records = runs.curves.shape
    spent = np.full(trials, records)
    decisions, seconds = 0, 0.0
    scheduler: Any = make_scheduler(records, runs.goal[:3])
    controller: Any = _Controller()
    for index, curve in enumerate(runs.curves):
        trial = Trial("recorded", trial_id=f"{index:05d}", stub=True)
        trial.set_status(Trial.PENDING)
        controller.trials.append(trial)
        scheduler.on_trial_add(controller, trial)
        trial.set_status(Trial.RUNNING)
        for step, value in enumerate(curve, start=1):
            result = {TIME: step, METRIC: float(value), "trial_id": trial.trial_id}
            begin = time.thread_time()
            action = scheduler.on_trial_result(controller, trial, result)
            seconds += time.thread_time() - begin
            decisions += 1
            result["done"] = action == TrialScheduler.STOP or step == records
            trial.update_last_result(result)
            if result["done"]:
                spent[index] = step
                break
        scheduler.on_trial_complete(controller, trial, trial.last_result)
        trial.set_status(Trial.TERMINATED)
    return Replay(spent, spent == records, decisions, seconds)
