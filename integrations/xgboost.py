"""XGBoost: stops a run that will not reach a target or beat the best one.

In place of, or beside, XGBoost's own `EarlyStopping`::

    from lcpfn.integrations.xgboost import LCPFNEarlyStopping

    stopping = LCPFNEarlyStopping(horizon=500, best=0.31)
    xgboost.train(params, data, num_boost_round=500, evals=[(valid, "valid")], callbacks=[stopping])
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcpfn.errors import InputError, MissingExtraError
from lcpfn.forecast.arguments import Goal
from lcpfn.integrations.trained_run import (
    FollowsRun,
    TrainedRun,
    goal_by_name,
    not_reported,
    read_every,
)

if TYPE_CHECKING:
    from lcpfn.forecast.model import LCPFN

try:
    from xgboost import Booster, collective
    from xgboost.callback import TrainingCallback
except ImportError as error:
    raise MissingExtraError(
        "LCPFNEarlyStopping needs xgboost, which is not installed: "
        'pip install "lcpfn-stopping[xgboost]"'
    ) from error

ATTRIBUTE = "lcpfn"
"""The booster's attribute that holds the records and the newest decision, as JSON."""
_BEST_ITERATION = "best_iteration"


class LCPFNEarlyStopping(FollowsRun, TrainingCallback):
    """Stops a run whose final value will hardly beat `best`, or hardly reach `target`.

    Where neither is given, only a run that diverges is stopped. By a forecast none is stopped
    before the least evidence of the rule: four records of the metric, or `min_steps`.

    **Record.** The booster's attribute `lcpfn` holds the records, and the newest decision under
    `decision`; it is saved with the model. Why the run was stopped is said as XGBoost says its
    evaluations, and stands in `stop_reason`. All rounds that were boosted are kept; XGBoost's own
    `EarlyStopping(..., save_best=True)` may stand beside this one.

    **Checkpoints.** A training that goes on from a model (`xgb_model`) that this callback had seen
    takes up its records. `horizon` is then still the number of all rounds, those before included.

    **Cross-validation** (`xgboost.cv`) goes by the mean over the folds.

    Args:
        horizon: how many rounds the full run has, `num_boost_round` or `n_estimators`: XGBoost
            does not tell callbacks.
        metric_name, data_name: which metric on which data; None is the last one, as for
            XGBoost's own.
        maximize: which way it is better; None goes by its name.
        best: the final value that the run must beat, such as that of the best run so far.
        target: the final value that is good enough and must be reached.
        model: bundled name or path, as for `lcpfn.load`, or a model; None is the default model.
        settings: by keywords, as for `lcpfn.EarlyStopping`: `threshold`, `min_steps`, `patience`,
            `min_delta`, `of`, ..., and `every`: one round of so many is a record, by default as
            many as make a hundred of the full run.

    Raises:
        InputError: an argument breaks its rule.
        TypeError: there is no such setting.
        WeightsError: there is no such model.

    Attributes:
        verdict: the newest decision, an `lcpfn.Verdict`; None before the first.
        stopped_at: round after which the run was stopped, counted from 1; None where it was not.
        stop_reason: why, in a sentence; None where it was not.
    """

    def __init__(
        self,
        horizon: float,
        *,
        metric_name: str | None = None,
        data_name: str | None = None,
        maximize: bool | None = None,
        best: float | None = None,
        target: float | None = None,
        model: str | Path | LCPFN | None = None,
        every: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._metric_name, self._data_name, self._maximize = metric_name, data_name, maximize
        self._run = TrainedRun(
            best=best, target=target, horizon=horizon, model=model, settings=settings
        )
        self._every = read_every(every, horizon)
        self._rounds_before = 0
        self._begun = False

    def before_training(self, model: Any) -> Any:
        """Takes up what the model carries of this run; returns the model."""
        self._begun = False
        self._rounds_before = model.num_boosted_rounds()
        carried = model.attr(ATTRIBUTE) if self._rounds_before else None
        if carried:
            self._run.load_state_dict(json.loads(carried)["state"])
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        """Decides; returns whether to stop.

        Raises:
            InputError: there is no such metric or data, or which way it is better is unknown.
        """
        metric, value = self._find(evals_log)
        run, rounds = self._run, self._rounds_before + epoch + 1
        if not self._begun:
            self._begun = True
            run.begin(metric, self._goal(metric), afresh=self._rounds_before == 0)
        if rounds % self._every and math.isfinite(value):
            return False
        verdict = run.hear(rounds, value)
        told = {"state": run.state_dict(), "decision": verdict.record()}
        model.set_attr(**{ATTRIBUTE: json.dumps(told)})
        if verdict.stop:
            if not isinstance(model, Booster) and model.attr(_BEST_ITERATION) is None:
                # Cross-validation cuts its results there.
                model.set_attr(**{_BEST_ITERATION: str(epoch)})
            collective.communicator_print(f"{run.farewell('round')}\n")
        return verdict.stop

    def _find(self, evals_log: Mapping[str, Any]) -> tuple[str, float]:
        """The metric and its newest value."""
        if not evals_log:
            raise InputError("nothing is evaluated: give evals= to train, or eval_set= to fit")
        data = self._data_name or list(evals_log)[-1]
        if data not in evals_log:
            raise not_reported("data_name", data, evals_log)
        metrics = evals_log[data]
        metric = self._metric_name or list(metrics)[-1]
        if metric not in metrics:
            raise not_reported("metric_name", metric, metrics)
        newest = metrics[metric][-1]
        # In cross-validation mean and standard deviation.
        return metric, float(newest[0] if isinstance(newest, tuple) else newest)

    def _goal(self, metric: str) -> Goal:
        if self._maximize is not None:
            return "maximize" if self._maximize else "minimize"
        return goal_by_name(metric, "maximize=True or maximize=False")
