"""What does a proposal cost in a search of many trials?

    python -m experiments.propose_latency --trials 1000 --candidates 200

A search of so many runs of up to 50 epochs, most of them stopped after a few, with eight
hyperparameters each, is asked what to do next, again and again; between two proposals the run that
was chosen reports a record. Processor time of `Search.propose`, the forecast of that run included.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import torch
import typer

import lcpfn

HORIZON = 50


def config(generator: np.random.Generator) -> dict[str, Any]:
    """Hyperparameters at random."""
    drawn = {f"x{index}": float(value) for index, value in enumerate(generator.random(6))}
    kind = ("sgd", "adam", "lion")[int(generator.integers(3))]
    return {**drawn, "rate": float(10 ** generator.uniform(-5, 0)), "kind": kind}


def end(chosen: dict[str, Any]) -> float:
    """What a run reaches."""
    return 0.9 - 0.1 * (np.log10(chosen["rate"]) + 2) ** 2 / 4 - 0.1 * (chosen["x0"] - 0.3) ** 2


def main(
    trials: Annotated[int, typer.Option(help="runs of the search", min=20)] = 1000,
    candidates: Annotated[int, typer.Option(help="configurations to choose from", min=1)] = 200,
    proposals: Annotated[int, typer.Option(help="how often it is asked", min=2)] = 40,
    model: Annotated[str, typer.Option(help="name or path of the model")] = "default",
) -> None:
    """Prints the mean and the largest time of a proposal."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    search = lcpfn.Search(goal="maximize", horizon=HORIZON, model=model)
    search.warm_up()
    for run in range(trials):
        chosen = config(generator)
        search.describe(run, chosen)
        for step in range(1, 4 + int(generator.integers(4))):
            value = end(chosen) * (1 - 0.8**step) + 0.003 * generator.normal()
            search.observe(run, step, value)
        if run % 10:
            search.forecast(run)
            search.judge(run)
            search.end(run, "stopped")
        else:
            search.pause(run)
    # The first one makes the forecasts that all later ones rest on.
    search.propose([config(generator) for _ in range(candidates)])
    times = []
    for _ in range(proposals):
        drawn = [config(generator) for _ in range(candidates)]
        begin = time.process_time()
        proposal = search.propose(drawn)
        times.append(1e3 * (time.process_time() - begin))
        assert proposal is not None
        key = proposal.run if proposal.run is not None else len(search.runs)
        if proposal.config is not None:
            search.describe(key, proposal.config)
        known = search.runs[key]
        step = len(known.steps) + 1
        value = end(dict(known.config or {})) * (1 - 0.8**step) + 0.003 * generator.normal()
        search.observe(key, step, value)
        search.end(key, "finished") if search.complete(key) else search.pause(key)
    typer.echo(
        f"{trials} trials, {candidates} candidates: {np.mean(times):.1f} ms a proposal, "
        f"the longest of {proposals} {max(times):.1f} ms"
    )


if __name__ == "__main__":
    typer.run(main)
