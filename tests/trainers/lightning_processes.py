"""A training by two processes that see different values of the metric; run by test_lightning.py.

Each writes into a folder at which step it stopped and on which probability.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.trainers.curves import BEST, EPOCHS, HOPELESS

warnings.simplefilter("ignore")

from lightning.pytorch import LightningModule, Trainer  # noqa: E402

from lcpfn.integrations.lightning import LCPFNEarlyStopping  # noqa: E402


class Scripted(LightningModule):
    """Reports a hopeless curve in the mean of all processes, and not the same in each."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        apart = 0.35 if self.global_rank else -0.35
        self.log("val_accuracy", HOPELESS[self.current_epoch] + apart)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def on_train_end(self) -> None:
        (stopping,) = self.trainer.early_stopping_callbacks
        verdict = stopping.verdict
        told = f"{self.trainer.global_step} {verdict.prob_better} {verdict.stop}"
        (self.folder / f"rank{self.global_rank}").write_text(told, encoding="utf-8")


def main(folder: Path) -> None:
    """Trains until the callback stops it."""
    torch.set_num_threads(1)
    stopping = LCPFNEarlyStopping("val_accuracy", best=BEST)
    data: DataLoader[Any] = DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=2)
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=2,
        # Importing everything once is enough.
        strategy="ddp_fork",
        callbacks=[stopping],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Scripted(folder), data, data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
