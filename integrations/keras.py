"""Keras: stops a run that will not reach a target or beat the best one.

In place of Keras' own `EarlyStopping`::

    from lcpfn.integrations.keras import LCPFNEarlyStopping

    model.fit(x, y, epochs=100, validation_split=0.2, callbacks=[LCPFNEarlyStopping(best=0.31)])
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lcpfn.errors import MissingExtraError
from lcpfn.integrations.trained_run import KeepsRun, StateFile, TrainedRun, not_reported, read_mode

if TYPE_CHECKING:
    from lcpfn.forecast.model import LCPFN

try:
    from keras import callbacks, config
except ImportError as error:
    raise MissingExtraError(
        "LCPFNEarlyStopping needs keras, which is not installed: "
        'pip install "lcpfn-stopping[keras]"'
    ) from error


class LCPFNEarlyStopping(KeepsRun, callbacks.Callback):  # type: ignore[misc]
    """Stops a run whose final value will hardly beat `best`, or hardly reach `target`.

    Where neither is given, only a run that diverges is stopped. By a forecast none is stopped
    before the least evidence of the rule: four epochs, or `min_steps`.

    **Record.** Every decision is added to the epoch's logs as `lcpfn/prob_better`, `lcpfn/limit`,
    `lcpfn/to_beat`, `lcpfn/low`, `lcpfn/median`, `lcpfn/high` and `lcpfn/stop`, so that `History`,
    and `CSVLogger`, `TensorBoard` and others that stand behind it in the list, have it. Why the run
    was stopped is said where Keras says things, and stands in `stop_reason`.

    **Checkpoints** of Keras hold nothing of callbacks. With `state_file` the records are kept there
    beside them: a training that `BackupAndRestore` resumes, or one with `initial_epoch`, goes on as
    if nothing had happened. A training that begins at its first epoch begins anew.

    Args:
        monitor: metric, by its name in the logs.
        mode: which way it is better, "min" or "max"; None goes by its name.
        best: the final value that the run must beat, such as that of the best run so far.
        target: the final value that is good enough and must be reached.
        horizon: how many epochs the full run has; None takes `epochs` of `fit`.
        model: bundled name or path, as for `lcpfn.load`, or a model; None is the default model.
        state_file: where the records are kept after every epoch; None keeps nothing.
        settings: by keywords, as for `lcpfn.EarlyStopping`: `threshold`, `min_steps`, `patience`,
            `min_delta`, `of`, `schedule`, ...

    Raises:
        InputError: an argument breaks its rule.
        TypeError: there is no such setting.
        WeightsError: there is no such model.

    Attributes:
        verdict: the newest decision, an `lcpfn.Verdict`; None before the first.
        stopped_at: epoch after which the run was stopped, counted from 1; None where it was not.
        stop_reason: why, in a sentence; None where it was not.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str | None = None,
        *,
        best: float | None = None,
        target: float | None = None,
        horizon: float | None = None,
        model: str | Path | LCPFN | None = None,
        state_file: str | Path | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self._goal = read_mode(mode, monitor)
        self._run = TrainedRun(
            best=best, target=target, horizon=horizon, model=model, settings=settings
        )
        self._file = StateFile(state_file)
        self._begun = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Waits for the first epoch, which tells whether the training is a new one."""
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Learns how long the training is, and whether it goes on from a checkpoint."""
        if self._begun:
            return
        self._begun = True
        if epoch > 0:
            self._file.read(self._run)
        planned = (self.params or {}).get("epochs")
        horizon = None if planned is None else float(planned)
        self._run.begin(self.monitor, self._goal, horizon, afresh=epoch == 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Decides.

        Raises:
            InputError: the logs do not have the metric.
        """
        logs = {} if logs is None else logs
        if logs.get(self.monitor) is None:
            raise not_reported("monitor", self.monitor, logs)
        run, was_stopped = self._run, self._run.stopped
        verdict = run.hear(epoch + 1, float(logs[self.monitor]))
        logs.update(run.numbers())
        self._file.write(run)
        if verdict.stop:
            self.model.stop_training = True
        if run.stopped and not was_stopped:
            _say(run.farewell("epoch"))


def _say(words: str) -> None:
    """Says something where Keras does: on the terminal, or in absl's log where that is asked."""
    if config.is_interactive_logging_enabled():
        print(words, flush=True)
    else:
        logging.getLogger("absl").info(words)
