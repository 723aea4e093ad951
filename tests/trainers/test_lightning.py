"""The callback in Lightning's own trainer."""

from __future__ import annotations

import csv
import logging
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

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

lightning = import_trainer("lightning.pytorch")
from lcpfn.integrations.lightning import LCPFNEarlyStopping  # noqa: E402

pytestmark = quietly
BATCHES = 4


class Scripted(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """Reports the values of a curve, one a validation, whatever it learns."""

    def __init__(self, values: list[float], name: str = "val_accuracy", validations: int = 1):
        super().__init__()
        self.values, self.name, self.validations = values, name, validations
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        seen = self.trainer.fit_loop.total_batch_idx + 1
        number = round(seen / BATCHES * self.validations) - 1
        self.log(self.name, self.values[max(0, number)])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def data() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.ones(2 * BATCHES, 2)), batch_size=2)


def trainer(*callbacks: Any, **arguments: Any) -> Any:
    quiet = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(callbacks=list(callbacks), **{**quiet, **arguments})


def fit(callback: Any, module: Any, **arguments: Any) -> Any:
    using = trainer(callback, **{"max_epochs": EPOCHS, **arguments})
    using.fit(module, data(), data())
    return using


def test_stops_a_hopeless_run_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning.pytorch.loggers import CSVLogger

    # Lightning keeps what it says from the root logger where that had no handler.
    monkeypatch.setattr(logging.getLogger("lightning.pytorch"), "propagate", True)
    stopping = LCPFNEarlyStopping("val_accuracy", best=BEST)
    logger = CSVLogger(tmp_path)
    using = fit(stopping, Scripted(HOPELESS), logger=logger)
    assert LEAST <= using.current_epoch < 25
    assert stopping.stopped_at == using.current_epoch
    assert stopping.stop_reason is not None and stopping.stop_reason.startswith("P(final value")
    assert stopping.stopping_reason_message == stopping.stop_reason
    assert f"stopped after epoch {using.current_epoch}: {stopping.stop_reason}" in caplog.text
    with open(Path(logger.log_dir) / "metrics.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["lcpfn/stop"]]
    assert [float(row["lcpfn/stop"]) for row in rows] == [0.0] * (len(rows) - 1) + [1.0]
    assert len(rows) == using.current_epoch
    verdict = stopping.verdict
    assert verdict is not None
    assert float(rows[-1]["lcpfn/prob_better"]) == pytest.approx(verdict.prob_better)
    assert float(rows[-1]["lcpfn/to_beat"]) == BEST


def test_a_good_run_comes_to_its_end() -> None:
    stopping = LCPFNEarlyStopping("val_loss", best=1 - BEST, target=0.1)
    assert fit(stopping, Scripted(losses(GOOD), "val_loss")).current_epoch == EPOCHS
    assert stopping.stopped_at is None and stopping.stop_reason is None


def test_stops_a_run_that_diverges_without_anything_to_beat() -> None:
    stopping = LCPFNEarlyStopping("val_accuracy")
    assert fit(stopping, Scripted(DIVERGED)).current_epoch == 3
    assert "diverged" in str(stopping.stop_reason)


def test_a_reward_has_no_ceiling() -> None:
    for name, settings, is_open in (
        ("val_reward", {}, True),
        ("val_reward", {"bounds": (0, 1)}, False),
        ("val_accuracy", {}, False),
    ):
        stopping = LCPFNEarlyStopping(name, best=0.1, horizon=EPOCHS, **settings)
        fit(stopping, Scripted(RISING, name), max_epochs=len(RISING))
        assert stopping.verdict is not None and (stopping.verdict.high > 1) is is_open


def test_never_stops_on_a_forecast_before_the_least_evidence() -> None:
    bold = LCPFNEarlyStopping("val_accuracy", best=0.99, **BOLD)
    assert fit(bold, Scripted(HOPELESS)).current_epoch == LEAST
    slow = LCPFNEarlyStopping("val_accuracy", best=0.99, min_steps=6, **BOLD)
    assert fit(slow, Scripted(HOPELESS)).current_epoch == 6
    kept = LCPFNEarlyStopping("val_accuracy", best=0.99, **BOLD)
    assert fit(kept, Scripted(HOPELESS), min_epochs=8).current_epoch == 8


def test_goes_on_from_a_checkpoint_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = LCPFNEarlyStopping("val_accuracy", best=BEST)
    fit(whole, Scripted(HOPELESS))

    half = LCPFNEarlyStopping("val_accuracy", best=BEST)
    begun = fit(half, Scripted(HOPELESS), max_epochs=3, enable_checkpointing=True)
    begun.save_checkpoint(tmp_path / "run.ckpt")
    resumed = LCPFNEarlyStopping("val_accuracy", best=BEST, horizon=EPOCHS)
    using = trainer(resumed, max_epochs=EPOCHS)
    using.fit(Scripted(HOPELESS), data(), data(), ckpt_path=tmp_path / "run.ckpt")
    assert using.current_epoch == whole.stopped_at == resumed.stopped_at
    assert resumed.verdict is not None and whole.verdict is not None
    assert resumed.verdict.prob_better == pytest.approx(whole.verdict.prob_better, rel=1e-3)
    # The same callback begins anew in another training.
    assert fit(resumed, Scripted(HOPELESS)).current_epoch == whole.stopped_at


@pytest.mark.parametrize(
    ("arguments", "validations", "horizon"),
    [
        ({"max_steps": EPOCHS * BATCHES}, 1, EPOCHS * BATCHES),
        ({"val_check_interval": 0.5}, 2, EPOCHS),
        ({"check_val_every_n_epoch": 2}, 1, EPOCHS),
    ],
    ids=["steps", "twice an epoch", "every second epoch"],
)
def test_counts_in_the_unit_of_the_training(
    arguments: dict[str, Any], validations: int, horizon: float
) -> None:
    stopping = LCPFNEarlyStopping("val_accuracy", best=BEST)
    using = fit(stopping, Scripted([*HOPELESS, *HOPELESS], validations=validations), **arguments)
    assert stopping.verdict is not None and stopping.verdict.horizon == horizon
    unit = using.global_step if horizon > EPOCHS else using.global_step / BATCHES
    assert stopping.stopped_at == unit < horizon
    interval = 2 if "check_val_every_n_epoch" in arguments else 1 / validations
    shift = horizon / EPOCHS * interval
    assert stopping.state_dict()["steps"][:2] == [shift, 2 * shift]


class Stream(IterableDataset[torch.Tensor]):
    """Data of a length that nobody knows."""

    def __iter__(self) -> Any:
        return iter(torch.ones(BATCHES, 2))


def test_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match=r"did you mean 'val_accuracy'\?"):
        fit(LCPFNEarlyStopping("val_acc"), Scripted(GOOD))
    with pytest.raises(InputError, match="add mode='min' or mode='max'"):
        LCPFNEarlyStopping("thing")
    with pytest.raises(InputError, match="give it max_epochs or max_steps, or add horizon="):
        fit(LCPFNEarlyStopping("val_accuracy"), Scripted(GOOD), max_epochs=-1)
    endless = trainer(LCPFNEarlyStopping("val_accuracy"), max_epochs=3, val_check_interval=2)
    with pytest.raises(InputError, match="horizon= in steps"):
        endless.fit(Scripted(GOOD), DataLoader(Stream()), data())


def test_serves_the_package_under_its_other_name() -> None:
    other = import_trainer("pytorch_lightning")

    class Other(other.LightningModule):  # type: ignore[misc, name-defined]
        training_step = Scripted.training_step
        validation_step = Scripted.validation_step
        configure_optimizers = Scripted.configure_optimizers

        def __init__(self) -> None:
            super().__init__()
            self.values, self.name, self.validations = HOPELESS, "val_accuracy", 1
            self.layer = torch.nn.Linear(2, 1)

    stopping = LCPFNEarlyStopping("val_accuracy", best=BEST)
    using = other.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=[stopping],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    using.fit(Other(), data(), data())
    assert using.current_epoch == stopping.stopped_at


def test_two_processes_stop_at_the_same_step(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("lightning_processes.py")), tmp_path]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ends = [(tmp_path / f"rank{rank}").read_text().split() for rank in (0, 1)]
    assert ends[0] == ends[1]
    step, probability = float(ends[0][0]), float(ends[0][1])
    assert ends[0][2] == "True"
    assert LEAST * 2 <= step < 2 * EPOCHS and math.isfinite(probability)
    assert done.stderr.count("LCPFNEarlyStopping: stopped after epoch") == 1
