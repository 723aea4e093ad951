"""How good are forecasts of real learning curves?

    python -m experiments.real_curves ../shared/data --save scores.json --markdown table.md
    python -m experiments.real_curves data_2k_lw.json --benchmark lcbench
    python -m experiments.real_curves taskset --benchmark taskset --figure forecasts.png

Scores models and baselines on recorded curves by the protocol of `experiments.support.scores`: CRPS
and absolute error of the median over each data set's spread of final values, and coverage of
central intervals, with standard errors. Curves with a record that is not finite or beyond 1e6, or
that stopped early, are left out and counted. Baselines: the last value, the best value so far, a
least-squares power law, the model of the published prior on squashed values and, with
`--mcmc-curves`, MCMC on that prior: it takes seconds per forecast, so only the first curves of
every data set get it, and it is compared with all others on the same ones.

The data are a folder with one folder of .npz files per benchmark (see
`experiments.benchmarks.folder`), or with `--benchmark` a benchmark as published; where a download
is missing, the error says what to type. With `--save` every finished data set is kept, and a later
run goes on from there; a new model is scored alone.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
import lcpfn.mcmc
from experiments.benchmarks import LOADERS
from experiments.benchmarks.recorded import choose
from experiments.support.baselines import (
    as_it_is,
    batched,
    best_value,
    cosine_to_zero,
    last_value,
    power_law,
    sampled,
    squashed,
)
from experiments.support.real_curves_figure import draw_good_and_bad
from experiments.support.saved_results import SavedResults
from experiments.support.score_tables import (
    BASELINE,
    coverage_table,
    ratio_table,
    worse_table,
    write,
)
from experiments.support.scores import Forecaster, Scores, SetScores, first_curves, pool, score
from experiments.support.tasks import LARGEST, Task, read_tasks
from lcpfn.errors import LCPFNError

MCMC = "MCMC, squashed"
REFERENCE = "reference, squashed"
SCHEDULED = "{} with schedule"


class Record:
    """Scores in a file, so that a run can be cut off and go on."""

    def __init__(self, path: Path | None, settings: dict[str, Any]):
        self._saved = SavedResults(path, settings)

    def get(self, task: str, forecaster: str, version: str) -> Scores | None:
        """What is known of a forecaster on a data set."""
        stored = self._saved.sets.get(task, {}).get(forecaster)
        if stored is None or stored["version"] != version:
            return None
        parts = (stored["crps"], stored["median_error"], stored["covered"])
        return Scores(*(np.array(part, dtype=np.float64) for part in parts))

    def put(self, task: str, forecaster: str, version: str, scores: Scores) -> None:
        """Keeps the scores of a forecaster on a data set."""
        self._saved.sets.setdefault(task, {})[forecaster] = {
            "version": version,
            "crps": scores.crps.tolist(),
            "median_error": scores.median_error.tolist(),
            "covered": scores.covered.tolist(),
        }
        self._saved.keep()


def run(
    tasks: Mapping[str, Task],
    forecasters: Mapping[str, tuple[str, Forecaster]],
    record: Record,
    curves: int | None = None,
) -> dict[str, SetScores]:
    """Scores of every forecaster, given with its version, on every data set.

    Args:
        curves: only the first ones of each data set.
    """
    results: dict[str, SetScores] = {}
    work = [(task, name) for task in tasks.values() for name in forecasters]
    for task, name in track(work, "forecasting", console=Console(stderr=True), transient=True):
        version, forecaster = forecasters[name]
        used = task if curves is None else task.first(curves)
        found = record.get(task.name, name, version)
        if found is None or found.crps.shape[1] != len(used.curves):
            found = score(used, forecaster)
            record.put(task.name, name, version, found)
        results[task.name] = {**results.get(task.name, {}), name: found}
    return results


def main(
    data: Annotated[Path, typer.Argument(help="folder or file with the recorded curves")],
    benchmark: Annotated[str, typer.Option(help=f"how to read it: {', '.join(LOADERS)}")] = (
        "folder"
    ),
    metric: Annotated[str | None, typer.Option(help="default: the loader's own")] = None,
    model: Annotated[list[str], typer.Option(help="name or path of a model; repeatable")] = [  # noqa: B006
        "default"
    ],
    per_set: Annotated[int, typer.Option(help="curves taken from each data set")] = 1000,
    seed: Annotated[int, typer.Option(help="of the choice of curves, and of MCMC")] = 0,
    guess_bounds: Annotated[bool, typer.Option(help='use bounds="auto"')] = True,
    cosine: Annotated[
        bool, typer.Option(help="also tell the models that the learning rate falls as a cosine")
    ] = False,
    baselines: Annotated[
        bool, typer.Option(help="also score best value, power law and the reference model")
    ] = True,
    mcmc_curves: Annotated[int, typer.Option(help="first curves of each set to run MCMC on")] = 0,
    each: Annotated[bool, typer.Option(help="also print every data set")] = False,
    save: Annotated[Path | None, typer.Option(help="keep scores in this file")] = None,
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="draw the best, a middling and the worst forecast here")
    ] = None,
) -> None:
    """Scores models and baselines on real learning curves."""
    settings = {"per_set": per_set, "seed": seed, "guess_bounds": guess_bounds, "metric": metric}
    record = Record(save, settings)
    options = {} if metric is None else {"metric": metric}
    try:
        load = choose("benchmark", benchmark, LOADERS)
        found = dict(read_tasks(load(data, **options), per_set, seed))
    except LCPFNError as error:
        raise typer.BadParameter(str(error)) from None
    tasks = {name: task for name, task in found.items() if task is not None}
    if not tasks:
        raise typer.BadParameter(f"{data} has no data set whose final values differ")

    models = {loaded.name: loaded for loaded in map(lcpfn.load, model)}
    if len(models) < len(model):
        raise typer.BadParameter(f"of the models {', '.join(model)}, two have the same name")
    reference = lcpfn.load("reference")
    forecasters: dict[str, tuple[str, Forecaster]] = {BASELINE: ("1", last_value)}
    if baselines:
        forecasters |= {
            "best value": ("1", best_value),
            "power law": ("2", power_law),
            REFERENCE: (reference.card["sha256"], squashed(batched(reference))),
        }
    for name, loaded in models.items():
        version = loaded.card["sha256"]
        forecasters[name] = (version, as_it_is(batched(loaded), guess_bounds))
        if cosine:
            informed = as_it_is(batched(loaded), guess_bounds, cosine_to_zero)
            forecasters[SCHEDULED.format(name)] = (version, informed)
    try:
        results = run(tasks, forecasters, record)
    except LCPFNError as error:
        raise typer.BadParameter(str(error)) from None

    informed_names = [name for name in forecasters if name not in (BASELINE, "best value")]
    title = "CRPS as a fraction of the last value's (in brackets: the last value's own)"
    pooled = pool(results)
    tables = [
        ratio_table(title, pooled, list(forecasters)),
        ratio_table(title.replace("CRPS", "median's error"), pooled, list(forecasters), "median"),
        coverage_table(pooled, informed_names),
    ]
    if mcmc_curves > 0:
        generator = torch.Generator().manual_seed(seed)
        engine = lcpfn.mcmc.load("ensemble", generator=generator)
        sampler = f"{engine.sampler!r} seed {seed}"
        version = hashlib.sha256(sampler.encode()).hexdigest()
        chains = run(tasks, {MCMC: (version, squashed(sampled(engine, seed)))}, record, mcmc_curves)
        paired = {
            name: {**members, **chains[name]}
            for name, members in first_curves(results, mcmc_curves).items()
        }
        count = sum(next(iter(members.values())).crps.shape[1] for members in paired.values())
        names = [*forecasters, MCMC]
        heading = f"{title}, on the {count} curves that MCMC was run on"
        tables.append(ratio_table(heading, pool(paired), names))
        tables.append(coverage_table(pool(paired), [REFERENCE, MCMC]))
    if each:
        tables.append(ratio_table("every data set", results, informed_names))
    tables.append(worse_table(results, list(models)))
    notes = [_left_out(name, task) for name, task in found.items()]
    write(tables, [note for note in notes if note], markdown)
    if figure is not None:
        for name, loaded in models.items():
            path = figure if len(models) == 1 else figure.with_stem(f"{figure.stem}_{name}")
            draw_good_and_bad(loaded, tasks, {t: s[name] for t, s in results.items()}, path)


def _left_out(name: str, task: Task | None) -> str:
    if task is None:
        return f"{name} is left out: it has no usable curves, or most of their final values agree."
    if not task.left_out:
        return ""
    return f"{name}: {task.left_out} curves left out, cut short, not finite or beyond {LARGEST:g}."


if __name__ == "__main__":
    typer.run(main)
