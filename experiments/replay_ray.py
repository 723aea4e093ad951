"""Replays recorded runs through Ray Tune's own schedulers: their real methods, trial by trial.

Starting a process for each of thousands of recorded trials would measure Ray, not the scheduler.
So each scheduler is asked as Tune's controller asks it: `on_trial_add`, `on_trial_result` after
every record, `on_trial_complete` or `on_trial_remove`, `choose_trial_to_run` where a worker is
free. A trial that is paused goes on where it was. One that is stopped at its last record has
finished.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from experiments.replay import Action, Method, RecordedRuns, Replay, side_by_side
from lcpfn.integrations.ray import LCPFNScheduler

TIME, METRIC = "training_iteration", "value"

MakeScheduler = Callable[[int, str], TrialScheduler]
"""Makes a scheduler for runs of so many records, given "min" or "max"."""


def schedulers() -> dict[str, MakeScheduler]:
    """Ray's.

    ASHA keeps a third at each rung, the first after one record; HyperBand halves as Ray's does,
    waiting for all trials of a bracket; median stopping waits for five records and five trials.
    """
    return {
        "Ray ASHA": partial(_ray, ASHAScheduler, grace_period=1, reduction_factor=3),
        "Ray HyperBand": partial(_ray, HyperBandScheduler),
        "Ray MedianStopping": _median,
    }


def ours(**settings: Any) -> dict[str, MakeScheduler]:
    """Our scheduler, with its defaults but for the settings given, with pauses and without."""
    return {
        "LCPFNScheduler": partial(_lcpfn, settings=settings),
        "LCPFNScheduler, freeze": partial(_lcpfn, settings={**settings, "freeze": True}),
    }


def _ray(make: Any, records: int, mode: str, **settings: Any) -> TrialScheduler:
    return make(TIME, METRIC, mode, max_t=records, **settings)


def _median(records: int, mode: str) -> TrialScheduler:
    return MedianStoppingRule(TIME, METRIC, mode, grace_period=5, min_samples_required=5)


def _lcpfn(records: int, mode: str, settings: dict[str, Any]) -> TrialScheduler:
    return LCPFNScheduler(records, TIME, METRIC, mode, **settings)


class _Resumable:
    """What a recorded trial is trained by: something that makes its own checkpoints."""


class _Tune:
    """Trials of one scheduler, and all that it asks of Tune's controller."""

    def __init__(self, scheduler: Any, count: int, records: int) -> None:
        self._scheduler = scheduler
        self._records = records
        self._trials: list[Trial] = []
        # Tune adds trials as long as they fit its queue, before any runs.
        for number in range(count):
            trial = Trial("recorded", trial_id=f"{number:05d}", stub=True)
            trial.get_trainable_cls = lambda: _Resumable
            trial.set_status(Trial.PENDING)
            self._trials.append(trial)
            scheduler.on_trial_add(self, trial)

    def begin(self, trial: int) -> None:
        """A trial is started."""
        self._trials[trial].set_status(Trial.RUNNING)

    def report(self, trial: int, step: int, value: float, unbegun: int) -> Action:
        """A result."""
        running = self._trials[trial]
        result = {TIME: step, METRIC: value, "trial_id": running.trial_id}
        action = self._scheduler.on_trial_result(self, running, dict(result))
        running.update_last_result({**result, "done": action == TrialScheduler.STOP})
        if action == TrialScheduler.PAUSE:
            running.set_status(Trial.PAUSED)
            return "pause"
        stopped = action == TrialScheduler.STOP and step < self._records
        return "stop" if stopped else "continue"

    def end(self, trial: int, finished: bool) -> None:
        """A trial has ended."""
        ended = self._trials[trial]
        self._scheduler.on_trial_complete(self, ended, ended.last_result)
        ended.set_status(Trial.TERMINATED)

    def choose(self) -> int | None:
        """The trial that the scheduler wants to go on."""
        chosen = self._scheduler.choose_trial_to_run(self)
        if chosen is None:
            return None
        chosen.set_status(Trial.RUNNING)
        return int(chosen.trial_id)

    def get_trials(self) -> list[Trial]:
        """All trials, those that have not begun among them."""
        return self._trials

    def get_live_trials(self) -> list[Trial]:
        """Those that have not ended."""
        return [trial for trial in self._trials if not trial.is_finished()]

    def stop_trial(self, trial: Trial) -> None:
        """Stops a trial, paused or not."""
        if trial.status == Trial.PAUSED:
            self._scheduler.on_trial_remove(self, trial)
        trial.set_status(Trial.TERMINATED)

    def _mark_trial_to_checkpoint(self, trial: Trial) -> None:
        """Nothing is stored."""


def through_ray(make_scheduler: MakeScheduler) -> Method:
    """The method of a scheduler, asked after every record."""

    def method(runs: RecordedRuns, workers: int) -> Replay:
        with warnings.catch_warnings():
            # ASHA warns of rungs that hold nothing but NaN.
            warnings.simplefilter("ignore", RuntimeWarning)
            scheduler = make_scheduler(runs.curves.shape[1], runs.goal[:3])
            return side_by_side(runs, workers, _Tune(scheduler, *runs.curves.shape))

    return method
