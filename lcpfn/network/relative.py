"""What a scale-free network sees of a curve: features without any level or unit.

The counterpart of `features.context_features` for metrics of any unit. Every feature is a function
of ratios of differences of the observed values, so y -> a y + b with a > 0 leaves all of them as
they are, and the frame (last value, averages, unit) turns the network's outputs back into
values that moved along. Two measures of scale are combined: the spread of all values so far, and
a running noise estimate that a single wild record cannot inflate, so that a curve that dropped by
2 and now moves by 0.002 is still resolved.

A prefix without any spread (one value, or a constant run) has no scale of its own. Where the best
value that the metric can take is known, the distance to it serves; else the unit is 1, so the
caller decides what 1 means (see `RelativeView`). A known best value is a reference that
y -> a y + b has to move along. A run that has had nothing but that value has no distance to it
either: its limits then count as unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lcpfn.network.arrays import AnyArray, ArrayModule, array_module
from lcpfn.network.averages import running_averages, running_range
from lcpfn.network.features import (
    AVERAGE_HALF_LIVES,
    AVERAGES,
    STEP_QUERY_FEATURES,
    ContextFeatures,
    Coordinates,
    at_least,
    channels,
    constant_of,
    counting,
    increments,
    preceding,
    step_features,
    step_query_features,
)
from lcpfn.network.inputs import Observations, Questions

NOISE_HALF_LIVES = (2.0, 8.0, 32.0)
_UNIT_ESTIMATE = 1
_CHANGE_HALF_LIVES = (2.0, 8.0, 32.0)
# For standard normal e, E[|e|^(1/2)] = 2^(1/4) gamma(3/4) / sqrt(pi).
_NORMAL_ROOT_MEAN = 2**0.25 * math.gamma(0.75) / math.sqrt(math.pi)
# The noise assumed before the first second difference, in units of the spread.
_PRIOR_NOISE = 0.1
_LIMIT_REACH = 12.0
_LEAST_PROGRESS = 1e-5
_LEAST_GAP = 1e-6
_LOG_FACTORS = (0.5, 0.5, 0.4, 0.5, 0.5, 0.3, 0.3, 0.3)
_LOG_OFFSETS = (2.0, 0.0, 2.0, 0.0, 0.0, 1.0, 1.0, 2.0)
_LEAST_CHANGE = 1e-6
_LEAST_ROOM = 1e-6
_LEAST_RATE = 1e-3


def _annealed_progress(xp: ArrayModule, fraction: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Shares of the summed learning rate under cosine and under linear decay to zero.

    Most runs anneal, and then little happens in the last steps: a forecast is simple in the clock
    of the right schedule and hard in any other.
    """
    cosine = fraction + xp.sin(math.pi * fraction) / math.pi
    return cosine, fraction * (2 - fraction)


def _log_share(xp: ArrayModule, share: AnyArray) -> AnyArray:
    return 0.3 * xp.log(at_least(xp, _LEAST_PROGRESS, share)) + 1


def schedule_features(schedule: AnyArray, since: AnyArray | None = None) -> AnyArray:
    """What the learning rate says at a step, zero where it is unknown: (..., 2) -> (..., 5).

    Args:
        schedule: rate relative to the peak and share of the summed rate, -1 where unknown.
        since: (..., 2) the schedule at the last observed step, for a query after it: the share
            is then counted from there.
    """
    xp = array_module(schedule)
    rate, spent = schedule[..., 0], schedule[..., 1]
    known = xp.astype(spent >= 0, schedule.dtype)
    passed = spent if since is None else spent - since[..., 1]
    parts = channels(
        xp,
        known,
        known * rate,
        known * (0.3 * xp.log(at_least(xp, _LEAST_RATE, rate)) + 1),
        known * (2 * passed - (1 if since is None else 0)),
        known * _log_share(xp, 1 - spent if since is None else passed),
    )
    return parts


def rate_features(fractions: AnyArray, rates: AnyArray, start: int = 0) -> AnyArray:
    """What the learning rates at the records say where the rest of the schedule is unknown.

    The rate over its peak so far and its logarithm, the mean rate over that peak, and how fast it
    changes: a rate that falls is a run that anneals, and how far it has come tells when it ends.

    Args:
        fractions: (curves, n) of the horizon.
        rates: (curves, n) in any unit, negative where unknown.
        start: leave out the first records; the others still depend on them.

    Returns:
        (curves, n - start, RATE_FEATURES), zero where the rate is unknown.
    """
    xp = array_module(rates)
    positive = at_least(xp, 0.0, rates)
    _, peak = running_range(positive)
    known = xp.astype((rates >= 0) & (peak > 0), rates.dtype)
    relative = positive / xp.where(peak > 0, peak, 1.0)
    # The rate from one record to the next counts by the later one.
    weighted = increments(xp, xp.concat([0 * fractions[:, :1], fractions], axis=1))[:, 1:]
    summed = xp.cumulative_sum(positive * weighted, axis=1)
    mean = summed / (xp.where(peak > 0, peak, 1.0) * fractions)
    pace = increments(xp, relative) / at_least(xp, _LEAST_GAP, weighted)
    parts = channels(
        xp,
        known,
        known * relative,
        known * (0.3 * xp.log(at_least(xp, _LEAST_RATE, relative)) + 1),
        known * at_least(xp, 0.0, mean),
        known * 0.5 * xp.asinh(pace),
    )
    return parts[:, start:]


def relative_query_features(last_fraction: AnyArray, query_fraction: AnyArray) -> AnyArray:
    """Features of a query relative to the last observed step, (...) -> (..., 18)."""
    xp = array_module(query_fraction)
    clocks = []
    for now, then in zip(
        _annealed_progress(xp, last_fraction), _annealed_progress(xp, query_fraction), strict=True
    ):
        clocks += [2 * (then - now), _log_share(xp, then - now)]
    plain = step_query_features(last_fraction, query_fraction)
    return xp.concat([plain, channels(xp, *clocks)], axis=-1)


def relative_context_features(
    fractions: AnyArray,
    values: AnyArray,
    unit_floor: float,
    start: int = 0,
    ceiling: AnyArray | None = None,
) -> ContextFeatures:
    """Scale-free features of the observations of a batch of curves.

    Args:
        fractions: (curves, n) increasing, in (0, 1].
        values: (curves, n), higher is better, in any unit.
        unit_floor: smallest noise that is resolved, in units of the spread so far.
        start: leave out the first observations; the others still depend on them.
        ceiling: (curves,) the best value the metric can take, inf where unknown.

    Returns:
        tokens (curves, n - start, RELATIVE_CONTEXT_FEATURES) and their coordinates.
    """
    xp = array_module(values)
    centred = values - values[:, :1]
    change = increments(xp, centred)
    bend = increments(xp, change)
    now = centred[:, start:]
    count = counting(start, values)
    count = count + 0 * now

    lowest, highest = running_range(centred)
    low, high = lowest[:, start:], highest[:, start:]
    constant = high <= low
    spread = high - low
    if constant.any():
        spread = xp.where(constant, _fallback_spread(xp, values[:, start:], ceiling), spread)

    # A second difference of white noise has variance 6 sigma^2. The mean of square roots weighs
    # a record a hundred times too large no more than ten ordinary ones.
    noise = _noise_scale(xp, bend / math.sqrt(6), NOISE_HALF_LIVES, start, skip=2)
    drift = _noise_scale(xp, change, _CHANGE_HALF_LIVES, start, skip=1)
    ignorance = xp.exp(-math.log(2) * at_least(xp, 0.0, count - 2))
    floor = (unit_floor * spread)[..., None]
    assumed = (_PRIOR_NOISE * ignorance * spread)[..., None]
    noise = (1 - ignorance)[..., None] * noise + assumed + floor
    unit = noise[..., _UNIT_ESTIMATE]

    averages = running_averages(centred, AVERAGE_HALF_LIVES, start) - now[..., None]
    log_steps = xp.log(fractions)
    log_step_averages = running_averages(log_steps, AVERAGE_HALF_LIVES, start)
    log_step = log_steps[:, start:]
    before = fractions[:, start - 1 : -1] if start else preceding(xp, fractions)
    gap = fractions[:, start:] - before

    # Of the latest record that was the best so far.
    was_best = xp.where(centred >= highest, log_steps, log_steps[:, :1])
    _, best_log_step = running_range(was_best, start)

    recent = channels(xp, change[:, start:], bend[:, start:], now, now - high, now - low)
    distances = xp.concat([averages, recent], axis=-1)
    in_units = distances / unit[..., None]
    in_spreads = distances / spread[..., None]
    cosine, linear = _annealed_progress(xp, fractions[:, start:])
    # The slowing down of a curve tells how its learning rate falls; logarithms make it linear.
    velocity = abs(change[:, start:]) / gap
    ties = running_averages(xp.astype(change == 0, values.dtype), (16.0,), start, skip=1)
    positive = channels(
        xp,
        at_least(xp, _LEAST_GAP, gap),
        count,
        unit / spread,
        noise[..., 0] / unit,
        noise[..., 2] / unit,
        at_least(xp, _LEAST_PROGRESS, 1 - cosine),
        at_least(xp, _LEAST_PROGRESS, 1 - linear),
        velocity / spread + _LEAST_CHANGE,
    )
    factors, offsets = constant_of(_LOG_FACTORS, values), constant_of(_LOG_OFFSETS, values)
    logarithms = xp.log(positive) * factors + offsets
    flags = channels(xp, log_step - best_log_step, xp.astype(constant, values.dtype))
    tokens = xp.concat(
        [
            step_features(xp, fractions[:, start:]),
            log_step_averages - log_step[..., None],
            logarithms[..., :5],
            flags,
            ties,
            logarithms[..., 5:],
            0.5 * xp.log((drift + floor) / unit[..., None]),
            0.3 * xp.log(drift / spread[..., None] + _LEAST_CHANGE) + 2,
            0.5 * xp.asinh(in_units),
            xp.tanh(0.2 * in_units),
            in_spreads,
            0.5 * xp.asinh(30 * in_spreads),
            _ceiling_features(xp, values[:, start:], now - high, now - low, unit, spread, ceiling),
        ],
        axis=-1,
    )
    return ContextFeatures(tokens, Coordinates(values[:, start:], averages, unit))


def _fallback_spread(xp: ArrayModule, values: AnyArray, ceiling: AnyArray | None) -> AnyArray:
    """The unit while all values are equal: the distance to the ceiling where known, else 1."""
    one = 0 * values + 1
    if ceiling is None:
        return one
    room = xp.where(xp.isfinite(ceiling), ceiling, 0.0)[:, None] - values
    return xp.where(xp.isfinite(ceiling)[:, None] & (room > 0), room, one)


def _noise_scale(
    xp: ArrayModule, differences: AnyArray, half_lives: tuple[float, ...], start: int, skip: int
) -> AnyArray:
    """Robust running standard deviation of differences (curves, n): (mean of |d|^(1/2))^2."""
    roots = running_averages(xp.sqrt(abs(differences)), half_lives, start, skip)
    return (roots / _NORMAL_ROOT_MEAN) ** 2


def _ceiling_features(
    xp: ArrayModule,
    values: AnyArray,
    below_high: AnyArray,
    above_low: AnyArray,
    unit: AnyArray,
    spread: AnyArray,
    ceiling: AnyArray | None,
) -> AnyArray:
    """How far the ceiling is from the last, the best and the worst value, and whether it is known.

    Logarithms of distances, zero where the ceiling is unknown; (curves, n, CEILING_FEATURES).
    """
    if ceiling is None:
        return _nothing_told(values, CEILING_FEATURES)
    zero = 0 * values
    finite = xp.isfinite(ceiling)
    if not finite.any():
        return _nothing_told(values, CEILING_FEATURES)
    room = xp.where(finite, ceiling, 0.0)[:, None] - values
    perfect = _perfect(below_high == above_low, values, ceiling)
    known = xp.where(finite[:, None] & ~perfect, zero + 1, zero)
    distances = channels(xp, room, room, room + below_high, room + above_low)
    scales = channels(xp, unit, spread, spread, spread)
    spread = spread[..., None]
    ratios = xp.log(at_least(xp, _LEAST_ROOM, distances / spread) * (spread / scales))
    return _where_known(xp, known, ratios)


def floor_features(values: AnyArray, start: int, limits: AnyArray | None) -> AnyArray:
    """How far the worst possible value is from the last and the first one, and whether it is known.

    An accuracy has one and a loss has none, and the two do not go on alike. Logarithms of
    distances in units of the spread (of the room up to the ceiling while there is none), zero
    where the floor is unknown.

    Args:
        values: (curves, n), higher is better.
        start: leave out the first observations.
        limits: (curves, 2) the best and the worst value the metric can take, infinite where
            unknown.

    Returns:
        (curves, n - start, FLOOR_FEATURES).
    """
    xp = array_module(values)
    last = values[:, start:]
    if limits is None:
        return _nothing_told(last, FLOOR_FEATURES)
    zero = 0 * last
    ceiling, floor = limits[:, 0], limits[:, 1]
    finite = xp.isfinite(floor)
    if not finite.any():
        return _nothing_told(last, FLOOR_FEATURES)
    low, high = running_range(values, start)
    level = xp.where(finite, floor, 0.0)[:, None]
    distances = channels(xp, last - level, values[:, :1] + zero - level)
    constant = high <= low
    spread = xp.where(constant, _fallback_spread(xp, last, ceiling), high - low)
    ratios = xp.log(at_least(xp, _LEAST_ROOM, distances / spread[..., None]))
    perfect = _perfect(constant, last, ceiling)
    return _where_known(xp, xp.where(finite[:, None] & ~perfect, zero + 1, zero), ratios)


def _perfect(constant: AnyArray, values: AnyArray, ceiling: AnyArray) -> AnyArray:
    """Whether a run has had nothing but the best possible value, (curves, n)."""
    perfect: AnyArray = constant & (values >= ceiling[:, None])
    return perfect


def _where_known(xp: ArrayModule, known: AnyArray, ratios: AnyArray) -> AnyArray:
    """Whether a limit is known (curves, n), and logarithms of the distances to it where it is."""
    ratios = -at_least(xp, -_LIMIT_REACH, -at_least(xp, -_LIMIT_REACH, ratios))
    known = known[..., None]
    return xp.concat([known, 0.3 * known * ratios], axis=-1)


CEILING_FEATURES = 5
FLOOR_FEATURES = 3
RELATIVE_CONTEXT_FEATURES = (
    10 + AVERAGES + 11 + 2 * len(_CHANGE_HALF_LIVES) + 4 * (AVERAGES + 5) + CEILING_FEATURES
)
RELATIVE_QUERY_FEATURES = STEP_QUERY_FEATURES + 4
SCHEDULE_FEATURES = 5
RATE_FEATURES = 5


@dataclass(frozen=True)
class RelativeView:
    """What a network for metrics of any unit sees: ratios of differences only.

    y -> a y + b with a > 0 moves every forecast the same way as long as the values before it are
    not all equal or the best possible value is known. Otherwise the unit of the forecast is 1: give
    values divided by |first value|, to within a factor of two.

    What a network is told beyond that comes last in the features and in this order, so that one
    which is told more can start from the weights of one which is told less; see
    `Network.take_over`.

    Args:
        unit_floor: smallest noise that is resolved, in units of the spread of the values so far.
        schedule: it is told learning rates where those of the whole run are known.
        floor: it is told the worst value that the metric can take where that is known.
        rates: it is told the learning rates at the records where those to come are not known.
        best: it is asked for the best value up to a step, too.
    """

    unit_floor: float
    schedule: bool = False
    floor: bool = False
    rates: bool = False
    best: bool = False

    @property
    def context_features(self) -> int:
        """Features of one observation."""
        told = (
            self.schedule * SCHEDULE_FEATURES
            + self.floor * FLOOR_FEATURES
            + self.rates * RATE_FEATURES
        )
        return RELATIVE_CONTEXT_FEATURES + told

    @property
    def query_features(self) -> int:
        """Features of one question."""
        return RELATIVE_QUERY_FEATURES + self.schedule * SCHEDULE_FEATURES + self.best

    def observe(self, observations: Observations, start: int = 0) -> ContextFeatures:
        """Features of the observations from number `start` on; see `View`."""
        fractions, values = observations.fractions, observations.values
        limits = observations.limits
        ceiling = None if limits is None else limits[:, 0]
        context = relative_context_features(fractions, values, self.unit_floor, start, ceiling)
        told = []
        if self.schedule:
            schedule = observations.schedule
            told.append(
                _nothing_told(values[:, start:], SCHEDULE_FEATURES)
                if schedule is None
                else schedule_features(schedule[:, start:])
            )
        if self.floor:
            told.append(floor_features(values, start, limits))
        if self.rates:
            rates = observations.rates
            told.append(
                _nothing_told(values[:, start:], RATE_FEATURES)
                if rates is None
                else rate_features(fractions, rates, start)
            )
        if not told:
            return context
        tokens = array_module(values).concat([context.tokens, *told], axis=-1)
        return ContextFeatures(tokens, context.coordinates)

    def ask(self, since: Observations, questions: Questions) -> AnyArray:
        """Features of questions; see `View`."""
        plain = relative_query_features(since.fractions, questions.fractions)
        told = []
        if self.schedule:
            then, now = since.schedule, questions.schedule
            told.append(
                _nothing_told(questions.fractions, SCHEDULE_FEATURES)
                if then is None or now is None
                else schedule_features(now, then)
            )
        if self.best:
            flag = 0 * questions.fractions if questions.best is None else questions.best
            told.append(0 * plain[..., :1] + flag[..., None])
        return array_module(plain).concat([plain, *told], axis=-1) if told else plain


def _nothing_told(like: AnyArray, features: int) -> AnyArray:
    """(..., features) what a network sees that is not told something, at steps (...)."""
    return array_module(like).zeros_like(like[..., None] + constant_of((0.0,) * features, like))
