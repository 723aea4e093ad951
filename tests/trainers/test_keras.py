"""The callback in Keras' own `fit`."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lcpfn import InputError
from tests.trainers.curves import (
    BEST,
    BOLD,
    DIVERGED,
    EPOCHS,
    GOOD,
    HOPELESS,
    LEAST,
    RISING,
    import_trainer,
    losses,
    quietly,
)

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = import_trainer("keras")
from lcpfn.integrations.keras import LCPFNEarlyStopping  # noqa: E402

pytestmark = quietly


class Scripted(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
    """Reports the values of a curve, whatever is learned."""

    def __init__(self, values: list[float], name: str = "val_accuracy") -> None:
        super().__init__()
        self.values, self.name = values, name

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs[self.name] = self.values[epoch]


class Killed(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
    """Interrupts a training as it begins an epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 4:
            raise KeyboardInterrupt


def network() -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(values: list[float], *callbacks: Any, name: str = "val_accuracy", **arguments: Any) -> Any:
    using = {"epochs": EPOCHS, "verbose": 0, **arguments}
    x = np.ones((4, 1))
    return network().fit(x, x, callbacks=[Scripted(values, name), *callbacks], **using)


def test_stops_a_hopeless_run_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keras.config.enable_interactive_logging()
    stopping = LCPFNEarlyStopping("val_accuracy", best=BEST)
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(HOPELESS, stopping, logger).history
    epochs = len(history["val_accuracy"])
    assert LEAST <= epochs < 25 and stopping.stopped_at == epochs
    assert history["lcpfn/stop"] == [0.0] * (epochs - 1) + [1.0]
    assert stopping.verdict is not None
    assert history["lcpfn/prob_better"][-1] == stopping.verdict.prob_better
    with open(tmp_path / "log.csv", encoding="utf-8") as file:
        assert float(list(csv.DictReader(file))[-1]["lcpfn/to_beat"]) == BEST
    said = capsys.readouterr().out
    assert f"stopped after epoch {epochs}: {stopping.stop_reason}" in said
    assert str(stopping.stop_reason).startswith("P(final value beats 0.93)")


def test_a_good_run_comes_to_its_end() -> None:
    stopping = LCPFNEarlyStopping(best=1 - BEST, target=0.1)
    history = fit(losses(GOOD), stopping, name="val_loss").history
    assert len(history["val_loss"]) == EPOCHS and stopping.stop_reason is None


def test_a_reward_has_no_ceiling() -> None:
    for name, settings, is_open in (
        ("val_reward", {}, True),
        ("val_reward", {"bounds": (0, 1)}, False),
        ("val_accuracy", {}, False),
    ):
        stopping = LCPFNEarlyStopping(name, best=0.1, horizon=EPOCHS, **settings)
        fit(RISING, stopping, name=name, epochs=len(RISING))
        assert stopping.verdict is not None and (stopping.verdict.high > 1) is is_open


def test_never_stops_on_a_forecast_before_the_least_evidence() -> None:
    keras.config.disable_interactive_logging()
    for settings, epochs in (({}, LEAST), ({"min_steps": 6}, 6)):
        bold = LCPFNEarlyStopping("val_accuracy", best=0.99, **BOLD, **settings)
        assert len(fit(HOPELESS, bold).epoch) == epochs
    assert len(fit(DIVERGED, LCPFNEarlyStopping("val_accuracy")).epoch) == 3


def test_goes_on_where_a_killed_training_is_resumed(tmp_path: Path) -> None:
    def callbacks() -> list[Any]:
        stopping = LCPFNEarlyStopping("val_accuracy", best=BEST, state_file=tmp_path / "state.json")
        return [stopping, keras.callbacks.BackupAndRestore(tmp_path / "backup")]

    whole = LCPFNEarlyStopping("val_accuracy", best=BEST)
    fit(HOPELESS, whole)
    with pytest.raises(KeyboardInterrupt):
        fit(HOPELESS, *callbacks(), Killed())
    again = callbacks()
    history = fit(HOPELESS, *again)
    assert history.epoch[0] == 4
    assert again[0].stopped_at == history.epoch[-1] + 1 == whole.stopped_at
    assert whole.verdict is not None
    assert again[0].verdict.prob_better == pytest.approx(whole.verdict.prob_better, rel=1e-3)
    # What another run has left in the file is not of one that begins.
    anew = LCPFNEarlyStopping("val_accuracy", best=BEST, state_file=tmp_path / "state.json")
    assert len(fit(HOPELESS, anew).epoch) == whole.stopped_at


def test_goes_on_in_a_second_fit_and_from_a_state_of_ones_own() -> None:
    whole = LCPFNEarlyStopping("val_accuracy", best=BEST)
    fit(HOPELESS, whole)
    parts = LCPFNEarlyStopping("val_accuracy", best=BEST, horizon=EPOCHS)
    fit(HOPELESS, parts, epochs=3)
    loaded = LCPFNEarlyStopping("val_accuracy", best=BEST)
    loaded.load_state_dict(parts.state_dict())
    for stopping in (parts, loaded):
        assert fit(HOPELESS, stopping, initial_epoch=3).epoch[-1] + 1 == whole.stopped_at


def test_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match=r"did you mean 'val_accuracy'\?"):
        fit(GOOD, LCPFNEarlyStopping("val_acc"))
    with pytest.raises(InputError, match="add mode='min' or mode='max'"):
        LCPFNEarlyStopping("thing")
