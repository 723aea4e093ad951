"""Replays a search in a pool of recorded runs: workers that ask what to run next.

A search goes in rounds. In each, every worker that is free asks which run goes on or begins, and
every busy one reports one record of its run. What counts is the best record seen so far, against
the records of all runs together.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from experiments.pools import Pool
from lcpfn.forecast.arguments import Array


class Searcher(Protocol):
    """Chooses from a pool which run goes on next; runs are known by their number in it."""

    def ask(self) -> int | None:
        """The run that a free worker begins or goes on with; None where nothing is left."""

    def tell(self, run: int, record: int, value: float) -> bool:
        """Hears of a record, the first being 1; returns whether the worker stays with the run."""


@dataclass(frozen=True)
class Anytime:
    """What a search had found when.

    Args:
        seen: (epochs,) the best record after so many, NaN before the first that is a number.
        asked: how often a worker asked.
        milliseconds: of processor time of each time it asked, on average.
        begun: how many runs began.
        finished: how many runs reached their last record.
    """

    seen: Array
    asked: int
    milliseconds: float
    begun: int
    finished: int


def search_pool(pool: Pool, searcher: Searcher, workers: int, epochs: int) -> Anytime:
    """Replays one search.

    Args:
        pool: to choose from.
        searcher: chooses.
        workers: how many runs go on at a time.
        epochs: after how many records of all runs together it ends.
    """
    sign = 1.0 if pool.goal == "maximize" else -1.0
    spent = np.zeros(len(pool.curves), dtype=np.int64)
    busy: list[int | None] = [None] * workers
    seen: list[float] = []
    best, asked, seconds = -np.inf, 0, 0.0
    while len(seen) < epochs:
        for worker, run in enumerate(busy):
            if run is None:
                begin = time.thread_time()
                busy[worker] = searcher.ask()
                seconds += time.thread_time() - begin
                asked += 1
        if all(run is None for run in busy):
            break
        for worker, run in enumerate(busy):
            if run is None:
                continue
            value = float(pool.curves[run, spent[run]])
            spent[run] += 1
            if np.isfinite(value):
                best = max(best, sign * value)
            seen.append(sign * best)
            stays = searcher.tell(run, int(spent[run]), value)
            if not stays or spent[run] == pool.records:
                busy[worker] = None
    found = np.array((seen + seen[-1:] * epochs)[:epochs])
    finished = int((spent == pool.records).sum())
    return Anytime(found, asked, 1e3 * seconds / asked, int((spent > 0).sum()), finished)
