"""Optuna: a pruner that stops trials which will hardly beat the best one.

>>> import optuna
>>> from lcpfn.integrations.optuna import LCPFNPruner
>>> optuna.logging.set_verbosity(optuna.logging.WARNING)
>>> def objective(trial):
...     goal = trial.suggest_float("goal", 0.0, 1.0)
...     for epoch in range(1, 51):
...         accuracy = goal * (1 - 0.9**epoch)
...         trial.report(accuracy, epoch)
...         if trial.should_prune():
...             raise optuna.TrialPruned()
...     return accuracy
>>> study = optuna.create_study(direction="maximize", pruner=LCPFNPruner(max_steps=50))
>>> study.enqueue_trial({"goal": 0.9})
>>> study.enqueue_trial({"goal": 0.3})
>>> study.optimize(objective, n_trials=2)
>>> study.trials[1].state.name
'PRUNED'
>>> sorted(study.trials[1].user_attrs["lcpfn"])
['high', 'incumbent', 'low', 'max_steps', 'median', 'prob_better', 'reason', 'standing', 'step',
 'stop']
"""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

from lcpfn.errors import InputError, MissingExtraError
from lcpfn.forecast.arguments import Goal, read_count
from lcpfn.forecast.bounds import BoundsLike, bounds_that_hold, finite_extremes, read_bounds
from lcpfn.forecast.extrapolation import Extrapolation
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.schedule import Schedule, check_schedule, shifted
from lcpfn.forecast.stream import Stream
from lcpfn.peers import LATEST, Peer, standings
from lcpfn.stopping import Decision, StoppingRule, diverged
from lcpfn.weights import load, read_card

try:
    from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
    from optuna.logging import get_logger
    from optuna.pruners import BasePruner
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise MissingExtraError(
        'LCPFNPruner needs optuna, which is not installed: pip install "lcpfn-stopping[optuna]"'
    ) from error

ATTRIBUTE = "lcpfn"
"""The trial's user attribute that holds its latest decision."""

Missing = Literal["prune", "missing"]

# In Optuna's hierarchy, so that `optuna.logging.set_verbosity` governs it.
_logger = get_logger("optuna.pruners.lcpfn")
# Running trials whose context is kept between reports, under 1 MiB each.
_MOST_RUNS = 32
# More new records than this are cheaper to forecast afresh than to feed into a stream.
_CATCH_UP = 2
_BAND = (0.06, 0.5, 0.94)


class LCPFNPruner(BasePruner):
    """Prunes a trial when its final value will hardly beat the best trial's.

    After each report the rest of the trial's learning curve is forecast. The trial is pruned when
    the probability that its last record beats the incumbent's falls under `threshold`, or under
    the multiple of it that its standing among the study's latest trials calls for: one that
    trails them is judged sooner, one that leads them is spared (`lcpfn.StoppingRule`). The
    direction comes from the study::

        study = optuna.create_study(direction="maximize", pruner=LCPFNPruner(max_steps=50))

    **Incumbent.** The COMPLETE trial with the best objective value (infeasible ones do not count),
    represented by the record of its last step, so that like is compared with like even when the
    objective returns something else than it reports, such as the best epoch's value. Where that
    trial reported nothing, or NaN at its end, its objective value stands in. Nothing but diverged
    trials is pruned before there is one.

    **Peers** are the latest COMPLETE and PRUNED trials, compared with at the same step; one that
    had been pruned by then counts as worse. A sampler that learns makes ever better trials, so
    only the latest say where a new one stands.

    **Steps** may start at 0 or 1, skip and arrive in any order; records are taken in the order of
    their steps, and the newest is the one of the highest step. Optuna itself keeps the first of
    two reports of one step.

    **NaN.** A trial whose newest record is NaN, infinite, or over 10,000 times the size of all
    before it in the wrong direction is pruned at once, also before any trial has finished. Earlier
    such records, and with `nan="missing"` every NaN, count as missing.

    **State.** All that decisions rest on is in the study: threads, processes that share a storage,
    trials that are enqueued, retried or resumed, and studies reopened later decide alike. What
    the pruner keeps are caches, which pickling leaves out.

    **Record.** `trial.user_attrs["lcpfn"]` holds the latest decision that rests on a forecast or
    prunes: `step`, `stop`, `prob_better`, the forecast of the last record (`median`, and `low`
    and `high` of the 88 % band), `incumbent`, `standing` (the share of peers that were better),
    `max_steps` and `reason`; None where unknown. At debug level the logger `optuna.pruners.lcpfn`
    tells every decision.

    Args:
        max_steps: how many steps a full run has: the last step that it reports when steps start
            at 1, one more when they start at 0. Steps start at 0 when this or a finished trial
            reports step 0, or when the longest finished one ends one short of this. None learns
            it from the COMPLETE trials, as the largest of theirs; a trial that goes beyond is not
            pruned.
        model: bundled name or path, as for `lcpfn.load`; None is the default model. Weights are
            loaded at the first forecast.
        threshold: prune below this probability to win, or its multiple for the trial's standing,
            at least 0 and below 1.
        min_steps: records before any decision, at least 1. None: 4, and fewer the further behind
            the latest ones a trial is, with the default threshold 3 behind 36 % of them and 2
            behind 79 %.
        patience: records in a row whose forecasts must agree to prune, at least 1. Earlier ones
            are judged against the incumbent of now.
        min_delta: by how much the incumbent must be beaten, in the metric's unit.
        keep_top: protects trials that may end among this many best, at least 1.
        warmup_trials: COMPLETE trials before any decision, at least 1.
        peers: how many of the latest trials to compare with, at least 0; 0 goes by forecasts alone.
        bounds: (low, high) that the reported metric can never pass, as for `LCPFN.extrapolate`.
            "auto" guesses them from the values of the trial and of all finished ones. A trial that
            passes stated ones is forecast without, with a logged warning.
        schedule: learning rate over a full run where all trials share its shape, which makes
            forecasts sharper: "constant", "linear", "cosine", a callable of the trial's own step
            or a pair (steps, rates), as for `LCPFN.extrapolate`. A pruner that is pickled needs
            one that can be.
        nan: "prune" takes NaN as divergence, "missing" as a record that is not there.
        store: whether to write the attribute, which costs a shared storage one write a decision.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        max_steps: int | None = None,
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
        nan: Missing = "prune",
        store: bool = True,
    ) -> None:
        self._max_steps = None if max_steps is None else read_count("max_steps", max_steps)
        self._warmup_trials = read_count("warmup_trials", warmup_trials)
        self._peers = read_count("peers", peers, least=0)
        self._rule = StoppingRule(threshold, min_steps, patience, min_delta, keep_top)
        self._bounds: BoundsLike = bounds if bounds == "auto" else read_bounds(bounds)
        if nan not in get_args(Missing):
            raise InputError(f"nan is {nan!r}, but must be 'prune' or 'missing'")
        self._nan = nan
        self._store = store
        # A wrong name is told now, not at the first forecast.
        check_schedule(schedule, read_card(model), self._max_steps)
        self._schedule = schedule
        self._model_name = model
        self._forget()

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to prune; called by `Trial.should_prune`.

        Raises:
            NotImplementedError: the study has several objectives, as Optuna's own.
        """
        if len(study.directions) > 1:
            raise NotImplementedError(
                "LCPFNPruner is not supported for multi-objective optimization."
            )
        if not trial.intermediate_values:
            return False
        goal: Goal = "maximize" if study.direction == StudyDirection.MAXIMIZE else "minimize"
        with self._lock:
            view = self._views.setdefault(study, _View(self._rule.keep_top, self._peers, goal))
            view.finished.update(study.get_trials(deepcopy=False))
        judged = self._judge(view, trial, goal)
        decision = judged.decision
        _logger.debug(
            "Trial %d at step %s: %s: %s",
            trial.number,
            trial.last_step,
            "prune" if decision.stop else "go on",
            decision.reason,
        )
        if self._store and (decision.stop or judged.post is not None):
            _write(study, trial, judged.attribute(trial.last_step))
        return decision.stop

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in _CACHES}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._views: WeakKeyDictionary[Study, _View] = WeakKeyDictionary()
        self._loaded: LCPFN | None = None

    def _judge(self, view: _View, trial: FrozenTrial, goal: Goal) -> _Judged:
        finished = view.finished
        records = sorted(trial.intermediate_values.items())
        if self._nan == "missing":
            records = [(step, value) for step, value in records if not math.isnan(value)]
        peers = finished.peers
        broken = diverged([value for _, value in records], goal)
        if broken is not None:
            return _Judged(broken)
        # Trials that report every fifth step may never show that they count from 0.
        from_zero = finished.from_zero or finished.last + 1 == self._max_steps
        first = 1 if from_zero or 0 in trial.intermediate_values else 0
        horizon = finished.length(first) if self._max_steps is None else self._max_steps
        incumbent = self._rule.incumbent(finished.finals, goal)
        usable = [
            (step + first, value) for step, value in records if diverged([value], goal) is None
        ]
        if horizon is None:
            unknown = "no finished trial has reported a step: the length of a full run is unknown"
            return _Judged(Decision(False, math.nan, unknown), incumbent)
        standing_after = standings(usable, peers, goal, shift=first)
        waiting = self._waiting(finished.complete, incumbent, horizon, usable, standing_after)
        if waiting is not None:
            return _Judged(Decision(False, math.nan, waiting), incumbent, horizon)
        schedule = shifted(self._schedule, first)
        setting = _Setting(horizon, goal, schedule, finished.extremes)
        post = self._forecast(view, trial._trial_id, usable, setting)
        decision = self._rule.decide_replayed(
            post, incumbent, lambda count: self._fresh(usable[:count], setting), standing_after
        )
        return _Judged(decision, incumbent, horizon, post)

    def _waiting(
        self,
        complete: int,
        incumbent: float | None,
        horizon: int,
        records: list[tuple[int, float]],
        standing_after: Callable[[int], float | None],
    ) -> str | None:
        """Why there is nothing to decide yet, or no more; None when there is."""
        if complete < self._warmup_trials:
            return f"{complete} of {self._warmup_trials} trials have finished"
        if incumbent is None:
            return f"fewer than {self._rule.keep_top} feasible trials have finished"
        waiting = self._rule.waiting(len(records), standing_after(len(records)))
        if waiting is not None:
            return waiting
        if records[-1][0] >= horizon:
            return f"the run has reached its last step, {records[-1][0]} of {horizon}"
        return None

    def _fresh(self, records: list[tuple[int, float]], setting: _Setting) -> Extrapolation:
        """The forecast of the horizon, from all records in one go."""
        steps, values = zip(*records, strict=True)
        bounds, horizon = self._allowed(values, setting), setting.horizon
        return self._model().extrapolate(
            values, steps, horizon, setting.goal, bounds, [horizon], setting.schedule
        )

    def _forecast(
        self, view: _View, trial_id: int, records: list[tuple[int, float]], setting: _Setting
    ) -> Extrapolation:
        """The forecast of the horizon, from the trial's stream where it has one."""
        horizon = setting.horizon
        bounds = self._allowed([value for _, value in records], setting)
        with self._lock:
            run = view.runs.pop(trial_id, None)
        if run is None or not run.continues(horizon, bounds, records):
            stream = self._model().stream(horizon, setting.goal, bounds, setting.schedule)
            run = _Run(stream, horizon, bounds)
        post = run.follow(records)
        with self._lock:
            view.runs[trial_id] = run
            while len(view.runs) > _MOST_RUNS:
                del view.runs[next(iter(view.runs))]
        return post.at_horizon()

    def _allowed(self, values: Sequence[float], setting: _Setting) -> BoundsLike:
        """The bounds, unless these records or other trials show that they are wrong."""
        allowed = bounds_that_hold(self._bounds, values, setting.goal, setting.others)
        if allowed is None and self._bounds is not None:
            _logger.warning("A reported value lies outside bounds=%s: left out.", self._bounds)
        return allowed

    def _model(self) -> LCPFN:
        with self._lock:
            if self._loaded is None:
                self._loaded = load(self._model_name)
            return self._loaded


@dataclass(frozen=True)
class _Setting:
    """What a full run is: its length, its goal, its learning rate where known.

    `others` are the extremes of what other trials have reported.
    """

    horizon: int
    goal: Goal
    schedule: Schedule | None
    others: Sequence[float]


_CACHES = ("_lock", "_views", "_loaded")


@dataclass(frozen=True)
class _Judged:
    """A decision and what it rests on."""

    decision: Decision
    incumbent: float | None = None
    max_steps: int | None = None
    post: Extrapolation | None = None

    def attribute(self, step: int | None) -> dict[str, Any]:
        """What is stored; JSON knows no NaN."""
        low, median, high = (
            (None, None, None)
            if self.post is None
            else (float(value) for value in self.post.quantile(_BAND)[:, -1])
        )
        probability = self.decision.prob_better
        return {
            "step": step,
            "stop": self.decision.stop,
            "prob_better": None if math.isnan(probability) else probability,
            "median": median,
            "low": low,
            "high": high,
            "incumbent": self.incumbent,
            "standing": self.decision.standing,
            "max_steps": self.max_steps,
            "reason": self.decision.reason,
        }


class _Finished:
    """What decisions need to know of finished trials, gathered as they finish.

    Each trial is looked at until it has finished and then no more, so that the cost of a decision
    does not grow with their number.
    """

    def __init__(self, keep: int, peers: int, goal: Goal) -> None:
        self.complete = 0
        self.peers: list[Peer] = []
        self._most_peers = peers
        self.from_zero = False
        self.extremes: Sequence[float] = ()
        self._keep = keep
        self._sign = 1 if goal == "maximize" else -1
        self.last = -1
        self._best: list[tuple[float, float]] = []
        self._seen = 0
        self._running: list[int] = []

    @property
    def finals(self) -> list[float]:
        """The last records of the best trials, as many as may be kept on top."""
        return [final for _, final in self._best]

    def length(self, first: int) -> int | None:
        """How many steps the longest has, where steps start `first` below 1."""
        return None if self.last < 0 else self.last + first

    def update(self, trials: list[FrozenTrial]) -> None:
        waiting = [*self._running, *range(self._seen, len(trials))]
        self._running = [index for index in waiting if not trials[index].state.is_finished()]
        self._seen = len(trials)
        ended = [trials[index] for index in waiting if trials[index].state in _ENDED]
        for trial in ended:
            self.extremes = finite_extremes((*self.extremes, *trial.intermediate_values.values()))
            if trial.state == TrialState.COMPLETE:
                self._add(trial)
        # Replaced, not changed in place: other threads may be reading it.
        latest = [_peer(trial) for trial in ended[max(0, len(ended) - self._most_peers) :]]
        known = [*self.peers, *latest]
        self.peers = known[max(0, len(known) - self._most_peers) :]

    def _add(self, trial: FrozenTrial) -> None:
        self.complete += 1
        records = trial.intermediate_values
        if records:
            self.from_zero = self.from_zero or 0 in records
            self.last = max(self.last, max(records))
        value = trial.value
        if value is None or not _feasible(trial):
            return
        final = records[max(records)] if records else value
        entry = self._sign * value, final if math.isfinite(final) else value
        # Replaced, not sorted in place: other threads may be reading it.
        best = sorted([*self._best, entry], key=operator.itemgetter(0), reverse=True)
        self._best = best[: self._keep]


_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def _peer(trial: FrozenTrial) -> Peer:
    records = sorted(trial.intermediate_values.items())
    return Peer.of(records, trial.state == TrialState.PRUNED)


@dataclass
class _Run:
    """A running trial's stream and what it has been fed."""

    stream: Stream
    horizon: int
    bounds: BoundsLike
    records: list[tuple[int, float]] = field(default_factory=list)
    post: Extrapolation | None = None

    def continues(self, horizon: int, bounds: BoundsLike, records: list[tuple[int, float]]) -> bool:
        """Whether the stream serves a run with these records, with few of them new."""
        known = len(self.records)
        return (
            self.horizon == horizon
            and self.bounds == bounds
            and self.records == records[:known]
            and len(records) - known <= _CATCH_UP
        )

    def follow(self, records: list[tuple[int, float]]) -> Extrapolation:
        if self.records:
            for step, value in records[len(self.records) :]:
                self.post = self.stream.update(value, step)
        else:
            steps, values = zip(*records, strict=True)
            self.post = self.stream.start(values, steps)
        self.records = records
        assert self.post is not None
        return self.post


class _View:
    """What is remembered of one study."""

    def __init__(self, keep: int, peers: int, goal: Goal) -> None:
        self.finished = _Finished(keep, peers, goal)
        self.runs: dict[int, _Run] = {}


def _feasible(trial: FrozenTrial) -> bool:
    """Whether a trial keeps its constraints, in the form of Optuna 4 (a list) or 5 (each)."""
    violations: list[float] = []
    for key, value in trial.system_attrs.items():
        if key == "constraints":
            violations += value or ()
        elif key.startswith("constraints:"):
            violations.append(value)
    return all(violation <= 0 for violation in violations)


def _write(study: Study, trial: FrozenTrial, attribute: dict[str, Any]) -> None:
    try:
        study._storage.set_trial_user_attr(trial._trial_id, ATTRIBUTE, attribute)
    except (KeyError, StorageInternalError, UpdateFinishedTrialError) as error:
        # The record is a courtesy: a storage that refuses it must not end the trial.
        _logger.debug("Trial %d: the decision was not stored: %r", trial.number, error)
