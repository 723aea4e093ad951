r"""Trains the default model beside networks that have not seen one half of the sources.

    python experiments/train_side_by_side.py runs/side --seconds 560 --samplers 10

All networks learn from one stream of draws at the same time, each in a process of its own: on one
GPU they share it. `fold0` hears what `default` hears, but nothing of the sources of half 0; so
`experiments/train_default.py judge` can score each source by a network that has not seen it and
that is otherwise made as the bundled one was.

The training ends after a time, not after a number of curves: rates fall to zero as the time runs
out. It cannot be resumed; the weights are written as they are every two minutes.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.multiprocessing as processes
import typer

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.train_default import (
    FOLDS,
    benchmark_prior,
    fold_of,
    is_ragged,
    recorded_runs,
    strongly_varied,
    weights_by_fold,
)
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network
from lcpfn.priors import AnnealedPrior, Prior, RealisticPrior
from lcpfn.priors.recorded import RecordedRun
from lcpfn.training.ascent import Ascent
from lcpfn.training.config import TrainingConfig
from lcpfn.training.hardware import half_precision_pays, hardware
from lcpfn.training.objective import Objective
from lcpfn.training.optimisers import timed_learning_rate
from lcpfn.training.questions import Examples, draw_examples
from lcpfn.weights import save_weights

_QUEUED = 6
_SAVE_SECONDS = 120.0
_WARM_UP = 0.03
_TELL_EVERY = 500
# The last steps are made as forecasts are: in single precision.
_FULL_PRECISION = 0.9
# Of annealed and realistic draws, of benchmarks and of ragged recordings.
_SHARES = (0.16, 0.38, 0.26, 0.2)
# A draw of the realistic prior takes ten times as long as any other: it is asked about twice.
_ASKED = {"realistic": 2}


@dataclass(frozen=True)
class Pupil:
    """A network to train.

    Args:
        name: of its weights.
        shares: how often it hears each part of the stream; they sum to 1.
        start: name or path of the weights to begin with.
    """

    name: str
    shares: Mapping[str, float]
    start: str


@dataclass(frozen=True)
class Part:
    """One kind of draws in the stream."""

    name: str
    prior: Prior
    weight: float


def stream_of(runs: list[RecordedRun]) -> tuple[list[Part], list[Pupil]]:
    """The parts of the stream, and who hears which."""
    parts: dict[str, Prior] = {"annealed": AnnealedPrior(), "realistic": RealisticPrior()}
    plain = dict(zip(parts, _SHARES, strict=False))
    everything = dict(plain)
    halves: list[dict[str, float]] = [{} for _ in range(FOLDS)]
    for ragged in (False, True):
        members = [run for run in runs if is_ragged(run) == ragged]
        share = _SHARES[2 + ragged]
        for half, weights in enumerate(weights_by_fold(members, FOLDS)):
            name = f"{'ragged' if ragged else 'benchmarks'} {half}"
            chosen = [run for run in members if fold_of(run) == half]
            parts[name] = (
                strongly_varied(chosen, weights) if ragged else benchmark_prior(chosen, weights)
            )
            everything[name] = share * sum(weights.values())
            halves[half][name] = share
    pupils = [Pupil("default", everything, "default")]
    for left_out in range(FOLDS):
        heard = [halves[half] for half in range(FOLDS) if half != left_out]
        pupils.append(Pupil(f"fold{left_out}", {**plain, **heard[0]}, "untainted"))
    most = {name: max(pupil.shares.get(name, 0.0) for pupil in pupils) for name in parts}
    return [Part(name, prior, most[name]) for name, prior in parts.items()], pupils


def _sample(
    parts: list[Part],
    pupils: list[Pupil],
    inboxes: list[Any],
    batch: int,
    queries: int,
    seed: int,
) -> None:
    """Draws batches for ever, each for those pupils who hear it."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor([part.weight / _ASKED.get(part.name, 1) for part in parts])
    while True:
        part = parts[int(torch.multinomial(weights, 1, generator=generator))]
        heard = torch.rand(1, generator=generator) * part.weight
        listeners = [
            i for i, pupil in enumerate(pupils) if heard < pupil.shares.get(part.name, 0.0)
        ]
        if not listeners:
            continue
        curves = part.prior.sample(batch, generator)
        for _ in range(_ASKED.get(part.name, 1)):
            packed = _packed(draw_examples(curves, queries, generator))
            for index in listeners:
                inboxes[index].put((part.name, packed))


def _packed(examples: Examples) -> dict[str, np.ndarray | None]:
    """Plain arrays, which travel between processes without a file handle each."""
    observations, questions = examples.observations, examples.questions
    tensors = {
        "fractions": observations.fractions,
        "values": observations.values,
        "limits": observations.limits,
        "schedule": observations.schedule,
        "rates": observations.rates,
        "prefixes": examples.prefixes,
        "asked": questions.fractions,
        "asked_schedule": questions.schedule,
        "best": questions.best,
        "clean": examples.clean,
        "noise": examples.noise,
        "drawn": examples.drawn,
    }
    return {name: None if t is None else t.contiguous().numpy() for name, t in tensors.items()}


def _unpacked(packed: Mapping[str, np.ndarray | None], device: torch.device) -> Examples:
    t = {
        name: None if array is None else torch.from_numpy(array).to(device)
        for name, array in packed.items()
    }
    return Examples(
        Observations(t["fractions"], t["values"], t["limits"], t["schedule"], t["rates"]),
        t["prefixes"],  # type: ignore[arg-type]
        Questions(t["asked"], t["asked_schedule"], t["best"]),
        t["clean"],  # type: ignore[arg-type]
        t["noise"],  # type: ignore[arg-type]
        t["drawn"],  # type: ignore[arg-type]
    )


def _learn(
    pupil: Pupil,
    start: str,
    inbox: Any,
    out: Path,
    config: TrainingConfig,
    until: float,
) -> None:
    """Trains one network up to a moment of the monotonic clock, and writes its weights."""
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    begin = lcpfn.load(start)
    network = Network(config.network).initialise(torch.Generator().manual_seed(config.seed))
    network.take_over(Network.of(begin.network))
    network.to(device).train()
    ascent = Ascent(network, config)
    objective = Objective(network, config.crps)
    half = half_precision_pays(device)
    losses: dict[str, list[float]] = defaultdict(list)
    heard: dict[str, int] = defaultdict(int)
    began = saved = time.monotonic()
    steps = 0
    waited = 0.0
    while True:
        now = time.monotonic()
        share = (now - began) / (until - began)
        if share >= 1:
            break
        if now - saved > _SAVE_SECONDS:
            save_weights(out, pupil.name, network, {**begin.card, "unfinished": steps})
            saved = now
        name, packed = inbox.get()
        waited += time.monotonic() - now
        examples = _unpacked(packed, device)
        rate = timed_learning_rate(config, share)
        context = network.view.observe(examples.observations)
        with torch.autocast(device.type, torch.bfloat16, enabled=half and share < _FULL_PRECISION):
            score = objective(context, examples)
        ascent.step(score, rate)
        steps += 1
        heard[name] += len(examples.clean)
        losses[name].append(float(score.detach()))
        if steps % _TELL_EVERY == 0:
            told = ", ".join(f"{part} {np.mean(of):.3f}" for part, of in sorted(losses.items()))
            speed = f"{(now - began) / steps * 1e3:.0f} ms, {waited / (now - began):.0%} waiting"
            print(
                f"{pupil.name} {share:.0%} {steps} steps ({speed}): {told}",
                flush=True,
            )
            losses.clear()
    kept = ("prior", "fitted_to", "resolution")
    made = {
        "started_from": begin.card["sha256"],
        "curves": steps * config.batch,
        "heard": {part: heard[part] for part in sorted(heard)},
        "steps": steps,
        "seconds": round(time.monotonic() - began),
        "hardware": hardware(device) + "; shared by the networks that were trained beside it",
        "training": {
            "script": "experiments/train_side_by_side.py",
            "learning_rate": config.learning_rate,
            "seed": config.seed,
            "queries": config.queries,
            "batch": config.batch,
            "optimiser": config.optimiser,
        },
    }
    card = {key: begin.card[key] for key in kept if key in begin.card}
    print(save_weights(out, pupil.name, network.eval(), {**card, **made}), steps, flush=True)


def main(
    out: Annotated[Path, typer.Argument(help="folder for the weights")],
    untainted: Annotated[Path, typer.Option(help="weights that saw no recorded run")],
    start: Annotated[str, typer.Option(help="weights for the networks that see all")] = "default",
    seconds: Annotated[float, typer.Option(help="time for all")] = 560.0,
    samplers: Annotated[int, typer.Option(help="processes that draw")] = 10,
    batch: Annotated[int, typer.Option(help="curves a step")] = 512,
    queries: Annotated[int, typer.Option(help="questions a curve")] = 24,
    rate: Annotated[float, typer.Option(help="peak learning rate")] = 2e-3,
    seed: int = 17,
    data: Annotated[Path, typer.Option(help="one folder a family")] = Path("../shared/data"),
) -> None:
    """Trains on all sources, and twice without one half of them."""
    until = time.monotonic() + seconds
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    parts, pupils = stream_of(recorded_runs(data))
    context = processes.get_context("fork")
    inboxes = [context.Queue(_QUEUED) for _ in pupils]
    drawing = [
        context.Process(
            target=_sample,
            args=(parts, pupils, inboxes, batch, queries, seed * 1009 + index),
            daemon=True,
        )
        for index in range(samplers)
    ]
    network = replace(lcpfn.load(start).network.config, rates=True, best=True)
    config = TrainingConfig(
        batch=batch,
        queries=queries,
        learning_rate=rate,
        warmup=_WARM_UP,
        seed=seed,
        network=network,
    )
    starts = {"default": start, "untainted": str(untainted)}
    learning = [
        context.Process(target=_learn, args=(pupil, starts[pupil.start], inbox, out, config, until))
        for pupil, inbox in zip(pupils, inboxes, strict=True)
    ]
    for process in [*drawing, *learning]:
        process.start()
    for process in learning:
        process.join()
    for process in drawing:
        process.terminate()
    failed = [p.name for p, process in zip(pupils, learning, strict=True) if process.exitcode]
    if failed:
        raise SystemExit(f"the training of {', '.join(failed)} failed")


if __name__ == "__main__":
    typer.run(main)
