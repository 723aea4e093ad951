r"""Trains the network that hears the other runs of a search.

First a model forecasts all runs of the recorded searches, and of searches drawn from a prior, at
every landmark; no network below needs it again. A few minutes on one core for each:

    python experiments/train_peers.py tables runs/peers/unseen.npz \
        --model runs/fold0/fold0.safetensors --model runs/fold1/fold1.safetensors
    python experiments/train_peers.py tables runs/peers/prior.npz --drawn 300

With two models, each half of the sources (see `experiments/train_default.py`) is forecast by the
one that has not seen it, and with six each sixth, so that forecasts err as they do on runs of
users. Then

    python experiments/train_peers.py train runs/peers/peers.safetensors \
        --tables runs/peers/unseen.npz --tables runs/peers/prior.npz

and, with --leave-out 0/2 and 1/2, twice without a half of the sources, to be judged by
`experiments/peers.py` on the half that neither network has seen; with --leave-out 0/6 to 5/6, six
times without a sixth.

The bundled weights took three stages, of which the card has the numbers. The first two were of a
network that was not shown what regressions over peers expect, so that what is new of it began at
zero; the third is short, as a long one knows the sources better and others worse, and was made
twice, with the mean of both:

    python experiments/train_peers.py train second.safetensors --start first.safetensors ...
    python experiments/train_peers.py train third.safetensors --start second.safetensors ...
    python experiments/train_peers.py average mean.safetensors third.safetensors other.safetensors

With a new default, they went on learning from forecasts of networks like it, and are the mean of
before and after:

    python experiments/train_peers.py train later.safetensors --start mean.safetensors ...
    python experiments/train_peers.py average both.safetensors mean.safetensors later.safetensors

and at last a gate, that closes where peers are of other tasks, on as many questions with such as
with peers of the run's own; nothing else of the network changes:

    python experiments/train_peers.py gate peers.safetensors --network both.safetensors ...

where tables that are told three times are asked about three times as often: recorded ones of the
newest default were, beside those of the ones before and drawn ones.

All that was of a network that also heard a Gaussian process over the peers. It is worth nothing
beside the lines through near ones, so it is left out, and what the network made of it and the heed
that it gave to it were added to those of the lines; the card says so.

A question is a run at a landmark and one to 64 peers, which are finished, or as far as the run, or
anyhow far; of the same search, of others, or mixed. In a third of the questions all forecasts
of a search are wrong in the same random way, so that the network learns what peers tell about
forecasts rather than which forecasts are wrong of which benchmark. A quarter of the peers of other
tasks are told in the unit and at the level of the run's own, so that levels alone do not give them
away; where all peers are such, every correction is an error, and counts `--harm` times.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.support.peer_episodes import Episodes, Mixture, Pool, draw
from experiments.support.recorded_runs import FOLDS, SIXTHS
from experiments.support.searches import (
    drawn_searches,
    fold_of,
    left_out_of,
    load_tables,
    make_table,
    recorded_searches,
    save_tables,
)
from lcpfn.network.correction import BINS, EDGES, WIDTHS
from lcpfn.network.gate import (
    GATE,
    KINSHIP,
    USE,
    fading,
    gate_answer,
    initial_gate,
    seen_by_gate,
)
from lcpfn.network.peers import (
    PeerConfig,
    PeerNetwork,
    agreed,
    mixed,
    normalised,
)
from lcpfn.peer_weights import load_peer_network, save_peer_network
from lcpfn.priors.searches import SearchPrior

# How often a family is asked about.
_WEIGHTS = {
    "lcbench": 1.0,
    "taskset": 0.5,
    "lcbench_surrogate": 0.6,
    "own": 0.3,
    "world": 0.6,
    "wild": 0.6,
    "prior": 1.0,
}
# Numbers of peers of a batch, how many questions it has, and how often it comes.
_BATCHES = (((1, 4), 320, 0.4), ((5, 16), 128, 0.35), ((17, 64), 40, 0.25))
_WARMUP = 200
_AVERAGED_OVER = 500
_WEIGHT_DECAY = 0.2
# The score in the metric's own unit counts this much beside the density's logarithm.
_SCORE_WEIGHT = 2.0
_MOST_SCORE = 5.0
_FARTHEST = 20.0
# Of the gate: as often peers of other tasks as of the own, half of them of the same family, as they
# are recorded. The score counts by this power of the weight that it has above, and beside it the
# logarithm of the density, and the classifier.
_FOR_GATE = Mixture(
    same=0.5, foreign=0.5, related=0.5, biased=0.0, disguised=0.0, finished=0.65, beside=0.2
)
_SCORE_POWER, _SURPRISE_WEIGHT, _KINSHIP_WEIGHT = 1.5, 0.3, 0.5
_LEAST_SCALE = 0.1
_LARGEST_FINAL = 1e6
_GATE_BATCH, _GATE_RATE = 384, 3e-3

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode="rich")
Tables = Annotated[list[Path], typer.Option(help="made by `tables`; repeatable")]
LeaveOut = Annotated[
    str | None,
    typer.Option(help="such as 0/2, the first half of the sources"),
]


@app.command()
def tables(
    out: Annotated[Path, typer.Argument(help="an .npz to write")],
    model: Annotated[
        list[str] | None, typer.Option(help="name or path; two or six, in order of the parts")
    ] = None,
    data: Annotated[Path, typer.Option(help="one folder of .npz per family")] = Path(
        "../shared/data"
    ),
    per_set: Annotated[int, typer.Option(help="runs of each search at most")] = 150,
    drawn: Annotated[int, typer.Option(help="draw so many searches instead")] = 0,
    runs: Annotated[int, typer.Option(help="of each of these")] = 24,
    counted: Annotated[
        float | None, typer.Option(help="share of these whose metric counts examples")
    ] = None,
    seed: int = 4,
) -> None:
    """Forecasts all runs of searches at every landmark."""
    torch.set_num_threads(1)
    models = [lcpfn.load(name) for name in model or ("default",)]
    config = SearchPrior().config
    prior = SearchPrior(config if counted is None else replace(config, counted_rate=counted))
    searches = (
        drawn_searches(drawn, runs, seed, prior) if drawn else recorded_searches(data, per_set)
    )
    made = []
    for search in searches:
        made.append(make_table(left_out_of(search, models), search))
        print(search.name, len(search.values), flush=True)
    save_tables(out, made)


@app.command()
def train(
    out: Annotated[Path, typer.Argument(help="a .safetensors to write, its card beside it")],
    tables: Tables,
    leave_out: LeaveOut = None,
    start: Annotated[Path | None, typer.Option(help="weights to begin with")] = None,
    steps: int = 4000,
    rate: Annotated[float, typer.Option(help="peak learning rate")] = 2e-3,
    harm: Annotated[
        float, typer.Option(help="how much more it counts what peers of other tasks do")
    ] = 1.5,
    seed: int = 0,
) -> None:
    """Trains on questions about runs of searches and their peers."""
    torch.set_num_threads(1)
    begin = time.process_time()
    rng = np.random.default_rng(seed)
    config, weights = _begun(start, rng)
    fitted = {name: weight for name, weight in weights.items() if name not in GATE}

    pools = _pools(tables, leave_out)

    def loss(tensors: Mapping[str, Tensor]) -> Tensor:
        questions = _drawn(pools, Mixture(), rng)
        network = PeerNetwork(config, tensors)
        logits, helpful = network.heard(*_tensors(questions))
        log_masses = mixed(normalised(logits), helpful)
        surprise, score = objective(log_masses, questions, questions.foreign)
        counts = 1 + (harm - 1) * torch.from_numpy(questions.foreign).float()
        weighted = score.clamp(max=_MOST_SCORE) * torch.from_numpy(questions.weight).float()
        return counts * (surprise + _SCORE_WEIGHT * weighted)

    trained, seen = _fitted(fitted, loss, Steps(steps, rate))
    stage = {
        "steps": steps,
        "questions": seen,
        "left_out": leave_out,
        "seed": seed,
        "learning_rate": rate,
        "harm": harm,
        "tables": [path.stem for path in tables],
        "processor_seconds": round(time.process_time() - begin),
    }
    before = [] if start is None else _stages(start)
    out.parent.mkdir(parents=True, exist_ok=True)
    network = PeerNetwork(config, {**weights, **trained})
    save_peer_network(out, network, _card([*before, stage]))


@app.command()
def gate(
    out: Annotated[Path, typer.Argument(help="a .safetensors to write, its card beside it")],
    tables: Tables,
    network: Annotated[Path, typer.Option(help="trained, whose gate is to be")],
    leave_out: LeaveOut = None,
    questions: Annotated[int, typer.Option(help="drawn once")] = 450_000,
    steps: int = 5000,
    harm: Annotated[
        float, typer.Option(help="how much more it counts what peers of other tasks do")
    ] = 3.0,
    seed: int = 0,
) -> None:
    """Trains the gate of a network: when peers are let in."""
    torch.set_num_threads(1)
    begin = time.process_time()
    rng = np.random.default_rng(seed)
    known = load_peer_network(network)
    asked = Heard.drawn(known, _pools(tables, leave_out), questions, rng)
    placed = {"gate.centre": asked.seen.mean(0), "gate.scale": asked.seen.std(0) + _LEAST_SCALE}
    places = {name: torch.from_numpy(place) for name, place in placed.items()}
    learned = {name: weight for name, weight in initial_gate(rng).items() if name not in placed}

    def loss(tensors: Mapping[str, Tensor]) -> Tensor:
        rows = rng.integers(0, len(asked.seen), _GATE_BATCH)
        told = gate_answer({**places, **tensors}, torch.from_numpy(asked.seen[rows]))
        foreign = torch.from_numpy(asked.questions.foreign[rows]).float()
        kinship = torch.nn.functional.binary_cross_entropy_with_logits(
            told[:, KINSHIP], 1 - foreign, reduction="none"
        )
        # The classifier closes nothing here, see `lcpfn.network.gate`.
        missed = asked.missed(rows, told[:, USE : USE + 1])
        return (1 + (harm - 1) * foreign) * missed + _KINSHIP_WEIGHT * kinship

    trained, _ = _fitted(learned, loss, Steps(steps, _GATE_RATE))
    stage = {
        "gate": "nothing else was trained",
        "steps": steps,
        "questions": questions,
        "left_out": leave_out,
        "seed": seed,
        "learning_rate": _GATE_RATE,
        "harm": harm,
        "tables": [path.stem for path in tables],
        "processor_seconds": round(time.process_time() - begin),
    }
    card = json.loads(network.with_suffix(".json").read_text())
    kept = {name: card[name] for name in card if name not in ("format", "sha256", "parameters")}
    gated = PeerNetwork(known.config, {**known.weights, **placed, **trained})
    save_peer_network(out, gated, {**kept, **_card([*card["stages"], stage])})


@app.command()
def average(
    out: Annotated[Path, typer.Argument(help="a .safetensors to write, its card beside it")],
    trained: Annotated[list[Path], typer.Argument(help="weights that had the same start")],
) -> None:
    """The mean of the weights of several last stages: Wortsman et al. 2022 (model soups)."""
    networks = [load_peer_network(path) for path in trained]
    first = networks[0]
    mean = {
        name: np.mean([network.weights[name] for network in networks], axis=0, dtype=np.float64)
        for name in first.weights
    }
    mixed = PeerNetwork(first.config, {name: w.astype(np.float32) for name, w in mean.items()})
    *before, _ = _stages(trained[0])
    lasts = [_stages(path)[-1] for path in trained]
    note = {"averaged": f"the mean of the weights after the last {len(lasts)} stages, side by side"}
    save_peer_network(out, mixed, {**_card([*before, *lasts]), **note})


def objective(
    log_masses: Tensor, questions: Episodes, unheard: NDArray[np.bool_]
) -> tuple[Tensor, Tensor]:
    """How wrong the answers to questions are, (n,) each.

    Minus the log-density over that without peers, in nats, and the CRPS of the corrected forecast
    over the width of the one without.

    Args:
        log_masses: (n, BINS) the answers.
        questions: with what came.
        unheard: (n,) where nothing can be learned from peers, as all are of other tasks, and the
            answer is held against that: the expectations of both where the forecast without peers
            is right.
    """
    edges, widths = torch.from_numpy(EDGES), torch.from_numpy(WIDTHS).float()
    met = torch.from_numpy(np.clip(questions.met, 0, 1))
    foreign = torch.from_numpy(unheard)
    gained = log_masses - torch.log(widths)
    bins = (torch.searchsorted(edges, met, right=True) - 1).clamp(0, BINS - 1)
    surprise = torch.where(foreign, -gained @ widths, -gained.gather(1, bins[:, None])[:, 0])
    below = torch.cumsum(torch.exp(log_masses), 1)
    below = torch.cat([torch.zeros_like(below[:, :1]), below], 1)
    came = torch.where(foreign[:, None], edges, (met[:, None] <= edges).double()).float()
    missed = below - came
    left, right = missed[:, :-1], missed[:, 1:]
    lengths = np.diff(questions.edges, axis=1) / questions.wide[:, None]
    lengths = np.nan_to_num(np.clip(lengths, 0, _FARTHEST)).astype(np.float32)
    score = torch.from_numpy(lengths) * (left**2 + left * right + right**2) / 3
    return surprise, score.sum(1)


@dataclass(frozen=True)
class Steps:
    """How long is trained.

    Args:
        count: of steps.
        rate: peak learning rate.
    """

    count: int
    rate: float


def _fitted(
    drawn: Mapping[str, Any], loss: Callable[[Mapping[str, Tensor]], Tensor], steps: Steps
) -> tuple[dict[str, Any], int]:
    """The running mean of weights that are trained, and how many questions they were asked.

    Args:
        drawn: to begin with.
        loss: draws questions, and gives the loss of each.
        steps: how long.
    """
    weights = {name: torch.tensor(weight, requires_grad=True) for name, weight in drawn.items()}
    average = {name: weight.detach().clone() for name, weight in weights.items()}
    optimiser = torch.optim.AdamW(
        weights.values(), steps.rate, betas=(0.9, 0.98), weight_decay=_WEIGHT_DECAY
    )
    seen, told = 0, 0.0
    for step in range(steps.count):
        remaining = 1 - step / steps.count
        for group in optimiser.param_groups:
            group["lr"] = steps.rate * min(1.0, (step + 1) / _WARMUP) * (0.02 + 0.98 * remaining)
        losses = loss(weights)
        lost = losses.mean()
        optimiser.zero_grad()
        lost.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        kept = min(1 - 1 / _AVERAGED_OVER, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, mean in average.items():
                mean.lerp_(weights[name].detach(), 1 - kept)
        seen += len(losses)
        told = lost.item() if step == 0 else 0.99 * told + 0.01 * lost.item()
        if step % 200 == 199:
            print(f"{step + 1} of {steps.count}: {told:.3f}", flush=True)
    return {name: mean.numpy() for name, mean in average.items()}, seen


def _drawn(pools: Sequence[Pool], mixture: Mixture, rng: np.random.Generator) -> Episodes:
    """A batch of questions."""
    chances = [chance for _, _, chance in _BATCHES]
    wanted, count, _ = _BATCHES[rng.choice(len(_BATCHES), p=chances)]
    return draw(pools[rng.integers(len(pools))], _WEIGHTS, count, wanted, rng, mixture)


@dataclass(frozen=True)
class Heard:
    """What a network answers to questions that its gate is trained with.

    Args:
        questions: (n,) without what peers are told as.
        logits: (n, BINS) the density that it answers, with what the ends of all say.
        seen: (n, inputs) what the gate reads, of which the last are log-odds that peers are of use.
        usual: (n,) the mean score without peers of such runs.
    """

    questions: Episodes
    logits: NDArray[np.float32]
    seen: NDArray[np.float32]
    usual: NDArray[np.float32]

    @staticmethod
    def drawn(
        network: PeerNetwork, pools: Sequence[Pool], count: int, rng: np.random.Generator
    ) -> Heard:
        """Draws questions, and asks a network."""
        parts, logits, seen = [], [], []
        while sum(map(len, seen)) < count:
            questions = _drawn(pools, _FOR_GATE, rng)
            usable = questions.present.any(1) & (np.abs(questions.final) < _LARGEST_FINAL)
            answer, helpful = network.heard(questions.peers, questions.own, questions.present)
            parts.append(questions.without_peers().chosen(usable))
            logits.append(agreed(answer, questions.consensus)[usable])
            seen.append(seen_by_gate(questions.own, helpful)[usable])
        asked = Episodes.together(parts)
        alone = np.concatenate([_scores_alone(part) for part in parts])
        usual = np.empty(len(alone), np.float32)
        for family in set(asked.family):
            of_it = asked.family == family
            usual[of_it] = alone[of_it].mean()
        return Heard(asked, np.concatenate(logits), np.concatenate(seen), usual)

    def missed(self, rows: Any, use: Tensor) -> Tensor:
        """How wrong the answers to some questions are, (n,), the scores over the usual ones.

        Args:
            rows: (n,) of the questions.
            use: (n, 1) by how much likelier peers are to be of use.
        """
        asked, seen = self.questions.chosen(rows), torch.from_numpy(self.seen[rows])
        corrected = normalised(torch.from_numpy(self.logits[rows]))
        odds = seen[:, -1:] + fading(seen) * use
        log_widths = torch.from_numpy(np.log(WIDTHS)).float()
        gained = mixed(corrected, odds) - log_widths
        power = torch.from_numpy(asked.trust).float()[:, None]
        answers = torch.log_softmax(power * gained + log_widths, 1)
        surprise, score = objective(answers, asked, np.zeros(len(rows), bool))
        usual = torch.from_numpy(self.usual[rows])
        return _weighed(score, asked) / usual + _SURPRISE_WEIGHT * surprise


def _scores_alone(questions: Episodes) -> NDArray[np.float32]:
    """Weighed scores (n,) of the forecasts without peers."""
    alone = torch.from_numpy(np.log(WIDTHS)).float().expand(len(questions.met), BINS)
    _, score = objective(alone, questions, np.zeros(len(questions.met), bool))
    return np.asarray(_weighed(score, questions))


def _weighed(score: Tensor, questions: Episodes) -> Tensor:
    weight = torch.from_numpy(questions.weight).float() ** _SCORE_POWER
    return (score * weight).clamp(max=_MOST_SCORE)


def _pools(tables: Sequence[Path], leave_out: str | None) -> list[Pool]:
    """Questions are drawn from these, each as often as told, a part of the sources left out."""
    part, parts = (-1, FOLDS) if leave_out is None else _part(leave_out)
    pools = {
        path: Pool(
            [
                table
                for table in load_tables(path)
                if table.family in _WEIGHTS
                and (table.family == "prior" or fold_of(table, parts) != part)
            ]
        )
        for path in set(tables)
    }
    return [pools[path] for path in tables]


def _part(told: str) -> tuple[int, int]:
    """Number of a part of the sources, and of how many, as in 0/2."""
    halves_and_sixths = [f"{part}/{parts}" for parts in (FOLDS, SIXTHS) for part in range(parts)]
    if told not in halves_and_sixths:
        raise typer.BadParameter(
            f"--leave-out is {told}, but must be one of {', '.join(halves_and_sixths)}"
        )
    part, parts = told.split("/")
    return int(part), int(parts)


def _tensors(questions: Episodes) -> tuple[Tensor, Tensor, Tensor]:
    peers, own, present = (
        torch.from_numpy(part) for part in (questions.peers, questions.own, questions.present)
    )
    return peers, own, present


def _begun(start: Path | None, rng: np.random.Generator) -> tuple[PeerConfig, dict[str, Any]]:
    """The shape and the weights to begin with.

    Those of a network that was shown less, or answered less, do: what is new begins at zero.
    """
    if start is None:
        config = PeerConfig()
        return config, config.initialise(rng)
    card = json.loads(start.with_suffix(".json").read_text())
    config, known = PeerConfig(**card["network"]), load_file(start)
    found = {}
    for name, shape in config.shapes().items():
        if name in GATE:
            continue
        found[name] = np.zeros(shape, np.float32)
        found[name][tuple(slice(size) for size in known[name].shape)] = known[name]
    # The gate of a network that goes on learning is trained anew.
    return config, {**found, **initial_gate(rng)}


def _stages(start: Path) -> list[dict[str, Any]]:
    """How weights that training begins with were trained."""
    found: list[dict[str, Any]] = json.loads(start.with_suffix(".json").read_text())["stages"]
    return found


def _card(stages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "what": "corrects the forecast of a run by what became of the forecasts of its peers",
        "trained_on": "recorded searches of the development sets of LCBench (18), TaskSet (6), the "
        "LCBench surrogate (17), four data sets of the project itself, AlgoPerf submissions on "
        "ImageNet, fastMRI, LibriSpeech and WMT, GPT-2 speed runs, agents of RL Baselines3 Zoo and "
        "runs of public repositories, at most 150 runs of each, forecast by models that had not "
        "seen them; and searches drawn from lcpfn.priors.SearchPrior",
        "script": "experiments/train_peers.py train",
        "questions": sum(stage["questions"] for stage in stages),
        "steps": sum(stage["steps"] for stage in stages),
        "processor_seconds": sum(stage["processor_seconds"] for stage in stages),
        "hardware": f"one core of a shared CPU, float32, torch {torch.__version__}",
        "scores": "docs/peers.md",
        "stages": list(stages),
    }


if __name__ == "__main__":
    app()
