"""Could the network forecast real curves better, had it been trained on them?

    python -m experiments.forecast_ceiling ../shared/data --out runs/forecast_ceiling

The bundled network has seen nothing but draws of its prior. Here it goes on training on recorded
curves themselves, of every second data set, each benchmark as often as the others, and is judged
on the data sets left out; then the other way round. So every data set is judged by a network that
has seen its kind, but not it. What that gains is what a better prior could gain at most, as far as
this network goes; where it gains nothing, the prior is not what limits it. No such network is
bundled: it is fitted to these benchmarks. Tables are those of `experiments.real_curves`, with the
change in percent, paired over the same curves. A cut-off run goes on from its checkpoints.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.ablation import change
from experiments.benchmarks import folder
from experiments.support.score_tables import (
    BASELINE,
    coverage_table,
    cutoff_table,
    ratio_table,
    write,
)
from experiments.support.scores import Scores, pool
from experiments.support.small_networks import last_value_scores, scores
from experiments.support.tasks import Task, read_tasks
from lcpfn.network.transformer import Network
from lcpfn.priors import CurveBatch
from lcpfn.training import Execution, TrainingConfig, train

TAUGHT = "taught by real curves"
HALVES = 2
# Recorded values have no known noise, but a soft target needs some width.
_NOISE = 1e-4
_LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class RecordedPrior:
    """Draws recorded curves: a batch comes from one data set, every benchmark as often as others.

    Args:
        tasks: with all their curves.
    """

    tasks: Sequence[Task]

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` curves, with replacement."""
        shares = [
            1 / sum(other.benchmark == task.benchmark for other in self.tasks)
            for task in self.tasks
        ]
        chosen = int(torch.multinomial(torch.tensor(shares), 1, generator=generator))
        task = self.tasks[chosen]
        rows = torch.randint(len(task.curves), (count,), generator=generator)
        sign = 1 if task.goal == "maximize" else -1
        values = sign * torch.as_tensor(task.curves)[rows]
        first = values[:, :1]
        size = first.abs().clamp_min(1e-9)
        worst, best = task.bounds if sign > 0 else task.bounds[::-1]
        scaled = ((values - first) / size).float()
        noise = _NOISE * (scaled.amax(1, True) - scaled.amin(1, True)) + _LEAST_NOISE
        return CurveBatch(
            torch.as_tensor(task.steps / task.horizon).float(),
            scaled,
            scaled,
            noise,
            ceiling=_limit(best, sign, torch.inf, first, size),
            floor=_limit(worst, sign, -torch.inf, first, size),
        )


def _limit(
    bound: float | None, sign: int, unknown: float, first: torch.Tensor, size: torch.Tensor
) -> torch.Tensor:
    stated = torch.full_like(first, unknown if bound is None else sign * bound)
    return ((stated - first) / size)[:, 0].float()


def taught(
    model: lcpfn.LCPFN, tasks: Sequence[Task], out: Path, curves: int, rate: float
) -> lcpfn.LCPFN:
    """The model after training on recorded curves; a finished training is not done again."""
    network = Network.of(model.network)
    config = TrainingConfig(curves=curves, learning_rate=rate, warmup=0.05, network=network.config)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task(out.name, total=config.steps)
        result = train(
            RecordedPrior(tasks),
            config,
            out,
            execution=Execution(compile=False, validate_every=config.steps),
            observer=lambda progress: bar.update(line, completed=progress.step),
            start=network,
        )
    return lcpfn.LCPFN(result.network.engine(), {**model.card, "name": TAUGHT})


def halves(names: Sequence[str]) -> dict[str, int]:
    """Which half each data set belongs to: every benchmark's alternate."""
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.split("/")[0], []).append(name)
    return {name: i % HALVES for members in families.values() for i, name in enumerate(members)}


def gains(own: Mapping[str, Scores], theirs: Mapping[str, Scores]) -> Table:
    """By how many percent the teaching changes the CRPS of each benchmark."""
    table = cutoff_table("change of CRPS in percent, paired over the same curves", "benchmark")
    for benchmark, before in own.items():
        table.add_row(benchmark, *change(theirs[benchmark], before))
    return table


def main(
    data: Annotated[Path, typer.Argument(help="folder with one folder of .npz per benchmark")],
    out: Annotated[Path, typer.Option(help="folder for checkpoints; a second run goes on there")],
    model: Annotated[str, typer.Option(help="name or path of the model")] = "default",
    curves: Annotated[int, typer.Option(help="recorded curves shown, repeats counted")] = 60_000,
    rate: Annotated[float, typer.Option(help="peak learning rate")] = 4e-4,
    per_set: Annotated[int, typer.Option(help="curves scored of each data set")] = 1000,
    seed: Annotated[int, typer.Option(help="of the choice of these")] = 0,
    markdown: Annotated[Path | None, typer.Option(help="write the tables there too")] = None,
) -> None:
    """Trains on half of the recorded data sets, judges on the other half, and vice versa."""
    recorded = list(folder.load(data))
    judged = {name: task for name, task in read_tasks(recorded, per_set, seed) if task}
    whole = {name: task for name, task in read_tasks(recorded, sys.maxsize, seed) if task}
    half = halves(list(judged))
    if len(set(half.values())) < HALVES:
        raise typer.BadParameter(f"{data} has no benchmark of at least {HALVES} data sets")
    loaded = lcpfn.load(model)
    before = scores(loaded, judged)
    after: dict[str, Scores] = {}
    for number in track(range(HALVES), "halves", console=Console(stderr=True), transient=True):
        lessons = [whole[name] for name in whole if half[name] != number]
        pupil = taught(loaded, lessons, out / f"half-{number}", curves, rate)
        after |= scores(pupil, {name: judged[name] for name in judged if half[name] == number})
    baseline = last_value_scores(judged)
    results = pool(
        {
            name: {BASELINE: baseline[name], loaded.name: before[name], TAUGHT: after[name]}
            for name in judged
        }
    )
    names = [loaded.name, TAUGHT]
    title = "CRPS as a fraction of the last value's (in brackets: the last value's own)"
    tables = [
        ratio_table(title, results, [BASELINE, *names]),
        gains(*({group: pair[name] for group, pair in results.items()} for name in names)),
        coverage_table(results, names),
    ]
    write(tables, [], markdown)


if __name__ == "__main__":
    typer.run(main)
