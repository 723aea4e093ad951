"""Draws questions for the second network from tables of searches: a run, its peers, what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.support.searches import SearchTable
from lcpfn.forecast.landmarks import END, HALF, REACHES
from lcpfn.network.correction import EDGES
from lcpfn.network.likeness import unlikeness
from lcpfn.network.peers import Now, RunFacts, features, trust

Array = NDArray[Any]
MOST_PEERS = 64
_SETTINGS = 10


@dataclass(frozen=True)
class Episodes:
    """Questions about runs, with their answers.

    Args:
        tokens: (n, 1 + peers, features).
        present: (n, 1 + peers).
        met: (n,) where the final value lay in the run's own forecast.
        edges: (n, BINS + 1) quantiles of the forecast, for the score in the metric's own unit.
        final: (n,) the final value.
        wide: (n,) width of the forecast.
        weight: (n,) of its score: more for runs of which less is known than of others.
        trusted: (n,) how far the peers are trusted, see `lcpfn.network.peers.trust`.
    """

    tokens: Array
    present: Array
    met: Array
    edges: Array
    final: Array
    wide: Array
    weight: Array
    trusted: Array


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
    def drawn(count: int, rate: float, rng: np.random.Generator) -> Bias:
        """Biases (count,) of which a share `rate` is any."""
        any_ = rng.random(count) < rate
        size = rng.random(count)
        shift = np.where(any_, size * rng.normal(0, 1.0, count), 0.0)
        return Bias(shift, np.exp(np.where(any_, size * rng.normal(0, 0.5, count), 0.0)))

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
        # How much the finals of its search differ.
        self.spread = np.concatenate(
            [np.full(len(table.final), _spread(table.final)) for table in tables]
        )
        self.settings = np.full((self.begin[-1], _SETTINGS), np.nan)
        for table, begin in zip(tables, self.begin[:-1], strict=True):
            known = min(table.settings.shape[1], _SETTINGS)
            self.settings[begin : begin + len(table.final), :known] = table.settings[:, :known]

    def facts(
        self, runs: Array, landmark: Array, reach: Array, bias: Bias | None = None
    ) -> RunFacts:
        """What is known of runs at landmarks; `reach` END for finished, -1 for no later record."""
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
        became = np.where(finished[..., None], ends, later)
        became = np.where(usable[..., None], became, np.nan)
        halves = self.halves[runs, landmark]
        if bias is not None:
            ends, became, halves = bias.quartet(ends), bias.quartet(became), bias.met(halves)
        known = ~np.isnan(became[..., 3])
        at = np.array(REACHES)[place]
        return RunFacts(
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

    def episodes(
        self,
        runs: Array,
        now: Array,
        at: Array,
        peers: Array,
        present: Array,
        reach: Array,
        settings: Array,
        bias: tuple[Bias, Bias] | None = None,
    ) -> Episodes:
        """Questions about runs (n,) whose newest record is that of landmark `now`.

        Args:
            at: (n,) the landmark at which runs are compared, at or before `now`.
            peers, present: (n, k) other runs.
            reach: (n, k) the last landmark that a peer has reached, END for the end.
            settings: (n, k') which hyperparameters are known.
            bias: of the forecasts of the runs, (n,), and of their peers, (n, k).
        """
        own_bias, peer_bias = bias or (None, None)
        landmark = np.minimum(at[:, None], np.where(reach < 0, 0, reach))
        landmark = np.minimum(landmark, END - 1)
        looked = np.where(reach == END, END, reach - reach % 2)
        facts = self.facts(peers, landmark, looked, peer_bias)
        present = present & ~np.isnan(facts.middle) & (reach >= 0)
        ends, edges = self.ends[runs, now], self.edges[runs, now]
        if own_bias is not None:
            ends, edges = own_bias.quartet(ends), own_bias.edges(edges)
        # What was forecast of the run itself at the landmark would cost a pass of the network.
        own = self.facts(runs, at, np.full_like(at, -1))._replace(
            low=ends[:, 0], middle=ends[:, 1], high=ends[:, 2], met=np.full(len(runs), np.nan)
        )
        newest = Now(
            self.shares[runs, now], self.values[runs, now], ends[:, 0], ends[:, 1], ends[:, 2]
        )
        every = RunFacts(
            *(
                np.concatenate([mine[:, None], theirs], axis=1)
                for mine, theirs in zip(own, facts, strict=True)
            )
        )
        unlike = np.full((*peers.shape, 2), np.nan)
        rows = np.flatnonzero((settings & ~np.isnan(self.settings[runs])).any(1))
        if len(rows):
            known = present[rows][..., None] & settings[rows][:, None]
            told = np.where(known, self.settings[peers[rows]], np.nan)
            told = np.concatenate([self.settings[runs[rows]][:, None], told], axis=1)
            unlike[rows] = unlikeness(told, every.middle[rows])
        table = features(newest, every, unlike, present)
        wide = np.maximum(ends[:, 2] - ends[:, 0], 1e-12 * np.abs(ends[:, 1]) + 1e-290)
        return Episodes(
            table.astype(np.float32),
            np.concatenate([np.ones((len(runs), 1), bool), present], 1),
            ends[:, 3],
            edges,
            self.final[runs],
            wide,
            np.clip(np.sqrt(wide / self.spread[runs]), 0.3, 3.0),
            trust(newest, every, present),
        )


def draw(
    pool: Pool,
    weights: Mapping[str, float],
    count: int,
    peers_wanted: tuple[int, int],
    rng: np.random.Generator,
) -> Episodes:
    """Random questions for training.

    Args:
        weights: how often each family is asked about.
        count: of questions.
        peers_wanted: ends of their number, log-uniform.
    """
    fewest, most = peers_wanted
    chance = np.array([weights.get(family, 0.0) for family in pool.families])
    for family in set(pool.families):
        chance[pool.families == family] /= (pool.families == family).sum()
    chance /= chance.sum()
    search = rng.choice(len(chance), count, p=chance)
    runs = pool.begin[search] + (rng.random(count) * pool.count[search]).astype(int)
    # Early moments are as likely as late ones, on the scale on which runs are compared.
    usable = ~np.isnan(pool.ends[runs, :, 3])
    now = np.argmax(usable * rng.random(usable.shape), 1)
    kept = usable.any(1)
    search, runs, now = search[kept], runs[kept], now[kept]
    count = len(runs)
    wanted = np.exp(rng.uniform(np.log(fewest), np.log(most + 1), count)).astype(int)
    # Peers of the same task, of others, or mixed.
    kind = rng.random(count)
    foreign_share = np.where(kind < 0.5, 0.0, np.where(kind < 0.8, 1.0, rng.random(count)))
    foreign = rng.random((count, most)) < foreign_share[:, None]
    alien = _foreign(pool, search, rng)
    others = np.where(foreign, alien[:, None], search[:, None])
    size = pool.count[others]
    peers = pool.begin[others] + _without_repeats(size, rng)
    at = now - (rng.random(count) < 0.25)
    at = np.where((at >= 0) & ~np.isnan(pool.values[runs, np.maximum(at, 0)]), at, now)
    order = np.arange(most)
    present = (order < wanted[:, None]) & (peers != runs[:, None])
    present &= order < size
    reach = _reaches(pool, peers, now, rng)
    told = (rng.random((count, 1)) < 0.55) & (
        rng.random((count, _SETTINGS)) < np.where(rng.random((count, 1)) < 0.7, 1.0, 0.5)
    )
    own, alien_bias = (Bias.drawn(count, 0.6, rng) for _ in range(2))
    theirs = Bias(
        np.where(foreign, alien_bias.shift[:, None], own.shift[:, None]),
        np.where(foreign, alien_bias.scale[:, None], own.scale[:, None]),
    )
    return pool.episodes(runs, now, at, peers, present, reach, told, (own, theirs))


def _without_repeats(size: Array, rng: np.random.Generator) -> Array:
    """(n, k) numbers below `size`, those of a row differ up to the size."""
    count, most = size.shape
    start = rng.integers(0, 1 << 30, (count, 1))
    # An affine walk modulo the size: steps that are coprime with it visit every number once.
    step = rng.integers(0, 1 << 30, (count, 1)) | 1
    step = np.where(np.gcd(step, size) == 1, step, 1)
    return (start + step * np.arange(most)) % size


def _foreign(pool: Pool, search: Array, rng: np.random.Generator) -> Array:
    """Another search for each, half of them from the same family."""
    other = rng.integers(0, len(pool.count), len(search))
    for index in np.flatnonzero(rng.random(len(search)) < 0.5):
        same = np.flatnonzero(pool.families == pool.families[search[index]])
        other[index] = same[rng.integers(len(same))]
    return other


def _reaches(pool: Pool, peers: Array, now: Array, rng: np.random.Generator) -> Array:
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
    return np.where(kind < 0.4, END, np.where(kind < 0.6, beside, partly))
