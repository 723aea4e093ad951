"""Lightning: stops a run that will not reach a target or beat the best one.

In place of Lightning's own `EarlyStopping`::

    from lcpfn.integrations.lightning import LCPFNEarlyStopping

    stopping = LCPFNEarlyStopping("val_loss", best=0.31)
    trainer = lightning.Trainer(max_epochs=100, callbacks=[stopping])
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lcpfn.errors import InputError, MissingExtraError
from lcpfn.integrations.trained_run import FollowsRun, TrainedRun, not_reported, read_mode

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import EarlyStopping

    from lcpfn.forecast.model import LCPFN
else:
    try:
        from lightning.pytorch.callbacks import EarlyStopping
    except ImportError as missing:
        try:
            # The same under its other name.
            EarlyStopping = import_module("pytorch_lightning.callbacks").EarlyStopping
        except ImportError:
            raise MissingExtraError(
                "LCPFNEarlyStopping needs lightning, which is not installed: "
                'pip install "lcpfn-stopping[lightning]"'
            ) from missing

# Below Lightning's own logger, which shows what is said at level info.
_logger = logging.getLogger(f"{EarlyStopping.__module__.partition('.callbacks')[0]}.lcpfn")


# Lightning calls those that monitor a metric last, and knows them by this class alone.
class LCPFNEarlyStopping(FollowsRun, EarlyStopping):
    """Stops a run whose final value will hardly beat `best`, or hardly reach `target`.

    Where neither is given, only a run that diverges is stopped. By a forecast none is stopped
    before the least evidence of the rule: four records of the metric, or `min_steps`.

    **When.** As Lightning's `EarlyStopping`: at the end of each training epoch, or after each
    validation where there is not one in every epoch. Steps are epochs, with fractions where there
    are several validations in one; where `max_steps` limits the training they are the optimizer's
    steps.

    **Record.** Every decision goes to the trainer's loggers as `lcpfn/prob_better`,
    `lcpfn/limit`, `lcpfn/to_beat`, `lcpfn/low`, `lcpfn/median`, `lcpfn/high` and `lcpfn/stop`.
    Why the run was stopped is said at level info, and stands in `stop_reason`.

    **Checkpoints** hold the records: a training that is resumed from one goes on as if nothing had
    happened.

    **Several processes** decide alike: each takes the mean of the metric over all of them, and all
    stop where one would.

    Args:
        monitor: metric, by the name under which the module logs it.
        mode: which way it is better, "min" or "max"; None goes by its name.
        best: the final value that the run must beat, such as that of the best run so far.
        target: the final value that is good enough and must be reached.
        horizon: how many epochs the full run has, or steps where `max_steps` limits it; None takes
            what the trainer says.
        model: bundled name or path, as for `lcpfn.load`, or a model; None is the default model.
        settings: by keywords, as for `lcpfn.EarlyStopping`: `threshold`, `min_steps`, `patience`,
            `min_delta`, `of`, `schedule`, ...

    Raises:
        InputError: an argument breaks its rule.
        TypeError: there is no such setting.
        WeightsError: there is no such model.

    Attributes:
        verdict: the newest decision, an `lcpfn.Verdict`; None before the first.
        stopped_at: epoch or step after which the run was stopped, None where it was not.
        stop_reason: why, in a sentence; None where it was not.
    """

    def __init__(
        self,
        monitor: str,
        mode: str | None = None,
        *,
        best: float | None = None,
        target: float | None = None,
        horizon: float | None = None,
        model: str | Path | LCPFN | None = None,
        **settings: Any,
    ) -> None:
        self._goal = read_mode(mode, monitor)
        super().__init__(monitor, mode="max" if self._goal == "maximize" else "min")
        self._run = TrainedRun(
            best=best, target=target, horizon=horizon, model=model, settings=settings
        )
        self._after_epochs = self._in_epochs = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing to prepare: when to decide is settled as the training begins."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return self._run.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self._run.load_state_dict(state_dict)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learns how long the training is.

        Raises:
            InputError: neither trainer nor user says it.
        """
        self._after_epochs = (
            trainer.val_check_interval == 1.0 and trainer.check_val_every_n_epoch == 1
        )
        # Of a stream of unknown length nobody knows the parts of an epoch.
        told_apart = self._after_epochs or trainer.num_training_batches < math.inf
        self._in_epochs = trainer.max_steps == -1 and told_apart
        planned = trainer.max_epochs if self._in_epochs else trainer.estimated_stepping_batches
        horizon = None if planned is None or planned < 1 else float(planned)
        if horizon is None and not self._run.states_horizon:
            raise InputError(
                "the trainer has no end that is known: give it max_epochs or max_steps, or add "
                f"horizon= in {self._unit}s to LCPFNEarlyStopping"
            )
        self._run.begin(self.monitor, self._goal, horizon, afresh=trainer.global_step == 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decides, where this is the time for it."""
        if self._after_epochs:
            self._decide(trainer, trainer.current_epoch + 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Decides, where this is the time for it."""
        if not self._after_epochs and not self._should_skip_check(trainer):
            share = (trainer.fit_loop.batch_idx + 1) / trainer.num_training_batches
            self._decide(trainer, trainer.current_epoch + share)

    @property
    def _unit(self) -> str:
        return "epoch" if self._in_epochs else "step"

    def _decide(self, trainer: Trainer, epochs: float) -> None:
        if getattr(trainer, "fast_dev_run", False):
            return
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            raise not_reported("monitor", self.monitor, trainer.callback_metrics)
        # Each process may have seen other data; the mean is the same for all.
        known = torch.as_tensor(value, dtype=torch.float32, device=trainer.strategy.root_device)
        mean = float(trainer.strategy.reduce(known.squeeze(), reduce_op="mean"))
        run, was_stopped = self._run, self._run.stopped
        verdict = run.hear(epochs if self._in_epochs else trainer.global_step, mean)
        for logger in trainer.loggers:
            logger.log_metrics(run.numbers(), step=trainer.global_step)
        if trainer.strategy.reduce_boolean_decision(verdict.stop, all=False):
            trainer.should_stop = True
        if run.stopped and not was_stopped:
            self.stopped_epoch, self.stopping_reason_message = (
                trainer.current_epoch,
                run.stop_reason,
            )
            if trainer.is_global_zero:
                _logger.info(run.farewell(self._unit))
