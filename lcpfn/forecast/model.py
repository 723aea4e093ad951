"""A trained model: forecasts of single runs, batches, every prefix, and running streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array, read_goal
from lcpfn.forecast.axis import StepAxis
from lcpfn.forecast.best import Of, answered, best_of, read_of
from lcpfn.forecast.bounded import Bounded, Marginal
from lcpfn.forecast.bounds import BoundsLike, read_bounds
from lcpfn.forecast.curve import Curve, read_curve, read_horizon, read_query, recovered
from lcpfn.forecast.direction import doubt_goals
from lcpfn.forecast.distribution import Distribution
from lcpfn.forecast.encoding import Encoded
from lcpfn.forecast.extrapolation import Extrapolation, LazyForecast
from lcpfn.forecast.headroom import Headroom
from lcpfn.forecast.peer import Peer, check_peers, read_config
from lcpfn.forecast.recent import Recent
from lcpfn.forecast.scaling import MAPS, MapOf, same_map_throughout
from lcpfn.forecast.schedule import Schedule, check_told, read_schedule
from lcpfn.forecast.stream import Stream
from lcpfn.network.engine import Cache, Engine
from lcpfn.network.histogram import BinnedDistribution, starting_log_masses
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.randomness import Generator, uniform_draws

if TYPE_CHECKING:
    from lcpfn.forecast.company import Roster, Told
    from lcpfn.network.peers import PeerNetwork

Rates = TypeVar("Rates")
# Curves whose features are computed together, and copies of a curve that are drawn together: enough
# for arrays to pay, few enough for memory.
_CHUNK = 64
# So many draws at least, where ranks among them count.
_FEWEST_RANKED = 64
# The forecast of a step already observed: its value, this sharp in relation to it.
_KNOWN_SHARPNESS = 1e-9
_LEAST_SCALE = 1e-290
# So many sets of peers are kept as they were put side by side.
_LATELY = 4


class LCPFN:
    """A model with its weights. Stateless: safe to share between threads.

    Get one with `lcpfn.load()`.

    Attributes:
        network: what computes its forecasts.
        card: the model card: prior, training, scores, checksum.
    """

    def __init__(
        self,
        network: Engine,
        card: dict[str, Any],
        peer_network: Callable[[], PeerNetwork] | None = None,
    ):
        """Made by `lcpfn.load`.

        Args:
            network: with its weights.
            card: the model card.
            peer_network: gives the network that hears peers, when it is first needed; None for a
                model that hears none.
        """
        self.network = network
        self.card = card
        self._peer_network = peer_network
        # Peers remember by it what this model forecast of them; unlike an id, it is not used again.
        self._identity = object()
        self._read: Recent[tuple[Sequence[Peer], Sequence[Told]]] = Recent(_LATELY)
        self._rosters: Recent[Roster] = Recent(_LATELY)

    @property
    def name(self) -> str:
        """The model's name, "default" or "reference" for the bundled ones."""
        return str(self.card["name"])

    @property
    def _draws_in(self) -> bool:
        """Whether forecasts are drawn in: for models of runs of any kind, by their card."""
        return bool(self.card.get("headroom", False))

    @property
    def _keeps_beyond(self) -> bool:
        """Whether what forecasts hold beyond a bound is kept next to it, by the model's card."""
        return bool(self.card.get("keeps_beyond", False))

    def told_rates(self, rates: Rates | None, schedule: object) -> Rates | None:
        """Learning rates at the records, as far as they may be given.

        Args:
            rates: as the log has them, of any kind.
            schedule: of the whole run, None where unknown.

        Returns:
            None beside a schedule, which says more, and for a model that cannot be told rates.
        """
        return rates if schedule is None and self.network.config.rates else None

    def extrapolate(
        self,
        values: ArrayLike,
        steps: ArrayLike | None = None,
        horizon: float = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        query: ArrayLike | None = None,
        schedule: Schedule | None = None,
        rates: ArrayLike | None = None,
        of: str = "last",
        peers: Iterable[Peer] = (),
        config: Mapping[str, Any] | None = None,
    ) -> Extrapolation:
        """Forecasts the rest of a run from its first records.

        >>> import lcpfn
        >>> post = lcpfn.load().extrapolate([0.31, 0.52, 0.58, 0.63], horizon=50)
        >>> float(post.steps[0]), float(post.steps[-1])
        (5.0, 50.0)
        >>> low, high = post.quantile([0.06, 0.94])[:, -1]
        >>> bool(0.5 < low < high < 1)
        True

        Args:
            values: (n,) observed metric, oldest first; NaN where a record is missing, infinite (in
                the worse direction) where the run had diverged.
            steps: (n,) strictly increasing numbers (epochs, iterations, seconds); default 1..n.
                The first may be 0, for a record taken before training.
            horizon: last step of the full run, in the unit of `steps`. Only steps / horizon
                matters. A log denser than the model's resolution (see `StepAxis`) is thinned.
            goal: "maximize" or "minimize". Values to maximize that fall as a loss does are warned
                of.
            bounds: (low, high) that the metric can never pass, None where open; "auto" guesses
                from goal and values: [0, 1] or [0, 100] for a metric to maximize whose values
                all lie there, above 0 for a never negative one to minimize. No mass is forecast
                outside.
            query: (m,) increasing steps to forecast; default the steps after the last observed
                one through the horizon (at most 200 of them).
            schedule: learning rate over the whole run where known, in any unit: "constant";
                "linear" or "cosine", falling from the start to zero at the horizon; a callable of
                the step, asked between 0 and the horizon; or a pair (steps, rates), linear in
                between, whose last step reaches the horizon. Only for models trained with it:
                `default` was, `reference` was not.
            rates: (n,) learning rates at the records where the log has them and the rest is not
                known, in any unit; NaN where unknown. Not needed beside a schedule. Only for models
                trained with it, as `schedule`.
            of: "last" for the value at a step; "best" for the best value up to it, records
                included. Only models trained with it answer the second: `default` was.
            peers: other runs of the search, finished or not, the latest last, of the same metric:
                what became of the forecasts of them corrects this one. At most 64 are heard, the
                latest and the most alike; each counts once. What was forecast of a peer is kept in
                it, so passing the same objects again is cheap.
            config: this run's hyperparameters by name, for comparison with those of the peers.

        Raises:
            InputError: naming the value and the rule it breaks.
            WeightsError: peers were given, and the weights that hear them are missing or broken.
        """
        asked = self._check(schedule, rates, of)
        curve = read_curve(values, steps, horizon, goal, bounds, schedule, rates)
        doubt_goals([curve], stacklevel=2)
        at = None if query is None else read_query(query, curve)
        post = Extrapolation(curve, at, self, None, asked)
        return self.accompanied(post, check_peers(peers), config, bounds, schedule)

    def extrapolate_batch(
        self,
        curves: Iterable[ArrayLike],
        steps: Sequence[ArrayLike | None] | None = None,
        horizon: float | Sequence[float] = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        query: ArrayLike | None = None,
        schedule: Schedule | None = None,
        rates: Sequence[ArrayLike | None] | None = None,
        of: str = "last",
        peers: Iterable[Peer] | Literal["batch"] = (),
        configs: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> list[Extrapolation]:
        """Forecasts many runs at once; lengths may differ.

        The horizon of every run is forecast in one go. Other steps are computed when they are
        first asked for. Each result equals that of `extrapolate`.

        Args:
            curves: one sequence of values per run.
            steps: one sequence of steps per run, or None for 1..n everywhere.
            horizon: one for all, or one per run.
            goal, bounds, query, schedule, of: as for `extrapolate`, shared by all runs.
            rates: one sequence of learning rates per run, None where unknown.
            peers: as for `extrapolate`, heard for every run; or "batch", where the curves are runs
                of one search, of one metric, and each hears all others.
            configs: hyperparameters of each run, None where unknown.
        """
        asked = self._check(schedule, rates, of)
        listed = list(curves)
        all_steps = [None] * len(listed) if steps is None else list(steps)
        horizons = [horizon] * len(listed) if np.ndim(horizon) == 0 else list(horizon)  # type: ignore[arg-type]
        all_configs = [None] * len(listed) if configs is None else list(configs)
        all_rates = [None] * len(listed) if rates is None else list(rates)
        for name, entries in (
            ("steps", all_steps),
            ("horizon", horizons),
            ("rates", all_rates),
            ("configs", all_configs),
        ):
            if len(entries) != len(listed):
                raise InputError(
                    f"{name} has {len(entries)} entries, but must have one for each of the "
                    f"{len(listed)} curves"
                )
        checked = []
        each = zip(listed, all_steps, horizons, all_rates, strict=True)
        for index, (values, at, last, told) in enumerate(each):
            try:
                curve = read_curve(values, at, last, goal, bounds, schedule, told)  # type: ignore[arg-type]
                checked.append(curve)
            except InputError as error:
                raise InputError(f"curve {index}: {error}") from None
        doubt_goals(checked, stacklevel=2)
        finals = self._final_forecasts(checked, asked)
        posts = [
            Extrapolation(
                curve, None if query is None else read_query(query, curve), self, final, asked
            )
            for curve, final in zip(checked, finals, strict=True)
        ]
        heard = _heard_by_each(peers, checked, all_configs)
        return [
            self.accompanied(post, others, config, bounds, schedule)
            for post, others, config in zip(posts, heard, all_configs, strict=True)
        ]

    def backtest(
        self,
        values: ArrayLike,
        steps: ArrayLike | None = None,
        horizon: float = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        schedule: Schedule | None = None,
        rates: ArrayLike | None = None,
        of: str = "last",
    ) -> list[Extrapolation]:
        """The forecast of the horizon from every prefix of a run, as it would have been made.

        One forward pass serves all prefixes, except where prefixes look different to the model:
        a log that is thinned, or one whose scaling changes along the way.

        Args:
            values, steps, horizon, goal, bounds, schedule, rates, of: as for `extrapolate`. A
                missing record repeats the forecast before it; the first must not be missing.

        Returns:
            n forecasts; the first has seen one record, the last all of them.
        """
        asked = self._check(schedule, rates, of)
        curve = read_curve(values, steps, horizon, goal, bounds, schedule, rates)
        doubt_goals([curve], stacklevel=2)
        logged = np.asarray(values, dtype=np.float64)
        present = ~np.isnan(logged)
        if not present[0]:
            missing = int(np.argmax(present))
            raise InputError(
                f"values starts with {missing} NaN, but a backtest needs a first record; leave "
                "them out and pass the steps of the rest"
            )
        prefixes: Sequence[Curve | Callable[[], Curve]]
        if recovered(logged).any():
            # At the time, nobody knew that the run would recover.
            at = np.arange(1.0, len(logged) + 1) if steps is None else np.asarray(steps)
            rest = (curve.horizon, goal, bounds, curve.schedule)
            told = np.full(len(logged), np.nan) if rates is None else np.asarray(rates)
            known = np.flatnonzero(present) + 1
            prefixes = curves = [
                read_curve(logged[:end], at[:end], *rest, told[:end]) for end in known
            ]
            finals = self._final_forecasts(curves, asked)
        else:
            finals = self._prefix_forecasts(curve, asked)
            prefixes = [partial(curve.first, records) for records in range(1, len(finals) + 1)]
        horizon_alone = np.array([curve.horizon])
        posts = [
            Extrapolation(prefix, horizon_alone, self, final, asked)
            for prefix, final in zip(prefixes, finals, strict=True)
        ]
        return [posts[count - 1] for count in np.cumsum(present).tolist()]

    def stream(
        self,
        horizon: float = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        schedule: Schedule | None = None,
        of: str = "last",
    ) -> Stream:
        """A forecast that is updated record by record, at the cost of one token each.

        >>> import lcpfn
        >>> stream = lcpfn.load().stream(horizon=50, goal="minimize")
        >>> for loss in [2.3, 1.7, 1.4]:
        ...     post = stream.update(loss)
        >>> bool(0 < post.prob_better(than=1.0) < 1)
        True

        Args:
            horizon, goal, bounds, schedule, of: as for `extrapolate`.
        """
        asked = self._check(schedule, None, of)
        checked = bounds if isinstance(bounds, str) and bounds == "auto" else read_bounds(bounds)
        last = read_horizon(horizon)
        return Stream(self, last, read_goal(goal), checked, read_schedule(schedule, last), asked)

    def accompanied(
        self,
        post: Extrapolation,
        peers: Sequence[Peer],
        config: Mapping[str, Any] | None = None,
        bounds: BoundsLike = "auto",
        schedule: Schedule | None = None,
    ) -> Extrapolation:
        """A forecast of this model, corrected by what other runs of the search show.

        Args:
            post: the forecast.
            peers, config, bounds, schedule: as for `extrapolate`.

        Returns:
            the corrected forecast, in which `alone` is `post`; `post` itself where there are no
            peers that say anything.
        """
        checked = read_config(config)
        if not peers:
            return post
        if self._peer_network is None:
            raise InputError(
                f"peers has {len(peers)} runs, but model {self.name!r} hears none; load it with "
                "lcpfn.load"
            )
        # Without peers nothing of this need be imported.
        from lcpfn.forecast.company import chosen_peers, distinct, lasting, read_peers

        def read() -> tuple[Sequence[Peer], Sequence[Told]]:
            asked = (bounds, schedule, self.encode, self._identity)
            return tuple(peers), distinct(read_peers(peers, post.curve, *asked))

        read_for = post.curve.horizon, post.curve.goal, lasting(bounds), lasting(schedule)
        # The peers are kept with what was read of them, so that no other object takes an id.
        _, told = self._read.get((*read_for, *map(id, peers)), read)
        return self.in_company(post, chosen_peers(told, checked), checked)

    def in_company(
        self, post: Extrapolation, told: Sequence[Told], config: Mapping[str, Any] | None
    ) -> Extrapolation:
        """As `accompanied`, with peers that have been read and chosen."""
        hear = self._peer_network
        if not told or post.curve.finished or hear is None:
            return post
        from lcpfn.forecast.company import accompanied, correction

        return accompanied(post, lambda: correction(hear(), post, self._roster, told, config))

    def _roster(self, told: Sequence[Told], landmark: int) -> Roster:
        """Peers side by side at a landmark."""
        from lcpfn.forecast.company import Roster

        # The roster keeps the peers, so that no other object takes an id.
        key = landmark, *map(id, told)
        return self._rosters.get(key, lambda: Roster.of(self.network, told, landmark))

    def forecast(self, curve: Curve, steps: Array, of: Of = "last") -> Distribution:
        """Marginal forecasts of a checked curve at `steps` (m,); see `Predictor`."""
        if curve.finished:
            return _known(curve, self.network.config.bins, of).expand(len(steps))
        encoded = self.encode(curve)
        asked = encoded.questions(steps, curve.steps[-1], of)
        unit = self.network.extend(None, encoded.observations, asked)
        headroom = encoded.headroom(curve, curve.extremes, curve.steps[-1], steps)
        return answered(encoded.in_metric(unit[0], curve, headroom), curve, of)

    def trajectories(
        self, curve: Curve, steps: Array, count: int, generator: Generator | None
    ) -> Array:
        """Joint draws by predictive resampling: draw a step, append it, go on; see `Predictor`.

        Steps that fall into one cell of the model's step axis are drawn given the same context.
        """
        if curve.finished:
            return np.full((count, len(steps)), curve.values[-1])
        if not self._keeps_beyond or curve.bounds == (None, None):
            return self._resampled(curve, steps, uniform_draws((len(steps), count), generator))
        # Near a bound steps that are drawn lead astray, so only the order is taken from them.
        margins = self.forecast(curve, steps)
        assert isinstance(margins, Bounded)
        many = max(count, _FEWEST_RANKED)
        uniform = uniform_draws((len(steps) + 1, many), generator)
        drawn = self._resampled(curve, steps, uniform[:-1])
        return margins.arranged(drawn, uniform[-1][:, None])[:count]

    def _resampled(self, curve: Curve, steps: Array, uniform: Array) -> Array:
        """Joint draws (count, m) from uniform numbers (m, count)."""
        parts = [uniform[:, begin : begin + _CHUNK] for begin in range(0, uniform.shape[1], _CHUNK)]
        return np.concatenate([self._drawn(curve, steps, part) for part in parts])

    def _drawn(self, curve: Curve, steps: Array, uniform: Array) -> Array:
        """Joint draws (copies, m) from uniform numbers (m, copies)."""
        count = uniform.shape[1]
        # A step that is drawn next to a bound would be read as a run that has reached it.
        encoded = self.encode(curve)._replace(keeps_beyond=False)
        cells = encoded.axis.cells(np.append(curve.steps[-1], steps))
        seen = encoded.observations.length
        cache = self.network.cache(seen + len(np.unique(cells)))
        observations = encoded.observations.copies(count)
        last = curve.steps[-1]
        lowest, highest = (np.full(count, extreme) for extreme in curve.extremes)
        drawn = np.empty((count, len(steps)))
        for index, step in enumerate(steps):
            asked = encoded.questions(np.array([step]), last)
            if index == 0:
                first = self.network.extend(cache, encoded.observations, asked)
                forecast, cache = first.expand(count, 1), cache.repeat(count)
            else:
                # Of a cell that is drawn again, nothing new is known.
                cache.length = min(cache.length, observations.length - 1)
                forecast = self.network.extend(cache, observations, asked.copies(count))
            headroom = encoded.headroom(curve, (lowest, highest), last, step)
            margin = encoded.in_metric(forecast[:, 0], curve, headroom)
            draw = margin.quantile(uniform[index])
            drawn[:, index] = draw
            if cells[index + 1] > cells[index]:
                last = step
                lowest, highest = np.minimum(lowest, draw), np.maximum(highest, draw)
                observations = observations.appended(encoded.drawn(step, draw))
        return drawn

    def encode(self, curve: Curve, before: Encoded | None = None) -> Encoded:
        """A checked curve as the network sees it: thinned, scaled, in float32.

        Args:
            curve: to encode.
            before: the encoding of the same curve without its last record, where there is one.
        """
        metric = self._map_of(curve)
        appended = None if before is None else before.with_record(curve, metric)
        if appended is not None:
            return appended
        axis = StepAxis(curve.horizon, int(self.card["resolution"]), curve.shift)
        return Encoded.of(curve, metric, axis, self._draws_in, self._keeps_beyond)

    def remember(self, encoded: Encoded) -> Cache:
        """What the network remembers of a curve: all its observations but the last, with room."""
        known = encoded.observations.length - 1
        cache = self.network.cache(capacity=encoded.axis.resolution)
        if known:
            self.network.remember(cache, encoded.observations.first(known))
        return cache

    @property
    def _map_of(self) -> MapOf:
        return MAPS[self.network.config.frame]

    def _final_forecasts(self, curves: Sequence[Curve], of: Of) -> list[LazyForecast]:
        """Forecasts of the horizon of many curves, batched by length."""
        encoded = [self.encode(curve) for curve in curves]
        finals: list[LazyForecast] = [
            partial(_known, curve, self.network.config.bins, of) for curve in curves
        ]
        running = [index for index, curve in enumerate(curves) if not curve.finished]
        # Curves that know their learning rates go together, as do those that do not.
        running.sort(
            key=lambda index: (
                encoded[index].observations.rates is None,
                encoded[index].observations.length,
            )
        )
        told = sum(encoded[index].observations.rates is not None for index in running)
        for chosen in (*_chunks(running[:told]), *_chunks(running[told:])):
            observations = Observations.padded([encoded[i].observations for i in chosen])
            lengths = np.array([encoded[i].observations.length for i in chosen])
            asked = Questions.stacked([encoded[i].about_horizon(of) for i in chosen])
            unit = self.network.forecast_batch(observations, lengths, asked)[:, 0]
            headrooms = [encoded[i].headroom_to_horizon(curves[i]) for i in chosen]
            known = [headroom for headroom in headrooms if headroom is not None]
            unit = Headroom.stacked(known).applied(unit) if known else unit
            for row, i in enumerate(chosen):
                finals[i] = partial(_in_metric, unit[row], encoded[i], curves[i], of)
        return finals

    def _prefix_forecasts(self, curve: Curve, of: Of) -> list[LazyForecast]:
        """Forecasts of the horizon from every prefix, in one pass where they share a view."""
        encoded, records = self.encode(curve), len(curve.values)
        count = records - curve.finished
        # Guesses only ever widen, so what is guessed first and last is guessed in between.
        start = curve.first(1)
        shared = (start.bounds, start.shift) == (curve.bounds, curve.shift)
        shared = shared and same_map_throughout(curve, self._map_of)
        if encoded.observations.length < records or not shared or not count:
            return self._final_forecasts([curve.first(seen) for seen in range(1, records + 1)], of)
        units = self.network.backtest(encoded.observations, encoded.about_horizon(of), count)
        answers = _Answers(units, encoded, curve, of)
        finals: list[LazyForecast] = [partial(answers.forecast, row) for row in range(count)]
        if curve.finished:
            finals.append(partial(_known, curve, self.network.config.bins, of))
        return finals

    def _check(self, schedule: Schedule | None, rates: Any, of: str) -> Of:
        """Checks that the model was trained with what it is told and asked; returns `of`."""
        check_told("schedule", schedule, self.network.config.schedule, self.name)
        check_told("rates", rates, self.network.config.rates, self.name)
        asked = read_of(of)
        if asked == "best" and not self.network.config.best:
            raise InputError(
                f"of is 'best', but model {self.name!r} was trained to forecast values at steps "
                "alone; leave it 'last'"
            )
        return asked


def _heard_by_each(
    peers: Iterable[Peer] | str,
    curves: Sequence[Curve],
    configs: Sequence[Mapping[str, Any] | None],
) -> list[list[Peer]]:
    """The peers of each curve of a batch."""
    if not isinstance(peers, str):
        shared = check_peers(peers)
        return [shared] * len(curves)
    if peers != "batch":
        raise InputError(f"peers is {peers!r}, but must be lcpfn.Peer objects or 'batch'")
    everyone = [
        Peer(
            curve.steps.tolist(),
            curve.recorded.tolist(),
            not curve.finished,
            config,
            curve.horizon,
        )
        for curve, config in zip(curves, configs, strict=True)
    ]
    return [[*everyone[:index], *everyone[index + 1 :]] for index in range(len(everyone))]


def _chunks(indices: Sequence[int]) -> list[Sequence[int]]:
    return [indices[begin : begin + _CHUNK] for begin in range(0, len(indices), _CHUNK)]


def _in_metric(unit: BinnedDistribution, encoded: Encoded, curve: Curve, of: Of) -> Distribution:
    # What was to be drawn in has been, of all curves together.
    return answered(encoded.in_metric(unit, curve, None), curve, of)


def _known(curve: Curve, bins: int, of: Of) -> BinnedDistribution:
    """The forecast of a horizon that has been observed: its value, next to exact."""
    best = best_of(curve.values, curve.goal)
    value = np.float64(best if of == "best" else curve.values[-1])
    scale = np.maximum(abs(value) * _KNOWN_SHARPNESS, _LEAST_SCALE)
    known = BinnedDistribution(value, scale, starting_log_masses(bins))
    return known.truncate(*curve.bounds)


@dataclass(frozen=True)
class _Answers:
    """Forecasts (1, m) of one curve in units, computed when first asked for."""

    units: Callable[[], BinnedDistribution]
    encoded: Encoded
    curve: Curve
    of: Of

    def forecast(self, query: int) -> Distribution:
        """The forecast after the record of that number, counted from 0."""
        margin = self._margins[query]
        return (
            margin if self.of == "last" else answered(margin, self.curve.first(query + 1), "best")
        )

    @cached_property
    def _margins(self) -> Marginal:
        units, curve = self.units()[0], self.curve
        records = np.arange(len(units.scale)) + 1
        headroom = self.encoded.headroom_after(curve, records, curve.horizon)
        return self.encoded.in_metric(units, curve, headroom)
