"""Real trainings by each trainer, with the callback and without: epochs saved and what was lost.

    python -m experiments.trainers [--trainers lightning keras ...] [--settings 10] [--searches 3]

Random settings are trained one after the other on scikit-learn's digits with wrong labels among
them (`experiments.support.digits`). Each run must beat the best final value of those before it,
so the first comes to its end. The same settings and seeds without the callback tell what stopping
has missed. Networks train for 40 epochs and are judged by accuracy on images that were not trained
on; boosted trees for 100 rounds and by the logarithmic loss.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from experiments.support.digits import EPOCHS, Digits, Settings, random_settings, read_digits

ROUNDS = 100
CLASSES = 10
_LEAST_LEAVES = 4
_LEAST_BATCH = 64
_WIDTH = 110

Records = list[float]
"""A metric after every epoch or round."""
Train = Callable[[Settings, Digits, int, float | None], Records]
"""Trains with settings, data and seed until it ends or will not beat a value; None never stops."""


def network(settings: Settings, seed: int) -> nn.Sequential:
    """The network of `experiments.support.digits`."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(64, settings.width),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.width, CLASSES),
    )


def optimiser(settings: Settings, module: nn.Module) -> torch.optim.Optimizer:
    """Gradient descent with momentum."""
    return torch.optim.SGD(
        module.parameters(),
        settings.learning_rate,
        momentum=0.9,
        weight_decay=settings.weight_decay,
    )


def accuracy(logits: Any, labels: Any) -> float:
    """The share of right guesses."""
    return float((np.asarray(logits).argmax(1) == np.asarray(labels)).mean())


def train_lightning(settings: Settings, data: Digits, seed: int, best: float | None) -> Records:
    """By Lightning's trainer."""
    import lightning.pytorch as pl

    from lcpfn.integrations.lightning import LCPFNEarlyStopping

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    seen: Records = []

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(settings, seed)

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

        def validation_step(self, batch: list[Tensor], index: int) -> None:
            seen.append(accuracy(self.network(batch[0]), batch[1]))
            self.log("val_accuracy", seen[-1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimiser(settings, self)

    callbacks = [] if best is None else [LCPFNEarlyStopping("val_accuracy", best=best)]
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    taught = TensorDataset(data.images, data.labels)
    unseen = TensorDataset(data.unseen_images, data.unseen_labels)
    trainer.fit(
        Module(),
        DataLoader(taught, settings.batch, shuffle=True),
        DataLoader(unseen, len(unseen)),
    )
    return seen


def train_transformers(settings: Settings, data: Digits, seed: int, best: float | None) -> Records:
    """By the trainer of transformers."""
    import transformers

    from lcpfn.integrations.transformers import LCPFNEarlyStopping

    transformers.logging.set_verbosity_error()

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(settings, seed)

        def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.network(images)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    def rows(images: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
        pairs = zip(images, labels, strict=True)
        return [{"images": image, "labels": label} for image, label in pairs]

    module = Module()
    steady = torch.optim.lr_scheduler.LambdaLR(
        (descent := optimiser(settings, module)), lambda step: 1.0
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            module,
            transformers.TrainingArguments(
                folder,
                num_train_epochs=EPOCHS,
                per_device_train_batch_size=settings.batch,
                per_device_eval_batch_size=1000,
                eval_strategy="epoch",
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                max_grad_norm=0.0,
                seed=seed,
            ),
            train_dataset=rows(data.images, data.labels),
            eval_dataset=rows(data.unseen_images, data.unseen_labels),
            compute_metrics=lambda told: {"accuracy": accuracy(told.predictions, told.label_ids)},
            optimizers=(descent, steady),
            callbacks=[] if best is None else [LCPFNEarlyStopping("accuracy", best=best)],
        )
        trainer.train()
    logged = trainer.state.log_history
    return [each["eval_accuracy"] for each in logged if "eval_accuracy" in each]


def train_keras(settings: Settings, data: Digits, seed: int, best: float | None) -> Records:
    """By Keras' `fit`."""
    import keras

    from lcpfn.integrations.keras import LCPFNEarlyStopping

    keras.utils.set_random_seed(seed)
    keras.config.disable_interactive_logging()
    module = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(settings.width, "relu"),
            keras.layers.Dropout(settings.dropout),
            keras.layers.Dense(CLASSES),
        ]
    )
    module.compile(
        keras.optimizers.SGD(settings.learning_rate, 0.9, weight_decay=settings.weight_decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = module.fit(
        data.images.numpy(),
        data.labels.numpy(),
        # Of smaller ones Keras takes minutes.
        max(_LEAST_BATCH, settings.batch),
        EPOCHS,
        verbose=0,
        validation_data=(data.unseen_images.numpy(), data.unseen_labels.numpy()),
        callbacks=[] if best is None else [LCPFNEarlyStopping("val_accuracy", best=best)],
    )
    return [float(value) for value in history.history["val_accuracy"]]


def leaves(settings: Settings) -> int:
    """How large a tree gets, by the width of the network of the same settings."""
    return max(_LEAST_LEAVES, settings.width // 4)


def train_xgboost(settings: Settings, data: Digits, seed: int, best: float | None) -> Records:
    """By XGBoost."""
    import xgboost

    from lcpfn.integrations.xgboost import LCPFNEarlyStopping

    unseen = xgboost.DMatrix(data.unseen_images.numpy(), data.unseen_labels.numpy())
    told: dict[str, Any] = {}
    xgboost.train(
        {
            "objective": "multi:softprob",
            "num_class": CLASSES,
            "eta": settings.learning_rate,
            "grow_policy": "lossguide",
            "max_leaves": leaves(settings),
            "subsample": 1 - settings.dropout,
            "seed": seed,
            "nthread": 1,
        },
        xgboost.DMatrix(data.images.numpy(), data.labels.numpy()),
        ROUNDS,
        evals=[(unseen, "unseen")],
        evals_result=told,
        verbose_eval=False,
        callbacks=[] if best is None else [LCPFNEarlyStopping(ROUNDS, best=best)],
    )
    return [float(value) for value in told["unseen"]["mlogloss"]]


def train_lightgbm(settings: Settings, data: Digits, seed: int, best: float | None) -> Records:
    """By LightGBM."""
    import lightgbm

    from lcpfn.integrations.lightgbm import LCPFNEarlyStopping

    taught = lightgbm.Dataset(data.images.numpy(), data.labels.numpy())
    told: dict[str, Any] = {}
    lightgbm.train(
        {
            "objective": "multiclass",
            "num_class": CLASSES,
            "learning_rate": settings.learning_rate,
            "num_leaves": leaves(settings),
            "bagging_fraction": 1 - settings.dropout,
            "bagging_freq": 1,
            "seed": seed,
            "num_threads": 1,
            "verbose": -1,
        },
        taught,
        ROUNDS,
        valid_sets=[taught.create_valid(data.unseen_images.numpy(), data.unseen_labels.numpy())],
        valid_names=["unseen"],
        callbacks=[
            lightgbm.record_evaluation(told),
            *([] if best is None else [LCPFNEarlyStopping(best=best)]),
        ],
    )
    return [float(value) for value in told["unseen"]["multi_logloss"]]


@dataclass(frozen=True)
class Trainer:
    """How one trainer is tried.

    Args:
        train: trains one run.
        length: epochs or rounds of a full run.
        up: whether more is better.
    """

    train: Train
    length: int
    up: bool


TRAINERS = {
    "lightning": Trainer(train_lightning, EPOCHS, True),
    "transformers": Trainer(train_transformers, EPOCHS, True),
    "keras": Trainer(train_keras, EPOCHS, True),
    "xgboost": Trainer(train_xgboost, ROUNDS, False),
    "lightgbm": Trainer(train_lightgbm, ROUNDS, False),
}


@dataclass(frozen=True)
class Outcome:
    """What one search came to.

    Args:
        share: of the epochs of all full runs that were trained.
        stopped: how many runs were stopped.
        full: best final value without the callback.
        kept: best final value with it, of the runs that came to their end.
        seconds: with the callback.
        full_seconds: without.
    """

    share: float
    stopped: int
    full: float
    kept: float
    seconds: float
    full_seconds: float


def search(trainer: Trainer, count: int, seed: int) -> Outcome:
    """One random search, with the callback and without."""
    data, better = read_digits(seed), max if trainer.up else min
    finals: list[float] = []
    ends: list[float] = []
    epochs = stopped = 0
    seconds = full_seconds = 0.0
    for number, settings in enumerate(random_settings(count, seed)):
        run = partial(trainer.train, settings, data, 1000 * seed + number)
        begin = time.perf_counter()
        full = run(None)
        halfway = time.perf_counter()
        # A run without a rival is not asked about.
        told = run(better(ends)) if ends else full
        seconds += time.perf_counter() - halfway if ends else halfway - begin
        full_seconds += halfway - begin
        epochs += len(told)
        finals.append(full[-1])
        if len(told) < trainer.length:
            stopped += 1
        else:
            ends.append(told[-1])
    best = better(value for value in finals if np.isfinite(value))
    share = epochs / (count * trainer.length)
    return Outcome(share, stopped, best, better(ends), seconds, full_seconds)


def main() -> None:
    """Runs the searches and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=list(TRAINERS))
    parser.add_argument("--settings", type=int, default=10)
    parser.add_argument("--searches", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "torch")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    table = Table(title=f"{options.searches} searches over {options.settings} settings each")
    for column in ("trainer", "epochs trained", "stopped", "best without", "lost", "seconds"):
        table.add_column(column, justify="right")
    for name in options.trainers:
        trainer = TRAINERS[name]
        print(f"{name} ...", file=sys.stderr, flush=True)
        with contextlib.redirect_stdout(io.StringIO()):
            outcomes = [search(trainer, options.settings, s) for s in range(options.searches)]
        runs = options.settings * options.searches
        lost = [abs(each.full - each.kept) for each in outcomes]
        table.add_row(
            name,
            spread([each.share for each in outcomes]),
            f"{sum(each.stopped for each in outcomes)} of {runs}",
            spread([each.full for each in outcomes], 4),
            spread(lost, 4),
            f"{sum(each.seconds for each in outcomes):.0f} of "
            f"{sum(each.full_seconds for each in outcomes):.0f}",
        )
    Console(width=_WIDTH).print(table)


def spread(values: list[float], decimals: int = 2) -> str:
    """Mean and its standard error over searches."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.{decimals}f}"
    error = float(np.std(values, ddof=1) / len(values) ** 0.5)
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}"


if __name__ == "__main__":
    main()
