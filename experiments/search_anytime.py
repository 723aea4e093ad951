"""Which search finds the best run with the fewest epochs? Pools of recorded runs, side by side.

    python -m experiments.search_anytime --data ../shared/data/lcbench --save anytime

Each data set's recorded runs are a pool of configurations. A search starts, stops, pauses and
resumes them as it likes, with so many workers (`--workers 1 8 32`, one table each), and what counts
is the best record that it has seen after 120, 260, 520, 1,040 and 2,080 epochs of all runs
together: its regret, in units of the median final value's distance to the best of the pool.

`Search.propose` is asked by the real code, on forecasts that are made once and kept in `--cache`;
all configurations that are left are candidates, a new run gets three records, two where there are
several workers, and one that goes on two. "random configurations" is the same without its choice of
candidates. All others run as they are, with their own defaults. Optuna's samplers are told that the
nearest configuration that is left was run in place of the one that they proposed; DEHB, SMAC3 and
BOHB are told its values as those of what they asked for; MOBSTER and DyHPO are told which
configurations there are. Those join that are installed:

    python -m pip install dehb smac autograd dill sortedcontainers
    python -m pip install --no-deps syne-tune==0.13.0

ASHA is written here, after its paper. Standard errors are over data sets, of the mean over the
orders of each; differences are paired. Where several numbers of workers are asked for, a table says
how much worse each method is with more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
import torch
import typer
from matplotlib.figure import Figure
from rich.table import Table

import lcpfn
from experiments.anytime import Anytime, Searcher, search_pool
from experiments.pool_forecasts import PoolForecasts
from experiments.pools import Pool, read_pools
from experiments.searchers import ASHA, RandomSearch
from experiments.searchers_hyperband import DEHBJobs, JobSearch, SMACJobs
from experiments.searchers_lcpfn import Proposals
from experiments.searchers_optuna import OptunaSearch, pruners
from experiments.searchers_syne_tune import SyneTuneSearch
from experiments.support.means import mean_and_error
from experiments.support.saved_results import SavedResults
from experiments.support.score_tables import write
from lcpfn.forecast.best import Of

BUDGETS = (120, 260, 520, 1040, 2080)
WORKERS = (1, 8, 32)
OURS = "Search.propose"
FORECAST = (OURS, "random configurations")
# Epochs that those are given at most whose decisions take long.
GIVEN = {"SMAC3, Hyperband": 1040, "BOHB": 1040, "MOBSTER": 260, "DyHPO": 260}

MakeSearcher = Callable[[Pool, int], Searcher]
"""A new search of a pool, by a seed."""

Regrets = dict[str, list[list[float]]]
"""By method: of each order, the regret at each budget, and the milliseconds of a decision."""


def methods(forecasts: PoolForecasts, workers: int = 1) -> dict[str, MakeSearcher]:
    """All ways to search with so many workers, those that forecast on forecasts of the pool."""
    first = 3 if workers == 1 else 2
    found: dict[str, MakeSearcher] = {
        "random, full runs": RandomSearch,
        "ASHA": ASHA,
        "TPE, no pruner": _tpe(lambda records: optuna.pruners.NopPruner()),
    }
    found |= {f"TPE, {name}": _tpe(make) for name, make in pruners().items()}
    if find_spec("dehb"):
        found["DEHB"] = lambda pool, seed: JobSearch(pool, DEHBJobs(pool, seed))
    if find_spec("smac"):
        found["SMAC3, Hyperband"] = lambda pool, seed: JobSearch(pool, SMACJobs(pool, seed))
    if find_spec("syne_tune"):
        found["BOHB"] = lambda pool, seed: SyneTuneSearch(pool, "SyncBOHB", seed, told=False)
        found["MOBSTER"] = lambda pool, seed: SyneTuneSearch(pool, "MOBSTER", seed, told=True)
        found["DyHPO"] = lambda pool, seed: SyneTuneSearch(pool, "DyHPO", seed, told=True)
    found["random configurations"] = lambda pool, seed: Proposals(
        pool, forecasts, seed, first, count=1
    )
    found[OURS] = lambda pool, seed: Proposals(pool, forecasts, seed, first)
    return found


def _tpe(make: Callable[[int], optuna.pruners.BasePruner]) -> MakeSearcher:
    def searcher(pool: Pool, seed: int) -> Searcher:
        sampler = optuna.samplers.TPESampler(seed=seed)
        return OptunaSearch(pool, sampler, make(pool.records))

    return searcher


def row(pool: Pool, found: Anytime, budgets: Sequence[int]) -> list[float]:
    """What is kept of one search; NaN for budgets that it was not given."""
    regrets = pool.regret(found.seen)
    given = [regrets[budget - 1] if budget <= len(regrets) else np.nan for budget in budgets]
    return [*map(float, given), found.milliseconds]


def table(title: str, sets: Mapping[str, Regrets], budgets: Sequence[int]) -> Table:
    """A row for each method: mean regret at each budget, and how often ours was lower."""
    result = Table(title=title)
    headings = ("method", *(f"{budget:,}" for budget in budgets), "ms per decision", "ours lower")
    for heading in headings:
        result.add_column(heading, justify="left" if heading == "method" else "right")
    means = _means(sets)
    for name, values in means.items():
        regrets, milliseconds = values[:, :-1], values[:, -1]
        shown = [_pair(column) for column in regrets.T]
        lower = ""
        if OURS in means and name != OURS:
            ahead = regrets - means[OURS][:, :-1]
            known = [column for column in ahead.T if np.isfinite(column).all()]
            lower = " / ".join(f"{(column > 0).mean():.2f}" for column in known)
        result.add_row(name, *shown, f"{milliseconds.mean():.1f}", lower)
    return result


def widths_table(
    title: str, found: Mapping[int, Mapping[str, Regrets]], budgets: Sequence[int]
) -> Table:
    """How much worse a method is with more workers at the same epochs, paired over data sets.

    Args:
        title: of the table.
        found: by how many work at a time; the fewest are what the others are compared with.
        budgets: epochs.
    """
    fewest, *more = sorted(found)
    result = Table(title=title)
    for heading in ("method", "workers", *(f"{budget:,}" for budget in budgets)):
        result.add_column(heading, justify="left" if heading == "method" else "right")
    base = _means(found[fewest])
    for width in more:
        for name, values in _means(found[width]).items():
            cells = []
            for own, fewer in zip(values.T[:-1], base[name].T[:-1], strict=True):
                share = own.mean() / fewer.mean() - 1
                cells.append(f"{share:+.0%}, {_pair(own - fewer)}" if np.isfinite(share) else "")
            result.add_row(name, f"{width} for {fewest}", *cells)
    return result


def _means(sets: Mapping[str, Regrets]) -> dict[str, Any]:
    """By method, (data sets, budgets + 1), the mean over orders."""
    names = next(iter(sets.values()))
    return {
        name: np.array([np.mean(regrets[name], axis=0) for regrets in sets.values()])
        for name in names
    }


def _pair(values: Any) -> str:
    if not np.isfinite(values).all():
        return ""
    mean, error = mean_and_error(values)
    return f"{mean:.3f} ± {error:.3f}"


def draw(panels: Mapping[str, Mapping[str, Regrets]], budgets: Sequence[int]) -> Figure:
    """Regret against epochs: a panel for each folder and number of workers."""
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5.0 * len(panels), 4.0), squeeze=False, layout="constrained"
    )
    for panel, (title, sets) in zip(axes.flat, panels.items(), strict=True):
        for name, values in _means(sets).items():
            ours = name == OURS
            panel.plot(
                budgets,
                values[:, :-1].mean(0),
                label=name,
                marker="o",
                ms=4,
                lw=2.2 if ours else 1.1,
                color="#2f8f5b" if ours else None,
            )
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        panel.minorticks_off()
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("epochs of all runs together")
        panel.set_ylabel("mean regret of the best record seen")
        panel.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=7)
    return figure


# Options that other scripts on searches in pools have as well.
Data = Annotated[list[Path], typer.Option(help="folder with one .npz per set")]
Model = Annotated[str, typer.Option(help="name or path of the model")]
PerSet = Annotated[int, typer.Option(help="runs of each data set", min=2)]
Orders = Annotated[int, typer.Option(help="searches in each data set", min=1)]
Workers = Annotated[list[int] | None, typer.Option(help="runs at a time; repeatable")]
Epochs = Annotated[int, typer.Option(help="the largest budget", min=120)]
Cache = Annotated[Path | None, typer.Option(help="keep forecasts in this folder")]
Markdown = Annotated[Path | None, typer.Option(help="write the tables here as well")]


def main(
    data: Data,
    model: Model = "default",
    per_set: PerSet = 2000,
    orders: Orders = 2,
    workers: Workers = None,
    epochs: Epochs = 2080,
    of: Annotated[str, typer.Option(help="what we forecast of a run, last or best")] = "best",
    only: Annotated[list[str] | None, typer.Option(help="a method; repeatable")] = None,
    cache: Cache = None,
    every: Annotated[int, typer.Option(help="of so many sets only one", min=1)] = 1,
    offset: Annotated[int, typer.Option(help="which one, from 0", min=0)] = 0,
    save: Annotated[Path | None, typer.Option(help="keep outcomes in this folder")] = None,
    markdown: Markdown = None,
    figure: Annotated[Path | None, typer.Option(help="draw regret against epochs")] = None,
) -> None:
    """Replays searches in pools and prints a table for each folder and number of workers."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    budgets = [budget for budget in BUDGETS if budget <= epochs]
    widths = list(workers or WORKERS)
    asked: Of = "best" if of == "best" else "last"
    told = {"per_set": per_set, "budgets": budgets}
    ours = {**told, "model": loaded.card["sha256"], "of": of}
    records: dict[str, SavedResults] = {}
    tables, panels = [], {}
    for folder in data:
        found: dict[int, dict[str, Regrets]] = {width: {} for width in widths}
        for number, pool in enumerate(read_pools(folder, per_set)):
            if number % every != offset:
                continue
            forecasts = PoolForecasts(pool, loaded, cache, asked)
            named = {width: methods(forecasts, width) for width in widths}
            for name in (name for name in named[widths[0]] if not only or name in only):
                if name not in records:
                    path = None if save is None else save / f"{name.replace(' ', '_')}.json"
                    records[name] = SavedResults(path, ours if name in FORECAST else told)
                for width in widths:
                    key = f"{pool.name}, {width}"
                    rows = records[name].sets.setdefault(key, [])
                    for order in range(len(rows), orders):
                        given = min(budgets[-1], GIVEN.get(name, budgets[-1]))
                        seen = search_pool(pool, named[width][name](pool, order), width, given)
                        rows.append(row(pool, seen, budgets))
                    found[width].setdefault(pool.name, {})[name] = rows[:orders]
                records[name].keep()
            forecasts.keep()
        for width, sets in found.items():
            plural = "s" if width > 1 else ""
            title = f"{folder.resolve().name}, {width} worker{plural}"
            panels[title] = sets
            tables.append(table(f"{title}: {len(sets)} sets x {orders} orders", sets, budgets))
        if len(widths) > 1:
            tables.append(widths_table(f"{folder.resolve().name}, more workers", found, budgets))
    write(tables, [], markdown)
    if figure is not None:
        draw(panels, budgets).savefig(figure, dpi=110)


if __name__ == "__main__":
    typer.run(main)
