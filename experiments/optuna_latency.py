"""What a pruning decision costs: milliseconds as a study grows, and as more trials are under way.

    python -m experiments.optuna_latency [--finished 10 1000 10000] [--live 1 32 100]
        [--handles 1] [--storage memory] [--model NAME]

Studies are filled with finished trials of 50 records each; then so many run side by side, report
and ask in turn. Columns tell the median and the 99th percentile of the wall time of one decision,
the median of its thread's processor time, and the same of Optuna's own median pruner, on a study of
its own that goes on beside ours, report by report. With several `--handles` (on a database) the
running trials are shared out among so many workers, each with a storage, a study and a pruner of
its own, as processes on one storage have: what one decides, the others read. They take turns in one
process, so that the times are of the work and not of the processors that workers would share. Torch
uses one thread.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import optuna
import torch
import typer
from optuna.pruners import BasePruner, MedianPruner
from rich.console import Console
from rich.table import Table

from lcpfn.integrations.optuna import LCPFNPruner

EPOCHS = 50
FINISHED = (10, 1000, 10_000)
LIVE = (1, 32, 100)
# The first records of each trial, before which nothing is forecast, and the warm-up.
_UNTIMED = 5


def accuracy(level: float, epoch: int) -> float:
    """A run that rises to `level`."""
    return level * (1 - 0.9**epoch)


def workers(
    finished: int, storage: str | None, handles: int, make: Callable[[], BasePruner]
) -> list[optuna.Study]:
    """One study for each worker, all of the same COMPLETE trials, the best of them at 0.9."""
    study = optuna.create_study(direction="maximize", storage=storage)
    levels = np.random.default_rng(0).uniform(0.2, 0.9, finished).tolist()
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
    studies = [study]
    if storage is not None:
        name = study.study_name
        studies = [optuna.load_study(study_name=name, storage=storage) for _ in range(handles)]
    for one in studies:
        one.pruner = make()
    return studies


def times(compared: list[list[optuna.Study]], live: int) -> np.ndarray:
    """Wall and processor milliseconds of each decision, (compared, decisions, 2).

    Args:
        compared: for each pruner its workers' studies.
        live: how many trials run at a time, shared out among the workers.
    """
    trials = [
        [studies[number % len(studies)].ask() for number in range(live)] for studies in compared
    ]
    levels = np.random.default_rng(1).uniform(0.87, 0.91, live).tolist()
    measured: list[list[list[float]]] = [[] for _ in compared]
    for epoch in range(1, EPOCHS):
        for number, level in enumerate(levels):
            for taken, running in zip(measured, trials, strict=True):
                running[number].report(accuracy(level, epoch), epoch)
                begin = time.perf_counter(), time.thread_time()
                running[number].should_prune()
                end = time.perf_counter(), time.thread_time()
                if epoch > _UNTIMED:
                    taken.append(
                        [1e3 * (after - before) for before, after in zip(begin, end, strict=True)]
                    )
    return np.array(measured)


def main(
    finished: Annotated[list[int] | None, typer.Option(help="finished trials")] = None,
    live: Annotated[list[int] | None, typer.Option(help="trials under way")] = None,
    handles: Annotated[int, typer.Option(help="workers that share them", min=1)] = 1,
    storage: Annotated[
        str, typer.Option(help="memory, sqlite, or the URL of a database")
    ] = "memory",
    model: Annotated[str | None, typer.Option(help="bundled name or path")] = None,
) -> None:
    """Prints the table."""
    if handles > 1 and storage == "memory":
        raise typer.BadParameter("several workers need a storage that they can share: sqlite")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    kind = storage.partition(":")[0]
    table = Table(title=f"milliseconds a decision, {kind} storage, {handles} workers")
    for column in ("finished", "under way"):
        table.add_column(column, justify="right")
    for pruner in ("", "Optuna's Median: "):
        for column in ("median", "99 %", "processor"):
            table.add_column(pruner + column, justify="right")
    makers: list[Callable[[], BasePruner]] = [
        lambda: LCPFNPruner(EPOCHS, model=model),
        MedianPruner,
    ]
    with tempfile.TemporaryDirectory() as folder:
        for trials in finished or FINISHED:
            for running in live or LIVE:
                url = None if storage == "memory" else storage
                if storage == "sqlite":
                    url = f"sqlite:///{Path(folder) / f'{trials}-{running}.db'}"
                compared = [workers(trials, url, handles, make) for make in makers]
                cells = [
                    f"{value:.2f}"
                    for wall, processor in times(compared, running).transpose(0, 2, 1)
                    for value in (np.median(wall), np.quantile(wall, 0.99), np.median(processor))
                ]
                table.add_row(f"{trials:,}", f"{running}", *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
