"""Recorded runs as the trials of a search that may stop them, and what it then costs and misses.

A search tries recorded configurations in a random order, so many at a time. It goes in rounds: in
each, every running trial reports one record, in the order in which they began, and a worker that is
free begins the next. A method sees the records of a trial one by one and may stop it after any of
them, or have it wait. Its cost is the share of all records that it looked at, and the rounds. Its
incumbent is the trial with the best final record among those that ran to their end; regret is what
that lacks of the best final record of all, in units of the median's distance to the best. A final
record that is not finite counts as the worst.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lcpfn.forecast.arguments import Goal

Array = NDArray[np.float64]

_TIMED_EVERY = 20

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
        rounds: how long the search took, in records of one run.
        decisions: how often it was asked.
        milliseconds: mean processor time of a decision, of every twentieth; NaN of none.
    """

    spent: NDArray[np.int64]
    finished: NDArray[np.bool_]
    rounds: int = 0
    decisions: int = 0
    milliseconds: float = float("nan")


Method = Callable[[RecordedRuns, int], Replay]
"""Replays the runs as trials, in the order they have, so many at a time."""

Action = Literal["continue", "stop", "pause"]


class Trials(Protocol):
    """Somebody's real code, in charge of the trials of one search; they are known by number."""

    def begin(self, trial: int) -> None:
        """A trial begins."""

    def report(self, trial: int, step: int, value: float, unbegun: int) -> Action:
        """A trial has reported a record, the first at step 1; `unbegun` ones wait for a place."""

    def end(self, trial: int, finished: bool) -> None:
        """A trial has reached its last record, or was stopped."""

    def choose(self) -> int | None:
        """The next of the paused trials to go on; None where there is none."""


def side_by_side(
    runs: RecordedRuns, workers: int, trials: Trials, waiting_first: bool = False
) -> Replay:
    """Replays a search in rounds.

    Args:
        runs: in the order of trials.
        workers: how many run at a time.
        trials: decides.
        waiting_first: whether trials that wait go on before new ones begin; else after them.
    """
    count, records = runs.curves.shape
    spent, finished = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=bool)
    running: list[int] = []
    begun = rounds = decisions = 0
    times: list[float] = []
    while True:
        while len(running) < workers:
            following = trials.choose() if waiting_first or begun == count else None
            if following is None and begun < count:
                following = begun
                trials.begin(begun)
                begun += 1
            if following is None:
                break
            running.append(following)
        if not running:
            mean = 1e3 * sum(times) / len(times) if times else float("nan")
            return Replay(spent, finished, rounds, decisions, mean)
        rounds += 1
        for trial in list(running):
            spent[trial] += 1
            step = int(spent[trial])
            asked = trial, step, float(runs.curves[trial, step - 1]), count - begun
            # A look at the clock of a thread can cost more than a decision.
            if decisions % _TIMED_EVERY == 0:
                begin = time.thread_time()
                action = trials.report(*asked)
                times.append(time.thread_time() - begin)
            else:
                action = trials.report(*asked)
            decisions += 1
            if action == "stop" or step == records:
                finished[trial] = action != "stop"
                trials.end(trial, bool(finished[trial]))
            if action != "continue" or step == records:
                running.remove(trial)


@dataclass(frozen=True)
class Outcome:
    """What a replay cost and missed.

    Args:
        epochs: share of all records that were looked at.
        regret: what the incumbent's final record lacks, over median minus best.
        kept: whether a trial with the best final record ran to its end.
        rounds: of the clock, as a multiple of one run's records.
        milliseconds: of processor time per decision.
    """

    epochs: float
    regret: float
    kept: bool
    rounds: float
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
        replay.rounds / runs.curves.shape[1],
        replay.milliseconds,
    )


class _Untouched:
    """Lets every trial run to its end."""

    def begin(self, trial: int) -> None:
        """Nothing to do."""

    def report(self, trial: int, step: int, value: float, unbegun: int) -> Action:
        """Goes on."""
        return "continue"

    def end(self, trial: int, finished: bool) -> None:
        """Nothing to do."""

    def choose(self) -> int | None:
        """Nothing is paused."""
        return None


class _Oracle(_Untouched):
    """Knows after the first record which trials become the best, in their order."""

    def __init__(self, finals: Array) -> None:
        before = np.maximum.accumulate(np.concatenate([[-np.inf], finals[:-1]]))
        self._worth = finals > before

    def report(self, trial: int, step: int, value: float, unbegun: int) -> Action:
        """Stops what does not become the best."""
        return "continue" if self._worth[trial] else "stop"


def no_stopping(runs: RecordedRuns, workers: int) -> Replay:
    """Runs every trial to its end."""
    return side_by_side(runs, workers, _Untouched())


def oracle(runs: RecordedRuns, workers: int) -> Replay:
    """Knows how trials end after their first record, and finishes those that become the best."""
    return side_by_side(runs, workers, _Oracle(runs.finals))
