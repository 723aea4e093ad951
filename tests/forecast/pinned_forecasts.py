"""Fifty forecasts of both bundled models, pinned: a change of the code must not move them.

    python -m tests.forecast.pinned_forecasts           # compare, and say how far they moved
    python -m tests.forecast.pinned_forecasts --write   # after new weights: pin them anew

Results differ in the last digits of float32 between kinds of processors, so the test allows that
much; where a change is meant to move nothing, run the first command on one machine before and
after it: it says whether the forecasts are the same bit for bit.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lcpfn
from lcpfn import LCPFN, Extrapolation

Numbers = NDArray[np.float64]
Case = Callable[[LCPFN], Iterable[Numbers]]

FILE = Path(__file__).with_suffix(".npz")
MODELS = ("default", "reference")
NAN, INF = math.nan, math.inf
QUANTILES = (0.02, 0.06, 0.25, 0.5, 0.75, 0.94, 0.98)


def accuracy(count: int, end: float = 0.9) -> Numbers:
    """A rising curve with some noise of its own, the same on every machine."""
    at = np.arange(1.0, count + 1)
    return end - 0.6 * at**-0.5 + 0.01 * np.sin(7.3 * at)


def loss(count: int, scale: float = 1.0) -> Numbers:
    at = np.arange(1.0, count + 1)
    return scale * (0.2 + 2.0 * at**-0.7 + 0.02 * np.cos(5.1 * at))


def described(post: Extrapolation) -> Numbers:
    """What a forecast says, at four of its steps and at the horizon."""
    chosen = np.unique(np.linspace(0, len(post.steps) - 1, 4).round().astype(int))
    finite = post.observed_values[np.isfinite(post.observed_values)]
    last = float(finite[-1]) if len(finite) else 0.5
    after = [step for step in post.steps[chosen].tolist() if step > post.observed_steps[-1]]
    parts = [
        post.quantile(QUANTILES)[:, chosen],
        post.mean[chosen],
        post.std[chosen],
        post.log_prob(last)[chosen],
        post.log_prob(post.mean + 0.7 * post.std)[chosen],
        post.cdf(last)[chosen],
        post.prob_better(last),
        [post.prob_better(last, at=step) for step in after],
        [math.nan if end is None else end for end in post.bounds],
    ]
    return np.concatenate([np.ravel(part) for part in parts])


def single(values: object, **arguments: object) -> Case:
    return lambda model: [described(model.extrapolate(values, **arguments))]


def batch(curves: list[Numbers], **arguments: object) -> Case:
    return lambda model: map(described, model.extrapolate_batch(curves, **arguments))


def backtest(values: object, every: int = 3, **arguments: object) -> Case:
    return lambda model: map(described, model.backtest(values, **arguments)[::every])


def stream(values: Iterable[float], every: int = 3, **arguments: object) -> Case:
    def case(model: LCPFN) -> list[Numbers]:
        running = model.stream(**arguments)
        posts = [running.update(value) for value in values]
        return [described(post) for post in posts[::every]]

    return case


def resumed(known: Numbers, later: Numbers, **arguments: object) -> Case:
    def case(model: LCPFN) -> list[Numbers]:
        running = model.stream(**arguments)
        return [described(running.start(known)), *(described(running.update(v)) for v in later)]

    return case


def draws(values: object, count: int = 3, **arguments: object) -> Case:
    def case(model: LCPFN) -> list[Numbers]:
        import torch

        post = model.extrapolate(values, **arguments)
        return [post.sample(count, torch.Generator().manual_seed(11)).ravel()]

    return case


DOWN = {"goal": "minimize"}
LONG = np.arange(1.0, 1501) * 20
CASES: dict[str, Case] = {
    "four records": single([0.31, 0.52, 0.58, 0.63], horizon=50),
    "one record": single([0.4], horizon=50),
    "one record of a loss": single([2.3], horizon=50, **DOWN),
    "two equal records": single([0.5, 0.5], horizon=20),
    "many records": single(accuracy(60)),
    "almost finished": single(accuracy(99)),
    "finished": single(accuracy(100)),
    "loss": single(loss(12), horizon=80, **DOWN),
    "loss with open bounds": single(loss(12), horizon=80, bounds=None, **DOWN),
    "loss with a floor of its own": single(loss(12), horizon=80, bounds=(0.1, None), **DOWN),
    "accuracy with open bounds": single(accuracy(12), horizon=80, bounds=None),
    "accuracy with stated bounds": single(accuracy(12), horizon=80, bounds=(0, 1)),
    "narrow bounds": single(accuracy(12), horizon=80, bounds=(0.2, 0.9)),
    "percent": single(100 * accuracy(12), horizon=80),
    "rewards": single(-200 + 30 * np.log(np.arange(1.0, 21)), horizon=200),
    "more records than cells": single(loss(1500), steps=LONG, horizon=40_000, **DOWN),
    "all in one cell": single(accuracy(5), steps=[1, 2, 3, 4, 5], horizon=1e6),
    "irregular steps": single(accuracy(6), steps=[0.3, 1.1, 2.7, 9.2, 9.3, 40.0], horizon=64.5),
    "a late start": single(accuracy(4), steps=[61, 62, 64, 70], horizon=100),
    "queries": single(accuracy(9), query=[9.5, 11, 40, 99], horizon=100),
    "missing": single([0.3, NAN, 0.5, NAN, NAN, 0.6], horizon=30),
    "missing at first": single([NAN, NAN, 0.5, 0.52], horizon=30),
    "missing at last": single([0.5, 0.52, NAN], horizon=30),
    "constant": single([0.7] * 25, horizon=60),
    "constant zero": single([0.0] * 8, horizon=60, **DOWN),
    "diverged loss": single([2.0, 1.5, 1.2, INF], horizon=30, **DOWN),
    "diverged twice": single([0.2, 0.3, -INF, -INF], horizon=30),
    "diverged from the start": single([INF], horizon=30, **DOWN),
    "recovered": single([2.0, INF, 1.2, 1.1], horizon=30, **DOWN),
    "over decades": single(10.0 ** -np.arange(0, 6, 0.5), horizon=40, **DOWN),
    "tiny": single(1e-200 * loss(9), horizon=40, **DOWN),
    "huge": single(1e140 * loss(9), horizon=40, **DOWN),
    "a small change on a large level": single(1e7 + accuracy(9), horizon=40, bounds=None),
    "negative loss": single(loss(15) - 3, horizon=40, **DOWN),
    "a spike": single([*loss(8), 50.0, *loss(3)], horizon=40, **DOWN),
    "rising loss": single(1 + 0.05 * np.arange(10.0) ** 1.2, horizon=40, **DOWN),
    "batch": batch([accuracy(1), accuracy(7), accuracy(30), accuracy(50)], horizon=50),
    "batch of losses": batch([loss(3), 100 * loss(9), loss(80)], horizon=[9, 100, 81], **DOWN),
    "batch with queries": batch([accuracy(5), accuracy(8)], horizon=50, query=[20, 50]),
    "backtest": backtest(accuracy(20), horizon=40),
    "backtest of a loss": backtest([*loss(10), NAN, *loss(4)], horizon=15, **DOWN),
    "backtest of a recovery": backtest([2.0, 1.5, INF, 1.2, 1.1], 1, horizon=9, **DOWN),
    "backtest of a long log": backtest(loss(1500), 300, steps=LONG, horizon=40_000, **DOWN),
    "stream": stream(accuracy(20), horizon=40),
    "stream of a loss": stream(loss(12), horizon=12, **DOWN),
    "stream with gaps": stream([0.2, NAN, 0.4, 0.5, NAN, 1.5], 1, horizon=40),
    "stream that recovers": stream([2.0, INF, INF, 1.2, 1.1], 1, horizon=9, **DOWN),
    "resumed stream": resumed(accuracy(9), accuracy(12)[9:], horizon=40),
    "draws": draws(accuracy(6), horizon=12),
    "draws of a long loss": draws(loss(300), horizon=900, query=[301, 500, 501, 900], **DOWN),
}
RATES = {"horizon": 50, "goal": "minimize"}
SCHEDULED: dict[str, Case] = {
    "constant rate": single(loss(9), schedule="constant", **RATES),
    "linear rate": single(loss(9), schedule="linear", **RATES),
    "cosine rate": single(loss(9), schedule="cosine", **RATES),
    "steps of a rate": single(loss(30), schedule=([0, 25, 26, 50], [1, 1, 0.1, 0.1]), **RATES),
    "rate by a function": single(loss(9), schedule=lambda step: 1 / (1 + step), **RATES),
    "rate of a long log": single(
        loss(1500), steps=LONG, horizon=40_000, schedule="cosine", goal="minimize"
    ),
    "rate of a batch": batch([loss(2), loss(9), loss(30)], schedule="cosine", **RATES),
    "rate of a backtest": backtest(loss(20), schedule="linear", **RATES),
    "rate of a stream": stream(loss(9), schedule="cosine", **RATES),
    "rate of draws": draws(loss(6), schedule="cosine", query=[7, 8, 30, 50], **RATES),
}


def cases_for(model: LCPFN) -> dict[str, Case]:
    """The cases of a model; learning rates are only for those that were trained with them.

    Draws are pinned with torch's random numbers: not where torch is not installed.
    """
    cases = {**CASES, **SCHEDULED} if model.network.config.schedule else CASES
    if find_spec("torch") is None:
        return {name: case for name, case in cases.items() if "draws" not in name}
    return cases


def computed(model: LCPFN) -> dict[str, Numbers]:
    """What the model says now, by case."""
    return {
        name: np.concatenate([np.ravel(part) for part in case(model)])
        for name, case in cases_for(model).items()
    }


def checksum(model: LCPFN) -> str:
    return str(model.card["sha256"])


def write() -> None:
    """Pins what both models say now."""
    content = {}
    for name in MODELS:
        model = lcpfn.load(name)
        said = computed(model)
        content[f"{name}/sha256"] = np.array(checksum(model))
        content[f"{name}/cases"] = np.array(list(said))
        content[f"{name}/lengths"] = np.array([len(numbers) for numbers in said.values()])
        content[f"{name}/numbers"] = np.concatenate(list(said.values()))
    np.savez_compressed(FILE, **content)


def pinned(name: str) -> tuple[str, dict[str, Numbers]]:
    """The checksum of the weights that were pinned, and what they said, by case."""
    with np.load(FILE) as content:
        ends = np.cumsum(content[f"{name}/lengths"])[:-1]
        numbers = np.split(content[f"{name}/numbers"], ends)
        cases = content[f"{name}/cases"].tolist()
        return str(content[f"{name}/sha256"]), dict(zip(cases, numbers, strict=True))


def difference(now: Numbers, before: Numbers) -> float:
    """The largest relative difference; infinite where shapes, gaps or infinities differ."""
    if now.shape != before.shape:
        return INF
    same = (now == before) | (np.isnan(now) & np.isnan(before))
    if not np.isfinite([now[~same], before[~same]]).all():
        return INF
    size = np.maximum(np.abs(before[~same]), np.abs(now[~same]))
    return float(np.max(np.abs(now[~same] - before[~same]) / size, initial=0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="pin what the models say now")
    if parser.parse_args().write:
        write()
        return
    for name in MODELS:
        model = lcpfn.load(name)
        of_weights, before = pinned(name)
        if of_weights != checksum(model):
            print(f"{name}: the weights have changed; pin them anew with --write")
            continue
        now = computed(model)
        moved = {case: difference(now[case], numbers) for case, numbers in before.items()}
        equal = sum(size == 0 for size in moved.values())
        worst = max(moved, key=lambda case: moved[case])
        print(
            f"{name}: {equal} of {len(moved)} cases the same bit for bit, "
            f"largest relative difference {moved[worst]:.3g} ({worst})"
        )


if __name__ == "__main__":
    main()
