"""What a pruning decision costs: milliseconds as a study grows, and as more trials are under way.

    python -m experiments.optuna_latency [--finished 10 1000 10000] [--live 1 32 100]
        [--handles 1] [--storage memory] [--model NAME]

Studies are filled with finished trials of 50 records each; then so many run side by side, report
and ask in turn. Columns tell the median and the 99th percentile of the wall time of one decision,
the median of its thread's processor time, and Optuna's own median pruner on the same study. With
several `--handles` (on a database) the running trials are shared out among so many workers, each
with a storage, a study and a pruner of its own, as processes on one storage have: what one decides,
the others read. They take turns in one process, so that the times are of the work and not of the
processors that workers would share. Torch uses one thread.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import optuna
import torch
import typer
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


def filled_study(trials: int, storage: str | None) -> optuna.Study:
    """A study with that many COMPLETE trials, the best of them at 0.9."""
    study = optuna.create_study(direction="maximize", storage=storage, study_name="search")
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


def times(studies: list[optuna.Study], live: int) -> np.ndarray:
    """Wall and processor milliseconds of each decision, (decisions, 2)."""
    trials = [studies[number % len(studies)].ask() for number in range(live)]
    levels = np.random.default_rng(1).uniform(0.87, 0.91, live)
    measured = []
    for epoch in range(1, EPOCHS):
        for trial, level in zip(trials, levels, strict=True):
            trial.report(accuracy(float(level), epoch), epoch)
            begin = time.perf_counter(), time.thread_time()
            trial.should_prune()
            end = time.perf_counter(), time.thread_time()
            if epoch > _UNTIMED:
                measured.append(
                    [1e3 * (after - before) for before, after in zip(begin, end, strict=True)]
                )
    for trial in trials:
        trial.study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return np.array(measured)


def main(
    finished: Annotated[list[int] | None, typer.Option(help="finished trials")] = None,
    live: Annotated[list[int] | None, typer.Option(help="trials under way")] = None,
    handles: Annotated[int, typer.Option(help="workers that share them", min=1)] = 1,
    storage: Annotated[str, typer.Option(help="memory or sqlite")] = "memory",
    model: Annotated[str | None, typer.Option(help="bundled name or path")] = None,
) -> None:
    """Prints the table."""
    if handles > 1 and storage == "memory":
        raise typer.BadParameter("several workers need a storage that they can share: sqlite")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    table = Table(title=f"milliseconds a decision, {storage} storage, {handles} workers")
    for column in ("finished", "under way", "median", "99 %", "processor", "Optuna's Median"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for trials in finished or FINISHED:
            for running in live or LIVE:
                url = f"sqlite:///{Path(folder) / f'{trials}-{running}.db'}"
                study = filled_study(trials, None if storage == "memory" else url)
                ours = [study]
                if handles > 1:
                    ours = [
                        optuna.load_study(study_name="search", storage=url) for _ in range(handles)
                    ]
                for one in ours:
                    one.pruner = LCPFNPruner(EPOCHS, model=model)
                wall, processor = times(ours, running).T
                for one in ours:
                    one.pruner = optuna.pruners.MedianPruner()
                theirs = times(ours, running)[:, 0]
                table.add_row(
                    f"{trials:,}",
                    f"{running}",
                    f"{np.median(wall):.2f}",
                    f"{np.quantile(wall, 0.99):.2f}",
                    f"{np.median(processor):.2f}",
                    f"{np.median(theirs):.2f}",
                )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
