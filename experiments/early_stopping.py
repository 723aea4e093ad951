"""What does stopping cost and save? Recorded searches, replayed through real pruners.

    python -m experiments.early_stopping --data ../shared/data/lcbench --save scores.json

For each folder given, and for the project's own curves, 100 recorded runs of each data set become
the trials of a search, in two random orders. Every method sees the same searches; see
`experiments.replay`. Optuna's pruners and Ray Tune's schedulers run as they are, with their own
defaults where they have any; the rows of `LCPFNPruner` and `LCPFNScheduler` are theirs with the
bundled model and default settings. Rows of the rule with other thresholds come from shared
forecasts, and the script counts in how many trials the same way of replaying the default differs
from the pruner. Standard errors are over data sets, as searches in one data set are not
independent. A run that diverged is reported as it was recorded.

A folder holds one .npz per data set with an array `val_loss` or `valid_loss` (lower is better) or
`val_accuracy`, of shape (runs, records). With `--save` every finished data set is kept, and a
later call goes on from there.
"""

from __future__ import annotations

import hashlib
import inspect
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
import lcpfn.peers
import lcpfn.stopping
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
from experiments.replay_forecasts import forecast_all, through_forecasts
from experiments.replay_optuna import pruners, through_optuna
from experiments.support.saved_results import SavedResults
from experiments.support.score_tables import write
from lcpfn.forecast.schedule import NamedSchedule
from lcpfn.integrations.optuna import LCPFNPruner

THRESHOLDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
DEFAULT = "LCPFNPruner"

Scores = dict[str, list[Outcome]]
"""By method, one outcome for each order."""


def rule_name(threshold: float) -> str:
    """The row of the rule with another threshold."""
    return f"rule, threshold {threshold:g}"


def methods(
    model: str, without: Sequence[str] = (), schedule: NamedSchedule | None = None
) -> dict[str, Method]:
    """All that runs through somebody's real code, with the two ends to compare with."""
    found: dict[str, Method] = {"none": no_stopping, "oracle": oracle}
    found |= {name: through_optuna(make) for name, make in pruners(model, schedule).items()}
    if find_spec("ray") is not None:
        from experiments.replay_ray import schedulers, through_ray

        found |= {name: through_ray(make) for name, make in schedulers(model, schedule).items()}
    return {name: method for name, method in found.items() if name not in without}


def rule_source() -> str:
    """Changes with the code that decides: outcomes of another rule are no outcomes of this one."""
    sources = [Path(str(module.__file__)).read_bytes() for module in (lcpfn.stopping, lcpfn.peers)]
    return hashlib.sha256(b"".join(sources)).hexdigest()


def default_rule() -> lcpfn.StoppingRule:
    """The rule that `LCPFNPruner` follows by default."""
    fields = inspect.signature(lcpfn.StoppingRule).parameters
    defaults = inspect.signature(LCPFNPruner).parameters
    return lcpfn.StoppingRule(**{name: defaults[name].default for name in fields})


def score(
    runs: RecordedRuns,
    model: lcpfn.LCPFN,
    replayed: dict[str, Method],
    orders: int,
    seed: int,
    schedule: NamedSchedule | None = None,
) -> tuple[Scores, int]:
    """Replays all methods; also counts trials that the two ways to replay ours end differently."""
    scores: Scores = {}
    different = 0
    forecasts = forecast_all(runs, model, schedule)
    for number, order in enumerate(runs.orders(orders, seed)):
        search = replace(runs, name=f"{runs.name}-{number}", curves=runs.curves[order])
        replays = {name: method(search) for name, method in replayed.items()}
        known = [forecasts[index] for index in order]
        rule = default_rule()
        for threshold in THRESHOLDS:
            varied = replace(rule, threshold=threshold)
            replays[rule_name(threshold)] = through_forecasts(search, known, varied)
        if DEFAULT in replays:
            same = through_forecasts(search, known, rule)
            different += int((same.spent != replays[DEFAULT].spent).sum())
        for name, replay in replays.items():
            scores.setdefault(name, []).append(outcome(search, replay))
    return scores, different


class Record:
    """Outcomes of finished data sets in a file, so that a run can be cut off and go on."""

    def __init__(self, path: Path | None, settings: dict[str, Any]):
        self._saved = SavedResults(path, settings)

    def get(self, name: str) -> tuple[Scores, int] | None:
        """What is known of a data set."""
        stored = self._saved.sets.get(name)
        if stored is None:
            return None
        scores = {
            method: [Outcome(*values) for values in rows]
            for method, rows in stored["scores"].items()
        }
        return scores, stored["different"]

    def put(self, name: str, scores: Scores, different: int) -> None:
        """Keeps the outcomes of a data set."""
        rows = {method: [astuple(one) for one in outcomes] for method, outcomes in scores.items()}
        self._saved.sets[name] = {"scores": rows, "different": different}
        self._saved.keep()


def mean_and_error(sets: Sequence[Scores], method: str, column: str) -> tuple[float, float]:
    """Mean over data sets and its standard error; NaN with one data set."""
    means = [np.mean([getattr(one, column) for one in scores[method]]) for scores in sets]
    spread = np.std(means, ddof=1) if len(means) > 1 else np.nan
    return float(np.mean(means)), float(spread / np.sqrt(len(means)))


def _point(sets: Sequence[Scores], method: str) -> tuple[float, float]:
    epochs, regret = (mean_and_error(sets, method, column)[0] for column in ("epochs", "regret"))
    return epochs, regret


def table(title: str, sets: Sequence[Scores]) -> Table:
    """A row for each method."""
    result = Table(title=title)
    for heading in ("method", "epochs used", "mean regret", "best kept", "ms per decision"):
        result.add_column(heading, justify="left" if heading == "method" else "right")
    for name in sets[0]:
        milliseconds, _ = mean_and_error(sets, name, "milliseconds")
        time = "" if np.isnan(milliseconds) else f"{milliseconds:.2f}"
        result.add_row(name, *cells(sets, name), time)
    return result


def cells(sets: Sequence[Scores], method: str) -> tuple[str, str, str]:
    """Epochs, regret, each with its standard error, and how often the best was kept."""
    return (
        "{:.3f} ± {:.3f}".format(*mean_and_error(sets, method, "epochs")),
        "{:.4f} ± {:.4f}".format(*mean_and_error(sets, method, "regret")),
        "{:.2f}".format(mean_and_error(sets, method, "kept")[0]),
    )


def against_curve(sets: Sequence[Scores]) -> str:
    """Which of the others' points lie below the line through our rule's points, over thresholds.

    A point on that line is reached by taking either threshold at random, search by search. Right of
    it the lowest threshold goes on being one's choice; left of it there is nothing to compare with.
    """
    curve = sorted(_point(sets, rule_name(threshold)) for threshold in THRESHOLDS)
    epochs, regrets = zip(*curve, strict=True)
    below, beyond = [], []
    for method in others(sets[0]):
        spent, regret = _point(sets, method)
        if spent < epochs[0]:
            beyond.append(method)
        elif regret < np.interp(spent, epochs, regrets):
            below.append(method)
    text = f"below the rule's curve over thresholds: {', '.join(below) or 'no other method'}"
    return f"{text}; left of its end: {', '.join(beyond)}" if beyond else text


def others(methods: Iterable[str]) -> list[str]:
    """The methods that are not ours, without the two ends to compare with."""
    ours = ("none", "oracle", "rule", "LCPFN")
    return [method for method in methods if not method.startswith(ours)]


def set_table(title: str, sets: dict[str, Scores]) -> Table:
    """Epochs, regret and whether the best was kept, a row for each data set."""
    shown = [name for name in next(iter(sets.values())) if not name.startswith(("none", "rule"))]
    result = Table(title=f"{title}: epochs used / mean regret / best kept")
    for heading in ("data set", *shown):
        result.add_column(heading)
    columns = ("epochs", "regret", "kept")
    for data_set, scores in sets.items():
        means = (
            "{:.3f} / {:.4f} / {:.1f}".format(
                *(mean_and_error([scores], name, column)[0] for column in columns)
            )
            for name in shown
        )
        result.add_row(data_set, *means)
    return result


_SERIES: dict[str, tuple[str, str]] = {"Optuna": ("#4c72b0", "s"), "Ray": ("#dd8452", "^")}
_OWN_COLOUR = "#2f8f5b"


def draw(folders: dict[str, Sequence[Scores]]) -> Figure:
    """Epochs against regret: a panel for each folder, a point for each method.

    The line joins our rule's points at several thresholds, which stand beside them.
    """
    columns = min(2, len(folders))
    rows = -(-len(folders) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5.2 * columns, 3.9 * rows), squeeze=False, layout="constrained"
    )
    for panel, (name, sets) in zip(axes.flat, folders.items(), strict=False):
        _draw_panel(panel, name, sets)
    for panel in axes.flat[len(folders) :]:
        panel.remove()
    return figure


def _draw_panel(panel: Axes, title: str, sets: Sequence[Scores]) -> None:
    curve = [_point(sets, rule_name(threshold)) for threshold in THRESHOLDS]
    panel.plot(*zip(*curve, strict=True), "-", color=_OWN_COLOUR, marker=".", lw=1.2)
    for threshold, place in zip(THRESHOLDS, curve, strict=True):
        _label(panel, f"{threshold:g}", place, _OWN_COLOUR, (-2, -3), below=True)
    for method in sets[0]:
        if method == "none" or method.startswith("rule"):
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
    seed: Annotated[int, typer.Option(help="of the choice of runs and their order")] = 0,
    without: Annotated[list[str] | None, typer.Option(help="a method to leave out")] = None,
    metric: Annotated[str | None, typer.Option(help="array to take instead of the first")] = None,
    schedule: Annotated[
        NamedSchedule | None, typer.Option(help="tell our rules the learning rate")
    ] = None,
    each: Annotated[bool, typer.Option(help="also print every data set")] = False,
    save: Annotated[Path | None, typer.Option(help="keep outcomes in this file")] = None,
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
    figure: Annotated[Path | None, typer.Option(help="draw epochs against regret")] = None,
) -> None:
    """Replays recorded searches and prints a table for each folder."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    replayed = methods(model, without or (), schedule)
    settings = {
        "model": loaded.card["sha256"],
        "rule": (*astuple(default_rule()), rule_source()),
        "thresholds": list(THRESHOLDS),
        "methods": list(replayed),
        "per_set": per_set,
        "orders": orders,
        "seed": seed,
        "metric": metric,
        "schedule": schedule,
    }
    record = Record(save, settings)
    tables: list[Table] = []
    notes: list[str] = []
    folders: dict[str, list[Scores]] = {}
    for folder in [*(data or ()), *([OWN_CURVES] if own else ())]:
        sets: dict[str, Scores] = {}
        different = 0
        for runs in read_runs(folder, per_set, seed, metric):
            key = f"{folder.name}/{runs.name}"
            found = record.get(key)
            if found is None:
                found = score(runs, loaded, replayed, orders, seed, schedule)
                record.put(key, *found)
            sets[runs.name] = found[0]
            different += found[1]
        if not sets:
            raise typer.BadParameter(f"{folder} has no .npz file with a known metric")
        if each:
            tables.append(set_table(folder.name, sets))
        folders[folder.name] = list(sets.values())
        title = f"{folder.name}: {len(sets)} sets x {orders} orders"
        tables.append(table(title, folders[folder.name]))
        if others(replayed):
            notes.append(f"{folder.name}: {against_curve(folders[folder.name])}")
        if DEFAULT in replayed:
            notes.append(
                f"{folder.name}: {different} trials of {DEFAULT} end at another record when its "
                "rule is replayed on shared forecasts"
            )
    write(tables, notes, markdown)
    if figure is not None:
        draw(folders).savefig(figure, dpi=110)


if __name__ == "__main__":
    typer.run(main)
