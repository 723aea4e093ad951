"""Recorded runs as the trials of a search that may stop them, and what it then costs and misses.

A search tries recorded configurations in a random order, one after another. A method sees the
records of a trial one by one and may stop it after any of them. Its cost is the share of all
records that it looked at. Its incumbent is the trial with the best final record among those that
ran to their end; regret is what that lacks of the best final record of all, in units of the
median's distance to the best. A final record that is not finite counts as the worst.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.arguments import Goal

Array = NDArray[np.float64]

METRICS: dict[str, Goal] = {
    "val_loss": "minimize",
    "valid_loss": "minimize",
    "val_accuracy": "maximize",
}
"""The arrays that a data set may hold, first come, first taken, and what is better."""


@dataclass(frozen=True)
class RecordedRuns:
    """Runs of one data set.

    Args:
        name: of the data set.
        curves: (runs, records) of the metric, as recorded: divergence shows as NaN or infinity.
        goal: what counts as better.
        configurations: (runs, settings) that the runs were trained with; None where not recorded.
    """

    name: str
    curves: Array
    goal: Goal
    configurations: Array | None = None

    @property
    def finals(self) -> Array:
        """(runs,) final records, higher is better, -inf where not finite."""
        final = self.curves[:, -1] * (1 if self.goal == "maximize" else -1)
        return np.where(np.isfinite(final), final, -np.inf)

    def orders(self, count: int, seed: int) -> list[NDArray[np.int64]]:
        """Random orders of all runs."""
        generator = np.random.default_rng([seed, 1, zlib.crc32(self.name.encode())])
        return [generator.permutation(len(self.curves)) for _ in range(count)]


def read_runs(
    folder: Path, per_set: int, seed: int, metric: str | None = None
) -> Iterator[RecordedRuns]:
    """Every data set of a folder, with a seeded choice of its runs.

    Args:
        folder: holds one .npz per data set, with an array of shape (runs, records) under one of
            the names in `METRICS`.
        per_set: runs taken from each; all where there are no more.
        seed: of the choice.
        metric: the array to take; None takes the first of `METRICS` that is there.
    """
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            wanted = METRICS if metric is None else [metric]
            key = next((key for key in wanted if key in arrays), None)
            if key is None:
                continue
            curves = arrays[key].astype(np.float64)
            settings = arrays["config"].astype(np.float64) if "config" in arrays else None
        generator = np.random.default_rng([seed, 0, zlib.crc32(path.stem.encode())])
        chosen = generator.permutation(len(curves))[:per_set]
        configurations = None if settings is None else settings[chosen]
        yield RecordedRuns(path.stem, curves[chosen], METRICS[key], configurations)


@dataclass(frozen=True)
class Replay:
    """What a method did in one search.

    Args:
        spent: (trials,) records that it looked at, in the order of trials.
        finished: (trials,) whether it let the trial run to its end.
        decisions: how often it was asked.
        seconds: processor time of all its decisions; NaN where nothing was timed.
    """

    spent: NDArray[np.int64]
    finished: NDArray[np.bool_]
    decisions: int = 0
    seconds: float = float("nan")


Method = Callable[[RecordedRuns], Replay]
"""Replays the runs as trials, in the order they have."""


@dataclass(frozen=True)
class Outcome:
    """What a replay cost and missed.

    Args:
        epochs: share of all records that were looked at.
        regret: what the incumbent's final record lacks, over median minus best.
        kept: whether a trial with the best final record ran to its end.
        milliseconds: of processor time per decision.
    """

    epochs: float
    regret: float
    kept: bool
    milliseconds: float


def outcome(runs: RecordedRuns, replay: Replay) -> Outcome:
    """Scores a replay of `runs`, both in the order of trials."""
    finals = runs.finals
    finite = finals[np.isfinite(finals)]
    best, worst = finite.max(), finite.min()
    incumbent = max(worst, finals[replay.finished].max(initial=-np.inf))
    lost = best - incumbent
    return Outcome(
        float(replay.spent.sum() / runs.curves.size),
        float(lost / (best - np.median(finite))) if lost > 0 else 0.0,
        bool(lost == 0),
        1e3 * replay.seconds / max(1, replay.decisions),
    )


def no_stopping(runs: RecordedRuns) -> Replay:
    """Runs every trial to its end."""
    trials, records = runs.curves.shape
    return Replay(np.full(trials, records), np.ones(trials, dtype=bool))


def oracle(runs: RecordedRuns) -> Replay:
    """Knows how trials end after their first record, and finishes those that become the best."""
    finals = runs.finals
    before = np.maximum.accumulate(np.concatenate([[-np.inf], finals[:-1]]))
    finished = finals > before
    return Replay(np.where(finished, runs.curves.shape[1], 1), finished)
