"""Replays recorded runs on forecasts that are made once and shared by many stopping rules.

A forecast depends on a run's own records only, not on the incumbent it is compared with. So one
`backtest` per run holds all that rules of any threshold need.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import lcpfn
from experiments.replay import RecordedRuns, Replay
from lcpfn.forecast.bounds import bounds_that_hold, finite_extremes
from lcpfn.forecast.schedule import NamedSchedule
from lcpfn.peers import LATEST, Peer, standing
from lcpfn.stopping import Decision, StoppingRule, diverged


@dataclass(frozen=True)
class RunForecasts:
    """Of the end of one run.

    Args:
        posts: after each record, up to the one that shows that the run has diverged.
        diverges: whether there is such a record, the next one.
    """

    posts: Sequence[lcpfn.Extrapolation]
    diverges: bool


def forecast_all(
    runs: RecordedRuns, model: lcpfn.LCPFN, schedule: NamedSchedule | None = None
) -> list[RunForecasts]:
    """Forecasts the end of every run from each of its prefixes, told the learning rate or not.

    Bounds are guessed as in a search that has seen a full run: from the values of others as well.
    """
    horizon = runs.curves.shape[1]
    seen = finite_extremes(runs.curves.ravel().tolist())
    forecasts = []
    for curve in runs.curves:
        usable = _usable(runs, curve)
        posts = (
            model.backtest(
                curve[:usable],
                horizon=horizon,
                goal=runs.goal,
                bounds=bounds_that_hold("auto", curve[:1].tolist(), runs.goal, seen),
                schedule=schedule,
            )
            if usable
            else []
        )
        forecasts.append(RunForecasts(posts, usable < horizon))
    return forecasts


def _usable(runs: RecordedRuns, curve: NDArray[np.float64]) -> int:
    for count in range(1, len(curve) + 1):
        if diverged(curve[:count], runs.goal) is not None:
            return count - 1
    return len(curve)


def through_forecasts(
    runs: RecordedRuns, forecasts: Sequence[RunForecasts], rule: StoppingRule, peers: int = LATEST
) -> Replay:
    """What the pruner does with a rule, given its forecasts in the order of the runs.

    Args:
        runs: in the order of trials.
        forecasts: of the runs.
        rule: decides.
        peers: how many of the latest runs each is compared with.
    """
    trials, length = runs.curves.shape
    spent = np.full(trials, length)
    finished = np.ones(trials, dtype=bool)
    finals: list[float] = []
    latest: deque[Peer] = deque(maxlen=peers)
    for index, known in enumerate(forecasts):
        stopped = _stopped_after(known, rule, rule.incumbent(finals, runs.goal), latest)
        if stopped is None:
            finals.append(float(runs.curves[index, -1]))
        else:
            spent[index], finished[index] = stopped, False
        records = enumerate(runs.curves[index, : spent[index]].tolist(), 1)
        latest.append(Peer.of(records, stopped is not None))
    return Replay(spent, finished)


def _stopped_after(
    known: RunForecasts, rule: StoppingRule, incumbent: float | None, peers: Sequence[Peer]
) -> int | None:
    """How many records the rule looks at before it stops the run; None when it does not."""
    earlier: list[Decision] = []
    last = len(known.posts) if known.diverges else len(known.posts) - 1
    for post in known.posts[:last] if incumbent is not None else ():
        step, value = float(post.observed_steps[-1]), float(post.observed_values[-1])
        place = standing(step, value, peers, post.goal)
        decision = rule.decide(post, incumbent, earlier, place)
        if decision.stop:
            return len(earlier) + 1
        earlier.append(decision)
    return len(known.posts) + 1 if known.diverges else None
