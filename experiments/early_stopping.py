"""What does stopping cost and save? Recorded searches, replayed through real pruners, side by side.

    python -m experiments.early_stopping --data ../shared/data/lcbench --save runs/ours.json \
        --save-others runs/others.json

For each folder given, and for the project's own curves, 100 recorded runs of each data set become
the trials of a search, in two random orders, so many at a time (`--workers 1 8 32 100`, one table
each). Every method sees the same searches; see `experiments.replay`. Optuna's pruners and Ray
Tune's schedulers run as they are, with their own defaults where they have any. So do `LCPFNPruner`
and `LCPFNScheduler`; all that is ours goes by forecasts of the bundled model that are made once for
each data set. Rows of `Search` are of other thresholds, with pauses and without. On the first
`--own-forecasts` data sets of each folder the pruner is replayed with forecasts of its own as well,
and the script counts the trials that end at another record. Standard errors are over data sets, as
searches in one data set are not independent. A run that diverged is reported as it was recorded.

A folder holds one .npz per data set with an array `val_loss` or `valid_loss` (lower is better) or
`val_accuracy`, of shape (runs, records). What is saved is kept search by search, and a later call
goes on from there. The methods of others have a file of their own, as they do not change with our
model and rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

import lcpfn
import lcpfn.search
from experiments.benchmarks.folder import OWN_CURVES
from experiments.replay import (
    Method,
    Outcome,
    RecordedRuns,
    no_stopping,
    oracle,
    outcome,
    read_runs,
)
from experiments.replay_optuna import ours as our_pruner
from experiments.replay_optuna import pruners, through_optuna
from experiments.replay_search import Foreseen, RunForecasts, forecast_all, through_search
from experiments.support.means import mean_and_error
from experiments.support.saved_results import SavedResults
from experiments.support.score_tables import write
from lcpfn.forecast.schedule import NamedSchedule

THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
PAUSED_THRESHOLDS = (0.05, 0.1)
WORKERS = (1, 8, 32, 100)
DEFAULT = "LCPFNPruner"

Scores = dict[str, list[Outcome]]
"""By method, one outcome for each order."""

Widths = dict[int, Scores]
"""By how many trials ran at a time."""


def row_name(threshold: float, pause: bool = False) -> str:
    """The row of a search with another threshold."""
    return f"Search{', pauses' if pause else ''}, threshold {threshold:g}"


def others_methods(without: Sequence[str] = ()) -> dict[str, Method]:
    """All that is not ours, through its real code, with the two ends to compare with."""
    found: dict[str, Method] = {"none": no_stopping, "oracle": oracle}
    found |= {name: through_optuna(make) for name, make in pruners().items()}
    if find_spec("ray") is not None:
        from experiments.replay_ray import schedulers, through_ray

        found |= {name: through_ray(make) for name, make in schedulers().items()}
    return {name: method for name, method in found.items() if name not in without}


def our_methods(
    forecasts: Sequence[RunForecasts],
    without: Sequence[str] = (),
    thresholds: Sequence[float] = THRESHOLDS,
    paused: Sequence[float] = PAUSED_THRESHOLDS,
) -> dict[str, Method]:
    """Pruner, scheduler and searches, on forecasts in the order of the runs."""
    known = Foreseen(forecasts)
    found: dict[str, Method] = {DEFAULT: through_optuna(our_pruner(forecast=known))}
    if find_spec("ray") is not None:
        from experiments.replay_ray import ours, through_ray

        found |= {name: through_ray(make) for name, make in ours(forecast=known).items()}
    found = {name: method for name, method in found.items() if name not in without}
    for pause, values in ((False, thresholds), (True, paused)):
        for threshold in values:
            method = through_search(forecasts, threshold=threshold, pause=pause)
            found[row_name(threshold, pause)] = method
    return found


def search_source() -> str:
    """Changes with the code that decides: outcomes of another rule are no outcomes of this one."""
    folder = Path(lcpfn.search.__path__[0])
    sources = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(sources)).hexdigest()


class Record:
    """Outcomes of searches in a file, so that a run can be cut off and go on.

    Args:
        path: of the file; None keeps nothing.
        settings: that the outcomes belong to.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]):
        self._saved = SavedResults(path, settings)

    def get(self, key: str) -> dict[str, Outcome] | None:
        """What is known of a search, by method."""
        stored = self._saved.sets.get(key)
        if stored is None:
            return None
        return {method: Outcome(*values) for method, values in stored.items()}

    def put(self, key: str, outcomes: dict[str, Outcome]) -> None:
        """Keeps the outcomes of a search."""
        self._saved.sets[key] = {method: astuple(one) for method, one in outcomes.items()}
        self._saved.keep()


class Replays:
    """Replays of the searches of data sets, each once.

    Args:
        model: makes the forecasts.
        workers: how many trials run at a time, all that are wanted.
        orders: searches in each data set.
        seed: of the orders.
        schedule: learning rate that our rules are told.
        without: methods to leave out.
        records: of the methods of others, and of ours.
    """

    def __init__(
        self,
        model: lcpfn.LCPFN,
        workers: Sequence[int],
        orders: int,
        seed: int,
        schedule: NamedSchedule | None,
        without: Sequence[str],
        records: tuple[Record, Record],
    ) -> None:
        self._model = model
        self._workers = workers
        self._orders = orders
        self._seed = seed
        self._schedule = schedule
        self._without = without
        self._others, self._ours = records
        self._forecasts: tuple[str, list[RunForecasts]] | None = None

    def score(self, folder: str, runs: RecordedRuns) -> Widths:
        """All methods on one data set."""
        widths: Widths = {}
        for number, order in enumerate(runs.orders(self._orders, self._seed)):
            search = replace(runs, name=f"{runs.name}-{number}", curves=runs.curves[order])
            for width in self._workers:
                key = f"{folder}/{runs.name}/{number}/{width}"
                found = self._others.get(key)
                if found is None:
                    found = _replayed(search, width, others_methods(self._without))
                    self._others.put(key, found)
                own = self._ours.get(key)
                if own is None:
                    known = [self._forecast(folder, runs)[index] for index in order]
                    own = _replayed(search, width, our_methods(known, self._without))
                    self._ours.put(key, own)
                for name, one in (found | own).items():
                    widths.setdefault(width, {}).setdefault(name, []).append(one)
        return widths

    def different(self, folder: str, runs: RecordedRuns) -> int:
        """Trials of the pruner that end at another record where it makes its own forecasts."""
        order = runs.orders(1, self._seed)[0]
        search = replace(runs, curves=runs.curves[order])
        known = Foreseen([self._forecast(folder, runs)[index] for index in order])
        alone = our_pruner(model=self._model, schedule=self._schedule)
        makers = alone, our_pruner(forecast=known)
        one, other = (through_optuna(make)(search, min(self._workers)) for make in makers)
        return int((one.spent != other.spent).sum())

    def _forecast(self, folder: str, runs: RecordedRuns) -> list[RunForecasts]:
        key = f"{folder}/{runs.name}"
        if self._forecasts is None or self._forecasts[0] != key:
            self._forecasts = key, forecast_all(runs, self._model, self._schedule)
        return self._forecasts[1]


def _replayed(search: RecordedRuns, workers: int, methods: dict[str, Method]) -> dict[str, Outcome]:
    return {name: outcome(search, method(search, workers)) for name, method in methods.items()}


def over_sets(sets: Sequence[Scores], method: str, column: str) -> tuple[float, float]:
    """Mean over data sets and its standard error; NaN with one data set."""
    return mean_and_error(
        [np.mean([getattr(one, column) for one in scores[method]]) for scores in sets]
    )


def _point(sets: Sequence[Scores], method: str) -> tuple[float, float]:
    epochs, regret = (over_sets(sets, method, column)[0] for column in ("epochs", "regret"))
    return epochs, regret


def table(title: str, sets: Sequence[Scores]) -> Table:
    """A row for each method."""
    result = Table(title=title)
    for heading in ("method", "epochs", "regret", "best kept", "rounds", "ms per decision"):
        result.add_column(heading, justify="left" if heading == "method" else "right")
    for name in sets[0]:
        milliseconds, _ = over_sets(sets, name, "milliseconds")
        time = "" if np.isnan(milliseconds) else f"{milliseconds:.2f}"
        rounds, _ = over_sets(sets, name, "rounds")
        result.add_row(name, *cells(sets, name), f"{rounds:.2f}", time)
    return result


def cells(sets: Sequence[Scores], method: str) -> tuple[str, str, str]:
    """Epochs, regret, each with its standard error, and how often the best was kept."""
    return (
        "{:.3f} ± {:.3f}".format(*over_sets(sets, method, "epochs")),
        "{:.4f} ± {:.4f}".format(*over_sets(sets, method, "regret")),
        "{:.2f}".format(over_sets(sets, method, "kept")[0]),
    )


def against_curve(sets: Sequence[Scores]) -> str:
    """Which of the others' points lie below the line through our search's points, over thresholds.

    A point on that line is reached by taking either threshold at random, search by search. Right of
    it the lowest threshold goes on being one's choice; left of it there is nothing to compare with.
    """
    curve = sorted(_point(sets, row_name(threshold)) for threshold in THRESHOLDS)
    epochs, regrets = zip(*curve, strict=True)
    below, beyond = [], []
    for method in others(sets[0]):
        spent, regret = _point(sets, method)
        if spent < epochs[0]:
            beyond.append(method)
        elif regret < np.interp(spent, epochs, regrets):
            below.append(method)
    text = f"below the search's curve over thresholds: {', '.join(below) or 'no other method'}"
    return f"{text}; left of its end: {', '.join(beyond)}" if beyond else text


def others(methods: Iterable[str]) -> list[str]:
    """The methods that are not ours, without the two ends to compare with."""
    ours = ("none", "oracle", "Search", "LCPFN")
    return [method for method in methods if not method.startswith(ours)]


def set_table(title: str, sets: dict[str, Scores]) -> Table:
    """Epochs, regret and whether the best was kept, a row for each data set."""
    shown = [name for name in next(iter(sets.values())) if not name.startswith(("none", "Search"))]
    result = Table(title=f"{title}: epochs used / mean regret / best kept")
    for heading in ("data set", *shown):
        result.add_column(heading)
    columns = ("epochs", "regret", "kept")
    for data_set, scores in sets.items():
        means = (
            "{:.3f} / {:.4f} / {:.1f}".format(
                *(over_sets([scores], name, column)[0] for column in columns)
            )
            for name in shown
        )
        result.add_row(data_set, *means)
    return result


_SERIES: dict[str, tuple[str, str]] = {"Optuna": ("#4c72b0", "s"), "Ray": ("#dd8452", "^")}
_OWN_COLOUR = "#2f8f5b"


def draw(panels: dict[str, Sequence[Scores]]) -> Figure:
    """Epochs against regret: a panel for each folder and width, a point for each method.

    The line joins our search's points at several thresholds, which stand beside them.
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5.2 * columns, 3.9 * rows), squeeze=False, layout="constrained"
    )
    for panel, (name, sets) in zip(axes.flat, panels.items(), strict=False):
        _draw_panel(panel, name, sets)
    for panel in axes.flat[len(panels) :]:
        panel.remove()
    return figure


def _draw_panel(panel: Axes, title: str, sets: Sequence[Scores]) -> None:
    curve = [_point(sets, row_name(threshold)) for threshold in THRESHOLDS]
    panel.plot(*zip(*curve, strict=True), "-", color=_OWN_COLOUR, marker=".", lw=1.2)
    for threshold, place in zip(THRESHOLDS, curve, strict=True):
        _label(panel, f"{threshold:g}", place, _OWN_COLOUR, (-2, -3), below=True)
    for method in sets[0]:
        if method == "none" or method.startswith("Search"):
            continue
        colour, marker = _SERIES.get(method.split()[0], (_OWN_COLOUR, "o"))
        if method == "oracle":
            colour, marker = "black", "*"
        place = _point(sets, method)
        panel.plot(*place, marker, color=colour, ms=9 if method == "oracle" else 6)
        _label(panel, method.removeprefix("Optuna ").removeprefix("Ray "), place, colour, (5, 4))
    panel.set_yscale("symlog", linthresh=1e-3)
    panel.set_ylim(bottom=-3e-4)
    panel.set_xlim(0, 0.5)
    panel.set_title(f"{title} ({len(sets)} data sets)", fontsize=10)
    panel.set_xlabel("epochs used, share of no stopping")
    panel.set_ylabel("mean regret")
    panel.grid(alpha=0.3)


def _label(
    panel: Axes,
    text: str,
    place: tuple[float, float],
    colour: str,
    offset: tuple[int, int],
    below: bool = False,
) -> None:
    panel.annotate(
        text,
        place,
        xytext=offset,
        textcoords="offset points",
        fontsize=7,
        color=colour,
        **({"rotation": 45, "ha": "right", "va": "top"} if below else {}),
    )


def main(
    data: Annotated[list[Path] | None, typer.Option(help="folder with one .npz per set")] = None,
    own: Annotated[bool, typer.Option(help="also replay experiments/curves")] = True,
    model: Annotated[str, typer.Option(help="name or path of the model")] = "default",
    per_set: Annotated[int, typer.Option(help="runs of each data set", min=2)] = 100,
    orders: Annotated[int, typer.Option(help="searches in each data set", min=1)] = 2,
    workers: Annotated[list[int] | None, typer.Option(help="trials at a time; repeatable")] = None,
    seed: Annotated[int, typer.Option(help="of the choice of runs and their order")] = 0,
    without: Annotated[list[str] | None, typer.Option(help="a method to leave out")] = None,
    metric: Annotated[str | None, typer.Option(help="array to take instead of the first")] = None,
    schedule: Annotated[
        NamedSchedule | None, typer.Option(help="tell our rules the learning rate")
    ] = None,
    own_forecasts: Annotated[
        int, typer.Option(help="sets of each folder on which the pruner makes its own", min=0)
    ] = 1,
    each: Annotated[bool, typer.Option(help="also print every data set")] = False,
    save: Annotated[Path | None, typer.Option(help="keep outcomes of ours in this file")] = None,
    save_others: Annotated[
        Path | None, typer.Option(help="keep those of other methods in this file")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
    figure: Annotated[Path | None, typer.Option(help="draw epochs against regret")] = None,
) -> None:
    """Replays recorded searches and prints a table for each folder."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    widths = list(workers or WORKERS)
    left_out = list(without or ())
    searches = {"per_set": per_set, "seed": seed, "metric": metric, "without": left_out}
    settings = {
        "model": loaded.card["sha256"],
        "source": search_source(),
        "thresholds": [*THRESHOLDS, *PAUSED_THRESHOLDS],
        "schedule": schedule,
    }
    records = Record(save_others, searches), Record(save, {**searches, **settings})
    replays = Replays(loaded, widths, orders, seed, schedule, left_out, records)
    tables: list[Table] = []
    notes: list[str] = []
    panels: dict[str, Sequence[Scores]] = {}
    for folder in [*(data or ()), *([OWN_CURVES] if own else ())]:
        sets: dict[str, Widths] = {}
        different: list[int] = []
        for runs in read_runs(folder, per_set, seed, metric):
            sets[runs.name] = replays.score(folder.name, runs)
            if len(different) < own_forecasts and DEFAULT not in left_out:
                different.append(replays.different(folder.name, runs))
        if not sets:
            raise typer.BadParameter(f"{folder} has no .npz file with a known metric")
        for width in widths:
            title = f"{folder.name}, {width} at a time"
            scores = {name: found[width] for name, found in sets.items()}
            if each:
                tables.append(set_table(title, scores))
            panels[title] = list(scores.values())
            tables.append(table(f"{title}: {len(sets)} sets x {orders} orders", panels[title]))
            notes.append(f"{title}: {against_curve(panels[title])}")
        if different:
            notes.append(
                f"{folder.name}: {sum(different)} trials of {DEFAULT} end at another record where "
                f"it makes its own forecasts, on {len(different)} sets"
            )
    write(tables, notes, markdown)
    if figure is not None:
        draw(panels).savefig(figure, dpi=110)


if __name__ == "__main__":
    typer.run(main)
