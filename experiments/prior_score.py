"""How well the model knows its own prior: log-likelihood of unseen points, after Adriaensen et al.

    python experiments/prior_score.py [--data curves.npz] [--model reference] [--curves 1000]

Mean log-density, in nats, of the noisy points after the first 10, 20, 40 and 80 of 100, with the
standard error over curves; coverage of central intervals of the final value. Without `--data` the
curves are drawn afresh from the reference prior; with it, `curves` (n, 100) of the file is used.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

import lcpfn

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.support.means import mean_and_error
from lcpfn.priors import ReferencePrior

CUTOFFS = (10, 20, 40, 80)
CENTRAL = (0.50, 0.88, 0.96)


def score(model: lcpfn.LCPFN, curves: np.ndarray, cutoff: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores forecasts from the first `cutoff` steps of curves (n, steps).

    Returns:
        mean log-density of each curve's unseen points (n,), and whether the central intervals of
        its final value cover what happened (n, len(CENTRAL)).
    """
    densities, covered = np.empty(len(curves)), np.empty((len(curves), len(CENTRAL)), bool)
    tails = [(1 - level) / 2 for level in CENTRAL]
    for index, curve in enumerate(curves):
        post = model.extrapolate(curve[:cutoff], horizon=curves.shape[1], bounds=None)
        densities[index] = post.log_prob(curve[cutoff:]).mean()
        low = post.quantile(tails)[:, -1]
        high = post.quantile([1 - tail for tail in tails])[:, -1]
        covered[index] = (low <= curve[-1]) & (curve[-1] <= high)
    return densities, covered


def main(
    data: Annotated[Path | None, typer.Option(help="npz with `curves`")] = None,
    model: Annotated[str, typer.Option(help="bundled name or path")] = "reference",
    curves: Annotated[int, typer.Option(help="at most this many")] = 1000,
    seed: Annotated[int, typer.Option(help="of fresh curves")] = 1,
) -> None:
    """Prints the table."""
    if data is None:
        batch = ReferencePrior().sample(curves, torch.Generator().manual_seed(seed))
        observed = batch.values.double().numpy()
    else:
        observed = np.load(data)["curves"][:curves].astype(float)
    loaded = lcpfn.load(model)
    table = Table(
        title=f"{loaded.name} on {len(observed)} curves of {data or 'the reference prior'}"
    )
    headings = ["observed", "nats", "std. error"]
    for heading in headings + [f"{level:.0%} covers" for level in CENTRAL]:
        table.add_column(heading, justify="right")
    for cutoff in CUTOFFS:
        densities, covered = score(loaded, observed, cutoff)
        mean, error = mean_and_error(densities)
        shares = [f"{share:.3f}" for share in covered.mean(0)]
        table.add_row(str(cutoff), f"{mean:.3f}", f"{error:.3f}", *shares)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
