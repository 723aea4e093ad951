"""Fits what `RealisticPrior` keeps: the density ratio of real curves to draws of the broad prior.

A small classifier learns to tell real curves from draws by their summary statistics
(`lcpfn.priors.resemblance.describe`); its odds are the ratio. Losses and accuracies have one each.
Every family of benchmarks counts alike, every data set of a family too. Networks never see a real
curve: they train on the draws that are kept.

    python experiments/fit_prior.py fit ../shared/data --out priors
    python experiments/fit_prior.py cross-validate ../shared/data --out runs/cross-validation

The second command fits on one family at a time, trains a small network on each prior that results
and scores it on the other families, next to the broad prior alone and the fit on all families.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.benchmarks import folder
from experiments.benchmarks.recorded import RecordedCurves
from experiments.support.score_tables import BASELINE, coverage_table, ratio_table, write
from experiments.support.scores import Scores, pool
from experiments.support.small_networks import last_value_scores, scores, small_network
from experiments.support.tasks import LARGEST, read_tasks
from lcpfn.priors import BroadConfig, BroadPrior, Prior, RealisticPrior, Resemblance
from lcpfn.priors.resemblance import RECORDS, Metric, describe, file_name

# Accuracies that count examples, as no benchmark's predicted ones do. The project's other four data
# sets, and all of its losses, are left to judge by.
_COUNTED = ("breast_cancer", "digits", "moons", "wine")
_HIDDEN = 48
_BATCH = 256
_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 0.03

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode="rich")
Data = Annotated[Path, typer.Argument(help="folder with one folder of .npz per family")]


@dataclass(frozen=True)
class RealSet:
    """Usable curves of one data set, higher is better and relative to the first record.

    Args:
        family, name: where they come from.
        metric: whether they are losses or accuracies.
        values: (curves, n) in units of a power of two near the curve's range.
        ceiling: (curves,) the best value there can be.
    """

    family: str
    name: str
    metric: Metric
    values: Tensor
    ceiling: Tensor


def read_family(path: Path) -> list[RealSet]:
    """Every data set of a folder; curves that are not finite or over a million are left out."""
    return [_real_set(recorded) for recorded in folder.load(path)]


def counted_accuracies() -> list[RealSet]:
    """Accuracies of some of the project's own runs."""
    own = folder.load(folder.OWN_CURVES, "val_accuracy")
    return [_real_set(recorded) for recorded in own if recorded.name in _COUNTED]


def _real_set(recorded: RecordedCurves) -> RealSet:
    curves = np.stack(recorded.values)
    usable = np.isfinite(curves).all(1) & (np.abs(np.nan_to_num(curves)) <= LARGEST).all(1)
    curves = curves[usable]
    sign = 1.0 if recorded.goal == "maximize" else -1.0
    best = recorded.bounds[1 if recorded.goal == "maximize" else 0]
    raised = sign * curves
    first = raised[:, :1]
    size = np.ptp(curves, axis=1)
    scale = 2.0 ** np.floor(np.log2(np.where(size > 0, size, 1.0)))
    room = np.full(len(curves), np.inf) if best is None else sign * best - first[:, 0]
    return RealSet(
        recorded.benchmark,
        recorded.name,
        "accuracy" if recorded.goal == "maximize" else "loss",
        torch.tensor((raised - first) / scale[:, None], dtype=torch.float32),
        torch.tensor(room / scale, dtype=torch.float32),
    )


def fit_resemblance(
    sets: Sequence[RealSet],
    generator: torch.Generator,
    broad: BroadConfig | None = None,
    draws: int = 150_000,
    steps: int = 3000,
) -> Resemblance:
    """Trains the classifier between real curves and draws of the broad prior.

    Args:
        sets: real curves; families count alike, and so do the sets of a family.
        generator: of draws, weights and batches.
        broad: the prior's settings.
        draws: simulated curves to tell them from.
        steps: of AdamW, with a cosine schedule.
    """
    rising = {real.metric == "accuracy" for real in sets}
    settings = broad or BroadConfig()
    if len(rising) == 1:
        settings = replace(settings, rising_rate=float(rising.pop()))
    simulated = _simulated(settings, draws, generator)
    described = [describe(real.values, real.ceiling) for real in sets]
    real = torch.cat([rows[torch.isfinite(rows).all(1)] for rows in described])
    weights = torch.cat(_weights(sets, described))
    # Half as many simulated as real curves, so that neither kind sets the scale alone.
    both = torch.cat([simulated[: len(real)], real])
    width = both.shape[1]
    shapes = [(width, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 1)]
    layers = [
        (torch.rand(shape, generator=generator) * 2 - 1).div_(math.sqrt(shape[0])).requires_grad_()
        for shape in shapes
    ]
    offsets = [torch.zeros(shape[1], requires_grad=True) for shape in shapes]
    model = Resemblance(both.mean(0), both.std(0) + 1e-3, tuple(layers), tuple(offsets))
    optimiser = torch.optim.AdamW(
        [*layers, *offsets], lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    anneal = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        chosen = torch.randint(len(simulated), (_BATCH,), generator=generator)
        picked = torch.multinomial(weights, _BATCH, replacement=True, generator=generator)
        loss = (
            torch.nn.functional.softplus(model.log_ratio(simulated[chosen])).mean()
            + torch.nn.functional.softplus(-model.log_ratio(real[picked])).mean()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        anneal.step()
    return Resemblance(
        model.centre,
        model.spread,
        tuple(layer.detach() for layer in layers),
        tuple(offset.detach() for offset in offsets),
    )


def _simulated(broad: BroadConfig, draws: int, generator: torch.Generator) -> Tensor:
    settings = {"lengths": (RECORDS,), "length_weights": (1.0,), "ceiling_rate": 1.0}
    prior = BroadPrior(BroadConfig(**{**vars(broad), **settings}))
    rows = []
    for _ in range(math.ceil(draws / 5000)):
        batch = prior.sample(5000, generator)
        assert batch.ceiling is not None
        rows.append(describe(batch.values, batch.ceiling))
    simulated = torch.cat(rows)
    return simulated[torch.isfinite(simulated).all(1)]


def _weights(sets: Sequence[RealSet], described: Sequence[Tensor]) -> list[Tensor]:
    families = [real.family for real in sets]
    weights = []
    for real, rows in zip(sets, described, strict=True):
        usable = int(torch.isfinite(rows).all(1).sum())
        weight = 1 / (len(set(families)) * families.count(real.family) * max(usable, 1))
        weights.append(torch.full((usable,), weight, dtype=torch.float64))
    return weights


@app.command("fit")
def fit_command(
    data: Data,
    out: Annotated[Path, typer.Option(help="folder for the fitted classifiers")],
    seed: Annotated[int, typer.Option(help="of draws and weights")] = 0,
) -> None:
    """Fits the density ratios on every family and writes them."""
    every = [real for path in _folders(data) for real in read_family(path)] + counted_accuracies()
    generator = torch.Generator().manual_seed(seed)
    for metric in get_args(Metric):
        sets = [real for real in every if real.metric == metric]
        resemblance = fit_resemblance(sets, generator)
        resemblance.save(out / file_name(metric))
        Console().print(_summary_table(metric, sets, resemblance, generator))


def _summary_table(
    metric: Metric, sets: Sequence[RealSet], resemblance: Resemblance, generator: torch.Generator
) -> Table:
    draws = _simulated(BroadConfig(rising_rate=float(metric == "accuracy")), 20_000, generator)
    kept = torch.exp((resemblance.log_ratio(draws) - RealisticPrior.strictness).clamp_max(0))
    table = Table(title=f"{metric}: log density ratio, and how many draws are kept")
    for column in ("curves", "10 %", "median", "90 %", "kept"):
        table.add_column(column, justify="right")
    table.add_row("draws of the broad prior", *_summary(resemblance.log_ratio(draws), kept))
    for family in dict.fromkeys(real.family for real in sets):
        ratios = torch.cat(
            [
                resemblance.log_ratio(describe(real.values, real.ceiling))
                for real in sets
                if real.family == family
            ]
        )
        table.add_row(family, *_summary(ratios, None))
    return table


def _summary(ratios: Tensor, kept: Tensor | None) -> list[str]:
    quantiles = np.quantile(ratios[torch.isfinite(ratios)].numpy(), (0.1, 0.5, 0.9))
    return [*(f"{value:.1f}" for value in quantiles), "" if kept is None else f"{kept.mean():.3f}"]


@app.command("cross-validate")
def cross_validate(
    data: Data,
    out: Annotated[Path, typer.Option(help="folder for checkpoints; a second run goes on there")],
    curves: Annotated[int, typer.Option(help="curves that each small network trains on")] = 25_000,
    per_set: Annotated[int, typer.Option(help="real curves scored of each data set")] = 100,
    seed: Annotated[int, typer.Option(help="of training and of the choice of curves")] = 0,
    markdown: Annotated[Path | None, typer.Option(help="write the tables there too")] = None,
) -> None:
    """Fits on one family at a time and judges small networks on all of them."""
    tasks = {name: task for name, task in read_tasks(folder.load(data), per_set, seed) if task}
    families = {path.name: read_family(path) for path in _folders(data)}
    generator = torch.Generator().manual_seed(seed)
    priors: dict[str, Prior] = {"nothing (broad prior)": RealisticPrior(share=0.0)}
    every = [real for sets in families.values() for real in sets]
    for name, sets in families.items():
        fitted = fit_resemblance(sets, generator)
        priors[name] = RealisticPrior(losses=fitted, accuracies=fitted)
    by_metric = [
        fit_resemblance([real for real in every if real.metric == metric], generator)
        for metric in get_args(Metric)
    ]
    priors["all families"] = RealisticPrior(losses=by_metric[0], accuracies=by_metric[1])
    results: dict[str, dict[str, Scores]] = {BASELINE: last_value_scores(tasks)}
    for name, prior in track(priors.items(), description="training"):
        model = small_network(prior, out / name.split()[0], curves, seed)
        results[f"fitted on {name}"] = scores(model, tasks)
    pooled = pool(
        {task: {name: scored[task] for name, scored in results.items()} for task in tasks}
    )
    names = list(results)
    title = f"CRPS of the final value over the last value's; networks of {curves:,} curves"
    write([ratio_table(title, pooled, names), coverage_table(pooled, names[1:])], [], markdown)


def _folders(data: Path) -> list[Path]:
    return sorted(path for path in data.iterdir() if path.is_dir())


if __name__ == "__main__":
    app()
