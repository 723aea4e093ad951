"""A network trained on a Gaussian-process prior against the exact posterior predictive.

    python experiments/gp_exact.py [--curves 160000] [--folder runs/gp_exact]

The same training code as for the bundled models (lcpfn.training), a small network, a prior whose
posterior is closed-form. Prints, on fresh curves and by cutoff, the mean Kullback-Leibler
divergence of the network's forecast from the exact one and both log-likelihoods of the noisy
unseen points. Training goes on from the checkpoint in the folder. After Müller et al. 2022.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.support.means import with_error
from lcpfn.atomic import write_atomically
from lcpfn.network.config import NetworkConfig
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network
from lcpfn.priors import CurveBatch, GaussianProcessPrior
from lcpfn.training import Execution, Progress, TrainingConfig, train

CUTOFFS = (10, 20, 40, 80)
_NODES = 1601
_REACH = 8.0


def divergence(mean: torch.Tensor, std: torch.Tensor, forecast: BinnedDistribution) -> torch.Tensor:
    """KL(exact || forecast) at every step, (curves, m), by quadrature over the exact normal.

    The trapezoid rule over many nodes: a histogram density has jumps that Gauss-Hermite misses.
    """
    z = torch.linspace(-_REACH, _REACH, _NODES, dtype=torch.float64)
    density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    weights = density * (z[1] - z[0])
    total = torch.zeros_like(mean)
    for node, weight in zip(z, weights, strict=True):
        exact = -0.5 * node**2 - 0.5 * math.log(2 * math.pi) - torch.log(std)
        total += weight * (exact - forecast.log_prob(mean + node * std))
    return total


def exact_log_prob(values: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Log-density of values (curves, m) under the exact predictive."""
    return -0.5 * ((values - mean) / std) ** 2 - torch.log(std) - 0.5 * math.log(2 * math.pi)


@torch.inference_mode()
def compare(network: Network, prior: GaussianProcessPrior, batch: CurveBatch) -> list[str]:
    """Markdown lines, one for each cutoff."""

    def cell(numbers: torch.Tensor) -> str:
        return with_error(numbers.mean(1).numpy(), digits=4)

    lines = [
        "| observed of 100 | KL(exact, PFN) | exact | PFN | PFN minus exact |",
        "| --- | --- | --- | --- | --- |",
    ]
    fractions = batch.fractions.expand_as(batch.values)
    for cutoff in CUTOFFS:
        seen = batch.values[:, :cutoff].contiguous()
        unseen = batch.values[:, cutoff:].double().contiguous()
        mean, std = prior.posterior(seen)
        mean = mean.contiguous()
        known = Observations(fractions[:, :cutoff], seen)
        prefixes = torch.full(unseen.shape, cutoff)
        context = network.view.observe(known)
        forecast = network(context, known, prefixes, Questions(fractions[:, cutoff:])).double()
        # The quadrature asks thousands of questions of every step: some curves will do.
        some = slice(min(100, len(seen)))
        kl = divergence(mean[some], std, forecast[some])
        exact = exact_log_prob(unseen, mean, std)
        learned = forecast.log_prob(unseen)
        cells = [cell(part) for part in (kl, exact, learned, learned - exact)]
        lines.append(f"| {cutoff} | " + " | ".join(cells) + " |")
    return lines


def main(
    curves: Annotated[int, typer.Option(help="to train on")] = 160_000,
    width: Annotated[int, typer.Option(help="of the network")] = 64,
    layers: Annotated[int, typer.Option(help="of the network")] = 3,
    folder: Annotated[Path, typer.Option(help="of the checkpoint")] = Path("runs/gp_exact"),
    test_curves: Annotated[int, typer.Option(help="fresh ones to compare on")] = 1000,
    seed: Annotated[int, typer.Option(help="of the fresh curves")] = 7,
    out: Annotated[Path, typer.Option(help="the table, as Markdown")] = Path(
        "docs/results/gp_exact.md"
    ),
) -> None:
    """Trains, then prints and stores the table."""
    prior = GaussianProcessPrior()

    def show(progress: Progress) -> None:
        if progress.validation is not None:
            scores = ", ".join(f"{key} {value:.3f}" for key, value in progress.validation.items())
            print(
                f"step {progress.step} of {progress.steps}, {progress.seconds:.0f} s: {scores}",
                flush=True,
            )

    config = TrainingConfig(
        curves=curves, queries=32, network=NetworkConfig(width=width, layers=layers, heads=4)
    )
    result = train(prior, config, folder, execution=Execution(compile=False), observer=show)
    batch = prior.sample(test_curves, torch.Generator().manual_seed(seed))
    size = sum(parameter.numel() for parameter in result.network.parameters())
    text = "\n".join(
        [
            f"A network of {size:,} parameters after {result.curves:,} curves and "
            f"{result.seconds:.0f} s on {result.hardware}; {test_curves:,} fresh curves (100 for",
            "the divergence), nats, standard errors over curves.",
            "",
            *compare(result.network, prior, batch),
            "",
        ]
    )
    write_atomically(out, text.encode())
    Console().print(text, markup=False)


if __name__ == "__main__":
    typer.run(main)
