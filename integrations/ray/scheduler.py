"""The scheduler for Ray Tune."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune.callback import Callback, CallbackList
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.result import DEFAULT_METRIC, DONE, SHOULD_CHECKPOINT
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.trainable import FunctionTrainable

from lcpfn.errors import InputError
from lcpfn.integrations.ray.door import (
    ACTION,
    UNJUDGED,
    Door,
    MaxT,
    as_result,
    check_name,
    read_mode,
)
from lcpfn.integrations.ray.results import recorded_results
from lcpfn.search.search import Search

# In Ray's hierarchy, so that its handlers and levels govern it.
_logger = logging.getLogger("ray.tune.schedulers.lcpfn")


class LCPFNScheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops a trial when its final value will hardly beat the best one's.

    After each result the rest of the trial's learning curve is forecast. The trial is stopped when
    the probability that its value at `max_t` beats the value to beat falls under `threshold`, or
    under the multiple of it that its progress and its standing among the other trials call for: one
    that trails them is judged sooner, one that leads them is spared (`lcpfn.Search`). Metric and
    mode come from `TuneConfig`::

        tune.TuneConfig(metric="accuracy", mode="max", scheduler=LCPFNScheduler(max_t=100))

    **The value to beat** is the better of the final value of the best trial that has run to its
    end (to `max_t`, where it is stopped, or until it ended by itself or by a stopping criterion)
    and of what the best other trial under way will hardly fall short of. So trials that run side by
    side are stopped long before the first has ended. Failed trials do not count.

    **Peers** are the latest trials that have ended other than by an error and those under way,
    compared with at the same share of the run; one that had been stopped by then counts as worse.

    **Steps** are the values of `time_attr`. They may start at 0 or 1 and skip. A result at a step
    that was there before means that the trial went back, to a checkpoint or to its start: it
    replaces what was reported from that step on.

    **Missing values.** A trial whose newest value is NaN, infinite, or over 10,000 times the size
    of all before it in the wrong direction is stopped at once. Earlier such values, those before
    the first usable one, values of None, and with `nan="missing"` every NaN, count as missing. A
    result without the metric, or a trial that reports nothing at all, ends the search by Tune's
    own check, and a result without `time_attr` by one like it; set the environment variable
    TUNE_DISABLE_STRICT_METRIC_CHECKING to 1 to let them pass.

    **Restoring.** Tune does not store a scheduler's state with the experiment. After
    `Tuner.restore` everything is read again from the results that Tune recorded of each trial, so
    the search goes on deciding the same. A scheduler that is given to another search begins anew.

    **Record.** Each result gets the fields of `lcpfn.Verdict` under `lcpfn/`, such as
    `lcpfn/action` (there is "finish" as well, at `max_t`), `lcpfn/prob_better` and `lcpfn/reason`;
    NaN where unknown. At debug level the logger `ray.tune.schedulers.lcpfn` tells every decision;
    what you must know, such as a `max_t` that what is reported contradicts, it warns of once.

    **Freeze and thaw.** With `freeze` every trial gets its first results first; from then on a
    trial is paused when one that waits promises more, by the 75 % quantile of its final value
    (`hope`), and when resources are free the most promising of those goes on from its checkpoint.
    A frozen trial that cannot win any more, as the others get better, is stopped. Trials need
    checkpoints: a function that reports none is never paused. Frozen trials count towards
    `max_concurrent_trials`: limit concurrency by resources instead.

    Args:
        max_t: value of `time_attr` at the end of a full run, where trials are stopped. Where steps
            start at 0, one more than the last. A number; the name of the hyperparameter that holds
            it, nested ones joined by slashes; a callable of the trial's config; or None, which
            learns it from the longest trials, once three have ended at about the same step, and
            stops nothing for having reached it.
        time_attr: key of the result that counts a trial's steps; must increase.
        metric: key of the result to judge by; None takes it from `TuneConfig`. Keys of nested
            results are joined by slashes.
        mode: "min" or "max"; None takes it from `TuneConfig`.
        model: bundled name or path, as for `lcpfn.load`; None is the default model. Weights are
            loaded when the search begins, in the driver only.
        freeze: whether to pause trials in favour of more promising ones.
        settings: by keywords, such as `threshold` or `of`: see `lcpfn.SearchSettings` and
            `lcpfn.StoppingRule`.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        max_t: MaxT = 100,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        *,
        model: str | Path | None = None,
        freeze: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        if metric is not None:
            check_name("metric", metric)
        if mode is not None:
            read_mode(mode)
        if not isinstance(freeze, bool):
            raise InputError(f"freeze is {freeze!r}, but must be True or False")
        self._stated = metric, mode
        self._metric, self._mode = metric, mode
        self._freeze = freeze
        self._door = Door(max_t, time_attr, {**settings, "model": model, "pause": freeze})
        # A trial that is paused must not have results under way.
        self._supports_buffered_results = not freeze
        self._started: Search | None = None
        self._unrecorded: dict[str, dict[str, Any]] = {}
        self._judged: dict[str, Any] = {}
        self._warned = False

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Takes metric and mode from `TuneConfig`; False where they contradict the arguments.

        A search begins with this: what was known of another one is forgotten.
        """
        for told, stated in zip((metric, mode), self._stated, strict=True):
            if told and stated not in (None, told):
                return False
        self._metric, self._mode = metric or self._stated[0], mode or self._stated[1]
        if self._metric is None and self._mode is not None:
            self._metric = DEFAULT_METRIC
        self._started, self._unrecorded, self._judged, self._warned = None, {}, {}, False
        if self._metric is not None and self._mode is not None:
            # Before any trial runs: broken weights are told at once, and no result waits.
            self._search.warm_up()
        return True

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Remembers a trial; one of a restored search with all that it has reported.

        Raises:
            InputError: neither the arguments nor `TuneConfig` give metric and mode.
        """
        search = self._search
        self._record_decisions(tune_controller)
        known = trial.trial_id in search.runs
        self._door.begin(search, trial.trial_id, trial.config)
        if not known and trial.has_reported_at_least_once:
            self._recall(trial)

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> str:
        """Decides what happens to a trial after a result."""
        search, trial_id = self._search, trial.trial_id
        verdict, finished = UNJUDGED, False
        if self._door.hear(search, trial_id, result, self._metric):
            finished = search.complete(trial_id)
            verdict = search.judge(trial_id, self._count_unbegun(tune_controller))
        if verdict.action == "pause" and not self._can_pause(trial, result):
            verdict = replace(verdict, action="continue")
        answer = TrialScheduler.CONTINUE
        if verdict.action == "stop" or finished:
            answer = TrialScheduler.STOP
            search.end(trial_id, "stopped" if verdict.action == "stop" else "finished")
        elif verdict.action == "pause":
            answer = TrialScheduler.PAUSE
            search.pause(trial_id)
        self._unrecorded[trial_id] = as_result(verdict, finished and verdict.action != "stop")
        _logger.debug("Trial %s: %s: %s", trial_id, verdict.action, verdict.reason)
        self._warn()
        return str(answer)

    def on_trial_complete(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> None:
        """Takes the final value of a trial that ended otherwise than by a decision."""
        search, trial_id = self._search, trial.trial_id
        if trial_id in search.runs and search.runs[trial_id].ended:
            return
        if self._metric in result and self._door.time_attr in result:
            self._door.hear(search, trial_id, result, self._metric)
        search.end(trial_id, "finished")
        self._warn()

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Forgets the final value of a trial that failed; Tune adds it again to retry it."""
        self._search.end(trial.trial_id, "failed")

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Takes note of a trial that was stopped while it waited."""
        self._search.end(trial.trial_id, "stopped")

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """New trials in their order, then the most promising frozen one."""
        if not self._freeze or self._started is None:
            trial: Trial | None = super().choose_trial_to_run(tune_controller)
            return trial
        self._stop_hopeless(tune_controller)
        paused = {}
        for trial in tune_controller.get_trials():
            if trial.status == Trial.PENDING:
                # Tune starts these by itself, in their order.
                return trial
            if trial.status == Trial.PAUSED:
                paused[trial.trial_id] = trial
        best = next((run for run in self._search.promising() if run in paused), None)
        # Trials that somebody else paused are none of the search's.
        return paused[best] if best is not None else next(iter(paused.values()), None)

    def debug_string(self) -> str:
        """What it did so far, for Tune's status display."""
        title = f"LCPFNScheduler(max_t={self._door.max_t})"
        if self._started is None:
            return f"{title}: no trials yet"
        search = self._started
        states = Counter(run.state for run in search.runs.values())
        told = [f"{states[name]} {name}" for name in ("finished", "stopped", "failed")]
        told += [f"{states['paused']} paused"] if states["paused"] else []
        best = "none has finished yet"
        if search.best is not None:
            best = f"the best ended at {search.best[1]:g} (trial {search.best[0]})"
        return f"{title}: {', '.join(told)}; {best}"

    def save(self, checkpoint_path: str) -> None:
        """Writes all that is known of the search to a file."""
        with open(checkpoint_path, "wb") as file:
            # Ray's, because a schedule may be a local function or a lambda.
            cloudpickle.dump(self.__getstate__(), file)

    def restore(self, checkpoint_path: str) -> None:
        """Reads what `save` wrote."""
        with open(checkpoint_path, "rb") as file:
            self.__dict__.update(cloudpickle.load(file))

    def take_decision(self, trial_id: str) -> dict[str, Any]:
        """The decision on a trial's newest result, once, as it is added to that result."""
        return self._unrecorded.pop(trial_id, as_result(UNJUDGED))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_unrecorded": {}}

    @property
    def _search(self) -> Search:
        if self._started is None:
            for name, value in (("metric", self._metric), ("mode", self._mode)):
                if value is None:
                    raise InputError(
                        f"{name} is not given: pass it to tune.TuneConfig or to LCPFNScheduler"
                    )
            self._started = self._door.search(str(self._mode), self._metric)
        return self._started

    def _recall(self, trial: Trial) -> None:
        """Reads again what a trial of a restored search has reported, and how it ended."""
        results = recorded_results(trial)
        for result in results:
            if self._metric in result and self._door.time_attr in result:
                self._door.hear(self._search, trial.trial_id, result, self._metric)
        if trial.status == Trial.ERROR:
            self._search.end(trial.trial_id, "failed")
        elif trial.status == Trial.TERMINATED:
            # A search that was ended as a whole leaves trials that are not done.
            given_up = results[-1].get(ACTION) in ("stop", "pause")
            done = trial.last_result.get(DONE) and not given_up
            self._search.end(trial.trial_id, "finished" if done else "stopped")
        _logger.debug("Trial %s: %d results read again", trial.trial_id, len(results))

    def _count_unbegun(self, tune_controller: TuneController) -> int:
        """How many new trials wait; also hears which frozen ones have gone on."""
        if not self._freeze:
            return 0
        search, unbegun = self._search, 0
        for trial in tune_controller.get_trials():
            if trial.status == Trial.PENDING:
                unbegun += not search.runs[trial.trial_id].steps
            if trial.status in (Trial.PENDING, Trial.RUNNING):
                search.resume(trial.trial_id)
        return unbegun

    def _stop_hopeless(self, tune_controller: TuneController) -> None:
        """Stops frozen trials that can hardly win any more, where something has changed."""
        search = self._search
        for trial in list(self._frozen(tune_controller)):
            key = search.best, sum(run.ended for run in search.runs.values())
            if self._judged.get(trial.trial_id) == key:
                continue
            self._judged[trial.trial_id] = key
            verdict = search.judge(trial.trial_id)
            if verdict.action == "stop":
                _logger.debug("Trial %s: stop while frozen: %s", trial.trial_id, verdict.reason)
                tune_controller.stop_trial(trial)
                # Tune does not: a restored search would run the trial again.
                _unwrapped(tune_controller)._mark_trial_to_checkpoint(trial)

    def _frozen(self, tune_controller: TuneController) -> Iterator[Trial]:
        for trial in tune_controller.get_trials():
            run = self._search.runs.get(trial.trial_id)
            if trial.status == Trial.PAUSED and run is not None and run.steps:
                yield trial

    def _can_pause(self, trial: Trial, result: dict[str, Any]) -> bool:
        """Whether a trial would go on from a checkpoint; a class makes one when it is paused."""
        trainable = trial.get_trainable_cls()
        if not (isinstance(trainable, type) and issubclass(trainable, FunctionTrainable)):
            return True
        if trial.checkpoint is not None or result.get(SHOULD_CHECKPOINT):
            return True
        if not self._warned:
            self._warned = True
            _logger.warning(
                "LCPFNScheduler: trial %s is not frozen, as it has no checkpoint to go on from: "
                "with freeze, pass checkpoints to tune.report",
                trial.trial_id,
            )
        return False

    def _record_decisions(self, tune_controller: TuneController) -> None:
        """Sees to it that decisions are in the results before Tune's loggers write them.

        Tune hands a scheduler a copy of a result, so this goes through its callbacks, without a
        place of its own among them: Tune restores their states by number.
        """
        controller = _unwrapped(tune_controller)
        callbacks = getattr(controller, "_callbacks", None)
        if type(callbacks) is CallbackList:
            controller._callbacks = _Recording(callbacks, self)

    def _warn(self) -> None:
        for notice in self._search.notices():
            _logger.warning("LCPFNScheduler: %s", notice)


class _Recording(CallbackList):  # type: ignore[misc]
    """A search's callbacks, before which each result is given its decision."""

    def __init__(self, callbacks: CallbackList, scheduler: LCPFNScheduler) -> None:
        inner: list[Callback] = callbacks._callbacks
        super().__init__(inner)
        self._scheduler = scheduler

    def on_trial_result(self, **info: Any) -> None:
        info["result"].update(self._scheduler.take_decision(info["trial"].trial_id))
        super().on_trial_result(**info)


def _unwrapped(tune_controller: Any) -> Any:
    """The controller itself; most of Tune's calls pass a wrapper that warns of private access."""
    return vars(tune_controller).get("_tune_controller", tune_controller)
