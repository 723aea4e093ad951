"""A real search with Optuna, with the pruner and without: epochs, seconds and the best accuracy.

    python experiments/optuna_example.py [--trials 20] [--seed 0]

Each trial trains a small network on scikit-learn's digits for 40 epochs, one training label in
ten drawn anew, and reports its validation accuracy after every epoch. Both searches try the same
random settings in the same order, so the full search tells what pruning may have missed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import optuna
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lcpfn.integrations.optuna import LCPFNPruner

EPOCHS = 40
TRAINING_IMAGES = 1000
WRONG_LABELS = 0.1


@dataclass(frozen=True)
class Digits:
    """Images and labels to train on and to validate with."""

    images: Tensor
    labels: Tensor
    unseen_images: Tensor
    unseen_labels: Tensor


def read_digits(seed: int) -> Digits:
    """1,000 digits to train on, the other 797 to validate with."""
    generator = torch.Generator().manual_seed(seed)
    pixels, digits = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32) / 16
    labels = torch.tensor(digits)
    order = torch.randperm(len(images), generator=generator)
    train, unseen = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    redrawn = torch.rand(len(train), generator=generator) < WRONG_LABELS
    anything = torch.randint(0, 10, (len(train),), generator=generator)
    taught = torch.where(redrawn, anything, labels[train])
    return Digits(images[train], taught, images[unseen], labels[unseen])


def train_epoch(
    network: nn.Module, optimiser: torch.optim.Optimizer, data: Digits, order: Tensor, batch: int
) -> float:
    """Trains for one epoch and returns the validation accuracy."""
    for chosen in order.split(batch):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(data.images[chosen]), data.labels[chosen]).backward()
        optimiser.step()
    with torch.inference_mode():
        guesses = network(data.unseen_images).argmax(1)
    return float((guesses == data.unseen_labels).double().mean())


def search(data: Digits, trials: int, seed: int, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    """A random search over learning rate, batch size, width, dropout and weight decay."""

    def objective(trial: optuna.Trial) -> float:
        width = trial.suggest_int("width", 8, 128, log=True)
        dropout = trial.suggest_float("dropout", 0, 0.6)
        rate = trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
        decay = trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True)
        batch = trial.suggest_categorical("batch", [16, 32, 64, 128])
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10)
        )
        optimiser = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=decay)
        accuracy = 0.0
        for epoch in range(EPOCHS):
            order = torch.randperm(TRAINING_IMAGES)
            accuracy = train_epoch(network, optimiser, data, order, batch)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned()
        return accuracy

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed), pruner=pruner
    )
    study.optimize(objective, n_trials=trials)
    return study


def main() -> None:
    """Runs both searches and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    data = read_digits(options.seed)
    table = Table(title=f"{options.trials} settings, {EPOCHS} epochs each")
    for column in ("pruner", "epochs", "seconds", "trials pruned", "best accuracy", "best trial"):
        table.add_column(column, justify="right")
    pruners = {"none": optuna.pruners.NopPruner(), "LCPFNPruner": LCPFNPruner(max_steps=EPOCHS)}
    for name, pruner in pruners.items():
        begin = time.perf_counter()
        study = search(data, options.trials, options.seed, pruner)
        seconds = time.perf_counter() - begin
        pruned = study.get_trials(states=[optuna.trial.TrialState.PRUNED])
        table.add_row(
            name,
            f"{sum(len(trial.intermediate_values) for trial in study.trials)}",
            f"{seconds:.1f}",
            f"{len(pruned)}",
            f"{study.best_value:.4f}",
            f"{study.best_trial.number}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
