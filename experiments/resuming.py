"""Is it worth going on with a run that was stopped, once the search has gone on?

    python -m experiments.resuming --data ../shared/data/lcbench --data ../shared/data/taskset

A run may have been stopped in favour of another that then turned out worse. Optuna can enqueue
such a trial again (`resume_promising`); an objective that keeps checkpoints goes on from there, any
other begins anew. Recorded searches are replayed on shared forecasts, as in
`experiments.early_stopping`. Whenever a trial has ended, those that were stopped are judged again
by what is known now, and go on where the probability that they win is at least `--margin` times the
limit below which they would be stopped, each once. Rows that never resume, at other thresholds,
tell what the same epochs buy there. In brackets stands the share of epochs where a trial that goes
on begins anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

import lcpfn
from experiments.replay import (
    Action,
    Method,
    Outcome,
    RecordedRuns,
    Replay,
    outcome,
    read_runs,
    side_by_side,
)
from experiments.replay_search import Foreseen, RunForecasts, SearchTrials, forecast_all
from experiments.replay_search import through_search as without_resuming

THRESHOLDS = (0.05, 0.1)
MARGINS = (4.0, 10.0)
WORKERS = (1, 8, 32)


class ResumedTrials(SearchTrials):
    """Trials in the care of a search, of which stopped ones go on when they have become worth it.

    Args:
        search: decides.
        margin: what the chance of a stopped run must be, as a multiple of the limit.
    """

    def __init__(self, search: lcpfn.Search, margin: float) -> None:
        super().__init__(search)
        self._margin = margin
        self._resumed: set[int] = set()
        self._steps: dict[int, int] = {}
        self._waiting: deque[int] = deque()
        self.repeated = 0

    def report(self, trial: int, step: int, value: float, unbegun: int) -> Action:
        """Asks the search."""
        self._steps[trial] = step
        return super().report(trial, step, value, unbegun)

    def end(self, trial: int, finished: bool) -> None:
        """Tells the search, and looks at all that were stopped."""
        super().end(trial, finished)
        for run in self.search.worth_resuming(self._margin):
            # At the moment when a run is stopped nothing has changed.
            if run != trial and run not in self._resumed:
                assert isinstance(run, int)
                self._resumed.add(run)
                self._waiting.append(run)
                self.repeated += self._steps[run]

    def choose(self) -> int | None:
        """A trial that was enqueued again."""
        return self._waiting.popleft() if self._waiting else None


def resuming(
    forecasts: Sequence[RunForecasts], margin: float, threshold: float, repeated: list[float]
) -> Method:
    """The method of a search that goes on with stopped runs; keeps what beginning anew costs."""

    def method(runs: RecordedRuns, workers: int) -> Replay:
        search = lcpfn.Search(
            runs.goal, runs.curves.shape[1], forecast=Foreseen(forecasts), threshold=threshold
        )
        trials = ResumedTrials(search, margin)
        replay = side_by_side(runs, workers, trials, waiting_first=True)
        repeated.append(trials.repeated / runs.curves.size)
        return replay

    return method


Row = tuple[float, float | None, int]
"""Threshold, margin (None does not resume), and how many trials run at a time."""


def score(
    runs: RecordedRuns, model: lcpfn.LCPFN, margins: Sequence[float], orders: int, seed: int
) -> dict[Row, list[tuple[Outcome, float]]]:
    """The outcome of each row in each order, and the share of epochs that beginning anew adds."""
    forecasts = forecast_all(runs, model)
    rows: dict[Row, list[tuple[Outcome, float]]] = {}
    for order in runs.orders(orders, seed):
        search = RecordedRuns(runs.name, runs.curves[order], runs.goal)
        known = [forecasts[index] for index in order]
        for workers in WORKERS:
            for threshold in THRESHOLDS:
                for margin in (None, *margins):
                    repeated: list[float] = []
                    if margin is None:
                        method = without_resuming(known, threshold=threshold)
                    else:
                        method = resuming(known, margin, threshold, repeated)
                    found = outcome(search, method(search, workers))
                    row = threshold, margin, workers
                    rows.setdefault(row, []).append((found, sum(repeated)))
    return rows


def main(
    data: Annotated[list[Path], typer.Option(help="folder with one .npz per set")],
    model: Annotated[str, typer.Option(help="name or path of the model")] = "default",
    per_set: Annotated[int, typer.Option(help="runs of each data set", min=2)] = 100,
    orders: Annotated[int, typer.Option(help="searches in each data set", min=1)] = 1,
    seed: Annotated[list[int] | None, typer.Option(help="of runs and orders")] = None,
    margin: Annotated[list[float] | None, typer.Option(help="see above; repeatable")] = None,
) -> None:
    """Prints a table for each folder."""
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    console = Console(width=110)
    for folder in data:
        rows: dict[Row, list[tuple[Outcome, float]]] = {}
        for number in seed or (1,):
            for runs in read_runs(folder, per_set, number):
                for row, found in score(runs, loaded, margin or MARGINS, orders, number).items():
                    rows.setdefault(row, []).extend(found)
        table = Table(title=f"{folder.name}: epochs / regret / best kept, {len(rows)} rows")
        for heading in ("threshold", "resumes", *(f"{workers} at a time" for workers in WORKERS)):
            table.add_column(heading)
        for threshold in THRESHOLDS:
            for each in (None, *(margin or MARGINS)):
                cells = []
                for workers in WORKERS:
                    found = rows[threshold, each, workers]
                    epochs, regret, kept = (
                        np.mean([getattr(one, name) for one, _ in found])
                        for name in ("epochs", "regret", "kept")
                    )
                    again = np.mean([more for _, more in found])
                    cells.append(
                        f"{epochs:.3f} (anew {epochs + again:.3f}) / {regret:.4f} / {kept:.2f}"
                    )
                told = "never" if each is None else f"from {each:g} limits on"
                table.add_row(f"{threshold:g}", told, *cells)
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
