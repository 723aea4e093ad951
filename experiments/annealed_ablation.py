r"""What each effect of `AnnealedPrior` is worth on the runs that it was made for.

    python experiments/annealed_ablation.py ../shared/data/world ../shared/data/wild \
        --out runs/annealed_ablation --markdown docs/results/annealed_ablation.md

Small networks train on draws of the prior, whole and without one effect, with the same seed, and
see no recorded run. The tables show by how much leaving an effect out changes the CRPS of the final
value, in percent of the whole prior's: above zero, the effect is worth having. Every source (a
workload, a repository) counts alike, and standard errors are over sources. How much two trainings
of the same prior differ by chance is shown by the row of a second seed. A cut-off run goes on from
its checkpoints.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import track

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.real_runs import by_source, table
from experiments.support.recorded_runs import read_ragged
from experiments.support.run_scores import CUTOFFS, RunScores, paired_ratio, pool, score_runs
from experiments.support.small_networks import small_network
from lcpfn.priors import AnnealedPrior
from lcpfn.priors.annealed import AnnealedConfig


def _without(**settings: Any) -> AnnealedPrior:
    return AnnealedPrior(replace(AnnealedConfig(), **settings))


WITHOUT: dict[str, AnnealedPrior] = {
    "loss held up by the rate": _without(held_rate=0.0),
    "improvement that goes on evenly": _without(slow_rate=0.0),
    "schedules (all rates constant)": _without(schedule_weights=(0, 0, 0, 1.0, 0, 0, 0)),
    "warm-up": _without(warmup_rate=0.0),
    "schedules planned for another length": _without(unfinished_rate=0.0),
    "error rates that saturate": _without(error_rate=0.0),
    "late take-off": _without(takeoff_rate=0.0),
    "overfitting": _without(overfitting_rate=0.0),
    "collapse and recovery": _without(collapse_rate=0.0),
    "spikes": _without(spike_rate=0.0),
    "losses that fall by decades": _without(decades_rate=0.0, easy_rate=0.0),
    "minibatch noise, heavy tails": _without(noisy_rate=0.0, heavy_rate=0.0),
    "running averages": _without(averaged_rate=0.0),
    "rewards": _without(reward_rate=0.0),
}


def change(without: Sequence[RunScores], whole: Sequence[RunScores], cutoff: float) -> str:
    """Percent by which the mean CRPS over sources grows, with its standard error, and coverage."""
    share, error = paired_ratio(without, whole, cutoff)
    return f"{100 * (share - 1):+.1f} ± {100 * error:.1f}, {pool(without, cutoff).inside:.2f}"


def main(
    folders: Annotated[list[Path], typer.Argument(help="folders of recorded runs")],
    out: Annotated[Path, typer.Option(help="folder for checkpoints; a second run goes on there")],
    curves: Annotated[int, typer.Option(help="curves that each network trains on")] = 8_000,
    per_source: Annotated[int, typer.Option(help="most runs scored of each source")] = 12,
    seed: Annotated[int, typer.Option(help="of training")] = 0,
    markdown: Annotated[Path | None, typer.Option(help="write the tables there too")] = None,
) -> None:
    """Leaves out one effect at a time."""
    torch.set_num_threads(1)
    whole = AnnealedPrior()
    runs = {
        "everything": (whole, seed),
        "nothing (a second seed)": (whole, seed + 1),
        **{name: (prior, seed) for name, prior in WITHOUT.items()},
    }
    sources = {
        folder.name: list(by_source(read_ragged(folder), per_source).values()) for folder in folders
    }
    scores: dict[str, dict[str, list[RunScores]]] = {}
    for number, name in enumerate(track(runs, "training")):
        prior, chosen = runs[name]
        model = small_network(prior, out / f"{number:02d}", curves, chosen)
        scores[name] = {
            folder: [score_runs(model, members) for members in found]
            for folder, found in sources.items()
        }
    lines = []
    for folder, found in sources.items():
        alone = scores["everything"][folder]
        rows = [
            [f"left out: {name}", *(change(scores[name][folder], alone, c) for c in CUTOFFS)]
            for name in list(runs)[1:]
        ]
        whole_row = ["everything: CRPS over the last value's, coverage"]
        whole_row += [str(pool(alone, cutoff)) for cutoff in CUTOFFS]
        title = (
            f"{folder}, {len(found)} sources: change of CRPS in percent without an effect, and "
            f"coverage of the central 88 % then; networks of {curves:,} curves"
        )
        lines += table(title, ["", *(f"{c:.0%}" for c in CUTOFFS)], [whole_row, *rows])
    if markdown is not None:
        markdown.write_text("\n".join(lines).lstrip() + "\n")


if __name__ == "__main__":
    typer.run(main)
