"""Calibration of model and samplers, side by side, from the records of prior_vs_mcmc.py.

    python experiments/calibration.py [--records runs/prior_vs_mcmc] [--figure docs/calibration.png]

For every engine on the curves that all chosen engines have: histograms of the probability integral
transform of the final value (all cutoffs), ranks of simulation-based calibration (the true final
value, mean, minimum and roughness of the unseen part among 99 joint trajectories from 20
observations; Talts et al. 2018), and Brier score and reliability of `prob_better` at the horizon,
the incumbent being another curve's final value.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from scipy import stats

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.prior_vs_mcmc import (
    CUTOFFS,
    NAMES,
    RANKED_CUTOFF,
    STATISTICS,
    TRAJECTORIES,
    entries,
    read_records,
)
from experiments.support.means import with_error
from lcpfn.atomic import write_atomically

Array = NDArray[np.float64]
Results = list[dict[str, Any]]

_BINS = 10
_COLOURS = {"model": "#1d4f86", "ensemble": "#b8510d", "nuts": "#3f7f3f", "smc": "#7a4fa0"}


def uniformity(transform: Array) -> float:
    """p-value of the Kolmogorov-Smirnov test for uniform transforms."""
    return float(stats.kstest(transform, "uniform").pvalue)


def rank_uniformity(ranks: NDArray[np.int64]) -> float:
    """p-value of a chi-squared test for ranks within 0..TRAJECTORIES in ten equal bins."""
    counts = np.histogram(ranks, bins=_BINS, range=(0, TRAJECTORIES + 1))[0]
    return float(stats.chisquare(counts).pvalue)


def brier(results: Results) -> Array:
    """Squared error of every stated probability."""
    claimed = np.array([result["prob_better"] for result in results])
    happened = np.array([result["better"] for result in results], float)
    return (claimed - happened) ** 2


def reliability(results: Results) -> tuple[Array, Array, NDArray[np.int64]]:
    """Mean stated probability, observed frequency and number of forecasts of every filled bin."""
    claimed = np.array([result["prob_better"] for result in results])
    happened = np.array([result["better"] for result in results], float)
    place = np.minimum((claimed * _BINS).astype(int), _BINS - 1)
    filled = np.unique(place)
    return (
        np.array([claimed[place == bin_].mean() for bin_ in filled]),
        np.array([happened[place == bin_].mean() for bin_ in filled]),
        np.array([(place == bin_).sum() for bin_ in filled]),
    )


def table(by_engine: dict[str, dict[int, Results]]) -> str:
    """Markdown: Brier scores, uniformity of transforms and ranks."""
    names = list(by_engine)
    lines = [
        "| | " + " | ".join(NAMES[name] for name in names) + " |",
        "| --- | " + " | ".join("---" for _ in names) + " |",
    ]

    def row(label: str, cells: list[str]) -> None:
        lines.append(f"| {label} | " + " | ".join(cells) + " |")

    for cutoff in CUTOFFS:
        cells = []
        for name in names:
            cells.append(with_error(brier(by_engine[name][cutoff]), digits=4))
        row(f"Brier score of `prob_better`, {cutoff} observed", cells)
    for cutoff in CUTOFFS:
        row(
            f"p, transforms of the final value uniform, {cutoff} observed",
            [
                f"{uniformity(np.array([r['transform'] for r in by_engine[name][cutoff]])):.2f}"
                for name in names
            ],
        )
    for statistic in STATISTICS:
        row(
            f"p, ranks of the {statistic} uniform, {RANKED_CUTOFF} observed",
            [
                f"{rank_uniformity(np.array([r['ranks'][statistic] for r in results])):.2f}"
                for name in names
                for results in [by_engine[name][RANKED_CUTOFF]]
            ],
        )
    return "\n".join(lines) + "\n"


def draw(by_engine: dict[str, dict[int, Results]], path: Path) -> None:
    """Transforms, ranks and reliability, one row an engine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = len(by_engine)
    figure, grid = pyplot.subplots(rows, 4, figsize=(11, 2.5 * rows), squeeze=False)
    for axes, (name, by_cutoff) in zip(grid, by_engine.items(), strict=True):
        colour = _COLOURS.get(name, "#555555")
        every = [result for results in by_cutoff.values() for result in results]
        ranked = by_cutoff[RANKED_CUTOFF]
        shown = {
            "transform of the final value": [r["transform"] for r in every],
            "rank of the final value": [r["ranks"]["final value"] for r in ranked],
            "rank of the roughness": [r["ranks"]["roughness"] for r in ranked],
        }
        for ax, (label, numbers) in zip(axes[:3], shown.items(), strict=True):
            top = 1.0 if label.startswith("transform") else TRAJECTORIES + 1.0
            ax.hist(numbers, bins=_BINS, range=(0, top), color=colour)
            low, high = stats.binom.ppf([0.005, 0.995], len(numbers), 1 / _BINS)
            ax.axhspan(low, high, color="#dddddd", zorder=0)
            ax.set_xlabel(label)
        axes[0].set_ylabel(NAMES[name])
        stated, observed, count = reliability(every)
        axes[3].plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
        error = np.sqrt(np.maximum(stated * (1 - stated), 1e-3) / count)
        axes[3].errorbar(stated, observed, error, fmt="o", color=colour, markersize=4)
        axes[3].set_xlabel("stated `prob_better`")
        axes[3].set_ylabel("happened")
        for ax in axes:
            for side in ("top", "right"):
                ax.spines[side].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def main(
    records: Annotated[Path, typer.Option(help="folder of the records")] = Path(
        "runs/prior_vs_mcmc"
    ),
    engines: Annotated[str, typer.Option(help="comma-separated")] = "model,ensemble",
    out: Annotated[Path, typer.Option(help="the table, as Markdown")] = Path(
        "docs/results/calibration.md"
    ),
    figure: Annotated[Path, typer.Option(help="PNG")] = Path("docs/calibration.png"),
) -> None:
    """Prints and stores the table, draws the figure."""
    found = read_records(records)
    chosen = engines.split(",")
    absent = [name for name in chosen if name not in found]
    if absent:
        raise typer.BadParameter(f"{records} holds no records of {', '.join(absent)}")
    shared = sorted(set.intersection(*(set(found[name]) for name in chosen)))
    by_engine = {
        name: {
            cutoff: [entries(found[name], cutoff)[index] for index in shared] for cutoff in CUTOFFS
        }
        for name in chosen
    }
    text = f"{len(shared)} curves.\n\n" + table(by_engine)
    write_atomically(out, text.encode())
    Console().print(text, markup=False)
    draw(by_engine, figure)


if __name__ == "__main__":
    typer.run(main)
