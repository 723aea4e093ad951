"""Scores of forecasts that heard peers: the final value, after some shares of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments.support.peer_episodes import Episodes, Pool
from experiments.support.searches import SearchTable
from lcpfn.forecast.landmarks import END, SHARES
from lcpfn.network.consensus import said_by_ends
from lcpfn.network.correction import BINS, EDGES, WIDTHS, tempered
from lcpfn.network.peers import PeerNetwork, agreed, claimed, normalised
from lcpfn.network.scales import scores

Array = NDArray[Any]

CUTOFFS = (0.1, 0.2, 0.4, 0.8)
PROBABILITIES = np.linspace(0.02, 0.98, 49)
_LARGEST = 1e6
_DRAWS_APART = 1_000_000
_RAGGED = ("world", "wild")
_CAPS = {True: 5.0, False: 10.0}

Peers = Literal["finished", "beside"]
"""Peers that have finished, or such as are just as far as the run at hand."""


@dataclass(frozen=True)
class Case:
    """Runs of a search after a cutoff, each with the same number of peers.

    Args:
        table: of the search.
        cutoff: share of the run.
        landmark: of the cutoff.
        runs: (n,) numbers of the judged ones.
        peers: (n, k) numbers of the runs in the pool that are their peers.
        reach: (n, k) how far these have got.
        begin: number of the search's first run in the pool.
    """

    table: SearchTable
    cutoff: float
    landmark: int
    runs: Array
    peers: Array
    reach: Array
    begin: int

    @property
    def scale(self) -> Array:
        """(n,) what errors are divided by: the spread of all finals, or of a ragged run's own."""
        table = self.table
        if table.family in _RAGGED:
            values = table.values[self.runs]
            spread = np.nanquantile(values, 0.95, axis=1) - np.nanquantile(values, 0.05, axis=1)
            return np.maximum(spread, 1e-9)
        middle = np.median(table.final)
        return np.full(len(self.runs), np.median(np.abs(table.final - middle)) + 1e-9)

    @property
    def cap(self) -> float:
        """Larger errors count as this."""
        return _CAPS[self.table.family in _RAGGED]

    @property
    def edges(self) -> Array:
        """(n, BINS + 1) quantiles of the forecasts alone at EDGES."""
        return np.asarray(self.table.edges[self.runs, self.landmark])


def cases(
    table: SearchTable,
    pool: Pool,
    counts: Sequence[int],
    kind: Peers = "finished",
    others: Sequence[str] = (),
    most_runs: int = 60,
    draw: int = 0,
) -> Iterable[tuple[int, Case]]:
    """All cases of a search, with the number of peers that was asked for.

    Args:
        table: the search.
        pool: where it and all others are.
        counts: numbers of peers; where a search has fewer runs, all others.
        kind: how far the peers have got.
        others: names of searches that peers come from instead, one of them for each run.
        most_runs: judged.
        draw: number of the draw of peers.
    """
    usable = np.isfinite(table.final) & (np.abs(table.final) < _LARGEST)
    seen = np.where(np.isnan(table.values), 0.0, np.abs(table.values)).max(1)
    chosen = np.random.default_rng(5).permutation(np.flatnonzero(usable & (seen < _LARGEST)))
    own, size = pool.begin[pool.names.index(table.name)], len(table.final)
    for cutoff in CUTOFFS:
        landmark = int(np.argmin(np.abs(np.array(SHARES) - cutoff)))
        runs = chosen[:most_runs]
        runs = runs[~np.isnan(table.ends[runs, landmark, 3])]
        if not len(runs):
            continue
        for count in counts:
            drawn = []
            for run in runs.tolist():
                rng = np.random.default_rng(run + _DRAWS_APART * draw)
                if others:
                    other = pool.names.index(others[rng.integers(len(others))])
                    order = rng.permutation(pool.count[other])[:count]
                    drawn.append(np.resize(pool.begin[other] + order, count))
                else:
                    order = rng.permutation(np.delete(np.arange(size), run))
                    drawn.append(own + order[: min(count, size - 1)])
            peers = np.array(drawn, dtype=np.int64).reshape(len(runs), -1)
            reach = np.full(peers.shape, END if kind == "finished" else landmark)
            yield count, Case(table, cutoff, landmark, runs, peers, reach, int(own))


def corrections(case: Case, pool: Pool, network: PeerNetwork, settings: bool) -> Array:
    """(n, BINS) log-masses that the network answers; those of no correction without peers."""
    if not case.peers.shape[1]:
        return np.tile(np.log(WIDTHS), (len(case.runs), 1))
    asked = _asked(case, pool, settings)
    answers = network(asked.peers, asked.own, asked.present, asked.consensus)
    return np.log(tempered(answers.astype(np.float64), asked.trust))


def nats_claimed(case: Case, pool: Pool, network: PeerNetwork) -> Array:
    """(n,) how much peers claim to know, see `lcpfn.network.gate`."""
    asked = _asked(case, pool, settings=False)
    logits, _ = network.heard(asked.peers, asked.own, asked.present)
    return np.asarray(claimed(normalised(agreed(logits, asked.consensus)))[:, 0])


def _asked(case: Case, pool: Pool, settings: bool) -> Episodes:
    now = np.full(len(case.runs), case.landmark)
    told = np.full((len(case.runs), pool.settings.shape[1]), settings)
    present = np.ones(case.peers.shape, dtype=bool)
    runs = case.runs + case.begin
    return pool.episodes(runs, now, now, case.peers, present, case.reach, told)


def by_all_ends(case: Case) -> Array:
    """(n, BINS) log-masses by where the ends of all other runs of the search lay together.

    What all runs have in common, from more runs than any forecast has.
    """
    met = case.table.ends[:, case.landmark, 3]
    ended = np.tile(~np.isnan(met), (len(case.runs), 1))
    ended[np.arange(len(case.runs)), case.runs] = False
    ends = np.tile(np.nan_to_num(scores(met)), (len(case.runs), 1))
    said = said_by_ends(ends, ended)
    return np.asarray(normalised(agreed(np.zeros((len(said), BINS)), said)))


@dataclass(frozen=True)
class Scored:
    """Scores of the runs of a case, (n,) each.

    Args:
        crps, last: of the forecast and of the last value, over the scale, capped.
        place: where the final value lay in the forecast, in [0, 1].
        gain: log-density over that of the forecast alone, nats.
    """

    crps: Array
    last: Array
    place: Array
    gain: Array

    @property
    def inside(self) -> Array:
        """Whether the final value lay within the central 88 %."""
        return (self.place > 0.06) & (self.place < 0.94)


def together(scored: Sequence[Scored]) -> Scored:
    """The scores of several cases as those of one."""
    parts = (
        np.concatenate([getattr(one, field.name) for one in scored]) for field in fields(Scored)
    )
    return Scored(*parts)


def score(case: Case, log_masses: Array) -> Scored:
    """Scores corrected forecasts."""
    below = cumulated(log_masses)
    quantiles = np.stack(
        [
            np.interp(np.interp(PROBABILITIES, cdf, EDGES), EDGES, row)
            for cdf, row in zip(below, case.edges, strict=True)
        ]
    )
    met = case.table.ends[case.runs, case.landmark, 3]
    place = np.array([np.interp(u, EDGES, cdf) for u, cdf in zip(met, below, strict=True)])
    bins = np.clip(np.searchsorted(EDGES, met, side="right") - 1, 0, BINS - 1)
    gain = (log_masses - np.log(WIDTHS))[np.arange(len(met)), bins]
    return Scored(crps_of(case, quantiles), _last(case), place, gain)


def score_quantiles(case: Case, quantiles: Array) -> Scored:
    """Scores forecasts by their quantiles (n, len(PROBABILITIES))."""
    final = case.table.final[case.runs]
    place = np.array(
        [
            np.interp(value, row, PROBABILITIES, left=0.0, right=1.0)
            for value, row in zip(final, quantiles, strict=True)
        ]
    )
    return Scored(crps_of(case, quantiles), _last(case), place, np.full(len(final), np.nan))


def crps_of(case: Case, quantiles: Array) -> Array:
    """CRPS over the scale, capped, (n,)."""
    missed = case.table.final[case.runs][:, None] - quantiles
    loss = np.maximum(PROBABILITIES * missed, (PROBABILITIES - 1) * missed)
    return np.minimum(2 * loss.mean(1) / case.scale, case.cap)


def _last(case: Case) -> Array:
    table = case.table
    error = np.abs(table.values[case.runs, case.landmark] - table.final[case.runs])
    return np.minimum(error / case.scale, case.cap)


def cumulated(log_masses: Array) -> Array:
    """(n, BINS + 1) probability below each edge."""
    below = np.cumsum(np.exp(log_masses), axis=1)
    below = np.concatenate([np.zeros((len(below), 1)), below], axis=1)
    return below / below[:, -1:]


def chances(case: Case, log_masses: Array, pool: Pool) -> tuple[Array, Array]:
    """Probabilities to end better than the best finished peer, (n,), and whether it came so."""
    best = pool.final[case.peers].max(1)
    below = cumulated(log_masses)
    rows = zip(best, case.edges, below, strict=True)
    said = np.array([1 - np.interp(np.interp(y, row, EDGES), EDGES, cdf) for y, row, cdf in rows])
    return said, case.table.final[case.runs] > best


@dataclass(frozen=True)
class Mean:
    """A family's scores, each search counting alike, or each run of ragged repositories.

    Args:
        ratio: CRPS over the last value's.
        change, error: mean over searches of CRPS over that of the forecast alone, pooled, and its
            standard error over searches.
        inside: share within the central 88 %.
    """

    ratio: float
    change: float
    error: float
    inside: float


def pooled(scored: Sequence[Scored], alone: Sequence[Scored], by_run: bool) -> Mean:
    """Pools searches; `alone` are the scores of the same runs without peers."""
    weigh: Callable[[Scored], float] = (
        (lambda one: float(len(one.crps))) if by_run else lambda _: 1.0
    )
    weights = np.array([weigh(one) for one in scored])
    weights /= weights.sum()
    ours, theirs, last, inside = (
        np.array([statistic(pair) for pair in zip(scored, alone, strict=True)])
        for statistic in (
            lambda pair: pair[0].crps.mean(),
            lambda pair: pair[1].crps.mean(),
            lambda pair: pair[0].last.mean(),
            lambda pair: pair[0].inside.mean(),
        )
    )
    change = (weights @ ours) / (weights @ theirs)
    deviation = weights * (ours - change * theirs) / (weights @ theirs)
    count = len(ours)
    error = np.sqrt((deviation**2).sum() * count / max(1, count - 1)) if count > 1 else np.nan
    return Mean(
        float(weights @ ours / (weights @ last)),
        float(change),
        float(error),
        float(weights @ inside),
    )


@dataclass(frozen=True)
class Singles:
    """Whether a family's mean change goes by a few of its searches and runs.

    Args:
        median: of the searches' changes.
        worse: share of searches whose score is worse than alone.
        without_loser: the change, as `Mean` has it, less the run that loses most.
        without_both: the same, less the run that gains most, too.
    """

    median: float
    worse: float
    without_loser: float
    without_both: float


def singles(scored: Sequence[Scored], alone: Sequence[Scored], by_run: bool) -> Singles:
    """Looks at single searches and runs; arguments as for `pooled`."""
    changes = np.array(
        [one.crps.mean() / other.crps.mean() for one, other in zip(scored, alone, strict=True)]
    )
    losses = [one.crps - other.crps for one, other in zip(scored, alone, strict=True)]

    def change(*dropped: tuple[int, int]) -> float:
        parts = [
            [_without(one, [run for search, run in dropped if search == index]) for one in pair]
            for index, pair in enumerate(zip(scored, alone, strict=True))
        ]
        kept = [pair for pair in parts if len(pair[0].crps)]
        return pooled([ours for ours, _ in kept], [theirs for _, theirs in kept], by_run).change

    most = int(np.argmax([loss.max() for loss in losses]))
    least = int(np.argmin([loss.min() for loss in losses]))
    loser, winner = (most, int(losses[most].argmax())), (least, int(losses[least].argmin()))
    return Singles(
        float(np.median(changes)),
        float((changes > 1).mean()),
        change(loser),
        change(loser, winner),
    )


def _without(scored: Scored, runs: Sequence[int]) -> Scored:
    parts = (np.delete(getattr(scored, field.name), runs) for field in fields(Scored))
    return Scored(*parts)
