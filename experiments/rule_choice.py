"""Which stopping rule is best? Chosen on some benchmarks, judged on another.

    python -m experiments.rule_choice --data ../shared/data/lcbench --data ../shared/data/taskset

Replays recorded searches as `experiments.early_stopping` does, on shared forecasts, for rules of
several thresholds, least records and patience, with peers and without. The default seed draws other
runs than that script reports on. One row per rule; then, for each folder, the rule that uses the
fewest epochs at no more than `--regret` on all the others, and what it does on the one left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from itertools import product
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

import lcpfn
from experiments.early_stopping import (
    Record,
    Scores,
    default_rule,
    mean_and_error,
    rule_source,
)
from experiments.replay import RecordedRuns, outcome, read_runs
from experiments.replay_forecasts import forecast_all, through_forecasts
from lcpfn.peers import LATEST

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2)
MIN_STEPS = (None, 2, 3, 4)
PATIENCES = (1, 2)
PEERS = (0, LATEST)
SEEDS = (1,)
COLUMNS = ("epochs", "regret", "kept")


Rules = dict[str, tuple[lcpfn.StoppingRule, int]]
"""By what sets them apart: a rule, and how many peers it hears of."""


def rules(
    thresholds: Sequence[float],
    least_records: Sequence[int | None],
    patiences: Sequence[int],
    peers: Sequence[int],
) -> Rules:
    """The rules to compare: every combination."""
    return {
        rule_name(threshold, least, patience, latest): (
            lcpfn.StoppingRule(threshold, least, patience),
            latest,
        )
        for latest, patience, least, threshold in product(
            peers, patiences, least_records, thresholds
        )
    }


def rule_name(threshold: float, least: int | None, patience: int, peers: int) -> str:
    """What sets a rule apart, in words."""
    records = "by standing" if least is None else least
    return f"threshold {threshold:g}, min_steps {records}, patience {patience}, peers {peers}"


def score(
    runs: RecordedRuns, model: lcpfn.LCPFN, compared: Rules, orders: int, seed: int
) -> Scores:
    """Replays all rules in each order."""
    forecasts = forecast_all(runs, model)
    scores: Scores = {name: [] for name in compared}
    for order in runs.orders(orders, seed):
        search = RecordedRuns(runs.name, runs.curves[order], runs.goal)
        known = [forecasts[index] for index in order]
        for name, (rule, peers) in compared.items():
            scores[name].append(outcome(search, through_forecasts(search, known, rule, peers)))
    return scores


Means = dict[str, tuple[float, ...]]
"""By rule, the means of `COLUMNS`."""


def choose(folders: Iterable[Means], most_regret: float) -> str | None:
    """The rule with the fewest epochs, on average, that keeps within the regret in each folder."""
    listed = list(folders)
    names = listed[0]
    allowed = [name for name in names if all(means[name][1] <= most_regret for means in listed)]
    return min(allowed, key=lambda name: sum(means[name][0] for means in listed), default=None)


def main(
    data: Annotated[list[Path], typer.Option(help="folder with one .npz per set")],
    model: Annotated[str, typer.Option(help="name or path of the model")] = "default",
    per_set: Annotated[int, typer.Option(help="runs of each data set", min=2)] = 100,
    orders: Annotated[int, typer.Option(help="searches in each data set", min=1)] = 2,
    seed: Annotated[
        list[int] | None, typer.Option(help="of the choice of runs and their order; repeatable")
    ] = None,
    regret: Annotated[float, typer.Option(help="mean regret that is still allowed")] = 0.01,
    threshold: Annotated[list[float] | None, typer.Option(help="of the rules; repeatable")] = None,
    min_steps: Annotated[
        list[int] | None, typer.Option(help="of the rules, 0 by standing; repeatable")
    ] = None,
    patience: Annotated[list[int] | None, typer.Option(help="of the rules; repeatable")] = None,
    peers: Annotated[list[int] | None, typer.Option(help="of the rules; repeatable")] = None,
    save: Annotated[Path | None, typer.Option(help="keep outcomes in this file")] = None,
) -> None:
    """Compares stopping rules."""
    compared = rules(
        threshold or THRESHOLDS,
        [least or None for least in min_steps or ()] or MIN_STEPS,
        patience or PATIENCES,
        peers or PEERS,
    )
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    settings = {
        "model": loaded.card["sha256"],
        "rules": [(*astuple(rule), latest) for rule, latest in compared.values()],
        "source": rule_source(),
        "per_set": per_set,
        "orders": orders,
        "seeds": seed or SEEDS,
    }
    record = Record(save, settings)
    folders: dict[str, Means] = {}
    for folder in data:
        sets: list[Scores] = []
        for number in seed or SEEDS:
            for runs in read_runs(folder, per_set, number):
                key = f"{folder.name}/{runs.name}/{number}"
                found = record.get(key)
                if found is None:
                    found = score(runs, loaded, compared, orders, number), 0
                    record.put(key, *found)
                sets.append(found[0])
        if not sets:
            raise typer.BadParameter(f"{folder} has no .npz file with a known metric")
        folders[folder.name] = {
            name: tuple(mean_and_error(sets, name, column)[0] for column in COLUMNS)
            for name in compared
        }
    console = Console(width=110)
    table = Table(title="epochs used / mean regret / best kept")
    for heading in ("rule", *folders):
        table.add_column(heading)
    default = default_rule(), LATEST
    for name, rule in compared.items():
        cells = ("{:.3f} / {:.4f} / {:.2f}".format(*means[name]) for means in folders.values())
        table.add_row(f"{name} (default)" if rule == default else name, *cells)
    console.print(table)
    for left_out, means in folders.items() if len(folders) > 1 else ():
        others = [folders[name] for name in folders if name != left_out]
        chosen = choose(others, regret)
        told = "no rule" if chosen is None else chosen
        result = "" if chosen is None else " there: {:.3f} / {:.4f} / {:.2f}".format(*means[chosen])
        console.print(f"chosen without {left_out}: {told};{result}")


if __name__ == "__main__":
    typer.run(main)
