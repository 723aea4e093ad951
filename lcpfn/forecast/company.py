"""Runs in the company of others: forecasts corrected by what became of the forecasts of peers.

The other runs of a search show what no prior can know: how this learning rate falls, how noisy
this metric is, that such runs gain in the last fifth. For each peer it is looked up where, in the
forecast that was made of it at the landmark that the run at hand has just passed, the value lay
that came. A small network reads that, and how the runs compare (`lcpfn.network.peers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from lcpfn.forecast.arguments import Array, Goal
from lcpfn.forecast.best import Of
from lcpfn.forecast.bounds import BoundsLike, bounds_that_hold
from lcpfn.forecast.corrected import Corrected, carried
from lcpfn.forecast.curve import Curve, read_curve
from lcpfn.forecast.distribution import Distribution
from lcpfn.forecast.encoding import Encoded
from lcpfn.forecast.extrapolation import Extrapolation, Predictor
from lcpfn.forecast.grain import Grain, counted_otherwise
from lcpfn.forecast.landmarks import END, HALF, expected, landmark_of, records_by
from lcpfn.forecast.peer import Peer
from lcpfn.forecast.tracks import LEVELS, Track, learn
from lcpfn.network.comparison import Gathered, compared, gathered
from lcpfn.network.correction import mirrored, tempered
from lcpfn.network.engine import Engine
from lcpfn.network.likeness import Unlikeness, unlikeness
from lcpfn.network.peer_description import prepared, worths
from lcpfn.network.peers import PeerNetwork
from lcpfn.network.run_facts import RunFacts

MOST_PEERS = 64
"""More are not heard: the latest and the most alike."""
_REMEMBERED = 8
_UNREAD = object()


@dataclass(frozen=True)
class Told:
    """A peer as a model knows it.

    Args:
        track: its records at landmarks, and the forecasts of it.
        config: its hyperparameters, None where unknown.
        mark: equal for peers with the same records.
        grain: in which steps its values come.
    """

    track: Track
    config: Mapping[str, Any] | None
    mark: int
    grain: Grain


def told_of(curve: Curve, encoded: Encoded, config: Mapping[str, Any] | None) -> Told:
    """A run as a peer.

    Args:
        curve: its records.
        encoded: the same as the network sees it.
        config: its hyperparameters.
    """
    mark = hash((curve.steps.tobytes(), curve.values.tobytes(), curve.horizon))
    return Told(Track.of(curve, encoded), config, mark, Grain.of(curve.values))


def distinct(peers: Sequence[Told]) -> list[Told]:
    """Each of the peers once."""
    return list({peer.mark: peer for peer in peers}.values())


def chosen_peers(
    peers: Sequence[Told], config: Mapping[str, Any] | None, most: int = MOST_PEERS
) -> Sequence[Told]:
    """The peers to listen to: all, or the latest and the most alike.

    Args:
        peers: the latest last, none of them twice.
        config: hyperparameters of the run at hand.
        most: how many.
    """
    if len(peers) <= most:
        return peers
    if config is None:
        return peers[-most:]
    latest = peers[-(most // 2) :]
    others = peers[: -(most // 2)]
    table, words = columns([config, *(peer.config for peer in others)])
    nothing = np.zeros(len(others) + 1)
    far = unlikeness(table, nothing, words).distances[:, 0]
    nearest = np.sort(np.argsort(np.where(np.isnan(far), np.inf, far), kind="stable")[: most // 2])
    return [*(others[index] for index in nearest), *latest]


def columns(configs: Sequence[Mapping[str, Any] | None]) -> tuple[Array, Any]:
    """Hyperparameters as numbers (runs, k), NaN where unknown, and which of them are words (k,).

    Those of the first configuration count; the others are compared in these.
    """
    first = configs[0] or {}
    return _side_by_side(first, configs[1:], lambda name: _numbers(_entries(name, configs[1:])))


def _side_by_side(
    first: Mapping[str, Any],
    others: Sequence[Mapping[str, Any] | None],
    numbers_of: Callable[[str], Array | None],
) -> tuple[Array, Any]:
    """As `columns`, where `numbers_of` gives those of the others, None where some are words."""
    table = np.empty((1 + len(others), len(first)))
    words = np.zeros(len(first), dtype=bool)
    for column, (name, entry) in enumerate(first.items()):
        mine, theirs = _numbers([entry]), numbers_of(name)
        if mine is None or theirs is None:
            words[column] = True
            table[:, column] = _numbered([entry, *_entries(name, others)])
        else:
            table[0, column] = mine[0]
            table[1:, column] = theirs
    return table, words


def _entries(name: str, configs: Sequence[Mapping[str, Any] | None]) -> list[Any]:
    return [None if config is None else config.get(name) for config in configs]


def _numbers(entries: Sequence[Any]) -> Array | None:
    """Entries (n,) as numbers, NaN where None, as that is not known; None where some are words."""
    try:
        return np.array(entries, np.float64)
    except (TypeError, ValueError):
        return None


def _numbered(entries: Sequence[Any]) -> list[float]:
    """Words by numbers, in order of their coming."""
    numbers: dict[str, int] = {}
    return [
        math.nan if entry is None else numbers.setdefault(repr(entry), len(numbers))
        for entry in entries
    ]


@dataclass(frozen=True)
class Roster:
    """Peers at a landmark, side by side.

    Args:
        told: all of them.
        heard: those that had a record by then.
        grains: in which steps the values of all come, None where those of none do.
        gathered: what is known of those that are heard, None where there are none.
        worths: (n,) how well these do.
        settings: their hyperparameters by name, (n,) numbers, None where some are words; of those
            that have been asked for.
    """

    told: Sequence[Told]
    heard: Sequence[Told]
    grains: Sequence[Grain] | None
    gathered: Gathered | None
    worths: Array
    settings: dict[str, Array | None] = field(default_factory=dict)

    @staticmethod
    def of(network: Engine, told: Sequence[Told], landmark: int) -> Roster:
        """The peers at a landmark.

        Args:
            network: makes those forecasts of them that have not been made.
            told: the peers.
            landmark: of the run at hand.
        """
        facts = _facts(network, [peer.track for peer in told], landmark)
        pairs = [(peer, row) for peer, row in zip(told, facts, strict=True) if row is not None]
        every = np.array([row for _, row in pairs]) if pairs else None
        grains = [peer.grain for peer in told]
        return Roster(
            told,
            [peer for peer, _ in pairs],
            grains if any(grain.counts for grain in grains) else None,
            None if every is None else gathered(every),
            np.empty(0) if every is None else worths(every),
        )

    def beside(self, config: Mapping[str, Any]) -> tuple[Array, Any]:
        """Hyperparameters of a run and of those that are heard, as `columns` has them."""

        def known(name: str) -> Array | None:
            if name not in self.settings:
                self.settings[name] = _numbers(_entries(name, self._configs))
            return self.settings[name]

        return _side_by_side(config, self._configs, known)

    @cached_property
    def _configs(self) -> Sequence[Mapping[str, Any] | None]:
        return [peer.config for peer in self.heard]

    def counted_as(self, values: Array) -> Sequence[Told]:
        """Those of the peers whose metric counts as many examples as values (n,) of a run do."""
        if self.grains is None:
            return self.told
        otherwise = counted_otherwise(values, self.grains)
        if not otherwise.any():
            return self.told
        pairs = zip(self.told, otherwise.tolist(), strict=True)
        return [peer for peer, apart in pairs if not apart]


def correction(
    peer_network: PeerNetwork,
    post: Extrapolation,
    roster_of: Callable[[Sequence[Told], int], Roster],
    peers: Sequence[Told],
    config: Mapping[str, Any] | None,
) -> Array | None:
    """What the peers say of where the end of a run lies in its own forecast.

    Args:
        peer_network: reads what is known of them.
        post: the run's own forecast.
        roster_of: puts peers side by side at a landmark.
        peers: at most `MOST_PEERS`.
        config: the run's hyperparameters.

    Returns:
        (BINS,) masses, of the metric's own direction; None where nobody says anything.
    """
    curve = post.curve
    share = (curve.steps + curve.shift) / (curve.horizon + curve.shift)
    landmark = landmark_of(float(share[-1]), expected(share[-2:].tolist()))
    if landmark < 0 or curve.finished:
        return None
    roster = roster_of(peers, landmark)
    # Those whose metric counts other examples are of another task.
    alike = roster.counted_as(curve.values)
    if len(alike) < len(peers):
        roster = roster_of(alike, landmark)
    if roster.gathered is None:
        return None
    rising = curve.goal == "maximize"
    sign = 1.0 if rising else -1.0
    quantiles = np.asarray(post.final.quantile(LEVELS if rising else 1 - LEVELS)) * sign
    own = _own_facts(sign * curve.values, share, landmark, quantiles)
    unlike = Unlikeness(np.full((len(roster.heard), 2), np.nan), None)
    if config:
        table, words = roster.beside(config)
        unlike = unlikeness(table, np.append(quantiles[1], roster.worths), words)
    told = compared(share[-1], np.array(own), roster.gathered, unlike)
    answer = peer_network(told.peers, told.own, consensus=told.consensus)
    masses = tempered(answer.astype(np.float64), told.trust)
    return masses if rising else mirrored(masses)


def _own_facts(worth: Array, share: Array, landmark: int, quantiles: Array) -> RunFacts:
    """What is known of the run at hand; it is compared by its newest forecast."""
    records = records_by(share)

    def value(at: int) -> float:
        return float(worth[records[at] - 1 if at >= 0 and records[at] else 0])

    low, middle, high = quantiles.tolist()
    unknown = dict.fromkeys(RunFacts._fields[-4:], math.nan)
    return RunFacts(
        share=float(share[max(records[landmark], 1) - 1]),
        first=float(worth[0]),
        quarter=value(landmark - 2 * HALF),
        half=value(landmark - HALF),
        value=value(landmark),
        low=low,
        middle=middle,
        high=high,
        # What was forecast of the run itself at the landmark would cost a pass of the network.
        met=math.nan,
        reach=math.nan,
        became=float(worth[-1]),
        **unknown,
    )


def _facts(network: Engine, tracks: Sequence[Track], landmark: int) -> list[Array | None]:
    """What is known of peers at a landmark, or at the last that they have reached; made once.

    Returns:
        of each (len(PREPARED),), None of those that had no record by then.
    """
    heard = []
    for track in [track for track in tracks if landmark not in track.facts]:
        place = track.place(landmark)
        if place is None:
            track.facts[landmark] = None
        else:
            heard.append((track, place))
    if heard:
        learn(network, [(track, track.pairs(place)) for track, place in heard])
        rows = prepared(np.array([_fact(track, place) for track, place in heard]))
        for (track, _), row in zip(heard, rows, strict=True):
            track.facts[landmark] = row
    return [track.facts[landmark] for track in tracks]


def _fact(track: Track, landmark: int) -> RunFacts:
    """What is known of a peer at a landmark, whose forecasts have been made."""
    reach = track.reach

    def value(at: int) -> float:
        return float(track.values[at]) if at >= 0 and track.records[at] else track.first

    end = track.answers[landmark, END]
    half = track.answers.get((landmark - HALF, landmark))
    later = track.answers.get((landmark, reach))
    after: tuple[float, ...] = (math.nan,) * 6
    if later is not None and not math.isnan(later.met):
        share = 1.0 if reach == END else float(track.shares[reach])
        after = (share, float(track.values[reach]), later.low, later.middle, later.high, later.met)
    return RunFacts(
        float(track.shares[landmark]),
        track.first,
        value(landmark - 2 * HALF),
        value(landmark - HALF),
        value(landmark),
        end.low,
        end.middle,
        end.high,
        math.nan if half is None else half.met,
        *after,
    )


class Accompanied:
    """A predictor whose forecasts are corrected; see `lcpfn.forecast.extrapolation.Predictor`.

    Args:
        alone: forecasts without peers.
        masses: gives the correction of the end, when it is first needed; None of nothing.
    """

    def __init__(self, alone: Predictor, masses: Callable[[], Array | None]) -> None:
        self._alone = alone
        self._masses_of = masses

    @cached_property
    def _masses(self) -> Array | None:
        return self._masses_of()

    def forecast(self, curve: Curve, steps: Array, of: Of = "last") -> Distribution:
        """The marginal forecasts at steps (m,)."""
        return self.corrected(self._alone.forecast(curve, steps, of), curve, steps)

    def corrected(self, forecast: Distribution, curve: Curve, steps: Array) -> Distribution:
        """Forecasts (m,) of steps (m,) that were made without peers, corrected."""
        masses = self._masses
        if masses is None or curve.finished:
            return forecast
        last = curve.steps[-1]
        return Corrected(forecast, carried(masses, (steps - last) / (curve.horizon - last)))

    def end(self, forecast: Distribution, curve: Curve) -> Distribution:
        """The forecast of the end that was made without peers, batch shape (), corrected."""
        masses = self._masses
        if masses is None or curve.finished:
            return forecast
        return Corrected(forecast, masses)

    def trajectories(self, curve: Curve, steps: Array, count: int, generator: Any) -> Array:
        """Joint draws (count, m): those made without peers, each step moved to its correction."""
        drawn = self._alone.trajectories(curve, steps, count, generator)
        if self._masses is None or curve.finished:
            return drawn
        forecast = self._alone.forecast(curve, steps)
        moved = self.corrected(forecast, curve, steps)
        assert isinstance(moved, Corrected)
        chances = np.asarray(forecast.cdf(drawn))
        found: Array = np.asarray(forecast.quantile(moved.uncorrected(chances)))
        return found


def read_peers(
    peers: Iterable[Peer],
    curve: Curve,
    bounds: BoundsLike,
    schedule: Any,
    encode: Callable[[Curve], Encoded],
    identity: Hashable = None,
) -> list[Told]:
    """Peers as a model knows them, those without a usable record left out.

    Args:
        peers: as the user told them.
        curve: the run at hand.
        bounds, schedule: as for the run at hand.
        encode: gives a curve as the network sees it.
        identity: of the model, by which a peer remembers what was forecast of it; default that
            function itself.

    Raises:
        InputError: a peer's records break a rule.
    """
    # What stands for the model and the arguments is kept with what was read, so that no other
    # object can take its place.
    asked = (identity or encode, curve.goal, lasting(bounds), lasting(schedule))
    as_long = (curve.horizon, *asked)
    found = []
    for peer in peers:
        horizon = curve.horizon if peer.horizon is None else peer.horizon
        key = as_long if peer.horizon is None else (horizon, *asked)
        told = peer.remembered.get(key, _UNREAD)
        if told is _UNREAD:
            while len(peer.remembered) >= _REMEMBERED:
                del peer.remembered[next(iter(peer.remembered))]
            told = peer.remembered[key] = _read(peer, horizon, curve.goal, bounds, schedule, encode)
        if told is not None:
            found.append(told)
    return found


def lasting(argument: Any) -> Hashable:
    """Bounds or a schedule as they are now: equal for equal ones, whatever becomes of them."""
    if argument is None or isinstance(argument, str) or callable(argument):
        found: Hashable = argument
        return found
    return tuple(None if part is None else np.asarray(part).tobytes() for part in argument)


def _read(
    peer: Peer,
    horizon: float,
    goal: Goal,
    bounds: BoundsLike,
    schedule: Any,
    encode: Callable[[Curve], Encoded],
) -> Told | None:
    steps = np.asarray(peer.steps, dtype=np.float64)
    values = np.asarray(peer.values, dtype=np.float64).copy()
    kept = steps <= horizon
    steps, values = steps[kept], values[kept]
    if len(values) and np.isnan(values[-1]):
        # It ended in what is no number: worse than any.
        values[-1] = -math.inf if goal == "maximize" else math.inf
    if not np.isfinite(values).any():
        return None
    if not isinstance(bounds, str):
        bounds = bounds_that_hold(bounds, values[np.isfinite(values)].tolist(), goal)
    curve = read_curve(values, steps, horizon, goal, bounds, schedule)
    return told_of(curve, encode(curve), peer.config)


def accompanied(post: Extrapolation, masses: Callable[[], Array | None]) -> Extrapolation:
    """A forecast corrected by what peers say; `alone` in it is the one without.

    Args:
        post: the forecast.
        masses: gives what `correction` says of it, when it is first needed.
    """
    return post.in_company(lambda alone: Accompanied(alone, masses))
