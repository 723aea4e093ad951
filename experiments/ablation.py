"""What each effect of the prior is worth: one at a time is left out, real curves judge.

    python experiments/ablation.py ../shared/data --out runs/ablation

Small networks, told what the default model is told, train on the realistic prior, whole and without
one effect, with the same seed. The project's own accuracies (experiments/curves, family "curves")
are judged as well: only they are counts. The table shows by how much leaving an effect out changes
the CRPS of the final value, in percent of the whole prior's, paired over the same curves: above
zero, the effect is worth having. Standard errors are over curves; how much two trainings of the
same prior differ by chance is shown by the row of a second seed, and smaller differences mean
nothing. A cut-off run goes on from its checkpoints.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.benchmarks import folder
from experiments.support.score_tables import cutoff_table, write
from experiments.support.scores import Scores, pool
from experiments.support.small_networks import scores, small_network
from experiments.support.tasks import read_tasks
from lcpfn.priors import BroadConfig, RealisticPrior


def _broad(**settings: Any) -> RealisticPrior:
    return RealisticPrior(broad=replace(BroadConfig(), **settings))


WITHOUT: dict[str, RealisticPrior] = {
    "resemblance to real curves": RealisticPrior(share=0.0),
    "learning-rate schedules": _broad(schedule_weights=(1.0, 0, 0, 0, 0, 0, 0)),
    "a first record before training": _broad(untrained_rate=0.0, first_jump_rate=0.0),
    "loss held up by the rate": _broad(floor_rate=0.0),
    "overfitting": _broad(overfitting_rate=0.0),
    "late drops": _broad(late_drop_rate=0.0),
    "double descent, early instability": _broad(bump_rate=0.0, instability_rate=0.0),
    "divergence, level shifts, spikes": _broad(divergence_rate=0.0, shift_rate=0.0, spike_rate=0.0),
    "smooth curves, wiggles, kinks": _broad(smooth_rate=0.0, wiggle_rate=0.0, kink_rate=0.0),
    "autocorrelated noise": _broad(wandering_rate=0.0),
    "heavy tails": _broad(heavy_rate=0.0),
    "noise that shrinks": _broad(annealed_noise_rate=0.0, falling_noise_rate=0.0),
    "flat curves": _broad(flat_rate=0.0),
    "counts and rounding": replace(_broad(quantised_rate=0.0), rounded_rate=0.0),
    "curves that stand still": RealisticPrior(dead_rate=0.0, frozen_rate=0.0, stuck_rate=0.0),
    "known ceilings": _broad(ceiling_rate=0.0),
}


def change(without: Scores, whole: Scores) -> list[str]:
    """Percent by which CRPS grows at every cutoff, with its standard error."""
    cells = []
    for other, own in zip(without.crps, whole.crps, strict=True):
        share = other.mean() / own.mean()
        error = (other - share * own).std() / np.sqrt(own.size) / own.mean()
        cells.append(f"{100 * (share - 1):+.1f} ± {100 * error:.1f}")
    return cells


def main(
    data: Annotated[Path, typer.Argument(help="folder with one folder of .npz per family")],
    out: Annotated[Path, typer.Option(help="folder for checkpoints; a second run goes on there")],
    curves: Annotated[int, typer.Option(help="curves that each network trains on")] = 25_000,
    per_set: Annotated[int, typer.Option(help="real curves scored of each data set")] = 1000,
    seed: Annotated[int, typer.Option(help="of training and of the choice of curves")] = 0,
    markdown: Annotated[Path | None, typer.Option(help="write the tables there too")] = None,
) -> None:
    """Leaves out one effect at a time."""
    recorded = [*folder.load(data), *folder.load(folder.OWN_CURVES, metric="val_accuracy")]
    tasks = {name: task for name, task in read_tasks(recorded, per_set, seed) if task}
    whole = RealisticPrior()
    runs = {
        "everything": (whole, seed),
        "nothing (a second seed)": (whole, seed + 1),
        **{name: (prior, seed) for name, prior in WITHOUT.items()},
    }
    pooled = {}
    for number, name in enumerate(track(runs, "training")):
        prior, chosen = runs[name]
        model = small_network(prior, out / f"{number:02d}", curves, chosen)
        pooled[name] = pool({task: {"model": s} for task, s in scores(model, tasks).items()})
    tables = []
    for family, members in pooled["everything"].items():
        count = members["model"].crps.shape[1]
        title = f"{family}, {count} curves: change of CRPS in percent without"
        table = cutoff_table(title, "left out")
        table.caption = f"networks of {curves:,} curves"
        for name in list(runs)[1:]:
            table.add_row(name, *change(pooled[name][family]["model"], members["model"]))
        tables.append(table)
    write(tables, [], markdown)


if __name__ == "__main__":
    typer.run(main)
