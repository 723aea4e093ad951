"""What a scale-free network sees of a curve: features without any level or unit.

The counterpart of `features.context_features` for metrics of any unit. Every feature is a function
of ratios of differences of the observed values, so y -> a y + b with a > 0 leaves all of them as
they are, and the frame (last value, averages, unit) turns the network's outputs back into
values that moved along. Two measures of scale are combined: the spread of all values so far, and
a running noise estimate that a single wild record cannot inflate, so that a curve that dropped by
2 and now moves by 0.002 is still resolved.

A prefix without any spread (one value, or a constant run) has no scale of its own. Where the best
value that the metric can take is known, the distance to it serves; else the unit is 1, so the
caller decides what 1 means (see `Network.features`). A known best value is a reference that
y -> a y + b has to move along. A run that has had nothing but that value has no distance to it
either: its limits then count as unknown.
"""

from __future__ import annotations

import math

from lcpfn.network.arrays import Array, ArrayModule, array_module
from lcpfn.network.averages import running_averages, running_range
from lcpfn.network.features import (
    AVERAGE_HALF_LIVES,
    AVERAGES,
    ContextFeatures,
    Frame,
    at_least,
    channels,
    constant_of,
    counting,
    increments,
    preceding,
    query_features,
    step_features,
)

UNKNOWN = -1.0
"""What a learning rate says at a step where it is not known."""
SCHEDULE_CHANNELS = 2
"""Rate relative to the peak, and share of the summed rate spent."""

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


def _annealed_progress(xp: ArrayModule, fraction: Array) -> tuple[Array, Array]:
    """Shares of the summed learning rate under cosine and under linear decay to zero.

    Most runs anneal, and then little happens in the last steps: a forecast is simple in the clock
    of the right schedule and hard in any other.
    """
    cosine = fraction + xp.sin(math.pi * fraction) / math.pi
    return cosine, fraction * (2 - fraction)


def _log_share(xp: ArrayModule, share: Array) -> Array:
    return 0.3 * xp.log(at_least(xp, _LEAST_PROGRESS, share)) + 1


def schedule_features(schedule: Array, since: Array | None = None) -> Array:
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


def rate_features(fractions: Array, rates: Array, start: int = 0) -> Array:
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


def relative_query_features(last_fraction: Array, query_fraction: Array) -> Array:
    """Features of a query relative to the last observed step, (...) -> (..., 18)."""
    xp = array_module(query_fraction)
    clocks = []
    for now, then in zip(
        _annealed_progress(xp, last_fraction), _annealed_progress(xp, query_fraction), strict=True
    ):
        clocks += [2 * (then - now), _log_share(xp, then - now)]
    plain = query_features(last_fraction, query_fraction)
    return xp.concat([plain, channels(xp, *clocks)], axis=-1)


def relative_context_features(
    fractions: Array,
    values: Array,
    unit_floor: float,
    start: int = 0,
    ceiling: Array | None = None,
) -> ContextFeatures:
    """Scale-free features of the observations of a batch of curves.

    Args:
        fractions: (curves, n) increasing, in (0, 1].
        values: (curves, n), higher is better, in any unit.
        unit_floor: smallest noise that is resolved, in units of the spread so far.
        start: leave out the first observations; the others still depend on them.
        ceiling: (curves,) the best value the metric can take, inf where unknown.

    Returns:
        tokens (curves, n - start, RELATIVE_CONTEXT_FEATURES) and their frame.
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
    return ContextFeatures(tokens, Frame(values[:, start:], averages, unit))


def _fallback_spread(xp: ArrayModule, values: Array, ceiling: Array | None) -> Array:
    """The unit while all values are equal: the distance to the ceiling where known, else 1."""
    one = 0 * values + 1
    if ceiling is None:
        return one
    room = xp.where(xp.isfinite(ceiling), ceiling, 0.0)[:, None] - values
    return xp.where(xp.isfinite(ceiling)[:, None] & (room > 0), room, one)


def _noise_scale(
    xp: ArrayModule, differences: Array, half_lives: tuple[float, ...], start: int, skip: int
) -> Array:
    """Robust running standard deviation of differences (curves, n): (mean of |d|^(1/2))^2."""
    roots = running_averages(xp.sqrt(abs(differences)), half_lives, start, skip)
    return (roots / _NORMAL_ROOT_MEAN) ** 2


def _ceiling_features(
    xp: ArrayModule,
    values: Array,
    below_high: Array,
    above_low: Array,
    unit: Array,
    spread: Array,
    ceiling: Array | None,
) -> Array:
    """How far the ceiling is from the last, the best and the worst value, and whether it is known.

    Logarithms of distances, zero where the ceiling is unknown; (curves, n, CEILING_FEATURES).
    """
    zero = 0 * values
    if ceiling is None:
        return channels(xp, *[zero] * CEILING_FEATURES)
    finite = xp.isfinite(ceiling)
    room = xp.where(finite, ceiling, 0.0)[:, None] - values
    perfect = _perfect(below_high == above_low, values, ceiling)
    known = xp.where(finite[:, None] & ~perfect, zero + 1, zero)
    distances = channels(xp, room, room, room + below_high, room + above_low)
    scales = channels(xp, unit, spread, spread, spread)
    spread = spread[..., None]
    ratios = xp.log(at_least(xp, _LEAST_ROOM, distances / spread) * (spread / scales))
    return _where_known(xp, known, ratios)


def floor_features(values: Array, start: int, limits: Array | None) -> Array:
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
    zero = 0 * last
    if limits is None:
        return channels(xp, *[zero] * FLOOR_FEATURES)
    ceiling, floor = limits[:, 0], limits[:, 1]
    low, high = running_range(values, start)
    finite = xp.isfinite(floor)
    level = xp.where(finite, floor, 0.0)[:, None]
    distances = channels(xp, last - level, values[:, :1] + zero - level)
    constant = high <= low
    spread = xp.where(constant, _fallback_spread(xp, last, ceiling), high - low)
    ratios = xp.log(at_least(xp, _LEAST_ROOM, distances / spread[..., None]))
    perfect = _perfect(constant, last, ceiling)
    return _where_known(xp, xp.where(finite[:, None] & ~perfect, zero + 1, zero), ratios)


def _perfect(constant: Array, values: Array, ceiling: Array) -> Array:
    """Whether a run has had nothing but the best possible value, (curves, n)."""
    perfect: Array = constant & (values >= ceiling[:, None])
    return perfect


def _where_known(xp: ArrayModule, known: Array, ratios: Array) -> Array:
    """Whether a limit is known (curves, n), and logarithms of the distances to it where it is."""
    ratios = -at_least(xp, -_LIMIT_REACH, -at_least(xp, -_LIMIT_REACH, ratios))
    known = known[..., None]
    return xp.concat([known, 0.3 * known * ratios], axis=-1)


CEILING_FEATURES = 5
FLOOR_FEATURES = 3
RELATIVE_CONTEXT_FEATURES = (
    10 + AVERAGES + 11 + 2 * len(_CHANGE_HALF_LIVES) + 4 * (AVERAGES + 5) + CEILING_FEATURES
)
RELATIVE_QUERY_FEATURES = 18
SCHEDULE_FEATURES = 5
RATE_FEATURES = 5
