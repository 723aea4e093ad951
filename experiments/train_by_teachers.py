r"""Gives the default model back what an older one knew better: accuracies of small networks.

    python experiments/train_by_teachers.py runs/taught taught --model MODEL.safetensors \
        --accuracies BEFORE.safetensors
    python experiments/train_by_teachers.py runs/taught anchored --model MODEL.safetensors \
        --accuracies BEFORE.safetensors --start runs/taught/taught.safetensors --steps 250 \
        --rate 8e-5 --seed 6 --others 0.15 0.1 0.15 0.6
    python experiments/train_default.py average runs/taught default \
        --model runs/taught/anchored.safetensors --share 0.75 --model MODEL.safetensors --share 0.25

Training on recorded runs taught the default model deep networks, and cost it some of what it knew
of data sets that it has not seen: accuracies of small networks that level off. The model before it
(`BEFORE`, which saw draws of `RealisticPrior` alone) still knows them. So the network goes on with
two teachers (distillation, Hinton et al. 2015; learning without forgetting, Li and Hoiem 2016): on
accuracies that `RealisticPrior` draws, the one before; on all other draws and on varied recorded
runs, itself as it was (`MODEL`). A teacher's whole forecast says far more than one outcome, and
where a network is its own teacher nothing pulls it away; so little training is enough, and the rest
stays.

Training can be killed and resumes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.train_default import recorded_priors, shared_card
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.transformer import Network
from lcpfn.priors import AnnealedPrior, MixturePrior, Prior, RealisticPrior
from lcpfn.training import TrainingConfig
from lcpfn.training.checkpoint import CHECKPOINT_NAME, Checkpoint
from lcpfn.training.optimisers import build_optimisers, learning_rate, set_rate
from lcpfn.training.questions import Examples, draw_examples
from lcpfn.weights import save_weights

# Curves of a step, and how many of them the older model teaches.
_BATCH, _ACCURACIES = 128, 58
# A teacher's forecast is shown by so many of its quantiles, each as wide as this part of its
# spread: a histogram has no gradient inside a bin.
_QUANTILES, _WIDTH = 12, 0.15
_SPREAD = (0.16, 0.84)
_LEAST_WIDTH = 1e-6
# One forecast that misses by far must not outweigh a batch.
_FURTHEST = 20.0


@dataclass(frozen=True)
class Lesson:
    """Draws, and who teaches them.

    Args:
        prior: draws the curves.
        curves: of a step.
        teacher: gives the forecasts that are to be learned.
        of_best: gives those of the best value up to a step.
    """

    prior: Prior
    curves: int
    teacher: Network
    of_best: Network

    def divergence(self, network: Network, queries: int, generator: torch.Generator) -> Tensor:
        """Mean Kullback-Leibler divergence of a network's forecasts from the teacher's."""
        examples = draw_examples(self.prior.sample(self.curves, generator), queries, generator)
        ours = _answers(network, examples)
        levels = torch.rand((_QUANTILES, *examples.prefixes.shape), generator=generator)
        levels = (levels + torch.arange(_QUANTILES)[:, None, None]) / _QUANTILES
        found = _divergence(ours, self.teacher, examples, levels)
        if self.of_best is not self.teacher:
            best = _divergence(ours, self.of_best, examples, levels)
            asked = examples.questions.best
            assert asked is not None
            found = torch.where(asked > 0, best, found)
        return torch.where(torch.isfinite(found), found, 0.0).mean()


def _answers(network: Network, examples: Examples) -> BinnedDistribution:
    observations = examples.observations
    context = network.view.observe(observations)
    found: BinnedDistribution = network(
        context, observations, examples.prefixes, examples.questions
    )
    return found


def _divergence(
    ours: BinnedDistribution, teacher: Network, examples: Examples, levels: Tensor
) -> Tensor:
    """(curves, queries), from quantiles of the teacher's forecasts at `levels` (k, ...)."""
    with torch.no_grad():
        theirs = _answers(teacher, examples)
        drawn = theirs.quantile(levels.clamp(1e-4, 1 - 1e-4))
        low, high = (theirs.quantile(torch.full_like(levels[:1], level)) for level in _SPREAD)
        width = (_WIDTH * (high - low) / 2).clamp_min(_LEAST_WIDTH).expand_as(drawn)
        known = theirs.expected_log_prob(drawn, width)
    missed = known - ours.expected_log_prob(drawn, width)
    return missed.clamp(-_FURTHEST, _FURTHEST).mean(0)


def lessons(
    network: Network,
    older: Network,
    shares: Sequence[float],
    leave_out: int | None,
    data: Path,
) -> list[Lesson]:
    """What is taught: accuracies by the older network, all else by the network as it is now.

    Args:
        network, older: the teachers.
        shares: among all else, of annealed draws, losses of small networks, benchmarks' runs and
            other recorded runs.
        leave_out: a half of the sources.
        data: folder with one folder for each family.
    """
    priors: list[Prior] = [
        AnnealedPrior(),
        RealisticPrior(accuracy_rate=0.0),
        *recorded_priors(data, leave_out),
    ]
    others = MixturePrior(list(zip(shares, priors, strict=True)))
    return [
        Lesson(RealisticPrior(accuracy_rate=1.0), _ACCURACIES, older, network),
        Lesson(others, _BATCH - _ACCURACIES, network, network),
    ]


def teach(
    network: Network,
    taught: Sequence[Lesson],
    config: TrainingConfig,
    folder: Path,
    saved_every: float = 60.0,
) -> tuple[int, float]:
    """Trains a network in place, going on from the folder's checkpoint.

    Args:
        network: to train.
        taught: what each step teaches.
        config: of the training.
        folder: the checkpoint goes here.
        saved_every: seconds between two of them.

    Returns:
        How many steps and seconds that took.
    """
    generator = torch.Generator().manual_seed(config.seed)
    optimisers = build_optimisers(network, config)
    checkpoint = Checkpoint(
        folder / CHECKPOINT_NAME, config, {}, network.train(), optimisers, generator
    )
    done, before = checkpoint.resume()
    began = saved = time.monotonic()
    for step in range(done, config.steps):
        found = [lesson.divergence(network, config.queries, generator) for lesson in taught]
        total = sum(lesson.curves * each for lesson, each in zip(taught, found, strict=True)) / sum(
            lesson.curves for lesson in taught
        )
        assert isinstance(total, Tensor)
        total.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        set_rate(optimisers, learning_rate(config, step))
        for optimiser in optimisers if torch.isfinite(norm) else ():
            optimiser.step()
        network.zero_grad(set_to_none=True)
        now = time.monotonic()
        if step % 20 == 0:
            shown = ", ".join(f"{float(each.detach()):.4f}" for each in found)
            print(f"{step} of {config.steps}: {shown}", flush=True)
        if now - saved >= saved_every or step + 1 == config.steps:
            saved = now
            checkpoint.save(step + 1, before + now - began)
    return config.steps, before + time.monotonic() - began


def main(
    out: Annotated[Path, typer.Argument(help="folder for checkpoints and weights")],
    name: Annotated[str, typer.Argument(help="of the weights")],
    model: Annotated[str, typer.Option(help="name or path of the model to go on with")],
    accuracies: Annotated[str, typer.Option(help="name or path of the one that knows them")],
    start: Annotated[
        str | None, typer.Option(help="name or path of the weights to begin with; else the model's")
    ] = None,
    leave_out: Annotated[int | None, typer.Option(help="a half of the sources, 0 or 1")] = None,
    steps: Annotated[int, typer.Option(help="of 128 curves each")] = 500,
    rate: Annotated[float, typer.Option(help="peak learning rate")] = 2e-4,
    seed: int = 5,
    others: Annotated[
        tuple[float, float, float, float],
        typer.Option(help="shares of annealed draws, losses, benchmarks and other recorded runs"),
    ] = (0.25, 0.2, 0.2, 0.35),
    data: Annotated[Path, typer.Option(help="folder with one folder of .npz per family")] = Path(
        "../shared/data"
    ),
) -> None:
    """Trains on with two teachers."""
    torch.set_num_threads(1)
    begin, older = lcpfn.load(model), lcpfn.load(accuracies)
    config = TrainingConfig(
        curves=steps * _BATCH,
        batch=_BATCH,
        queries=24,
        learning_rate=rate,
        warmup=0.03,
        seed=seed,
        network=begin.network.config,
    )
    network = Network.of((begin if start is None else lcpfn.load(start)).network)
    itself, theirs = (Network.of(each.network) for each in (begin, older))
    for teacher in (itself, theirs):
        teacher.requires_grad_(False)
    taught = lessons(itself, theirs, others, leave_out, data)
    made, seconds = teach(network, taught, config, out / name)
    card = {
        **shared_card(begin.card),
        "taught_by": {
            "itself": begin.card["sha256"],
            "accuracies": older.card["sha256"],
            "curves": made * _BATCH,
            "share_of_accuracies": _ACCURACIES / _BATCH,
            "shares_of_others": others,
            "steps": made,
            "seconds": round(seconds),
            "learning_rate": rate,
            "seed": seed,
        },
    }
    print(save_weights(out, name, network.eval().engine(), card))


if __name__ == "__main__":
    typer.run(main)
