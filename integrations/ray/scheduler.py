"""The scheduler for Ray Tune."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
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
from lcpfn.forecast.bounds import BoundsLike
from lcpfn.forecast.schedule import Schedule
from lcpfn.integrations.ray.improvement import expected_improvement, untried_improvement
from lcpfn.integrations.ray.results import read_record, recorded_results
from lcpfn.integrations.ray.search import ACTION, UNJUDGED, Search, Verdict
from lcpfn.integrations.ray.settings import Missing, Settings, check_name, read_mode
from lcpfn.peers import LATEST
from lcpfn.stopping import Decision

# In Ray's hierarchy, so that its handlers and levels govern it.
_logger = logging.getLogger("ray.tune.schedulers.lcpfn")

_ANSWERS = {
    "continue": TrialScheduler.CONTINUE,
    "pause": TrialScheduler.PAUSE,
    "stop": TrialScheduler.STOP,
    "finish": TrialScheduler.STOP,
}
# A trial is frozen when it is less likely than this to win, where `freeze` is True.
_EVEN_CHANCE = 0.5
# After a thaw a trial runs on for this share of a full run before it may be frozen again.
_SLICE = 0.05
# A pause costs a checkpoint and a start: what waits must promise this many times more.
_WORTH_A_PAUSE = 2.0


class LCPFNScheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops a trial when its final value will hardly beat the best finished trial's.

    After each result the rest of the trial's learning curve is forecast. The trial is stopped when
    the probability that its value at `max_t` beats the incumbent's falls under `threshold`, or
    under the multiple of it that its standing among the latest trials calls for: one that
    trails them is judged sooner, one that leads them is spared (`lcpfn.StoppingRule`).
    Metric and mode come from `TuneConfig`::

        tune.TuneConfig(metric="accuracy", mode="max", scheduler=LCPFNScheduler(max_t=100))

    **Incumbent.** The final value of the best trial that has run to its end: to `max_t`, where it
    is stopped, or until it ended by itself or by a stopping criterion. Failed trials do not count.
    Nothing but diverged trials is stopped before there is one.

    **Peers** are the latest trials that have ended other than by an error, compared with at the
    same step; one that had been stopped by then counts as worse.

    **Steps** are the values of `time_attr`. They may start at 0 or 1 and skip. A result at a step
    that was there before means that the trial went back, to a checkpoint or to its start: it
    replaces what was reported from that step on.

    **Missing values.** A trial whose newest value is NaN, infinite, or over 10,000 times the size
    of all before it in the wrong direction is stopped at once, also before any trial has finished.
    Earlier such values, values of None, and with `nan="missing"` every NaN, count as missing. A
    result without the metric, or a trial that reports nothing at all, ends the search by Tune's
    own check, and a result without `time_attr` by one like it; set the environment variable
    TUNE_DISABLE_STRICT_METRIC_CHECKING to 1 to let them pass.

    **Restoring.** Tune does not store a scheduler's state with the experiment. After
    `Tuner.restore` curves and incumbent are read again from the results that Tune recorded of each
    trial, so the search goes on deciding the same.

    **Record.** Each result gets `lcpfn/action` ("continue", "stop", "pause", or "finish" at
    `max_t`), `lcpfn/prob_better`, the forecast of the last step (`lcpfn/median`, and `lcpfn/low`
    and `lcpfn/high` of the 88 % band), `lcpfn/incumbent`, `lcpfn/standing` (the
    share of peers that were better) and `lcpfn/reason`; NaN where unknown.
    At debug level the logger `ray.tune.schedulers.lcpfn` tells every decision.

    **Freeze and thaw.** With `freeze` a trial that is doubtful, though not hopeless, is paused
    when a waiting trial promises at least twice its expected improvement over the incumbent at
    `max_t`: a frozen one, or one that has not begun, which is judged by how the others spread.
    When resources are free and no new trial waits, the frozen trial of the highest expected
    improvement goes on from its checkpoint. A frozen trial that falls under `threshold`, as the
    incumbent gets better, is stopped. This orders a search as freeze-thaw Bayesian optimisation
    does (Swersky et al. 2014). Trials need checkpoints: a function that reports none is never
    paused. Frozen trials count towards `max_concurrent_trials`: limit concurrency by resources
    instead.

    Args:
        max_t: value of `time_attr` at the end of a full run, where trials are stopped. Where steps
            start at 0, one more than the last.
        time_attr: key of the result that counts a trial's steps; must increase.
        metric: key of the result to judge by; None takes it from `TuneConfig`. Keys of nested
            results are joined by slashes.
        mode: "min" or "max"; None takes it from `TuneConfig`.
        model: bundled name or path, as for `lcpfn.load`; None is the default model. Weights are
            loaded when the search begins, in the driver only.
        threshold: stop below this probability to win, or its multiple for the trial's standing, at
            least 0 and below 1.
        min_steps: results before any decision, at least 1. None: 4, and fewer the further behind
            the latest ones a trial is, with the default threshold 3 behind 36 % of them and 2
            behind 79 %.
        patience: results in a row whose forecasts must agree to stop, at least 1. Earlier ones are
            judged against the incumbent of now.
        min_delta: by how much the incumbent must be beaten, in the metric's unit.
        keep_top: protects trials that may end among this many best, at least 1.
        warmup_trials: finished trials before any decision, at least 1.
        peers: how many of the latest trials to compare with, at least 0; 0 goes by forecasts alone.
        bounds: (low, high) that the metric can never pass, as for `LCPFN.extrapolate`. A trial
            that does pass them is forecast without.
        schedule: learning rate over a full run where all trials share its shape, which makes
            forecasts sharper: "constant", "linear", "cosine", a callable of `time_attr` or a pair
            (steps, rates), as for `LCPFN.extrapolate`.
        nan: "stop" takes NaN as divergence, "missing" as a value that is not there.
        freeze: pause a trial below this probability to win, above `threshold` and at most 1; True
            is 0.5, False does not pause.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        max_t: float = 100,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        *,
        model: str | Path | None = None,
        threshold: float = 0.05,
        min_steps: int | None = None,
        patience: int = 1,
        min_delta: float = 0.0,
        keep_top: int = 1,
        warmup_trials: int = 1,
        peers: int = LATEST,
        bounds: BoundsLike = "auto",
        schedule: Schedule | None = None,
        nan: Missing = "stop",
        freeze: bool | float = False,
    ) -> None:
        super().__init__()
        if metric is not None:
            check_name("metric", metric)
        if mode is not None:
            read_mode(mode)
        self._metric = metric
        self._mode = mode
        self._settings = Settings(
            max_t=max_t,
            time_attr=time_attr,
            model=model,
            threshold=threshold,
            min_steps=min_steps,
            patience=patience,
            min_delta=min_delta,
            keep_top=keep_top,
            warmup_trials=warmup_trials,
            peers=peers,
            bounds=bounds,
            schedule=schedule,
            nan=nan,
        )
        self._freeze = _read_freeze(freeze, threshold)
        # A trial that is paused must not have results under way.
        self._supports_buffered_results = self._freeze is None
        self._started: Search | None = None
        self._latest: dict[str, Verdict] = {}
        self._unrecorded: dict[str, Verdict] = {}
        self._frozen_at: dict[str, float] = {}
        self._known_outlooks: dict[str, tuple[tuple[float, float], _Outlook]] = {}
        self._warned: set[str] = set()

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Takes metric and mode from `TuneConfig`; False where they contradict the arguments."""
        if metric and self._metric not in (None, metric):
            return False
        if mode and self._mode not in (None, mode):
            return False
        self._metric = metric or self._metric
        self._mode = mode or self._mode
        if self._metric is None and self._mode is not None:
            self._metric = DEFAULT_METRIC
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
        if trial.trial_id in search.runs:
            search.end(trial.trial_id, "running")
        elif trial.has_reported_at_least_once:
            self._recall(trial)

    def on_trial_result(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> str:
        """Decides what happens to a trial after a result."""
        verdict = UNJUDGED
        record = read_record(result, self._settings.time_attr, self._metric or "")
        if record is not None:
            self._search.observe(trial.trial_id, *record)
            verdict = self._judge(tune_controller, trial, result)
        self._latest[trial.trial_id] = replace(verdict, post=None)
        self._unrecorded[trial.trial_id] = verdict
        if verdict.action in ("stop", "finish"):
            self._search.end(trial.trial_id, "stopped" if verdict.action == "stop" else "finished")
        _logger.debug("Trial %s: %s: %s", trial.trial_id, verdict.action, verdict.reason)
        return str(_ANSWERS[verdict.action])

    def on_trial_complete(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> None:
        """Takes the final value of a trial that ended otherwise than by a decision."""
        run = self._search.run(trial.trial_id)
        if run.fate != "running":
            return
        if self._metric in result and self._settings.time_attr in result:
            record = read_record(result, self._settings.time_attr, self._metric or "")
            if record is not None:
                self._search.observe(trial.trial_id, *record)
        self._search.end(trial.trial_id, "finished")
        at = run.last_step + self._search.shift
        if run.records and at < self._settings.max_t:
            self._warn(
                "early",
                f"trial {trial.trial_id} ended at {self._settings.time_attr} {at:g}, but max_t is "
                f"{self._settings.max_t:g}: if full runs are shorter, set max_t to their length",
            )

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Forgets the final value of a trial that failed; Tune adds it again to retry it."""
        self._search.end(trial.trial_id, "failed")

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Takes note of a trial that was stopped while it waited."""
        self._search.end(trial.trial_id, "stopped")

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """New trials in their order; then, or where it promises more, the best frozen one."""
        if self._freeze is None or self._started is None or self._search.incumbent is None:
            trial: Trial | None = super().choose_trial_to_run(tune_controller)
            return trial
        self._stop_hopeless(tune_controller)
        trials = tune_controller.get_trials()
        pending = [trial for trial in trials if trial.status == Trial.PENDING]
        paused = [trial for trial in trials if trial.status == Trial.PAUSED]
        if not paused:
            return pending[0] if pending else None
        best = max(paused, key=self._improvement)
        # Tune starts trials that are pending by itself, in their order. Only where a searcher
        # makes them one by one can a frozen trial come first.
        if not pending:
            return best
        first = pending[0]
        if len(pending) > 1 or self._begun(first):
            return first
        return best if self._improvement(best) > self._improvement(first) else first

    def debug_string(self) -> str:
        """What it did so far, for Tune's status display."""
        title = f"LCPFNScheduler(max_t={self._settings.max_t:g})"
        if self._started is None:
            return f"{title}: no trials yet"
        search = self._search
        runs = search.runs.values()
        steps = sum(run.last_step + search.shift for run in runs if run.records)
        frozen = sum(verdict.action == "pause" for verdict in self._latest.values())
        counts = [(search.count("finished"), "finished"), (search.count("stopped"), "stopped")]
        counts += [(search.count("failed"), "failed"), (frozen, "frozen")]
        told = ", ".join(f"{count} {name}" for count, name in counts if count or name != "frozen")
        best = "no incumbent yet"
        if search.best is not None:
            best = f"incumbent {search.best[1]:g} (trial {search.best[0]})"
        full = self._settings.max_t * sum(bool(run.records) for run in runs)
        return (
            f"{title}: {told}; {steps:g} of {full:g} steps ({self._settings.time_attr}) run in "
            f"the trials so far; {best}"
        )

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
        return self._unrecorded.pop(trial_id, UNJUDGED).as_result()

    def __getstate__(self) -> dict[str, Any]:
        # Forecasts refer to the model, which is loaded again where it is needed.
        return {**vars(self), "_unrecorded": {}}

    @property
    def _search(self) -> Search:
        if self._started is None:
            for name, value in (("metric", self._metric), ("mode", self._mode)):
                if value is None:
                    raise InputError(
                        f"{name} is not given: pass it to tune.TuneConfig or to LCPFNScheduler"
                    )
            self._started = Search(self._settings, read_mode(self._mode))
        return self._started

    def _recall(self, trial: Trial) -> None:
        """Reads again what a trial of a restored search has reported, and how it ended."""
        results = recorded_results(trial)
        for result in results:
            if self._metric in result and self._settings.time_attr in result:
                record = read_record(result, self._settings.time_attr, self._metric or "")
                if record is not None:
                    self._search.observe(trial.trial_id, *record)
        action = results[-1].get(ACTION)
        if trial.status == Trial.ERROR:
            self._search.end(trial.trial_id, "failed")
        elif trial.status == Trial.TERMINATED:
            # A search that was ended as a whole leaves trials that are not done.
            ended = trial.last_result.get(DONE) and action not in ("stop", "pause")
            self._search.end(trial.trial_id, "finished" if ended else "stopped")
        elif action == "pause":
            self._frozen_at[trial.trial_id] = self._search.run(trial.trial_id).last_step
        _logger.debug("Trial %s: %d results read again", trial.trial_id, len(results))

    def _judge(
        self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]
    ) -> Verdict:
        verdict = self._search.judge(trial.trial_id)
        post, step = verdict.post, self._search.run(trial.trial_id).last_step
        frozen_at = self._frozen_at.get(trial.trial_id, -math.inf)
        if self._freeze is None or post is None or verdict.incumbent is None:
            return verdict
        if step <= frozen_at:
            again = f"catching up with step {frozen_at:g}, where it was frozen"
            return replace(verdict, action="continue", reason=again)
        rested = step >= frozen_at + _SLICE * self._settings.max_t
        if verdict.action != "continue" or not verdict.prob_better < self._freeze or not rested:
            return verdict
        own = expected_improvement(post, verdict.incumbent)
        other = self._best_waiting(tune_controller)
        if not other > _WORTH_A_PAUSE * own or not self._can_pause(trial, result):
            return verdict
        self._frozen_at[trial.trial_id] = step
        promise = f"expected improvement {own:.3g}, of the best that waits {other:.3g}"
        return replace(verdict, action="pause", reason=f"{verdict.reason}; frozen: {promise}")

    def _best_waiting(self, tune_controller: TuneController) -> float:
        """Highest expected improvement of the trials that wait; 0 where none does."""
        waiting = [
            self._improvement(trial)
            for trial in tune_controller.get_trials()
            if trial.status in (Trial.PENDING, Trial.PAUSED)
        ]
        return max(waiting, default=0.0)

    def _begun(self, trial: Trial) -> bool:
        return bool(self._search.run(trial.trial_id).records)

    def _improvement(self, trial: Trial) -> float:
        return self._outlook(trial).improvement

    def _outlook(self, trial: Trial) -> _Outlook:
        """What a waiting trial promises."""
        search = self._search
        run, incumbent = search.run(trial.trial_id), search.incumbent
        if not run.records or incumbent is None:
            return _Outlook(untried_improvement(search.outlooks, search.goal))
        key = (incumbent, run.last_step)
        known = self._known_outlooks.get(trial.trial_id)
        if known is None or known[0] != key:
            post = search.forecast(trial.trial_id)
            outlook = (
                _Outlook(0.0)
                if post is None
                else _Outlook(
                    expected_improvement(post, incumbent), search.decide(trial.trial_id, post)
                )
            )
            known = key, outlook
            self._known_outlooks[trial.trial_id] = known
        return known[1]

    def _stop_hopeless(self, tune_controller: TuneController) -> None:
        """Stops frozen trials that can hardly win against the incumbent of now."""
        for trial in list(tune_controller.get_trials()):
            if trial.status != Trial.PAUSED or not self._begun(trial):
                continue
            decision = self._outlook(trial).decision
            if decision is not None and decision.stop:
                _logger.debug("Trial %s: stop while frozen: %s", trial.trial_id, decision.reason)
                tune_controller.stop_trial(trial)
                self._latest[trial.trial_id] = Verdict(
                    "stop", decision.reason, decision.prob_better
                )
                # Tune does not: a restored search would run the trial again.
                _unwrapped(tune_controller)._mark_trial_to_checkpoint(trial)

    def _can_pause(self, trial: Trial, result: dict[str, Any]) -> bool:
        """Whether a trial would go on from a checkpoint; a class makes one when it is paused."""
        trainable = trial.get_trainable_cls()
        if not (isinstance(trainable, type) and issubclass(trainable, FunctionTrainable)):
            return True
        if trial.checkpoint is not None or result.get(SHOULD_CHECKPOINT):
            return True
        self._warn(
            "checkpoint",
            f"trial {trial.trial_id} is not frozen, as it has no checkpoint to go on from: with "
            "freeze, pass checkpoints to tune.report",
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

    def _warn(self, kind: str, message: str) -> None:
        """Warns once for each kind."""
        if kind not in self._warned:
            self._warned.add(kind)
            _logger.warning("LCPFNScheduler: %s", message)


@dataclass(frozen=True)
class _Outlook:
    """What a waiting trial promises.

    Args:
        improvement: expected, over the incumbent.
        decision: on a trial that has begun, by its forecast.
    """

    improvement: float
    decision: Decision | None = None


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


def _read_freeze(freeze: Any, threshold: float) -> float | None:
    if freeze is None or freeze is False:
        return None
    if freeze is True:
        freeze = max(_EVEN_CHANCE, threshold)
    rule = f"but must be True, False or a probability above threshold, {threshold:g}, at most 1"
    try:
        chance = float(freeze)
    except (TypeError, ValueError):
        raise InputError(f"freeze is {freeze!r}, {rule}") from None
    if not threshold < chance <= 1:
        raise InputError(f"freeze is {freeze!r}, {rule}")
    return chance
