"""Hugging Face transformers: stops a run that will not reach a target or beat the best one.

In place of `EarlyStoppingCallback`::

    from lcpfn.integrations.transformers import LCPFNEarlyStopping

    trainer = Trainer(..., callbacks=[LCPFNEarlyStopping("eval_loss", best=0.31)])

In a search the pruner also sees the other trials, and is the better choice::

    trainer.hyperparameter_search(backend="optuna", pruner=LCPFNPruner(max_steps=1500), ...)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcpfn.errors import InputError, MissingExtraError
from lcpfn.forecast.arguments import Goal
from lcpfn.integrations.trained_run import FollowsRun, TrainedRun, goal_by_name, not_reported

if TYPE_CHECKING:
    from lcpfn.forecast.model import LCPFN

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.utils.logging import get_logger
except ImportError as error:
    raise MissingExtraError(
        "LCPFNEarlyStopping needs transformers, which is not installed: "
        'pip install "lcpfn-stopping[transformers]"'
    ) from error

# In transformers' hierarchy, so that `transformers.logging.set_verbosity` governs it.
_logger = get_logger("transformers.lcpfn")
_PREFIX = "eval_"


class LCPFNEarlyStopping(FollowsRun, TrainerCallback):
    """Stops a run whose final value will hardly beat `best`, or hardly reach `target`.

    Where neither is given, only a run that diverges is stopped. By a forecast none is stopped
    before the least evidence of the rule: four evaluations, or `min_steps`. It decides after every
    evaluation, so `eval_strategy` must not be "no". Steps are the optimizer's.

    **Record.** Every decision is added to the evaluation's record in `state.log_history`, and so
    in `trainer_state.json`, as `lcpfn/prob_better`, `lcpfn/limit`, `lcpfn/to_beat`, `lcpfn/low`,
    `lcpfn/median`, `lcpfn/high` and `lcpfn/stop`. Transformers tells callbacks nothing of where the
    trainer reports to: with `log=trainer.log` decisions get to TensorBoard, W&B and others, too::

        trainer.add_callback(LCPFNEarlyStopping("eval_loss", best=0.31, log=trainer.log))

    Why the run was stopped is warned of, and stands in `stop_reason`.

    **Checkpoints.** The records are those of the trainer's own `log_history`: a training that is
    resumed from one goes on as if nothing had happened.

    **Searches.** In `hyperparameter_search` each trial is a new run, and must beat the best that
    has come to its end before in this process, and `best` where it is given.

    **Several processes** decide alike, as transformers gathers metrics over all of them.

    Args:
        monitor: metric, by its name in the evaluation's records; the prefix `eval_` may be left
            out. None is `metric_for_best_model`, or else the loss.
        greater_is_better: which way it is better; None is what the training arguments say where
            the metric is theirs, and else goes by its name.
        best: the final value that the run must beat, such as that of the best run so far.
        target: the final value that is good enough and must be reached.
        horizon: how many steps the full run has; None takes what the trainer says.
        model: bundled name or path, as for `lcpfn.load`, or a model; None is the default model.
        log: hears of every decision, a mapping; `trainer.log`.
        settings: by keywords, as for `lcpfn.EarlyStopping`: `threshold`, `min_steps`, `patience`,
            `min_delta`, `of`, `schedule`, ...

    Raises:
        InputError: an argument breaks its rule.
        TypeError: there is no such setting.
        WeightsError: there is no such model.

    Attributes:
        verdict: the newest decision, an `lcpfn.Verdict`; None before the first.
        stopped_at: step after which the run was stopped, None where it was not.
        stop_reason: why, in a sentence; None where it was not.
    """

    def __init__(
        self,
        monitor: str | None = None,
        greater_is_better: bool | None = None,
        *,
        best: float | None = None,
        target: float | None = None,
        horizon: float | None = None,
        model: str | Path | LCPFN | None = None,
        log: Callable[[dict[str, float]], Any] | None = None,
        **settings: Any,
    ) -> None:
        self._monitor, self._greater = monitor, greater_is_better
        self._run = TrainedRun(
            best=best, target=target, horizon=horizon, model=model, settings=settings
        )
        self._log = log
        self._metric = ""
        self._training = False
        self._missed: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Learns what is trained for how long, and what had been logged before.

        Raises:
            InputError: nothing is evaluated, or which way the metric is better is unknown.
        """
        if args.eval_strategy == "no":
            raise InputError(
                "eval_strategy is 'no', but LCPFNEarlyStopping decides after evaluations: say "
                "'steps' or 'epoch'"
            )
        self._metric = _full_name(self._monitor or args.metric_for_best_model or "loss")
        goal = self._read_goal(args)
        self._training, self._missed = True, None
        logged = {
            record["step"]: record[self._metric]
            for record in state.log_history
            if _carries(record, self._metric) and 0 < record["step"] <= state.global_step
        }
        self._run.recall(goal, logged)
        self._run.begin(self._metric, goal, float(state.max_steps), afresh=False)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Decides, where the evaluation is part of a training.

        Raises:
            InputError: the metric is not among what was evaluated.
        """
        metrics = kwargs.get("metrics") or {}
        # What is evaluated before the first step tells nothing of how the run goes.
        if not self._training or state.global_step == 0:
            return
        if self._metric not in metrics:
            self._miss(metrics, state)
            return
        self._missed = None
        run, was_stopped = self._run, self._run.stopped
        verdict = run.hear(state.global_step, metrics[self._metric])
        self._record(state)
        if verdict.stop:
            control.should_training_stop = True
        if run.stopped and not was_stopped and state.is_world_process_zero:
            _logger.warning(run.farewell("step"))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Keeps what the run came to for the next trial of a search."""
        if not self._training:
            return
        self._training = False
        if state.is_hyper_param_search and state.global_step >= state.max_steps:
            self._run.keep()

    def _read_goal(self, args: TrainingArguments) -> Goal:
        greater = self._greater
        if greater is None and args.metric_for_best_model is not None:
            theirs = _full_name(args.metric_for_best_model) == self._metric
            greater = args.greater_is_better if theirs else None
        if greater is not None:
            return "maximize" if greater else "minimize"
        return goal_by_name(self._metric, "greater_is_better=True or greater_is_better=False")

    def _record(self, state: TrainerState) -> None:
        """Adds the decision to what the trainer has logged of the evaluation."""
        for record in reversed(state.log_history):
            if _carries(record, self._metric) and record["step"] == state.global_step:
                record.update(self._run.numbers())
                break
        if self._log is not None:
            self._log(self._run.numbers())

    def _miss(self, metrics: Mapping[str, float], state: TrainerState) -> None:
        """Takes note of an evaluation without the metric, and refuses where it will not come."""
        # Several data sets are evaluated one after the other, each by its own name.
        several = f"{_PREFIX}runtime" not in metrics
        if several and self._missed in (None, state.global_step):
            self._missed = state.global_step
            return
        reported = {
            name
            for record in [metrics, *state.log_history]
            for name in record
            if name.startswith(_PREFIX)
        }
        raise not_reported("monitor", self._metric, reported)


def _full_name(metric: str) -> str:
    return metric if metric.startswith(_PREFIX) else f"{_PREFIX}{metric}"


def _carries(record: MutableMapping[str, float], metric: str) -> bool:
    return metric in record and "step" in record
