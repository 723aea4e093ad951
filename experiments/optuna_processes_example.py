"""The search of `experiments.optuna_example` by four processes that share one SQLite file.

    python -m experiments.optuna_processes_example [--trials 24] [--processes 4] [--seed 0]

Each process opens the study for itself, with a pruner of its own: all that the pruners need to
know of each other's trials is in the file. Each draws its own random settings, the same in the
search without a pruner, which so tells what pruning may have missed. Seconds include the start of
the processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import optuna
import torch
from rich.console import Console
from rich.table import Table

from experiments.support.digits import BATCHES, EPOCHS, Settings, read_digits, train
from lcpfn.integrations.optuna import LCPFNPruner

NAME = "digits"


def work(storage: str, index: int, trials: int, seed: int, prune: bool) -> None:
    """What one process does: its share of the trials, with settings of its own."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    data = read_digits(seed)
    pruner = LCPFNPruner(max_steps=EPOCHS) if prune else optuna.pruners.NopPruner()
    sampler = optuna.samplers.RandomSampler(1000 * seed + index)
    study = optuna.load_study(study_name=NAME, storage=storage, sampler=sampler, pruner=pruner)

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

    study.optimize(objective, n_trials=trials)


def search(folder: Path, trials: int, processes: int, seed: int, prune: bool) -> optuna.Study:
    """Runs the processes to their end and gives the study they shared."""
    storage = f"sqlite:///{folder / ('pruned.db' if prune else 'full.db')}"
    study = optuna.create_study(study_name=NAME, storage=storage, direction="maximize")
    context = multiprocessing.get_context("spawn")
    shares = [len(range(index, trials, processes)) for index in range(processes)]
    workers = [
        context.Process(target=work, args=(storage, index, share, seed, prune))
        for index, share in enumerate(shares)
        if share
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise SystemExit(f"a process ended with exit code {worker.exitcode}")
    return study


def main() -> None:
    """Runs both searches and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    title = f"{options.trials} settings, {EPOCHS} epochs each, {options.processes} processes"
    table = Table(title=title)
    for column in ("pruner", "epochs", "seconds", "trials pruned", "best accuracy"):
        table.add_column(column, justify="right")
    spent = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, prune in (("none", False), ("LCPFNPruner", True)):
            begin = time.perf_counter()
            study = search(Path(folder), options.trials, options.processes, options.seed, prune)
            seconds = time.perf_counter() - begin
            epochs = sum(len(trial.intermediate_values) for trial in study.trials)
            spent[name] = epochs, seconds
            pruned = study.get_trials(states=[optuna.trial.TrialState.PRUNED])
            table.add_row(
                name, f"{epochs}", f"{seconds:.1f}", f"{len(pruned)}", f"{study.best_value:.4f}"
            )
    console = Console()
    console.print(table)
    (full_epochs, full_seconds), (epochs, seconds) = spent["none"], spent["LCPFNPruner"]
    console.print(
        f"saved: {1 - epochs / full_epochs:.0%} of the epochs, "
        f"{full_seconds - seconds:.1f} of {full_seconds:.1f} seconds"
    )


if __name__ == "__main__":
    main()
