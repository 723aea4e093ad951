r"""Trains the default model beside six networks that lack a sixth of the sources each.

    python experiments/train_sixths.py runs/sixths --older BEFORE.safetensors \
        --begin LEFT0.safetensors --begin LEFT1.safetensors --seconds 560 --samplers 14

All learn from one stream of draws, in one step (`experiments/support/network_stack.py`); a network
does not hear the recorded runs of its sixth. So each source, and each of the six workloads, can be
scored by a network that knows five sixths of the others and is otherwise made as the default is.
The default goes on from the bundled weights, the others from those that lack their sixth, or the
half of the sources in which it lies.

Of recorded runs the default learns less what came of them than what the network forecasts that
lacks their sixth (cross-fitting). So it forecasts them about as it will forecast runs of sources
that it has never heard, and not from memory.

Outcomes teach, and beside them the older model, which has seen no recorded run: most where runs are
small networks', which it knows best.

The training ends after a time, not after a number of curves: rates fall to zero as the time runs
out. It cannot be resumed; the weights are written as they are every two minutes.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.multiprocessing as processes
import typer
from numpy.typing import NDArray

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.support.network_stack import TAUGHT_QUANTILES, NetworkStack
from experiments.support.recorded_runs import FOLDS, SIXTHS
from experiments.support.taught_quantiles import draw_levels
from experiments.train_by_teachers import Teacher
from experiments.train_default import (
    at_other_lengths,
    benchmark_prior,
    fold_of,
    is_ragged,
    recorded_runs,
    shared_card,
    strongly_varied,
    weights_by_fold,
)
from lcpfn.network.config import NetworkConfig
from lcpfn.network.features import AVERAGES
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Network
from lcpfn.priors import AnnealedPrior, Prior, RealisticPrior, RecordedPrior
from lcpfn.priors.recorded import RecordedRun
from lcpfn.training.config import TrainingConfig
from lcpfn.training.hardware import hardware
from lcpfn.training.optimisers import timed_learning_rate
from lcpfn.training.questions import Examples, draw_examples
from lcpfn.weights import save_weights

Batch = dict[str, NDArray[Any]]

_CHUNK = 64
# Curves of a step by the longest number of records: shapes are few, as each is recorded once.
_SHAPES = {16: 512, 32: 512, 56: 512, 104: 256, 192: 128}
_SLOTS = 48
_WARM_UP = 0.03
# The last steps are made as forecasts are: in single precision.
_FULL_PRECISION = 0.92
_SAVE_SECONDS = 120.0
_LEAST_TAUGHT = 1e-6
# Repositories and workloads hold few runs, which a network soon knows by heart.
_CROSSED_BENCHMARKS, _CROSSED_RAGGED = 0.4, 0.7
_TELL_EVERY, _FIRST_TOLD = 500, 20


@dataclass(frozen=True)
class Part:
    """One kind of draws in the stream.

    Args:
        name: of the kind.
        prior: draws them.
        share: of the curves in the stream.
        outcome: how much the outcomes teach.
        older: the older model, and how much it teaches.
        asked: how often one draw is asked about.
        sixth: of the sources; -1 for draws of priors.
        crossed: how much of what outcomes would teach the default is taught to it by the network
            that lacks the sixth.
    """

    name: str
    prior: Prior
    share: float
    outcome: float
    older: Teacher
    asked: int = 2
    sixth: int = -1
    crossed: float = 0.0


def stream_of(runs: Sequence[RecordedRun], older: Network) -> list[Part]:
    """The parts of the stream."""

    def taught(share: float, hears: bool = True) -> Teacher:
        # What it makes of whole schedules holds for small networks.
        return Teacher(older, share, hears)

    even = [run for run in runs if not is_ragged(run)]
    ragged = [run for run in runs if is_ragged(run)]
    own = [run for run in runs if run.group == "own"]
    parts = [
        Part("annealed", AnnealedPrior(), 0.2, 0.9, taught(0.1, hears=False)),
        Part("realistic", RealisticPrior(accuracy_rate=0.0), 0.14, 0.45, taught(0.55), asked=4),
        Part(
            "accuracies",
            RealisticPrior(accuracy_rate=1.0, rounded_rate=0.5),
            0.1,
            0.1,
            taught(0.9),
            asked=4,
        ),
    ]
    for sixth, chosen, weights, share in _in_sixths(even):
        heard = partial(Part, sixth=sixth, crossed=_CROSSED_BENCHMARKS)
        prior = benchmark_prior(chosen, weights)
        parts.append(heard("benchmarks", prior, 0.15 * share, 0.75, taught(0.25)))
        longer = replace(at_other_lengths(chosen), weights=weights)
        parts.append(heard("resampled", longer, 0.11 * share, 0.6, taught(0.4)))
    for sixth, chosen, weights, share in _in_sixths(ragged):
        prior = strongly_varied(chosen, weights)
        parts.append(
            Part(
                "ragged",
                prior,
                0.22 * share,
                0.9,
                taught(0.1, hears=False),
                sixth=sixth,
                crossed=_CROSSED_RAGGED,
            )
        )
    for sixth, chosen, _, share in _in_sixths(own):
        for prior in (RecordedPrior(chosen), at_other_lengths(chosen)):
            parts.append(Part("own accuracies", prior, 0.04 * share, 0.1, taught(0.9), sixth=sixth))
    return parts


def _in_sixths(
    runs: Sequence[RecordedRun],
) -> Iterator[tuple[int, list[RecordedRun], dict[str, float], float]]:
    """Sixths with their runs, how often each group is drawn there, and its share of all draws.

    Each source of a group is drawn as often as any other of it.
    """
    for sixth, weights in enumerate(weights_by_fold(runs, SIXTHS)):
        chosen = [run for run in runs if fold_of(run, SIXTHS) == sixth]
        if chosen:
            yield sixth, chosen, weights, sum(weights.values())


def _places(
    observed: int, curves: int, config: NetworkConfig, queries: int, networks: int
) -> list[Batch]:
    """Places in shared memory for batches of one shape."""
    view = config.view
    shapes = {
        "tokens": (curves, observed, view.context_features),
        "asked": (curves, queries, view.query_features),
        "last": (curves, queries),
        "value": (curves, queries),
        "unit": (curves, queries),
        "averages": (curves, queries, AVERAGES),
        "clean": (curves, queries),
        "noise": (curves, queries),
        "outcome": (curves, queries),
        "taught": (curves, queries),
        "levels": (TAUGHT_QUANTILES, curves, queries),
        "heard": (networks, curves),
        "crossing": (curves,),
        "crossed": (curves,),
    }
    found = []
    for _ in range(_SLOTS // len(_SHAPES)):
        batch: Batch = {}
        for name, shape in shapes.items():
            kind = np.int64 if name in ("last", "crossing") else np.float32
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            batch[name] = np.frombuffer(mmap.mmap(-1, size), kind).reshape(shape)
        found.append(batch)
    return found


def _sample(
    parts: Sequence[Part],
    places: dict[int, list[Batch]],
    free: dict[int, Any],
    ready: Any,
    config: NetworkConfig,
    left_out: Sequence[int],
    queries: int,
    seed: int,
) -> None:
    """Draws batches for ever."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    shares = torch.tensor([part.share / part.asked for part in parts])
    waiting: dict[int, list[Batch]] = {shape: [] for shape in _SHAPES}
    while True:
        part = parts[int(torch.multinomial(shares, 1, generator=generator))]
        curves = part.prior.sample(_CHUNK, generator)
        for _ in range(part.asked):
            examples = draw_examples(curves, queries, generator)
            chunk = chunk_of(part, examples, config, left_out, generator)
            shape = min(s for s in _SHAPES if s >= chunk["tokens"].shape[1])
            waiting[shape].append(chunk)
            if len(waiting[shape]) * _CHUNK == _SHAPES[shape]:
                number = free[shape].get()
                _fill(places[shape][number], waiting[shape])
                waiting[shape].clear()
                ready.put((shape, number))


def chunk_of(
    part: Part,
    examples: Examples,
    config: NetworkConfig,
    left_out: Sequence[int],
    generator: torch.Generator,
) -> Batch:
    """Some curves of a batch as arrays."""

    def array(tensor: torch.Tensor | None) -> Any:
        return None if tensor is None else tensor.numpy()

    known, asked = examples.observations, examples.questions
    observations = Observations(
        np.ascontiguousarray(known.fractions.numpy()),
        *(array(each) for each in (known.values, known.limits, known.schedule, known.rates)),
    )
    questions = Questions(*(array(each) for each in (asked.fractions, asked.schedule, asked.best)))
    last = examples.prefixes.numpy() - 1
    view = config.view
    context = view.observe(observations)
    there = context.coordinates.at(last)
    share = part.older.asked(examples).numpy()
    # Nobody answers some questions: they count for nothing.
    total = np.maximum(part.outcome + share, _LEAST_TAUGHT)
    heard = [np.full(len(last), float(part.sixth < 0 or part.sixth != s)) for s in left_out]
    return {
        "tokens": context.tokens,
        "asked": view.ask(observations.at(last), questions),
        "last": last,
        "value": there.last,
        "unit": there.unit,
        "averages": there.averages,
        "clean": examples.clean.numpy(),
        "noise": examples.noise.numpy(),
        "outcome": part.outcome / total,
        "taught": share / total,
        "levels": draw_levels(TAUGHT_QUANTILES, examples.prefixes.shape, generator).numpy(),
        "heard": np.stack(heard),
        "crossing": np.full(len(last), part.sixth + 1),
        "crossed": np.full(len(last), part.crossed),
    }


def _fill(batch: Batch, chunks: Sequence[Batch]) -> None:
    for index, chunk in enumerate(chunks):
        rows = slice(index * _CHUNK, (index + 1) * _CHUNK)
        for name, place in batch.items():
            if name == "tokens":
                observed = chunk[name].shape[1]
                place[rows, :observed] = chunk[name]
                place[rows, observed:] = 0.0
            elif name in ("levels", "heard"):
                place[:, rows] = chunk[name]
            else:
                place[rows] = chunk[name]


def main(
    out: Annotated[Path, typer.Argument(help="folder for the weights")],
    older: Annotated[Path, typer.Option(help="weights that saw no recorded run; they teach")],
    begin: Annotated[
        list[Path], typer.Option(help="weights that lack a half or a sixth each, in order")
    ],
    start: Annotated[str, typer.Option(help="weights for the network that hears all")] = "default",
    seconds: Annotated[float, typer.Option(help="time for all")] = 560.0,
    samplers: Annotated[int, typer.Option(help="processes that draw")] = 14,
    queries: Annotated[int, typer.Option(help="questions a curve")] = 24,
    rate: Annotated[float, typer.Option(help="peak learning rate")] = 1e-3,
    seed: int = 23,
    data: Annotated[Path, typer.Option(help="one folder a family")] = Path("../shared/data"),
) -> None:
    """Trains on all sources, and six times without one sixth of them."""
    if len(begin) not in (FOLDS, SIXTHS):
        raise typer.BadParameter(
            f"--begin is given {len(begin)} times, but must be {FOLDS} or {SIXTHS} times"
        )
    until = time.monotonic() + seconds
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    taught_by = lcpfn.load(older)
    teaches = Network.of(taught_by.network)
    parts = stream_of(recorded_runs(data), teaches)
    begins = [lcpfn.load(path) for path in (start, *(begin[k % len(begin)] for k in range(SIXTHS)))]
    names = ["default", *(f"sixth{sixth}" for sixth in range(SIXTHS))]
    left_out = [-2, *range(SIXTHS)]
    shape = begins[0].network.config
    places = {n: _places(n, curves, shape, queries, len(names)) for n, curves in _SHAPES.items()}
    context = processes.get_context("fork")
    ready = context.Queue()
    free = {n: context.Queue() for n in places}
    for n, of in places.items():
        for number in range(len(of)):
            free[n].put(number)
    drawing = [
        context.Process(
            target=_sample,
            args=(parts, places, free, ready, shape, left_out, queries, seed * 1009 + index),
            daemon=True,
        )
        for index in range(samplers)
    ]
    for process in drawing:
        process.start()
    config = TrainingConfig(
        queries=queries, learning_rate=rate, warmup=_WARM_UP, seed=seed, network=shape
    )
    teacher = Network(shape).take_over(teaches)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = [Network.of(model.network) for model in begins]
    stack = NetworkStack(networks, teacher, config, device)
    made: dict[str, Any] = {
        "script": "experiments/train_sixths.py",
        "older": taught_by.card["sha256"],
        "learning_rate": rate,
        "seed": seed,
        "queries": queries,
        "hardware": hardware(device) + "; shared by seven networks",
    }

    def save(finished: dict[str, Any]) -> None:
        for name, network, model in zip(names, stack.unstacked(), begins, strict=True):
            done = {"started_from": model.card["sha256"], **made, **finished}
            taught = [*model.card.get("taught", []), done]
            card = {**shared_card(model.card), "headroom": True, "keeps_beyond": True}
            card["taught"] = taught
            save_weights(out, name, network.engine(), card)

    steps, curves = _learn(stack, places, free, ready, config, until, save)
    for process in drawing:
        process.terminate()
    save({"steps": steps, "curves": curves, "seconds": round(seconds)})


def _learn(
    stack: NetworkStack,
    places: dict[int, list[Batch]],
    free: dict[int, Any],
    ready: Any,
    config: TrainingConfig,
    until: float,
    save: Callable[[dict[str, Any]], None],
) -> tuple[int, int]:
    """Trains up to a moment of the monotonic clock; gives the steps and the curves."""
    began = saved = time.monotonic()
    steps = curves = told_at = 0
    waited = 0.0
    while (now := time.monotonic()) < until:
        share = (now - began) / (until - began)
        if now - saved > _SAVE_SECONDS:
            save({"unfinished": steps})
            saved = now
        n, number = ready.get()
        waited += time.monotonic() - now
        rate = timed_learning_rate(config, share)
        stack.step(places[n][number], rate, half=share < _FULL_PRECISION)
        if stack.device.type == "cuda":
            torch.cuda.current_stream().synchronize()
        free[n].put(number)
        steps += 1
        curves += _SHAPES[n]
        if steps % _TELL_EVERY == 0 or steps == _FIRST_TOLD:
            told = " ".join(f"{float(loss):.3f}" for loss in stack.losses / (steps - told_at))
            stack.losses.zero_()
            told_at = steps
            passed = now - began
            print(
                f"{share:.0%} {steps} steps, {curves} curves ({passed / steps * 1e3:.0f} ms, "
                f"{waited / passed:.0%} waiting): {told}",
                flush=True,
            )
    return steps, curves


if __name__ == "__main__":
    typer.run(main)
