"""The absolute view: a curve in its prior's own unit, as the published prior's accuracies are.

Beside the features that all views share the network sees where a value lies in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

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

NOISE_HALF_LIVES = (4.0, 16.0, 64.0)
ABSOLUTE_CONTEXT_FEATURES = 10 + AVERAGES + 7 + 2 * (AVERAGES + 5) + 2 * 9
_MAGNITUDE_FACTORS = (0.5, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0)
_MAGNITUDE_OFFSETS = (2.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0)
_LEVEL_FREQUENCIES = (math.pi, 2 * math.pi, 4 * math.pi, 8 * math.pi)


@dataclass(frozen=True)
class AbsoluteView:
    """What a network for one metric in one unit sees; it has no use for limits or learning rates.

    Args:
        unit_floor: smallest noise that is resolved, in the prior's unit.
    """

    unit_floor: float

    context_features: ClassVar[int] = ABSOLUTE_CONTEXT_FEATURES
    query_features: ClassVar[int] = STEP_QUERY_FEATURES

    def observe(self, observations: Observations, start: int = 0) -> ContextFeatures:
        """Features of the observations from number `start` on; see `View`."""
        return absolute_context_features(
            observations.fractions, observations.values, self.unit_floor, start
        )

    def ask(self, since: Observations, questions: Questions) -> AnyArray:
        """Features of questions; see `View`."""
        return step_query_features(since.fractions, questions.fractions)


def _level_features(xp: ArrayModule, value: AnyArray) -> AnyArray:
    """Where a value lies in [0, 1], the support of the reference prior, (...) -> (..., 9)."""
    angles = value[..., None] * constant_of(_LEVEL_FREQUENCIES, value)
    return xp.concat([2 * value[..., None] - 1, xp.sin(angles), xp.cos(angles)], axis=-1)


def absolute_context_features(
    fractions: AnyArray, values: AnyArray, unit_floor: float, start: int = 0
) -> ContextFeatures:
    """Features of the observations of a batch of curves.

    Args:
        fractions: (curves, n) increasing, in (0, 1].
        values: (curves, n) in the prior's own unit.
        unit_floor: smallest noise that is resolved, in the prior's unit.
        start: leave out the first observations; the others still depend on them.

    Returns:
        tokens (curves, n - start, CONTEXT_FEATURES) and their coordinates.
    """
    xp = array_module(values)
    first = values[:, :1]
    centred = values - first
    change = increments(xp, centred)
    bend = increments(xp, change)
    now = centred[:, start:]
    count = counting(start, values) + 0 * now

    # A second difference of white noise has variance 6 sigma^2. A pseudo-observation keeps the
    # estimate sane while there are only one or two of them.
    bends = at_least(xp, 0.0, count - 2)[..., None]
    bend_variance = running_averages(bend**2 / 6, NOISE_HALF_LIVES, start, skip=2)
    pseudo_variance = (5 * unit_floor) ** 2
    noise = xp.sqrt((bend_variance * bends + pseudo_variance) / (bends + 1) + unit_floor**2)
    unit = noise[..., 1]

    low, high = running_range(centred, start)
    averages = running_averages(centred, AVERAGE_HALF_LIVES, start) - now[..., None]
    log_steps = xp.log(fractions)
    log_step_averages = running_averages(log_steps, AVERAGE_HALF_LIVES, start)
    before = fractions[:, start - 1 : -1] if start else preceding(xp, fractions)
    gap = fractions[:, start:] - before

    recent = channels(xp, change[:, start:], bend[:, start:], now, now - high, now - low)
    distances = xp.concat([averages, recent], axis=-1) / unit[..., None]
    spread = high - low
    magnitudes = channels(
        xp,
        at_least(xp, 1e-6, gap),
        count,
        unit,
        spread + unit_floor,
        1 + spread / unit,
        noise[..., 0] / unit,
        noise[..., 2] / unit,
    )
    factors, offsets = (
        constant_of(_MAGNITUDE_FACTORS, values),
        constant_of(_MAGNITUDE_OFFSETS, values),
    )
    magnitudes = xp.log(magnitudes) * factors + offsets
    levels = _level_features(xp, channels(xp, values[:, start:], first + 0 * now))
    tokens = xp.concat(
        [
            step_features(xp, fractions[:, start:]),
            log_step_averages - log_steps[:, start:, None],
            magnitudes,
            0.5 * xp.asinh(distances),
            xp.tanh(0.2 * distances),
            levels.reshape(*levels.shape[:2], -1),
        ],
        axis=-1,
    )
    return ContextFeatures(tokens, Coordinates(values[:, start:], averages, unit))
