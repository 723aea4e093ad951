"""What the Optuna pruner's decisions cost as a study grows: median milliseconds of one decision.

    python experiments/optuna_latency.py [--trials 10 1000 10000] [--storage memory] [--model NAME]

Studies are filled with finished trials of 50 records each; then one trial runs and asks after
each of its 50 epochs. The columns tell the whole decision, as wall time and as CPU time of its
thread (the two differ on a busy machine), and the wall time of looking at the study alone, without
a forecast to make and store. Optuna's own median pruner is beside it. Torch uses one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import torch
from rich.console import Console
from rich.table import Table

from lcpfn.integrations.optuna import LCPFNPruner

EPOCHS = 50


def accuracy(level: float, epoch: int) -> float:
    """A run that rises to `level`."""
    return level * (1 - 0.9**epoch)


def filled_study(trials: int, storage: str | None) -> optuna.Study:
    """A study with that many COMPLETE trials, the best of them at 0.9."""
    study = optuna.create_study(direction="maximize", storage=storage)
    levels = np.random.default_rng(0).uniform(0.2, 0.9, trials)
    study.add_trials(
        [
            optuna.trial.create_trial(
                value=accuracy(level, EPOCHS),
                intermediate_values={
                    epoch: accuracy(level, epoch) for epoch in range(1, EPOCHS + 1)
                },
            )
            for level in levels
        ]
    )
    return study


def times(study: optuna.Study, pruner: optuna.pruners.BasePruner) -> tuple[float, float]:
    """Median wall and CPU milliseconds of a decision, the first two of the trial aside."""
    study.pruner = pruner
    trial = study.ask()
    wall, thread = [], []
    for epoch in range(1, EPOCHS):
        trial.report(accuracy(0.89, epoch), epoch)
        begin = time.perf_counter(), time.thread_time()
        trial.should_prune()
        wall.append(time.perf_counter() - begin[0])
        thread.append(time.thread_time() - begin[1])
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return 1e3 * float(np.median(wall[2:])), 1e3 * float(np.median(thread[2:]))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 1000, 10_000])
    parser.add_argument("--storage", choices=["memory", "sqlite"], default="memory")
    parser.add_argument("--model", help="bundled name or path")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    table = Table(title=f"milliseconds a decision, {options.storage} storage")
    for column in ("finished trials", "LCPFN", "its CPU", "its look at the study", "Median"):
        table.add_column(column, justify="right")
    pruners: list[Callable[[], optuna.pruners.BasePruner]] = [
        lambda: LCPFNPruner(max_steps=EPOCHS, model=options.model),
        lambda: LCPFNPruner(max_steps=EPOCHS, model=options.model, warmup_trials=10**9),
        lambda: optuna.pruners.MedianPruner(),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for trials in options.trials:
            database = f"sqlite:///{Path(folder) / f'{trials}.db'}"
            study = filled_study(trials, database if options.storage == "sqlite" else None)
            (wall, thread), (look, _), (median, _) = (times(study, pruner()) for pruner in pruners)
            table.add_row(
                f"{trials:,}",
                f"{wall:.2f}",
                f"{thread:.2f}",
                f"{look:.2f}",
                f"{median:.2f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
