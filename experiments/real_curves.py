"""How good are forecasts of real learning curves?

The protocol of the project's design: of each curve with T records the first max(2, round(f T))
are observed, for f = 10, 20, 40 and 80 %, and the final value is forecast. Scores are the CRPS
(twice the mean pinball loss over 49 quantiles), divided by the data set's median absolute
deviation of final values and capped at 10 a curve, and the coverage of central intervals. Curves
with a record that is not finite or beyond 1e6 are left out and counted. Three simple forecasters
run along: the last value, the best value so far, and a least-squares power law.

    python experiments/real_curves.py ../shared/data --model default --save scores.json

`data` has one folder per benchmark, with one .npz per data set that holds an array `val_loss` or
`valid_loss` (lower is better) or `val_accuracy` (percent), shape (curves, records). With `--save`
every finished data set is kept, and a later run goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import lcpfn
from lcpfn.atomic import write_atomically

Array = NDArray[np.float64]

CUTOFFS = (0.1, 0.2, 0.4, 0.8)
PROBABILITIES = np.arange(1, 50) / 50
COVERAGES = (0.5, 0.88, 0.96)
_CAP = 10.0
_LARGEST = 1e6
_EXPONENTS = np.geomspace(0.01, 10.0, 120)


@dataclass(frozen=True)
class Task:
    """Curves of one data set, all records of them.

    Args:
        name: benchmark/data set.
        curves: (curves, records) chosen at random.
        goal: "minimize" or "maximize".
        bounds: of the metric.
        spread: median absolute deviation of final values, over the whole data set.
        left_out: unusable curves in the data set.
    """

    name: str
    curves: Array
    goal: str
    bounds: tuple[float | None, float | None]
    spread: float
    left_out: int

    @property
    def benchmark(self) -> str:
        return self.name.split("/")[0]


Forecaster = Callable[[Task, Array], Array]
"""Quantiles (curves, 49) of the final value, increasing, from the observed records (curves, n)."""


@dataclass(frozen=True)
class Metric:
    """How an array of a data set is to be read."""

    goal: str
    bounds: tuple[float | None, float | None]


METRICS = {
    "val_loss": Metric("minimize", (0.0, None)),
    "valid_loss": Metric("minimize", (0.0, None)),
    "val_accuracy": Metric("maximize", (0.0, 100.0)),
}


def read_tasks(data: Path, per_set: int, seed: int) -> Iterator[Task]:
    """Every data set below `data`, with a seeded choice of its curves."""
    for path in sorted(data.glob("*/*.npz")):
        with np.load(path) as arrays:
            key = next((key for key in METRICS if key in arrays), None)
            if key is None:
                continue
            curves = arrays[key].astype(np.float64)
        usable = np.isfinite(curves).all(1) & (np.abs(np.nan_to_num(curves)) <= _LARGEST).all(1)
        kept = curves[usable]
        final = kept[:, -1]
        chosen = np.random.default_rng(seed).choice(
            len(kept), min(per_set, len(kept)), replace=False
        )
        yield Task(
            f"{path.parent.name}/{path.stem}",
            kept[chosen],
            METRICS[key].goal,
            METRICS[key].bounds,
            float(np.median(np.abs(final - np.median(final)))),
            int((~usable).sum()),
        )


def last_value(task: Task, observed: Array) -> Array:
    """All mass on the last record."""
    return np.repeat(observed[:, -1:], len(PROBABILITIES), axis=1)


def best_value(task: Task, observed: Array) -> Array:
    """All mass on the best record so far."""
    best = observed.min(1) if task.goal == "minimize" else observed.max(1)
    return np.repeat(best[:, None], len(PROBABILITIES), axis=1)


def power_law(task: Task, observed: Array) -> Array:
    """Least squares fit of c - a t^(-alpha), with a normal band of the residuals' deviation.

    For a given alpha the other two follow in closed form, so a fine grid of alphas finds the
    global optimum for all curves at once.
    """
    count = observed.shape[1]
    steps = np.arange(1, count + 1)
    shapes = steps[None, :] ** -_EXPONENTS[:, None]
    shapes_mean = shapes.mean(1, keepdims=True)
    centred_shapes = shapes - shapes_mean
    mean = observed.mean(1, keepdims=True)
    centred = observed - mean
    slope = centred @ centred_shapes.T / (centred_shapes**2).sum(1)
    residual = (centred**2).sum(1)[:, None] - slope**2 * (centred_shapes**2).sum(1)
    best = residual.argmin(1)
    rows = np.arange(len(observed))
    last = task.curves.shape[1] ** -_EXPONENTS[best]
    centre: Array = mean[:, 0] + slope[rows, best] * (last - shapes_mean[best, 0])
    deviation = np.sqrt(residual[rows, best].clip(0) / max(1, count - 3))
    quantiles = centre[:, None] + deviation[:, None] * _standard_normal_quantiles()
    low, high = task.bounds
    return np.asarray(
        np.clip(quantiles, -np.inf if low is None else low, np.inf if high is None else high)
    )


def _standard_normal_quantiles() -> Array:
    return np.array([NormalDist().inv_cdf(q) for q in PROBABILITIES])


def network_forecaster(model: Any, guess_bounds: bool) -> Forecaster:
    """Forecasts of an lcpfn model through its public interface."""

    def forecast(task: Task, observed: Array) -> Array:
        horizon = task.curves.shape[1]
        posts = model.extrapolate_batch(
            list(observed),
            horizon=horizon,
            goal=task.goal,
            bounds="auto" if guess_bounds else task.bounds,
            query=[horizon],
        )
        return np.stack([post.quantile(PROBABILITIES)[:, 0] for post in posts])

    return forecast


def pinball_score(quantiles: Array, truth: Array) -> Array:
    """CRPS of (curves, 49) quantiles, by twice their mean pinball loss: (curves,)."""
    error = truth[:, None] - quantiles
    loss = np.maximum(PROBABILITIES * error, (PROBABILITIES - 1) * error)
    return np.asarray(2 * loss.mean(1))


@dataclass(frozen=True)
class Scores:
    """Scores of one forecaster on one data set, (cutoffs, curves) each.

    Args:
        crps: over the data set's spread, capped.
        median_error: absolute error of the median, likewise.
        covered: by interval, whether it held the truth: (cutoffs, intervals, curves).
    """

    crps: Array
    median_error: Array
    covered: Array


def score(task: Task, forecaster: Forecaster) -> Scores:
    """Runs a forecaster on one data set at every cutoff."""
    truth = task.curves[:, -1]
    crps, errors, covered = [], [], []
    for cutoff in CUTOFFS:
        seen = max(2, round(cutoff * task.curves.shape[1]))
        quantiles = forecaster(task, task.curves[:, :seen])
        crps.append(np.minimum(pinball_score(quantiles, truth) / task.spread, _CAP))
        middle = quantiles[:, len(PROBABILITIES) // 2]
        errors.append(np.minimum(np.abs(middle - truth) / task.spread, _CAP))
        covered.append([_inside(quantiles, truth, coverage) for coverage in COVERAGES])
    return Scores(np.array(crps), np.array(errors), np.array(covered, dtype=np.float64))


def _inside(quantiles: Array, truth: Array, coverage: float) -> NDArray[np.bool_]:
    """Whether the central interval holds the truth; exact ties count as inside."""
    low, high = (
        np.abs(PROBABILITIES - level).argmin() for level in ((1 - coverage) / 2, (1 + coverage) / 2)
    )
    slack = 1e-12 * np.abs(truth)
    inside = (truth >= quantiles[:, low] - slack) & (truth <= quantiles[:, high] + slack)
    return np.asarray(inside)


def ratio(scores: Array, baseline: Array) -> tuple[float, float]:
    """Mean score over mean baseline score, and its standard error by the delta method."""
    value = float(scores.mean() / baseline.mean())
    residual = scores - value * baseline
    return value, float(residual.std() / np.sqrt(scores.size) / baseline.mean())


def ratio_table(title: str, results: dict[str, dict[str, Scores]], names: Sequence[str]) -> Table:
    """CRPS as a fraction of the last value's: a row for each forecaster and group of sets."""
    table = Table(title=title)
    for heading in ("curves of", "forecaster", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)):
        table.add_column(heading, justify="left" if "%" not in heading else "right")
    for group, members in results.items():
        for name in names:
            baseline = members["last value"].crps
            cells = [
                "{:.3f} ± {:.3f}".format(*ratio(members[name].crps[i], baseline[i]))
                for i in range(len(CUTOFFS))
            ]
            if name == "last value":
                cells = [f"1 ({baseline[i].mean():.3g})" for i in range(len(CUTOFFS))]
            table.add_row(group, name, *cells)
        table.add_section()
    return table


def coverage_table(results: dict[str, dict[str, Scores]], name: str) -> Table:
    """Share of curves inside each central interval of one forecaster."""
    table = Table(title=f"coverage of the central intervals of {name}")
    for heading in ("curves of", "interval", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)):
        table.add_column(heading)
    for group, members in results.items():
        for index, coverage in enumerate(COVERAGES):
            cells = [f"{members[name].covered[i, index].mean():.2f}" for i in range(len(CUTOFFS))]
            table.add_row(group, f"{coverage:.0%}", *cells)
        table.add_section()
    return table


def pool(results: dict[str, dict[str, Scores]]) -> dict[str, dict[str, Scores]]:
    """Puts the data sets of each benchmark together."""
    pooled: dict[str, dict[str, Scores]] = {}
    for benchmark in dict.fromkeys(name.split("/")[0] for name in results):
        members = [scores for name, scores in results.items() if name.startswith(f"{benchmark}/")]
        pooled[benchmark] = {
            name: Scores(
                np.concatenate([scores[name].crps for scores in members], -1),
                np.concatenate([scores[name].median_error for scores in members], -1),
                np.concatenate([scores[name].covered for scores in members], -1),
            )
            for name in members[0]
        }
    return pooled


class Record:
    """Scores of finished data sets in a file, so that a run can be cut off and go on."""

    def __init__(self, path: Path | None, settings: dict[str, Any]):
        self.path = path
        self.content: dict[str, Any] = {"settings": settings, "sets": {}}
        if path is not None and path.exists():
            before = json.loads(path.read_text())
            if before["settings"] != settings:
                raise typer.BadParameter(
                    f"{path} holds scores of other settings, {before['settings']}; give another"
                )
            self.content = before

    def get(self, task: str) -> dict[str, Scores] | None:
        """What is known of a data set."""
        stored = self.content["sets"].get(task)
        if stored is None:
            return None
        return {
            name: Scores(*(np.array(values, dtype=np.float64) for values in scores))
            for name, scores in stored.items()
        }

    def put(self, task: str, scores: dict[str, Scores]) -> None:
        """Keeps the scores of a data set."""
        self.content["sets"][task] = {
            name: [one.crps.tolist(), one.median_error.tolist(), one.covered.tolist()]
            for name, one in scores.items()
        }
        if self.path is not None:
            write_atomically(self.path, json.dumps(self.content).encode())


def main(
    data: Annotated[Path, typer.Argument(help="folder with one folder of .npz per benchmark")],
    model: Annotated[str, typer.Option(help="name or path of the model")] = "default",
    per_set: Annotated[int, typer.Option(help="curves taken from each data set")] = 100,
    seed: Annotated[int, typer.Option(help="of the choice of curves")] = 0,
    guess_bounds: Annotated[bool, typer.Option(help='use bounds="auto"')] = True,
    each: Annotated[bool, typer.Option(help="also print every data set")] = False,
    save: Annotated[Path | None, typer.Option(help="keep scores in this file")] = None,
) -> None:
    """Scores a model and three simple forecasters on real learning curves."""
    loaded = lcpfn.load(model)
    settings = {
        "model": loaded.card["sha256"],
        "per_set": per_set,
        "seed": seed,
        "guess_bounds": guess_bounds,
    }
    forecasters: dict[str, Forecaster] = {
        "last value": last_value,
        "best value": best_value,
        "power law": power_law,
        loaded.name: network_forecaster(loaded, guess_bounds),
    }
    record = Record(save, settings)
    console = Console(width=110)
    results: dict[str, dict[str, Scores]] = {}
    left_out: dict[str, int] = {}
    for task in read_tasks(data, per_set, seed):
        found = record.get(task.name)
        if found is None:
            found = {name: score(task, forecaster) for name, forecaster in forecasters.items()}
            record.put(task.name, found)
        results[task.name] = found
        left_out[task.benchmark] = left_out.get(task.benchmark, 0) + task.left_out
    if not results:
        raise typer.BadParameter(f"{data} has no benchmark folder with a usable .npz file")

    if each:
        console.print(ratio_table("every data set", results, [loaded.name]))
    pooled = pool(results)
    title = "CRPS as a fraction of the last value's (in brackets: the last value's own)"
    console.print(ratio_table(title, pooled, list(forecasters)))
    console.print(coverage_table(pooled, loaded.name))
    for benchmark, count in left_out.items():
        console.print(f"{benchmark}: {count} curves left out, not finite or beyond {_LARGEST:g}")


if __name__ == "__main__":
    typer.run(main)
