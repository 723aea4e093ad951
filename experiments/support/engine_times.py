"""Times of one version of the library, asked for line by line: the other half of speed.py --engine.

    python experiments/support/engine_times.py CHECKOUT WEIGHTS CURVES THREADS

Imports the library from a checkout, so that two versions can be timed in turn, each in a process of
its own. Uses nothing but the public interface. For every name of a measurement on standard input,
and how often to repeat it, one line of seconds goes to standard output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

OBSERVED = 50


def measurements(model: Any, curves: np.ndarray) -> dict[str, Callable[[], object]]:
    """What is timed, by name; `curves` are (batch, 100) of the reference prior."""
    first = curves[0]
    seen = [curve[:OBSERVED] for curve in curves]

    def stream() -> None:
        running = model.stream(bounds=None)
        for value in first[:-1]:
            running.update(value)

    def final() -> object:
        return model.extrapolate(first[:OBSERVED], bounds=None, query=[100]).median

    return {
        "final value after 50 records": final,
        "all 50 later steps": lambda: model.extrapolate(first[:OBSERVED], bounds=None).median,
        "99 streamed updates": stream,
        f"batch of {len(curves)}": lambda: model.extrapolate_batch(seen, bounds=None),
        "backtest of 100 steps": lambda: model.backtest(first, bounds=None),
    }


def main() -> None:
    """Loads, and answers until there is nothing more to do."""
    checkout, weights, curves, threads = sys.argv[1:]
    sys.path.insert(0, checkout)
    import lcpfn

    try:
        model = lcpfn.load(weights, threads=int(threads))
    except TypeError:
        # Before this version torch was asked for threads.
        import torch

        torch.set_num_threads(int(threads))
        model = lcpfn.load(weights)
    known = measurements(model, np.load(curves))
    for call in known.values():
        call()
    print(lcpfn.__file__, flush=True)
    for line in sys.stdin:
        name, _, repeats = line.strip().rpartition(" x ")
        times = []
        for _ in range(int(repeats)):
            start = time.perf_counter()
            known[name]()
            times.append(time.perf_counter() - start)
        print(*times, flush=True)


if __name__ == "__main__":
    main()
