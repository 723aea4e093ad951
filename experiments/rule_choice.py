"""How should a search decide? Settings chosen on some benchmarks, judged on another.

    python -m experiments.rule_choice --data ../shared/data/lcbench --data ../shared/data/taskset \
        --vary caution=0.05,0.15,0.25 --vary trust=1.5,2,3

Replays recorded searches as `experiments.early_stopping` does, on shared forecasts, with one
setting after another moved away from its default (`--product`: with every combination of them).
With two models, each forecasts the half of the data sets that it was trained without.
Any of `lcpfn.SearchSettings` and `lcpfn.StoppingRule` can be moved. The default seed draws other
runs than that script reports on. One row per variant, means over the numbers of trials at a time;
then, for each folder, the variant that uses the fewest epochs at no more than `--regret` on all the
others, and what it does on the one left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import lcpfn
from experiments.early_stopping import Record, Widths, over_sets, search_source
from experiments.replay import RecordedRuns, outcome, read_runs
from experiments.replay_search import RunForecasts, forecast_all, through_search
from experiments.support.searches import left_out_of_source
from lcpfn.search.settings import SearchSettings

WORKERS = (1, 8, 32, 100)
SEEDS = (1,)
COLUMNS = ("epochs", "regret", "kept")
VARIED = (
    "threshold=0.02,0.05,0.1,0.2",
    "caution=0.02,0.1,0.25",
    "early_caution=0,1,2,3",
    "rival_records=2,4,8",
    "trust=1.5,2,3,4",
    "unproven=0.5,1",
    "full_trust=1,5,10,20",
    "leading=0,0.05,0.1,0.2",
    "sparing=0.5,1,1.5,2",
    "usual_records=2,3,4,6",
    "haste=0,0.3,0.6,0.9",
    "peers=0,50,1000",
    "lag=0,0.1,0.5,1",
    "patience=1,2",
)

Variants = dict[str, dict[str, Any]]
"""By what sets them apart: the settings that are not the default's."""


def read_varied(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Values by setting, of texts such as "caution=0.05,0.15".

    Raises:
        typer.BadParameter: a text is no such thing.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, mark, values = text.partition("=")
        if not (mark and values):
            raise typer.BadParameter(f"{text!r} is not like caution=0.05,0.15")
        found[name] = [_number(value) for value in values.split(",")]
    return found


def _number(text: str) -> float | int:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def variants(varied: Mapping[str, Sequence[Any]], every: bool) -> Variants:
    """The settings to compare, the defaults first: one moved at a time, or every combination."""
    if every:
        rows = [dict(zip(varied, values, strict=True)) for values in product(*varied.values())]
    else:
        rows = [{name: value} for name, values in varied.items() for value in values]
    named: Variants = {"default": {}}
    for row in rows:
        # A setting that breaks a rule is told before hours of replays.
        SearchSettings.of_keywords(**row)
        named[", ".join(f"{name} {value:g}" for name, value in row.items())] = row
    return named


def score(
    runs: RecordedRuns,
    model: lcpfn.LCPFN,
    compared: Variants,
    widths: Sequence[int],
    orders: Sequence[NDArray[np.int64]],
    kept: tuple[Record, str],
) -> Widths:
    """Replays all variants in each order; what is known from before is not replayed again."""
    record, name = kept
    forecasts: list[RunForecasts] | None = None
    scores: Widths = {width: {variant: [] for variant in compared} for width in widths}
    for number, order in enumerate(orders):
        for width in widths:
            key = f"{name}/{number}/{width}"
            found = record.get(key)
            if found is None:
                forecasts = forecasts or forecast_all(runs, model)
                search = RecordedRuns(runs.name, runs.curves[order], runs.goal)
                known = [forecasts[index] for index in order]
                found = {
                    variant: outcome(search, through_search(known, **settings)(search, width))
                    for variant, settings in compared.items()
                }
                record.put(key, found)
            for variant, one in found.items():
                scores[width][variant].append(one)
    return scores


Means = dict[str, tuple[float, ...]]
"""By variant, the means of `COLUMNS`."""


def means_of(sets: Sequence[Widths], compared: Iterable[str]) -> Means:
    """Means over data sets and numbers of trials at a time."""
    pooled = [
        {name: [one for scores in widths.values() for one in scores[name]] for name in compared}
        for widths in sets
    ]
    return {
        name: tuple(over_sets(pooled, name, column)[0] for column in COLUMNS) for name in compared
    }


def choose(folders: Iterable[Means], most_regret: float) -> str | None:
    """The variant with the fewest epochs, on average, that keeps within the regret everywhere."""
    listed = list(folders)
    names = listed[0]
    allowed = [name for name in names if all(means[name][1] <= most_regret for means in listed)]
    return min(allowed, key=lambda name: sum(means[name][0] for means in listed), default=None)


def main(
    data: Annotated[list[Path], typer.Option(help="folder with one .npz per set")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="name or path; two in order of the halves, or six of the sixths"),
    ] = None,
    per_set: Annotated[int, typer.Option(help="runs of each data set", min=2)] = 100,
    orders: Annotated[int, typer.Option(help="searches in each data set", min=1)] = 1,
    seed: Annotated[
        list[int] | None, typer.Option(help="of the choice of runs and their order; repeatable")
    ] = None,
    workers: Annotated[list[int] | None, typer.Option(help="trials at a time; repeatable")] = None,
    vary: Annotated[
        list[str] | None, typer.Option(help="a setting and its values; repeatable")
    ] = None,
    every: Annotated[
        bool, typer.Option("--product", help="every combination, not one at a time")
    ] = False,
    regret: Annotated[float, typer.Option(help="mean regret that is still allowed")] = 0.005,
    save: Annotated[Path | None, typer.Option(help="keep outcomes in this file")] = None,
) -> None:
    """Compares settings of the search."""
    compared = variants(read_varied(vary or VARIED), every)
    widths = list(workers or WORKERS)
    torch.set_num_threads(1)
    models = [lcpfn.load(name) for name in model or ("default",)]
    settings = {
        "model": [one.card["sha256"] for one in models],
        "variants": list(compared),
        "source": search_source(),
        "per_set": per_set,
    }
    record = Record(save, settings)
    folders: dict[str, Means] = {}
    for folder in data:
        sets: list[Widths] = []
        for number in seed or SEEDS:
            for runs in read_runs(folder, per_set, number):
                drawn = runs.orders(orders, number)
                loaded = left_out_of_source(folder.name, runs.name, models)
                kept = record, f"{folder.name}/{runs.name}/{number}"
                sets.append(score(runs, loaded, compared, widths, drawn, kept))
        if not sets:
            raise typer.BadParameter(f"{folder} has no .npz file with a known metric")
        folders[folder.name] = means_of(sets, compared)
    console = Console(width=110)
    table = Table(title="epochs used / mean regret / best kept")
    for heading in ("settings", *folders):
        table.add_column(heading)
    for name in compared:
        cells = ("{:.3f} / {:.4f} / {:.2f}".format(*means[name]) for means in folders.values())
        table.add_row(name, *cells)
    console.print(table)
    for left_out, means in folders.items() if len(folders) > 1 else ():
        others = [folders[name] for name in folders if name != left_out]
        chosen = choose(others, regret)
        told = "none" if chosen is None else chosen
        result = "" if chosen is None else " there: {:.3f} / {:.4f} / {:.2f}".format(*means[chosen])
        console.print(f"chosen without {left_out}: {told};{result}")


if __name__ == "__main__":
    typer.run(main)
