"""A real search with Optuna, with the pruner and without: epochs, seconds and the best accuracy.

    python -m experiments.optuna_example [--trials 20] [--seed 0]

Each trial trains the network of `experiments.support.digits` for 40 epochs and reports its
validation accuracy after every epoch. Both searches try the same random settings in the same
order, so the full search tells what pruning may have missed.
"""

from __future__ import annotations

import argparse
import time

import optuna
import torch
from rich.console import Console
from rich.table import Table

from experiments.support.digits import BATCHES, EPOCHS, Digits, Settings, read_digits, train
from lcpfn.integrations.optuna import LCPFNPruner


def search(data: Digits, trials: int, seed: int, pruner: optuna.pruners.BasePruner) -> optuna.Study:
    """A random search over learning rate, batch size, width, dropout and weight decay."""

    def objective(trial: optuna.Trial) -> float:
        settings = Settings(
            width=trial.suggest_int("width", 8, 128, log=True),
            dropout=trial.suggest_float("dropout", 0, 0.6),
            learning_rate=trial.suggest_float("learning_rate", 1e-4, 1.0, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
            batch=trial.suggest_categorical("batch", BATCHES),
        )
        accuracy = 0.0
        for epoch, accuracy in enumerate(train(settings, data, seed)):
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
