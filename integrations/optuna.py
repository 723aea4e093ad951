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
['action', 'high', 'horizon', 'limit', 'low', 'median', 'prob_better', 'reach', 'reason',
 'standing', 'step', 'to_beat', 'trial']
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lcpfn.errors import InputError, MissingExtraError
from lcpfn.forecast.arguments import read_number
from lcpfn.logs.name_bounds import settings_by_name
from lcpfn.search.search import Search
from lcpfn.search.settings import check_taken
from lcpfn.search.verdict import Verdict

try:
    from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
    from optuna.logging import get_logger
    from optuna.pruners import BasePruner
    from optuna.storages import RDBStorage
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise MissingExtraError(
        'LCPFNPruner needs optuna, which is not installed: pip install "lcpfn-stopping[optuna]"'
    ) from error

if TYPE_CHECKING:
    from lcpfn.integrations.optuna_database import DatabaseTrials

ATTRIBUTE = "lcpfn"
"""The trial's user attribute that holds its latest decision."""
CONTINUES = "lcpfn_continues"
"""The user attribute that holds the number of the pruned trial which a trial continues."""

MaxSteps = int | float | str | Callable[[FrozenTrial], float] | None

# In Optuna's hierarchy, so that `optuna.logging.set_verbosity` governs it.
_logger = get_logger("optuna.pruners.lcpfn")

_TAKEN = {
    "goal": "it is the direction of the study",
    "horizon": "it is called max_steps",
    "pause": "Optuna's trials cannot wait",
}


class LCPFNPruner(BasePruner):
    """Prunes a trial when its final value will hardly beat the best trial's.

    After each report the rest of the trial's learning curve is forecast. The trial is pruned when
    the probability that its last record beats the value to beat falls under `threshold`, or under
    the multiple of it that its progress and its standing among the study's other trials call for:
    one that trails them is judged sooner, one that leads them is spared (`lcpfn.Search`). The
    direction comes from the study::

        study = optuna.create_study(direction="maximize", pruner=LCPFNPruner(max_steps=50))

    **The value to beat** is the better of two. The first is of the COMPLETE trial with the best
    objective value (infeasible ones do not count), represented by the record of its last step, so
    that like is compared with like even when the objective returns something else than it reports;
    with `of="best"` by its best record. Where that trial reported nothing, or NaN at its end, its
    objective value stands in. The second is what the best other RUNNING trial will hardly fall
    short of. So trials that run side by side are pruned long before the first has finished.

    **Peers** are the latest COMPLETE and PRUNED trials and the RUNNING ones, compared with at the
    same share of the run; one that had been pruned by then counts as worse.

    **Steps** may start at 0 or 1, skip and arrive in any order; records are taken in the order of
    their steps, and the newest is the one of the highest step. Optuna itself keeps the first of
    two reports of one step.

    **NaN.** A trial whose newest record is NaN, infinite, or over 10,000 times the size of all
    before it in the wrong direction is pruned at once. Earlier such records, those before the first
    usable one, and with `nan="missing"` every NaN, count as missing.

    **State.** All that decisions rest on is in the study: threads, processes that share a storage,
    trials that are enqueued, retried or resumed, and studies reopened later decide alike. What
    the pruner keeps are caches, which pickling leaves out.

    **Record.** `trial.user_attrs["lcpfn"]` holds the latest decision that rests on a forecast or
    prunes: the fields of `lcpfn.Verdict`, the `step` that it was made at and the number of the
    `trial`; None where unknown. Other processes read `reach` there instead of forecasting again. At
    debug level the logger `optuna.pruners.lcpfn` tells every decision; what you must know, such as
    a `max_steps` that what is reported contradicts, it warns of once.

    Args:
        max_steps: how many steps a full run has: the last step that it reports when steps start
            at 1, one more when they start at 0. A number; the name of the parameter that holds it;
            a callable of the trial; or None, which learns it from the longest trials, once three
            have finished at about the same step.
        model: bundled name or path, as for `lcpfn.load`; None is the default model. Weights are
            loaded at the first forecast.
        store: whether to write the attribute, which costs a shared storage one write a decision.
        settings: by keywords, such as `threshold` or `of`: see `lcpfn.SearchSettings` and
            `lcpfn.StoppingRule`. Optuna cannot pause a trial, so `pause` says nothing.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.
    """

    def __init__(
        self,
        max_steps: MaxSteps = None,
        *,
        model: str | Path | None = None,
        store: bool = True,
        **settings: Any,
    ) -> None:
        check_taken(settings, _TAKEN)
        self._max_steps = max_steps
        self._store = store
        self._settings = {**settings, "model": model, "pause": False}
        self._forget()
        # A wrong setting is told now, not at the first report.
        self._new_search("maximize")

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to prune; called by `Trial.should_prune`.

        Raises:
            NotImplementedError: the study has several objectives, as Optuna's own.
            InputError: `max_steps` names a parameter that the trial does not have.
        """
        if len(study.directions) > 1:
            raise NotImplementedError(
                "LCPFNPruner is not supported for multi-objective optimization."
            )
        if not trial.intermediate_values:
            return False
        with self.heard(study, trial) as search:
            verdict = search.judge(trial.number)
            notices = search.notices()
        for notice in notices:
            _logger.warning("LCPFNPruner: %s", notice)
        stop = verdict.action == "stop"
        _logger.debug(
            "Trial %d at step %s: %s: %s",
            trial.number,
            trial.last_step,
            "prune" if stop else "go on",
            verdict.reason,
        )
        if self._store and (stop or verdict.forecast or _carries_another(trial)):
            _write(study, trial, verdict)
        return stop

    @contextmanager
    def heard(self, study: Study, trial: FrozenTrial | None) -> Iterator[Search]:
        """A search that has heard of all trials of a study, for one thread at a time.

        Args:
            study: of one direction.
            trial: the one that is asked about, of which it may know more than the storage; None
                where no single one is.

        Raises:
            InputError: `max_steps` names a parameter that the trial does not have.
        """
        with self._lock:
            view = self._views.get(study)
            if view is None:
                goal = "maximize" if study.direction == StudyDirection.MAXIMIZE else "minimize"
                names = study.metric_names
                search = self._new_search(goal, names[0] if names else None)
                view = self._views[study] = _View(search, self._max_steps)
            view.update(view.read(study, trial), trial)
            yield view.search

    def worth_resuming(self, study: Study, margin: float = 4.0) -> list[int]:
        """Numbers of pruned trials that would not be pruned now; see `resume_promising`."""
        with self.heard(study, None) as search:
            found = search.worth_resuming(margin)
        return [number for number in found if isinstance(number, int)]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_lock", "_views")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._views: WeakKeyDictionary[Study, _View] = WeakKeyDictionary()

    def _new_search(self, goal: str, metric: str | None = None) -> Search:
        settings = settings_by_name(self._settings, metric, goal)
        return Search(goal, self._max_steps, calls_horizon="max_steps", **settings)


def resume_promising(
    study: Study, trial: FrozenTrial | None = None, *, margin: float = 4.0
) -> list[int]:
    """Enqueues pruned trials again that have become worth finishing: a callback.

    A trial may have been pruned in favour of another that then turned out worse, most often where
    many run at a time. Given as a callback, this looks at the pruned ones whenever a trial ends::

        study.optimize(objective, n_trials=100, callbacks=[resume_promising])

    Optuna cannot wake a trial, so its parameters are enqueued as a new one, whose user attribute
    `lcpfn_continues` is the number of the one that it continues, once. An objective that keeps
    checkpoints goes on and reports from there: the pruner remembers what came before. Any other
    begins anew, which is right as well.

    Args:
        study: its pruner must be an `LCPFNPruner`.
        trial: the one that ended; says nothing.
        margin: how clearly it must be worth it; see `lcpfn.Search.worth_resuming`.

    Returns:
        The numbers of the pruned trials that were enqueued again.

    Raises:
        InputError: the study has another pruner, or the margin is below 1 or no number.
    """
    pruner = study.pruner
    if not isinstance(pruner, LCPFNPruner):
        kind = type(pruner).__name__
        raise InputError(f"the study's pruner is a {kind}, but must be an LCPFNPruner")
    found = pruner.worth_resuming(study, margin)
    trials = study.get_trials(deepcopy=False) if found else []
    continued = {one.user_attrs.get(CONTINUES) for one in trials}
    chosen = [number for number in found if number not in continued]
    for number in chosen:
        study.enqueue_trial(trials[number].params, user_attrs={CONTINUES: number})
        _logger.info("Trial %d has become worth finishing and is enqueued again.", number)
    return chosen


class _View:
    """What is known of one study: a search that hears of its trials.

    Each trial is looked at until it has finished and then no more, so that the cost of a decision
    does not grow with their number.
    """

    def __init__(self, search: Search, max_steps: MaxSteps) -> None:
        self.search = search
        self._max_steps = max_steps
        self._seen = 0
        self._open: list[int] = []
        self._database: DatabaseTrials | None = None
        self._before: dict[int, dict[int, float]] = {}

    def read(self, study: Study, asked: FrozenTrial | None) -> list[FrozenTrial]:
        """All trials of the study as they are in its storage."""
        storage = _database(study)
        if storage is None:
            return study.get_trials(deepcopy=False)
        if self._database is None:
            # Optuna itself imports what speaks to databases where it must.
            from lcpfn.integrations.optuna_database import DatabaseTrials

            self._database = DatabaseTrials(ATTRIBUTE)
        return self._database.read(study, storage, asked)

    def update(self, trials: list[FrozenTrial], asked: FrozenTrial | None) -> None:
        """Hears of what is new in the study; of the trial asked about all that it knows itself."""
        looked_at = [*self._open, *range(self._seen, len(trials))]
        self._seen = len(trials)
        self._open = [index for index in looked_at if not trials[index].state.is_finished()]
        for index in looked_at:
            trial = trials[index]
            asked_about = asked is not None and trial.number == asked.number
            if asked_about or trial.state == TrialState.WAITING:
                continue
            if self._database is None or not self._database.unchanged(index, trial):
                self._hear(trial)
        if asked is None:
            return
        if isinstance(self._max_steps, str) and asked.intermediate_values:
            # The error that tells of a parameter that is not there is for this trial only.
            self.search.describe(asked.number, asked.params)
        self._hear(asked)

    def _hear(self, trial: FrozenTrial) -> None:
        search, number = self.search, trial.number
        known = search.runs.get(number)
        records = self._records(trial)
        if known is None or len(known.steps) != len(records):
            search.set_records(number, records)
        known = search.runs[number]
        news = known.config is None or len(known.config) != len(trial.params)
        if news and (trial.params or records):
            self._describe(trial)
        if trial.state == TrialState.COMPLETE:
            search.end(number, "finished", trial.value, counts=_feasible(trial))
        elif trial.state == TrialState.PRUNED:
            search.end(number, "stopped")
        elif trial.state == TrialState.FAIL:
            search.end(number, "failed")
        else:
            decision = trial.user_attrs.get(ATTRIBUTE)
            if decision and not _carries_another(trial) and decision["reach"] is not None:
                stopped = decision["action"] == "stop"
                search.recall(number, decision["step"], decision["reach"], stopped)

    def _records(self, trial: FrozenTrial) -> dict[int, float]:
        """All records of a trial, with those of the one that it continues from before its own."""
        own, continued = trial.intermediate_values, trial.user_attrs.get(CONTINUES)
        if continued is None or not own:
            return own
        if trial.number not in self._before:
            run = self.search.runs.get(continued)
            steps, values = ([], []) if run is None else (run.steps, run.values)
            self._before[trial.number] = {
                int(step): value for step, value in zip(steps, values, strict=True)
            }
            # It is the same run.
            self.search.forget(continued)
        first = min(own)
        before = self._before[trial.number].items()
        return {step: value for step, value in before if step < first} | own

    def _describe(self, trial: FrozenTrial) -> None:
        """Takes the trial's parameters, and its own length where it has one and shows it yet."""
        number, params = trial.number, trial.params
        if callable(self._max_steps):
            length = read_number("what max_steps returns", self._max_steps(trial))
            self.search.describe(number, params, length)
        elif not isinstance(self._max_steps, str) or self._max_steps in params:
            self.search.describe(number, params)


def __getattr__(name: str) -> Any:
    # The sampler imports the pruner.
    if name == "LCPFNSampler":
        from lcpfn.integrations.optuna_sampler import LCPFNSampler

        return LCPFNSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _database(study: Study) -> RDBStorage | None:
    """The database that a study lies in; None where it lies elsewhere."""
    storage = getattr(study._storage, "_backend", None)
    return storage if isinstance(storage, RDBStorage) else None


def _carries_another(trial: FrozenTrial) -> bool:
    """Whether a retried trial still has the decision on the one that died."""
    decision = trial.user_attrs.get(ATTRIBUTE)
    return decision is not None and decision.get("trial") != trial.number


def _feasible(trial: FrozenTrial) -> bool:
    """Whether a trial keeps its constraints, in the form of Optuna 4 (a list) or 5 (each)."""
    violations: list[float] = []
    for key, value in trial.system_attrs.items():
        if key == "constraints":
            violations += value or ()
        elif key.startswith("constraints:"):
            violations.append(value)
    return all(violation <= 0 for violation in violations)


def _write(study: Study, trial: FrozenTrial, verdict: Verdict) -> None:
    attribute = {"step": trial.last_step, "trial": trial.number, **verdict.record()}
    storage = _database(study)
    if storage is not None:
        from lcpfn.integrations.optuna_database import replace_attribute

        if replace_attribute(storage, trial._trial_id, ATTRIBUTE, attribute):
            return
    try:
        study._storage.set_trial_user_attr(trial._trial_id, ATTRIBUTE, attribute)
    except (KeyError, StorageInternalError, UpdateFinishedTrialError) as error:
        # The record is a courtesy: a storage that refuses it must not end the trial.
        _logger.debug("Trial %d: the decision was not stored: %r", trial.number, error)
