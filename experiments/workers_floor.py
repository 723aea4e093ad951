"""What can many workers reach at all with the epochs that one worker has?

    python -m experiments.workers_floor --data ../shared/data/lcbench --cache forecasts

Workers side by side share the epochs: of 260, each of 32 has eight, and a run is 52 long. So even a
search that knows everything has a regret, that of the best record which any run has by then. Four
floors, each for searches of the pools of `experiments.search_anytime`:

- "all is known": the best configurations begin at once.
- "after a random start": the same, but every worker's first run is drawn at random and gives two
  records before anything can be known.
- "one worker's runs": configurations become known as in a search of one worker by
  `Search.propose`, after as many epochs of all workers together; each is recognised at once as
  what it is, and trained from then on without a break.
- "its own runs": the same with the configurations that a search of so many workers begins, when it
  begins them. So what is above this floor is lost in choosing which run goes on, and what this
  floor is above one worker's regret is lost in beginning too late.

Beside them stand what one worker reaches, 1.2 times that, and what so many reach.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import typer
from rich.table import Table

import lcpfn
from experiments.anytime import Searcher, search_pool
from experiments.pool_forecasts import PoolForecasts
from experiments.pools import Pool, read_pools
from experiments.search_anytime import (
    BUDGETS,
    OURS,
    Cache,
    Data,
    Epochs,
    Markdown,
    Model,
    Orders,
    PerSet,
    Workers,
    methods,
)
from experiments.support.score_tables import write
from lcpfn.forecast.arguments import Array

# Records of a run that was begun blindly before anything is known of it.
_BLIND = 2


class Watched:
    """A searcher, and after how many epochs each of its runs began.

    Args:
        searcher: whose runs.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher, self._told = searcher, 0
        self.begun: dict[int, int] = {}

    def ask(self) -> int | None:
        """What it says."""
        return self._searcher.ask()

    def tell(self, run: int, record: int, value: float) -> bool:
        """Passes it on."""
        self.begun.setdefault(run, self._told)
        self._told += 1
        return self._searcher.tell(run, record, value)


def best_by(pool: Pool) -> Array:
    """(runs, records) the regret of the best record of each run so far."""
    sign = 1.0 if pool.goal == "maximize" else -1.0
    values = np.where(np.isfinite(pool.curves), sign * pool.curves, -np.inf)
    return pool.regret(sign * np.maximum.accumulate(values, axis=1))


def known_at(regrets: Array, begun: dict[int, int], workers: int, epochs: int) -> float:
    """The least regret, where runs are known from some epoch on and then trained to the end.

    Args:
        regrets: (runs, records) as `best_by` returns them.
        begun: after how many epochs each run is known.
        workers: that share the epochs.
        epochs: of all of them together.
    """
    reached = [
        regrets[run, min(regrets.shape[1], -(-(epochs - epoch) // workers)) - 1]
        for run, epoch in begun.items()
        if epoch < epochs
    ]
    return float(min(reached))


def watch(
    pool: Pool, forecasts: PoolForecasts, order: int, workers: int, budgets: Sequence[int]
) -> tuple[Watched, list[float]]:
    """A search by `Search.propose`, when its runs began, and its regret at each budget."""
    watched = Watched(methods(forecasts, workers)[OURS](pool, order))
    seen = pool.regret(search_pool(pool, watched, workers, budgets[-1]).seen)
    return watched, [float(seen[budget - 1]) for budget in budgets]


def main(
    data: Data,
    model: Model = "default",
    per_set: PerSet = 2000,
    orders: Orders = 2,
    workers: Workers = None,
    epochs: Epochs = 1040,
    cache: Cache = None,
    markdown: Markdown = None,
) -> None:
    """Prints a table for each folder: the floors, and what one worker reaches."""
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    budgets = [budget for budget in BUDGETS if budget <= epochs]
    tables = []
    for folder in data:
        rows: dict[str, list[list[float]]] = {}
        for pool in read_pools(folder, per_set):
            forecasts, regrets = PoolForecasts(pool, loaded, cache), best_by(pool)
            everything = dict.fromkeys(range(len(pool.curves)), 0)
            for order in range(orders):
                watched, reached = watch(pool, forecasts, order, 1, budgets)
                rows.setdefault("1 worker", []).append(reached)
                rows.setdefault("1.2 times that", []).append([1.2 * each for each in reached])
                for width in workers or (8, 32):
                    own, found = watch(pool, forecasts, order, width, budgets)
                    rows.setdefault(f"{width} workers", []).append(found)
                    blind = dict.fromkeys(everything, _BLIND * width)
                    for words, begun in (
                        ("all is known", everything),
                        ("after a random start", blind),
                        ("one worker's runs", watched.begun),
                        ("its own runs", own.begun),
                    ):
                        rows.setdefault(f"{width} workers, {words}", []).append(
                            [known_at(regrets, begun, width, budget) for budget in budgets]
                        )
            forecasts.keep()
        table = Table(title=f"{folder.resolve().name}: floors, {orders} searches in each set")
        table.add_column("search")
        for budget in budgets:
            table.add_column(f"{budget:,}", justify="right")
        for name, each in rows.items():
            table.add_row(name, *(f"{mean:.3f}" for mean in np.mean(each, axis=0)))
        tables.append(table)
    write(tables, [], markdown)


if __name__ == "__main__":
    typer.run(main)
