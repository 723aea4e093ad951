"""Draws questions for the second network from tables of searches: a run, its peers, what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.support.searches import SearchTable
from lcpfn.forecast.grain import Grain, counted_otherwise
from lcpfn.forecast.landmarks import END, HALF, REACHES, SHARES
from lcpfn.network.comparison import compared, gathered
from lcpfn.network.correction import EDGES
from lcpfn.network.likeness import Unlikeness, unlikeness
from lcpfn.network.peer_description import prepared, worths
from lcpfn.network.run_facts import RunFacts

Array = NDArray[Any]
MOST_PEERS = 64
_SETTINGS = 10
_LOW, _MIDDLE, _HIGH, _MET, _BECAME = (
    RunFacts._fields.index(name) for name in ("low", "middle", "high", "met", "became")
)
_LEVELS = np.array(
    [
        RunFacts._fields.index(name)
        for name in (
            *("first", "quarter", "half", "value", "low", "middle", "high"),
            *("became", "became_low", "became_middle", "became_high"),
        )
    ]
)
_BIAS_FADES = 0.45


@dataclass(frozen=True)
class Mixture:
    """What questions are drawn, shares of them.

    Args:
        same, foreign: whose peers are all of the same task, all of another; mixed in the others.
        related: of other tasks, that are of the same family.
        biased: in which forecasts are wrong in one way for a whole search.
        disguised: in which other tasks are told in the unit and at the level of the search.
        finished, beside: whose peers have all ended, or are all as far as the run.
    """

    same: float = 0.55
    foreign: float = 0.25
    related: float = 0.65
    biased: float = 0.35
    disguised: float = 0.25
    finished: float = 0.4
    beside: float = 0.25


@dataclass(frozen=True)
class Episodes:
    """Questions about runs, with their answers.

    Args:
        peers, own: (n, peers, features) and (n, features), see `lcpfn.network.comparison`.
        present: (n, peers).
        met: (n,) where the final value lay in the run's own forecast.
        edges: (n, BINS + 1) quantiles of the forecast, for the score in the metric's own unit.
        final: (n,) the final value.
        wide: (n,) width of the forecast.
        weight: (n,) of its score: more for runs of which less is known than of others.
        foreign: (n,) whether all peers are runs of other tasks.
        consensus: (n, 2) what the ends of all peers say, see `lcpfn.network.consensus`.
        trust: (n,) how far answers may be trusted.
        family: (n,) of the runs.
    """

    peers: Array
    own: Array
    present: Array
    met: Array
    edges: Array
    final: Array
    wide: Array
    weight: Array
    foreign: Array
    consensus: Array
    trust: Array
    family: Array

    def chosen(self, rows: Array) -> Episodes:
        """Some of the questions."""
        return Episodes(*(getattr(self, field.name)[rows] for field in fields(Episodes)))

    def without_peers(self) -> Episodes:
        """The same, less what peers are told as."""
        return replace(self, peers=self.peers[:, :0], present=self.present[:, :0])

    @staticmethod
    def together(parts: Sequence[Episodes]) -> Episodes:
        """The questions of several; all have as many peers."""
        joined = (
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Episodes)
        )
        return Episodes(*joined)


def _spread(finals: Array) -> float:
    return float(
        np.median(np.abs(finals - np.median(finals))) + 1e-6 * np.abs(finals).max() + 1e-290
    )


@dataclass(frozen=True)
class Bias:
    """Forecasts that are wrong in one way for a whole search: what peers can teach, exaggerated.

    Where a forecast's normal score was z, it becomes shift + scale z.

    Args:
        shift, scale: (...) of each forecast.
    """

    shift: Array
    scale: Array

    @staticmethod
    def drawn(most: Array, rng: np.random.Generator) -> Bias:
        """Random biases (n,), at most of a size (n,) that is 0 for none and 1 for large ones."""
        size = most * rng.random(len(most))
        shift, scale = rng.normal(0, 1.0, len(most)), rng.normal(0, 0.5, len(most))
        return Bias(size * shift, np.exp(size * scale))

    def mixed(self, other: Bias, share: Array) -> Bias:
        """A bias that is this one's by a share (...), and for the rest another's."""
        shift = share * self.shift + (1 - share) * other.shift
        logs = share * np.log(self.scale) + (1 - share) * np.log(other.scale)
        return Bias(shift, np.exp(logs))

    def by_peer(self, alien: Bias, foreign: Array) -> Bias:
        """That of each peer (n, k): this one (n,), or another's where it is of another task."""
        shift = np.where(foreign, alien.shift[:, None], self.shift[:, None])
        return Bias(shift, np.where(foreign, alien.scale[:, None], self.scale[:, None]))

    def met(self, chance: Array) -> Array:
        """The probability at which a value comes, (...)."""
        moved = _below(self.shift + self.scale * _score(np.clip(chance, 1e-9, 1 - 1e-9)))
        return np.where((chance <= 0) | (chance >= 1), chance, moved)

    def quartet(self, entries: Array) -> Array:
        """Low, middle, high and met, (..., 4)."""
        low, middle, high, met = np.moveaxis(entries, -1, 0)
        reach = 1.2815515655446004
        levels = []
        for score in (-reach, 0.0, reach):
            at = (score - self.shift) / self.scale
            side = np.where(at > 0, high - middle, middle - low)
            levels.append(middle + at * side / reach)
        return np.stack([*levels, self.met(met)], -1)

    def edges(self, quantiles: Array) -> Array:
        """Quantiles (n, edges) at EDGES."""
        inside = np.clip(EDGES, 1e-7, 1 - 1e-7)
        asked = _below((_score(inside) - self.shift[:, None]) / self.scale[:, None])
        return np.stack(
            [np.interp(at, EDGES, row) for at, row in zip(asked, quantiles, strict=True)]
        )


class Biases(NamedTuple):
    """How the forecasts of a question are wrong.

    Args:
        own: (n,) of the run's end.
        ends, before: (n, k) of its peers' ends, and of what became of them before.
    """

    own: Bias
    ends: Bias
    before: Bias

    @staticmethod
    def drawn(share: Array, foreign: Array, biased: float, rng: np.random.Generator) -> Biases:
        """Random ones, for runs of which a share (n,) has been seen.

        What is about to end is hardly forecast wrongly. And a forecast of a later record is wrong
        in part as that of the end is, in part in its own way.

        Args:
            foreign: (n, k) which peers are of another task.
            biased: how often there are any.
        """
        count = len(share)
        size = np.where(rng.random(count) < biased, (1 - share) ** _BIAS_FADES, 0.0)
        own, alien, early, alien_early = (Bias.drawn(size, rng) for _ in range(4))
        along = rng.random(count)
        return Biases(
            own,
            own.by_peer(alien, foreign),
            own.mixed(early, along).by_peer(alien.mixed(alien_early, along), foreign),
        )


def _score(chance: Array) -> Array:
    return torch.special.ndtri(torch.from_numpy(np.asarray(chance))).numpy()


def _below(score: Array) -> Array:
    return torch.special.ndtr(torch.from_numpy(np.asarray(score))).numpy()


class Pool:
    """All runs of several tables, to be drawn from."""

    def __init__(self, tables: Sequence[SearchTable]) -> None:
        tables = [table for table in tables if len(table.final) >= 2]
        self.names = [table.name for table in tables]
        self.families = np.array([table.family for table in tables])
        counts = [len(table.final) for table in tables]
        self.begin = np.concatenate([[0], np.cumsum(counts)])
        self.count = np.array(counts)

        def together(name: str) -> Array:
            return np.concatenate([getattr(table, name) for table in tables])

        self.first, self.final = together("first"), together("final")
        self.shares, self.values = together("shares"), together("values")
        self.ends, self.halves, self.later = together("ends"), together("halves"), together("later")
        self.edges = together("edges")
        self.typical = np.array(
            [(np.median(table.first), np.median(table.final)) for table in tables]
        )
        # How much the finals of its search differ.
        self.spread = np.concatenate(
            [np.full(len(table.final), _spread(table.final)) for table in tables]
        )
        self.records = [row for table in tables for row in table.records]
        self.grains = [Grain.of(row) for row in self.records]
        self.counts = together("counts")
        self.settings = np.full((self.begin[-1], _SETTINGS), np.nan)
        for table, begin in zip(tables, self.begin[:-1], strict=True):
            known = min(table.settings.shape[1], _SETTINGS)
            self.settings[begin : begin + len(table.final), :known] = table.settings[:, :known]

    def facts(
        self, runs: Array, landmark: Array, reach: Array, biases: Biases | None = None
    ) -> Array:
        """What is known of runs at landmarks, (..., FACTS) in the order of `RunFacts`.

        Args:
            runs, landmark: (...).
            reach: END for finished, -1 for no later record.
            biases: of their forecasts.
        """
        first = self.first[runs]

        def value(back: int) -> Array:
            at = landmark - back
            found = np.where(at >= 0, self.values[runs, np.maximum(at, 0)], first)
            return np.where(np.isnan(found), first, found)

        ends = self.ends[runs, landmark]
        place = np.maximum(np.minimum(reach, END - 1), 0) // 2
        later = self.later[runs, landmark, place]
        finished = reach == END
        usable = finished | (reach > landmark)
        halves = self.halves[runs, landmark]
        if biases is not None:
            ends = biases.ends.quartet(ends)
            later, halves = biases.before.quartet(later), biases.before.met(halves)
        became = np.where(finished[..., None], ends, later)
        became = np.where(usable[..., None], became, np.nan)
        known = ~np.isnan(became[..., 3])
        at = np.array(REACHES)[place]
        found = RunFacts(
            self.shares[runs, landmark],
            first,
            value(2 * HALF),
            value(HALF),
            value(0),
            ends[..., 0],
            ends[..., 1],
            ends[..., 2],
            halves,
            np.where(known, np.where(finished, 1.0, self.shares[runs, at]), np.nan),
            np.where(known, np.where(finished, self.final[runs], self.values[runs, at]), np.nan),
            became[..., 0],
            became[..., 1],
            became[..., 2],
            became[..., 3],
        )
        return np.stack(found, axis=-1)

    def _counted_otherwise(self, runs: Array, now: Array, peers: Array) -> Array:
        """Which peers (n, k) were counted in other steps than runs (n,) at landmarks (n,)."""
        seen = (
            self.records[run][: self.counts[run, at]] for run, at in zip(runs, now, strict=True)
        )
        return np.array(
            [
                counted_otherwise(values, [self.grains[peer] for peer in row])
                for values, row in zip(seen, peers.tolist(), strict=True)
            ]
        ).reshape(peers.shape)

    def episodes(
        self,
        runs: Array,
        now: Array,
        at: Array,
        peers: Array,
        present: Array,
        reach: Array,
        settings: Array,
        biases: Biases | None = None,
        unit: tuple[Array, Array] | None = None,
    ) -> Episodes:
        """Questions about runs (n,) whose newest record is that of landmark `now`.

        Args:
            at: (n,) the landmark at which runs are compared, at or before `now`.
            peers, present: (n, k) other runs.
            reach: (n, k) the last landmark that a peer has reached, END for the end.
            settings: (n, k') which hyperparameters are known.
            biases: of the forecasts.
            unit: offset and gain (n, k) by which the peers' records are told instead.
        """
        landmark = np.minimum(at[:, None], np.where(reach < 0, 0, reach))
        landmark = np.minimum(landmark, END - 1)
        looked = np.where(reach == END, END, reach - reach % 2)
        facts = self.facts(peers, landmark, looked, biases)
        present = present & ~np.isnan(facts[..., _MIDDLE]) & (reach >= 0)
        present &= ~self._counted_otherwise(runs, now, peers)
        ends, edges = self.ends[runs, now], self.edges[runs, now]
        if biases is not None:
            ends, edges = biases.own.quartet(ends), biases.own.edges(edges)
        if unit is not None:
            facts[..., _LEVELS] = unit[0][..., None] + unit[1][..., None] * facts[..., _LEVELS]
        own = self.facts(runs, at, np.full_like(at, -1))
        own[:, _LOW : _HIGH + 1] = ends[:, :3]
        own[:, _BECAME] = self.values[runs, now]
        # What was forecast of the run itself at the landmark would cost a pass of the network.
        own[:, _MET] = np.nan
        others = prepared(facts)
        moves = np.zeros((*peers.shape, self.settings.shape[1]))
        unlike = Unlikeness(np.full((*peers.shape, 2), np.nan), moves)
        rows = np.flatnonzero((settings & ~np.isnan(self.settings[runs])).any(1))
        if len(rows):
            known = present[rows][..., None] & settings[rows][:, None]
            told = np.where(known, self.settings[peers[rows]], np.nan)
            told = np.concatenate([self.settings[runs[rows]][:, None], told], axis=1)
            worth = np.concatenate([ends[rows, 1:2], worths(others[rows])], axis=1)
            unlike.distances[rows], moves[rows] = unlikeness(told, worth)
        shares = self.shares[runs, now]
        seen = compared(shares, own, gathered(others, present), unlike)
        wide = np.maximum(ends[:, 2] - ends[:, 0], 1e-12 * np.abs(ends[:, 1]) + 1e-290)
        home = np.searchsorted(self.begin, runs, side="right")[:, None]
        away = np.searchsorted(self.begin, peers, side="right") != home
        return Episodes(
            seen.peers,
            seen.own,
            present,
            ends[:, 3],
            edges,
            self.final[runs],
            wide,
            np.clip(np.sqrt(wide / self.spread[runs]), 0.3, 3.0),
            (away | ~present).all(1),
            seen.consensus,
            seen.trust,
            self.families[home[:, 0] - 1],
        )


def draw(
    pool: Pool,
    weights: Mapping[str, float],
    count: int,
    peers_wanted: tuple[int, int],
    rng: np.random.Generator,
    mixture: Mixture = Mixture(),
) -> Episodes:
    """Random questions for training.

    Args:
        weights: how often each family is asked about.
        count: of questions.
        peers_wanted: ends of their number, log-uniform.
        mixture: whose peers.
    """
    fewest, most = peers_wanted
    chance = np.array([weights.get(family, 0.0) for family in pool.families])
    for family in set(pool.families):
        chance[pool.families == family] /= (pool.families == family).sum()
    chance /= chance.sum()
    search = rng.choice(len(chance), count, p=chance)
    runs = pool.begin[search] + (rng.random(count) * pool.count[search]).astype(int)
    # Late moments are as likely as early ones, on the scale on which runs are compared, and those
    # before a tenth half as likely.
    usable = ~np.isnan(pool.ends[runs, :, 3])
    seldom = np.where(np.array(SHARES) < 0.095, 2.0, 1.0)
    now = np.argmax(usable * rng.random(usable.shape) ** seldom, 1)
    kept = usable.any(1)
    search, runs, now = search[kept], runs[kept], now[kept]
    count = len(runs)
    wanted = np.exp(rng.uniform(np.log(fewest), np.log(most + 1), count)).astype(int)
    # Peers of the same task, of others, or mixed.
    kind = rng.random(count)
    some = np.where(kind < mixture.same + mixture.foreign, 1.0, rng.random(count))
    foreign_share = np.where(kind < mixture.same, 0.0, some)
    foreign = rng.random((count, most)) < foreign_share[:, None]
    alien = _foreign(pool, search, mixture.related, rng)
    others = np.where(foreign, alien[:, None], search[:, None])
    size = pool.count[others]
    peers = pool.begin[others] + _without_repeats(size, rng)
    at = now - (rng.random(count) < 0.25)
    at = np.where((at >= 0) & ~np.isnan(pool.values[runs, np.maximum(at, 0)]), at, now)
    order = np.arange(most)
    present = (order < wanted[:, None]) & (peers != runs[:, None])
    present &= order < size
    reach = _reaches(pool, peers, now, mixture, rng)
    told = (rng.random((count, 1)) < 0.55) & (
        rng.random((count, _SETTINGS)) < np.where(rng.random((count, 1)) < 0.7, 1.0, 0.5)
    )
    biases = Biases.drawn(pool.shares[runs, now], foreign, mixture.biased, rng)
    disguise = _disguise(pool, search, alien, mixture.disguised, rng)
    unit = tuple(
        np.where(foreign, part[:, None], plain)
        for part, plain in zip(disguise, (0, 1), strict=True)
    )
    return pool.episodes(runs, now, at, peers, present, reach, told, biases, unit)


def _disguise(
    pool: Pool, search: Array, alien: Array, share: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Offsets and gains (n,) that give other tasks about the level and the range of a search.

    Only a share of them, so that neither the level tells all, nor nothing.
    """
    first, final = pool.typical[search].T
    other_first, other_final = pool.typical[alien].T
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.abs((final - first) / (other_final - other_first))
    gain = gain * np.exp(rng.normal(0, 0.3, len(search)))
    away = rng.normal(0, 0.2, len(search)) * np.abs(final - first)
    used = (rng.random(len(search)) < share) & (gain > 1e-6) & (gain < 1e6)
    offset = np.where(used, final + away - gain * other_final, 0.0)
    return offset, np.where(used, gain, 1.0)


def _without_repeats(size: Array, rng: np.random.Generator) -> Array:
    """(n, k) numbers below `size`, those of a row differ up to the size."""
    count, most = size.shape
    start = rng.integers(0, 1 << 30, (count, 1))
    # An affine walk modulo the size: steps that are coprime with it visit every number once.
    step = rng.integers(0, 1 << 30, (count, 1)) | 1
    step = np.where(np.gcd(step, size) == 1, step, 1)
    return (start + step * np.arange(most)) % size


def _foreign(pool: Pool, search: Array, related: float, rng: np.random.Generator) -> Array:
    """Another search for each, a share of them from the same family."""
    other = (search + rng.integers(1, len(pool.count), len(search))) % len(pool.count)
    for index in np.flatnonzero(rng.random(len(search)) < related):
        same = np.flatnonzero(pool.families == pool.families[search[index]])
        same = same[same != search[index]]
        if len(same):
            other[index] = same[rng.integers(len(same))]
    return other


def _reaches(
    pool: Pool, peers: Array, now: Array, mixture: Mixture, rng: np.random.Generator
) -> Array:
    """How far each peer has got: all to the end, all as far as the run, or anyhow.

    Of those that got anyhow far, in half of the searches the worse ones were stopped.
    """
    count, most = peers.shape
    kind = rng.random(count)[:, None]
    share_finished = rng.random((count, 1)) ** 1.5
    anyhow = rng.integers(0, END, (count, most))
    later = now[:, None] + (rng.random((count, most)) * (END - now[:, None])).astype(int)
    anyhow = np.where(rng.random((count, 1)) < 0.6, later, anyhow)
    score = rng.random((count, most))
    seen = pool.values[peers, anyhow]
    worse = (-np.where(np.isnan(seen), -np.inf, seen)).argsort(1).argsort(1) / most
    noise = rng.random((count, 1))
    selected = rng.random((count, 1)) < 0.5
    score = np.where(selected, (1 - noise) * worse + noise * score, score)
    partly = np.where(score.argsort(1).argsort(1) / most < share_finished, END, anyhow)
    beside = np.broadcast_to(now[:, None], peers.shape)
    other = np.where(kind < mixture.finished + mixture.beside, beside, partly)
    return np.where(kind < mixture.finished, END, other)
