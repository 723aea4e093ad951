"""LightGBM: stops a run that will not reach a target or beat the best one.

In place of, or beside, `lightgbm.early_stopping`::

    from lcpfn.integrations.lightgbm import LCPFNEarlyStopping

    stopping = LCPFNEarlyStopping(best=0.31)
    lightgbm.train(params, data, 500, valid_sets=[valid], callbacks=[stopping])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcpfn.errors import InputError, MissingExtraError
from lcpfn.forecast.arguments import Goal
from lcpfn.integrations.trained_run import KeepsRun, StateFile, TrainedRun, not_reported, read_every

if TYPE_CHECKING:
    from lcpfn.forecast.model import LCPFN

try:
    from lightgbm.basic import _log_info
    from lightgbm.callback import CallbackEnv, EarlyStopException
except ImportError as error:
    raise MissingExtraError(
        "LCPFNEarlyStopping needs lightgbm, which is not installed: "
        'pip install "lcpfn-stopping[lightgbm]"'
    ) from error


class LCPFNEarlyStopping(KeepsRun):
    """Stops a run whose final value will hardly beat `best`, or hardly reach `target`.

    Where neither is given, only a run that diverges is stopped. By a forecast none is stopped
    before the least evidence of the rule: four records of the metric, or `min_steps`. LightGBM
    itself says which way the metric is better, and how many rounds the full run has.

    **Record.** Why the run was stopped goes to LightGBM's log, see `lightgbm.register_logger`, and
    stands in `stop_reason`; `verdict` is the newest decision. All rounds that were boosted are
    kept: `best_iteration` is the last.

    **Checkpoints** of LightGBM hold nothing of callbacks. With `state_file` the records are kept
    there beside them: a training that goes on from a model (`init_model`) takes them up. One that
    begins at its first round begins anew.

    **Cross-validation** (`lightgbm.cv`) goes by the mean over the folds.

    Args:
        metric_name, data_name: which metric on which data; None is the first on other data than
            those that are trained on.
        best: the final value that the run must beat, such as that of the best run so far.
        target: the final value that is good enough and must be reached.
        horizon: how many rounds the full run has; None takes what LightGBM says.
        model: bundled name or path, as for `lcpfn.load`, or a model; None is the default model.
        every: one round of so many is a record; None, as many as make a hundred of the full run.
        state_file: where the records are kept; None keeps nothing.
        settings: by keywords, as for `lcpfn.EarlyStopping`: `threshold`, `min_steps`, `patience`,
            `min_delta`, `of`, ...

    Raises:
        InputError: an argument breaks its rule.
        TypeError: there is no such setting.
        WeightsError: there is no such model.

    Attributes:
        verdict: the newest decision, an `lcpfn.Verdict`; None before the first.
        stopped_at: round after which the run was stopped, counted from 1; None where it was not.
        stop_reason: why, in a sentence; None where it was not.
    """

    # As LightGBM's own: after those that print and record.
    order = 30
    before_iteration = False

    def __init__(
        self,
        *,
        metric_name: str | None = None,
        data_name: str | None = None,
        best: float | None = None,
        target: float | None = None,
        horizon: float | None = None,
        model: str | Path | LCPFN | None = None,
        every: int | None = None,
        state_file: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self._metric_name, self._data_name = metric_name, data_name
        self._run = TrainedRun(
            best=best, target=target, horizon=horizon, model=model, settings=settings
        )
        read_every(every, 1)
        self._asked_every, self._every = every, 1
        self._horizon = horizon
        self._file = StateFile(state_file)

    def __call__(self, env: CallbackEnv) -> None:
        """Decides; called by LightGBM after every round.

        Raises:
            EarlyStopException: the run is to be stopped.
            InputError: there is no such metric or data.
        """
        results = env.evaluation_result_list or []
        found = self._find(results, getattr(env.model, "_train_data_name", "training"))
        value, rounds, run = float(found[2]), env.iteration + 1, self._run
        if env.iteration == env.begin_iteration:
            self._begin(env, found[1], "maximize" if found[3] else "minimize")
        if rounds % self._every and math.isfinite(value):
            return
        verdict = run.hear(rounds, value)
        self._file.write(run)
        if verdict.stop:
            _log_info(run.farewell("round"))
            raise EarlyStopException(env.iteration, results)

    def _begin(self, env: CallbackEnv, metric: str, goal: Goal) -> None:
        afresh = env.begin_iteration == 0
        if not afresh:
            self._file.read(self._run)
        planned = float(env.end_iteration)
        self._every = read_every(self._asked_every, self._horizon or planned)
        self._run.begin(metric, goal, planned, afresh=afresh)

    def _find(self, results: Sequence[Any], trained_on: str) -> Any:
        """What LightGBM says of the metric: names of data and metric, value, whether up is better.

        A tuple in LightGBM before 4.7, a named one since.
        """
        if not results:
            raise InputError("nothing is evaluated: give valid_sets= to train, or eval_set= to fit")
        named = [each for each in results if self._data_name in (None, each[0])]
        if not named:
            raise not_reported("data_name", str(self._data_name), {each[0] for each in results})
        fitting = [each for each in named if self._metric_name in (None, each[1])]
        if not fitting:
            raise not_reported("metric_name", str(self._metric_name), {each[1] for each in named})
        # Cross-validation calls it "train".
        other = [each for each in fitting if each[0] not in (trained_on, "train")]
        return (other or fitting)[0]
