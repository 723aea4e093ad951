r"""Teaches the default model what other models know better, and keeps what it knows.

    python experiments/train_by_teachers.py runs/taught first --model MODEL.safetensors \
        --specialist runs/side/default.safetensors --older BEFORE.safetensors \
        --accuracies 44 --own 0 --steps 800
    python experiments/train_by_teachers.py runs/taught second \
        --model runs/taught/first.safetensors --specialist runs/side/default.safetensors \
        --older BEFORE.safetensors --steps 500 --rate 1.5e-4 --seed 6

Three models are good at different things: the default model (`MODEL`), an average of weights over
its stages; the network that trained longest on recorded runs (the specialist), which forecasts the
runs of TaskSet best; and the one before both (`BEFORE`), which saw no recorded run and so forgot
nothing of data sets that no stage holds. Averages of their weights lose some of each. So the
default model goes on learning from their forecasts (distillation, Hinton et al. 2015; learning
without forgetting, Li and Hoiem 2016), on draws of the priors and on varied recorded runs: the
mixture of their forecasts is to be its own, and on accuracies of small networks that of the older
model almost alone. A whole forecast says far more than one outcome, so little training is enough.

Repositories and workloads hold few runs, which a network soon knows by heart. With `--unheard` six
times, networks that lack a sixth of the sources each (`experiments/train_sixths.py`) teach what
they forecast of runs that they have not heard (cross-fitting): so it forecasts what it has heard
about as it will forecast what is new.

Training can be killed and resumes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.support.recorded_runs import SIXTHS
from experiments.support.taught_quantiles import draw_levels, taught_quantiles
from experiments.support.unheard import Unheard, load_unheard
from experiments.train_default import (
    at_other_lengths,
    fold_of,
    is_ragged,
    recorded_priors,
    runs_without,
    shared_card,
    strongly_varied,
    weights_by_fold,
)
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import UNKNOWN
from lcpfn.network.transformer import Network
from lcpfn.priors import (
    AnnealedPrior,
    MixturePrior,
    Prior,
    RealisticPrior,
    RecordedPrior,
    RecordedRun,
)
from lcpfn.training import TrainingConfig
from lcpfn.training.ascent import Ascent
from lcpfn.training.checkpoint import CHECKPOINT_NAME, Checkpoint
from lcpfn.training.objective import FAR_MISS, logarithmic_beyond
from lcpfn.training.optimisers import learning_rate
from lcpfn.training.questions import Examples, draw_examples
from lcpfn.weights import save_weights

# Curves of a step, and the share of other runs of small networks among those that are no
# accuracies of theirs.
_BATCH, _SMALL = 128, 0.34
# Of accuracies of small networks, of other runs of theirs and of all others: how much the network
# itself, the specialist and the older model teach.
_SHARES = ((0.1, 0.0, 0.9), (0.3, 0.45, 0.25), (0.3, 0.6, 0.1))
# Where runs are drawn at other lengths than their own, outcomes teach, and the older model. The
# others know such runs by their length.
_AT_OTHER_LENGTHS = (0.6, 0.4)
# Many accuracies count few examples.
_ROUNDED = 0.5
# What a network teaches of runs that it has not heard, beside the network itself, the specialist
# and the older one.
_UNHEARD, _BESIDE_UNHEARD = 0.65, (0.25, 0.0, 0.1)
# The share of curves of any other kind that are drawn from the prior then.
_ANNEALED = 0.3
# A teacher's forecast is shown by so many of its quantiles.
_QUANTILES = 6
# The share of a run in which forecasts of logs of any kind are taken to be too narrow.
_FIRST_RECORDS = 0.1
# One forecast that misses by far must not outweigh a batch.
_FURTHEST = 20.0


@dataclass(frozen=True)
class Teacher:
    """A network whose forecasts are to be learned, and how much they weigh among others'.

    Args:
        network: gives the forecasts. Of the best value, where learning rates are told at the
            records, and where they are told for the whole run, it is asked only if it was trained
            to hear of them.
        share: of the mixture of all teachers' forecasts.
        hears: whether it is asked where learning rates are told, if it was trained to hear of them.
        wider: by this share what its forecasts hold above their median is moved away from it in
            the first tenth of a run; later by less.
        fading: how fast it gets less: in proportion to the steps to the power of minus this.
    """

    network: Network
    share: float
    hears: bool = True
    wider: float = 0.0
    fading: float = 2.0

    def asked(self, examples: Examples) -> Tensor:
        """(curves, queries) the share, or 0 where a question is beyond the network."""
        observations, best = examples.observations, examples.questions.best
        assert best is not None
        share = torch.full_like(best, self.share)
        config = self.network.config
        if not config.best:
            share = share * (best == 0)
        told = ((config.rates, observations.rates), (config.schedule, observations.schedule))
        for is_input, values in told:
            if not (is_input and self.hears) and values is not None:
                share = share * (values == UNKNOWN).flatten(1).all(1, keepdim=True)
        return share

    def divergence(self, ours: BinnedDistribution, examples: Examples, levels: Tensor) -> Tensor:
        """(curves, queries), from quantiles of the forecasts at `levels` (k, curves, queries)."""
        with torch.no_grad():
            theirs = _answers(self.network, examples)
            drawn, width = taught_quantiles(theirs, levels)
            known = theirs.expected_log_prob(drawn, width)
            if self.wider:
                seen = examples.observations.fractions.gather(1, examples.prefixes - 1)
                middle = theirs.quantile(torch.full_like(levels[:1], 0.5))
                further = self.wider * (_FIRST_RECORDS / seen).clamp(max=1.0) ** self.fading
                drawn = drawn + further * (drawn - middle).clamp_min(0.0)
        missed = known - ours.expected_log_prob(drawn, width)
        found = missed.clamp(-_FURTHEST, _FURTHEST).mean(0)
        return torch.where(torch.isfinite(found), found, 0.0)


@dataclass(frozen=True)
class Outcomes:
    """What became of the runs, where no forecast of theirs can be trusted.

    Args:
        share: of the mixture of all that teach.
    """

    share: float

    def asked(self, examples: Examples) -> Tensor:
        """(curves, queries) the share."""
        return torch.full(examples.prefixes.shape, self.share)

    def divergence(self, ours: BinnedDistribution, examples: Examples, levels: Tensor) -> Tensor:
        """(curves, queries), up to a constant."""
        return logarithmic_beyond(-ours.expected_log_prob(examples.clean, examples.noise), FAR_MISS)


@dataclass(frozen=True)
class Lesson:
    """Draws, and who teaches them.

    Args:
        prior: draws the curves.
        curves: of a step.
        teachers: the mixture of their forecasts is to be learned. Questions that none of them
            answers are left out.
    """

    prior: Prior
    curves: int
    teachers: Sequence[Teacher | Outcomes]

    def divergence(self, network: Network, queries: int, generator: torch.Generator) -> Tensor:
        """Mean over the teachers of the Kullback-Leibler divergence from their forecasts.

        It is least where that from their mixture is.
        """
        examples = draw_examples(self.prior.sample(self.curves, generator), queries, generator)
        ours = _answers(network, examples)
        total, shares = torch.zeros(()), torch.zeros(())
        for teacher in self.teachers:
            levels = draw_levels(_QUANTILES, examples.prefixes.shape, generator)
            share = teacher.asked(examples)
            total = total + share * teacher.divergence(ours, examples, levels)
            shares = shares + share
        answered = shares > 0
        return (total[answered] / shares[answered]).mean()


def _answers(network: Network, examples: Examples) -> BinnedDistribution:
    observations = examples.observations
    context = network.view.observe(observations)
    found: BinnedDistribution = network(
        context, observations, examples.prefixes, examples.questions
    )
    return found


@dataclass(frozen=True)
class OfAnyKind:
    """How runs are taught that are no small networks'.

    Args:
        wider, fading: of the forecasts of all three, see `Teacher`.
        outcomes: how much the outcomes teach, a share.
        unheard: networks that lack a sixth of the sources each, which teach of these in the place
            of outcomes; none or six.
    """

    wider: float = 0.0
    fading: float = 2.0
    outcomes: float = 0.0
    unheard: Sequence[Network] = ()


def lessons(
    teachers: Sequence[Network],
    accuracies: int,
    own: float,
    resampled: int,
    others: OfAnyKind,
    leave_out: int | None,
    data: Path,
) -> list[Lesson]:
    """What is taught, by whom.

    Args:
        teachers: the network as it is before, the one trained longest on recorded runs, and the
            older one, which has seen none of them.
        accuracies: of small networks, so many curves of a step.
        own: how many of these are the project's own recorded ones rather than drawn, as a share.
        resampled: so many curves of a step are benchmarks' runs, drawn at other lengths.
        others: how all other runs are taught.
        leave_out: a half of the sources.
        data: folder with one folder for each family.
    """
    runs = runs_without(data, leave_out)
    benchmarks, ragged = recorded_priors(runs)
    rest = _BATCH - accuracies - resampled
    small = round(_SMALL * rest)
    taught = [
        Lesson(
            _accuracies(own, [run for run in runs if run.group == "own"]),
            accuracies,
            _mixture(teachers, _SHARES[0]),
        ),
        Lesson(
            MixturePrior([(0.4, RealisticPrior(accuracy_rate=0.0)), (0.6, benchmarks)]),
            small,
            _mixture(teachers, _SHARES[1]),
        ),
        *(
            _of_unheard(teachers, others, runs, rest - small)
            if others.unheard
            else [_of_any_kind(teachers, others, ragged, rest - small)]
        ),
    ]
    if resampled:
        by_outcomes, by_older = _AT_OTHER_LENGTHS
        lesson = (Outcomes(by_outcomes), Teacher(teachers[-1], by_older))
        even = [run for run in runs if not is_ragged(run)]
        taught.append(Lesson(at_other_lengths(even), resampled, lesson))
    return taught


def _of_any_kind(
    teachers: Sequence[Network], others: OfAnyKind, ragged: Prior, curves: int
) -> Lesson:
    # What the older model makes of learning rates holds for small networks.
    taught_by: list[Teacher | Outcomes] = [
        *_mixture(
            teachers,
            [share * (1 - others.outcomes) for share in _SHARES[2]],
            older_hears=False,
            wider=(others.wider, others.fading),
        )
    ]
    if others.outcomes:
        taught_by.append(Outcomes(others.outcomes))
    return Lesson(MixturePrior([(0.35, AnnealedPrior()), (0.65, ragged)]), curves, taught_by)


def _of_unheard(
    teachers: Sequence[Network], others: OfAnyKind, runs: Sequence[RecordedRun], curves: int
) -> list[Lesson]:
    wider = (others.wider, others.fading)
    drawn = round(_ANNEALED * curves)
    each = max(1, round((curves - drawn) / SIXTHS))
    itself, _, older = _mixture(teachers, _BESIDE_UNHEARD, older_hears=False, wider=wider)
    found = [Lesson(AnnealedPrior(), drawn, [itself, older])]
    ragged = [run for run in runs if is_ragged(run)]
    for sixth, weights in enumerate(weights_by_fold(ragged, SIXTHS)):
        chosen = [run for run in ragged if fold_of(run, SIXTHS) == sixth]
        other = Teacher(others.unheard[sixth], _UNHEARD, True, *wider)
        found.append(Lesson(strongly_varied(chosen, weights), each, [other, itself, older]))
    return found


def _accuracies(own: float, runs: Sequence[RecordedRun]) -> Prior:
    drawn = RealisticPrior(accuracy_rate=1.0, rounded_rate=_ROUNDED)
    if not (own and runs):
        return drawn
    recorded = [(own / 2, RecordedPrior(runs)), (own / 2, at_other_lengths(runs))]
    return MixturePrior([(1 - own, drawn), *recorded])


def _mixture(
    teachers: Sequence[Network],
    shares: Sequence[float],
    older_hears: bool = True,
    wider: tuple[float, float] = (0.0, 2.0),
) -> list[Teacher]:
    itself, specialist, older = (
        Teacher(network, share, True, *wider)
        for network, share in zip(teachers, shares, strict=True)
    )
    return [itself, specialist, replace(older, hears=older_hears)]


def teach(
    network: Network,
    taught: Sequence[Lesson],
    config: TrainingConfig,
    folder: Path,
    saved_every: float = 60.0,
) -> float:
    """Trains a network in place, going on from the folder's checkpoint.

    Args:
        network: to train.
        taught: what each step teaches.
        config: of the training.
        folder: the checkpoint goes here.
        saved_every: seconds between two of them.

    Returns:
        How many seconds that took, those before an interruption too.

    Raises:
        TrainingError: the divergence or its gradient is no finite number.
    """
    generator = torch.Generator().manual_seed(config.seed)
    ascent = Ascent(network, config)
    checkpoint = Checkpoint(
        folder / CHECKPOINT_NAME, config, {}, network.train(), ascent.optimisers, generator
    )
    done, before = checkpoint.resume()
    began = saved = time.monotonic()
    for step in range(done, config.steps):
        found = [lesson.divergence(network, config.queries, generator) for lesson in taught]
        counts = torch.tensor([float(lesson.curves) for lesson in taught])
        ascent.step(-(counts @ torch.stack(found)) / counts.sum(), learning_rate(config, step))
        now = time.monotonic()
        if step % 20 == 0:
            shown = ", ".join(f"{float(each.detach()):.4f}" for each in found)
            print(f"{step} of {config.steps}: {shown}", flush=True)
        if now - saved >= saved_every or step + 1 == config.steps:
            saved = now
            checkpoint.save(step + 1, before + now - began)
    return before + time.monotonic() - began


def main(
    out: Annotated[Path, typer.Argument(help="folder for checkpoints and weights")],
    name: Annotated[str, typer.Argument(help="of the weights")],
    model: Annotated[str, typer.Option(help="name or path of the model to go on with")],
    specialist: Annotated[str, typer.Option(help="of the one trained longest on recorded runs")],
    older: Annotated[str, typer.Option(help="of the one that has seen none of them")],
    accuracies: Annotated[
        int, typer.Option(help="curves of a step that are accuracies of small networks")
    ] = 60,
    own: Annotated[
        float, typer.Option(help="how many of these are the project's own recorded ones, a share")
    ] = 0.4,
    resampled: Annotated[
        int, typer.Option(help="curves of a step that are benchmarks' runs at other lengths")
    ] = 0,
    wider: Annotated[
        float, typer.Option(help="of early forecasts of all others, see Teacher, a share")
    ] = 0.0,
    fading: Annotated[float, typer.Option(help="how fast --wider gets less, see Teacher")] = 2.0,
    outcomes: Annotated[
        float, typer.Option(help="how much the outcomes teach of all others, a share")
    ] = 0.0,
    unheard: Unheard = None,
    leave_out: Annotated[int | None, typer.Option(help="a half of the sources, 0 or 1")] = None,
    steps: Annotated[int, typer.Option(help=f"of {_BATCH} curves each")] = 800,
    rate: Annotated[float, typer.Option(help="peak learning rate")] = 2e-4,
    seed: int = 5,
    data: Annotated[Path, typer.Option(help="folder with one folder of .npz per family")] = Path(
        "../shared/data"
    ),
) -> None:
    """Trains on with three teachers."""
    torch.set_num_threads(1)
    others = load_unheard(unheard)
    loaded = [lcpfn.load(path) for path in (model, specialist, older)]
    begin = loaded[0]
    config = TrainingConfig(
        curves=steps * _BATCH,
        batch=_BATCH,
        queries=24,
        learning_rate=rate,
        warmup=0.03,
        seed=seed,
        network=begin.network.config,
    )
    network = Network.of(begin.network)
    teachers = [Network.of(each.network) for each in loaded]
    unheard_networks = [Network.of(each.network) for each in others]
    for teacher in (*teachers, *unheard_networks):
        teacher.requires_grad_(False)
    of_any_kind = OfAnyKind(wider, fading, outcomes, unheard_networks)
    taught = lessons(teachers, accuracies, own, resampled, of_any_kind, leave_out, data)
    seconds = teach(network, taught, config, out / name)
    card = {
        **shared_card(begin.card),
        "taught": [
            *begin.card.get("taught", []),
            {
                "by": [each.card["sha256"] for each in loaded],
                "shares": _SHARES,
                "curves": [lesson.curves for lesson in taught],
                "own": own,
                "wider": wider,
                "fading": fading,
                "outcomes": outcomes,
                "unheard": [each.card["sha256"] for each in others],
                "steps": steps,
                "seconds": round(seconds),
                "learning_rate": rate,
                "seed": seed,
            },
        ],
    }
    print(save_weights(out, name, network.eval().engine(), card))


if __name__ == "__main__":
    typer.run(main)
