"""What a pruner takes of memory: the peak of a process with a large study, beside Optuna's own.

    python -m experiments.optuna_memory [--finished 10000] [--live 32]

Each pruner judges so many running trials of a study that has so many finished ones of 50 records
each, in a fresh process; the first row makes the study and asks nobody.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Annotated

import optuna
import typer
from rich.console import Console
from rich.table import Table

from experiments.optuna_latency import EPOCHS, filled_study, times

PRUNERS = ("none", "Optuna's median", "ours")


def peak(pruner: str, finished: int, live: int) -> float:
    """MiB that this process has needed at most, after a study of that size was judged."""
    study = filled_study(finished, None)
    if pruner == "ours":
        # Its import counts as its own.
        from lcpfn.integrations.optuna import LCPFNPruner

        study.pruner = LCPFNPruner(max_steps=EPOCHS)
    elif pruner == "Optuna's median":
        study.pruner = optuna.pruners.MedianPruner()
    if pruner != "none":
        times([study], live)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(
    finished: Annotated[int, typer.Option(help="finished trials of the study")] = 10_000,
    live: Annotated[int, typer.Option(help="trials that run side by side")] = 32,
    only: Annotated[str | None, typer.Option(help="one pruner, in this process")] = None,
) -> None:
    """Prints the peak memory of a process with each pruner."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if only is not None:
        print(f"{peak(only, finished, live):.1f}")
        return
    table = Table(title=f"{finished:,} finished trials, {live} under way")
    for column in ("pruner", "peak memory, MiB"):
        table.add_column(column)
    for pruner in PRUNERS:
        command = [sys.executable, "-m", "experiments.optuna_memory", "--only", pruner]
        command += ["--finished", str(finished), "--live", str(live)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        table.add_row(pruner, told.split()[-1])
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
