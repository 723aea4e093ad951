"""What a forecast costs on this machine: median times, memory, and the share of the hardware used.

    python -m experiments.speed [--model reference] [--repeats 30]
    python -m experiments.speed --engine   # beside the torch engine before: engine_comparison.py

One core serves the single forecast and the stream, all cores the batch and the backtest. The
machine's matrix-product rate is measured in the same run, on products of the network's own shapes,
so the share says how much of the hardware the batch reaches. Peak memory is the process's.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

import lcpfn
from experiments.engine_comparison import BEFORE, compare
from lcpfn.network.blas import BlasThreads
from lcpfn.priors import ReferencePrior

OBSERVED = 50
BATCH = 512


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after three to warm up."""
    for _ in range(3):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def product_rate(width: int, cores: int, repeats: int) -> float:
    """Floating-point operations a second of the network's largest product, on all cores."""
    generator = np.random.default_rng(0)
    tokens = generator.normal(size=(64 * (OBSERVED + 1), width)).astype(np.float32)
    weight = generator.normal(size=(width, 4 * width)).astype(np.float32)
    with BlasThreads(cores):
        taken = seconds(lambda: tokens @ weight, repeats)
    return 2 * tokens.shape[0] * weight.size / taken


def forecast_operations(model: lcpfn.LCPFN) -> float:
    """Floating-point operations of the matrix products behind one forecast of the final value."""
    width, layers = model.network.config.width, model.network.config.layers
    block = 2 * 12 * width**2
    last_layer_saving = OBSERVED * 2 * 10 * width**2
    return float((OBSERVED + 1) * layers * block - last_layer_saving)


def stream_time(model: lcpfn.LCPFN, values: np.ndarray, repeats: int, ask: bool) -> float:
    """Median seconds of an update, with the first `prob_better` after it where `ask` is set."""
    times = []
    for _ in range(repeats):
        stream = model.stream(bounds=None)
        for value in values[:99]:
            start = time.perf_counter()
            post = stream.update(value)
            if ask:
                post.prob_better(0.5)
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def main(
    model: Annotated[str, typer.Option(help="bundled name or path")] = "reference",
    repeats: Annotated[int, typer.Option(help="timed calls of each kind")] = 30,
    engine: Annotated[bool, typer.Option(help="compare with the torch engine before")] = False,
) -> None:
    """Prints the table."""
    if engine:
        compare(model, BEFORE, rounds=max(5, repeats // 2), size=False)
        return
    loaded = lcpfn.load(model)
    cores = os.cpu_count() or 1
    on_all_cores = lcpfn.load(model, threads=cores)
    curves = ReferencePrior().sample(BATCH, torch.Generator().manual_seed(0)).values
    values = np.asarray(curves.double())
    table = Table(title=f"{loaded.name}: {loaded.card['parameters']:,} parameters, {cores} cores")
    table.add_column("what")
    table.add_column("cost", justify="right")

    first = values[0]
    final = seconds(
        lambda: loaded.extrapolate(first[:OBSERVED], bounds=None, query=[100]).median, repeats
    )
    whole = seconds(lambda: loaded.extrapolate(first[:OBSERVED], bounds=None).median, repeats)
    update, decision = (
        stream_time(loaded, first, max(3, repeats // 5), ask) for ask in (False, True)
    )
    table.add_row("final value after 50 records, one core", f"{1e3 * final:.2f} ms")
    table.add_row("all 50 later steps, one core", f"{1e3 * whole:.2f} ms")
    table.add_row("streamed update, one core", f"{1e3 * update:.2f} ms")
    table.add_row("streamed update and prob_better, one core", f"{1e3 * decision:.2f} ms")

    observed = [curve[:OBSERVED] for curve in values]
    batch = seconds(
        lambda: on_all_cores.extrapolate_batch(observed, bounds=None), max(5, repeats // 3)
    )
    rate = BATCH / batch
    product = product_rate(loaded.network.config.width, cores, repeats)
    share = rate * forecast_operations(loaded) / product
    table.add_row(f"batch of {BATCH}, 50 records each", f"{rate:,.0f} curves/s")
    table.add_row("matrix products here", f"{product / 1e9:,.0f} GFLOP/s")
    table.add_row("share of it that the batch reaches", f"{share:.0%}")
    backtest = seconds(lambda: on_all_cores.backtest(first, bounds=None), repeats) / len(first)
    table.add_row("backtest of 100 steps, a forecast", f"{1e3 * backtest:.3f} ms")

    prior, generator = ReferencePrior(), torch.Generator().manual_seed(0)
    sampling = 20_000 / seconds(lambda: prior.sample(20_000, generator), max(5, repeats // 3))
    table.add_row("reference prior, accepted curves", f"{sampling:,.0f} /s")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table.add_row("peak memory of this process", f"{memory:,.0f} MiB")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
