"""Recorded runs as a prior: real curves, varied so that a network cannot learn them by heart.

What is drawn is a run of a source drawn first, so that a source of ten runs counts as much as one
of a thousand. Its metric is bent by a power, shifted, mixed with another run, made noisier or
smoother; its steps are stretched, thinned or cut off; what is known of its bounds is forgotten at
times. Runs of a table are all of one length, by which a network would know the table: they can be
drawn at other lengths. Continued training on recorded data, mixed with draws of the prior, is what
tabular prior-data fitted networks were found to gain from (Garg et al. 2025, Real-TabPFN).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lcpfn.priors.base import CurveBatch

Array = NDArray[np.float64]

_CELLS = 192
_UNKNOWN = -1.0
_LEAST_RANGE = 1e-12
_AROUND = 2
_MOST_UNITS = 1e5


@dataclass(frozen=True)
class RecordedRun:
    """One complete run, as it was logged.

    Args:
        steps: (n,) strictly increasing and positive; the last is the end of the run.
        values: (n,) finite.
        maximize: whether higher is better.
        bounds: (low, high) that the metric cannot pass, infinite where open.
        group, source: what kind of log it is, and whose. Groups count by their weights, sources of
            a group alike, runs of a source alike.
        rates: (n,) learning rates at the records, None where unknown.
    """

    steps: Array
    values: Array
    maximize: bool
    bounds: tuple[float, float]
    group: str
    source: str
    rates: Array | None = None


@dataclass(frozen=True)
class Augmentation:
    """How recorded runs are varied. A rate is the share of the drawn curves that it happens to.

    Args:
        bent_rate, bent: the metric's distance to its bound to a power, log-uniform ends.
        shifted_rate, shifted: a loss stands higher above its bound, log-uniform in ranges.
        scaled_rate, scaled: a metric within two bounds gets this share of the way above its worst
            value, log-uniform ends, as if the task were harder.
        mixed_rate: another run of the group is added, by a uniform weight up to one half.
        noisy_rate, noisy: white noise, log-uniform in ranges. smooth_rate: running averages.
        stretched_rate, stretched: steps to a power, log-uniform ends.
        cut_rate, cut: the run is cut off after a uniform share of its records.
        scattered_rate: records are left out at random, not evenly.
        unbounded_rate: nothing is known of the bounds.
        soft: the standard deviation of the target, as a share of how much the records around it
            differ from one to the next.
    """

    bent_rate: float = 0.4
    bent: tuple[float, float] = (0.5, 2.0)
    shifted_rate: float = 0.2
    shifted: tuple[float, float] = (0.01, 3.0)
    scaled_rate: float = 0.0
    scaled: tuple[float, float] = (0.08, 1.0)
    mixed_rate: float = 0.2
    noisy_rate: float = 0.25
    noisy: tuple[float, float] = (0.002, 0.15)
    smooth_rate: float = 0.1
    stretched_rate: float = 0.35
    stretched: tuple[float, float] = (0.75, 1.33)
    cut_rate: float = 0.15
    cut: tuple[float, float] = (0.5, 1.0)
    scattered_rate: float = 0.2
    unbounded_rate: float = 0.2
    soft: float = 0.15


@dataclass(frozen=True)
class RecordedPrior:
    """Draws varied copies of recorded runs, higher is better.

    Args:
        runs: the recorded runs.
        weights: how often each group is drawn; default alike.
        lengths, length_weights: records of a curve; one of them for all curves of a draw. Runs
            of fewer records are not drawn then, unless they are resampled.
        augmentation: how runs are varied.
        resampled: runs are drawn as if they had as many records as the curve, see `resample`.
    """

    runs: Sequence[RecordedRun]
    weights: dict[str, float] | None = None
    lengths: tuple[int, ...] = (13, 17, 25, 33, 49, 97, 193)
    length_weights: tuple[float, ...] = (0.12, 0.12, 0.18, 0.18, 0.2, 0.13, 0.07)
    augmentation: Augmentation = field(default_factory=Augmentation)
    resampled: bool = False
    _tables: dict[int, dict[str, list[list[int]]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        thinned = [_thinned(run) for run in self.runs]
        object.__setattr__(self, "runs", thinned)
        for length in self.lengths:
            sources: dict[tuple[str, str], list[int]] = {}
            for index, run in enumerate(thinned):
                if self.resampled or len(run.values) >= length:
                    sources.setdefault((run.group, run.source), []).append(index)
            groups: dict[str, list[list[int]]] = {}
            for (group, _), members in sources.items():
                groups.setdefault(group, []).append(members)
            self._tables[length] = groups
        if not any(self._tables.values()):
            raise ValueError(
                f"none of the {len(thinned)} runs is long enough, but one must have at least "
                f"{min(self.lengths)} records"
            )

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` curves, all with the same random number of records."""
        seed = int(torch.randint(2**62, (), generator=generator))
        random = np.random.default_rng(seed)
        shares = np.array(
            [
                w if self._tables[n] else 0.0
                for n, w in zip(self.lengths, self.length_weights, strict=True)
            ]
        )
        length = self.lengths[random.choice(len(self.lengths), p=shares / shares.sum())]
        groups = self._tables[length]
        names = list(groups)
        weights = np.array(
            [1.0 if self.weights is None else self.weights.get(n, 0.0) for n in names]
        )
        drawn = []
        for group in random.choice(len(names), count, p=weights / weights.sum()):
            sources = groups[names[group]]
            runs = [
                self.runs[random.choice(sources[random.integers(len(sources))])] for _ in range(2)
            ]
            run = resample(runs[0], length, random) if self.resampled else runs[0]
            drawn.append(_varied(run, runs[1], length, self.augmentation, random))
        fields = [torch.from_numpy(np.array(part, np.float32)) for part in zip(*drawn, strict=True)]
        fractions, values, noise, ceiling, floor, schedule = fields
        return CurveBatch(fractions, values, values, noise, ceiling, schedule, floor)


def _thinned(run: RecordedRun) -> RecordedRun:
    """The last record of each of the cells that a model can tell apart."""
    cells = np.ceil(run.steps / run.steps[-1] * _CELLS - 1e-6)
    kept = np.append(np.diff(cells) > 0, True)
    rates = None if run.rates is None else run.rates[kept]
    return RecordedRun(
        run.steps[kept], run.values[kept], run.maximize, run.bounds, run.group, run.source, rates
    )


def resample(run: RecordedRun, records: int, random: np.random.Generator) -> RecordedRun:
    """The run as if it had been trained for another number of evenly spaced records.

    Half of the time it begins at the second record: tables often hold a record from before the
    training, logs hardly ever do. Then the records lie between those of the run and where straight
    stretching puts them: longer runs fall as fast at first, and take their time later. Between two
    records are straight lines, and as much noise as the mean of two takes away.
    """
    first, count = int(random.integers(2)), len(run.values)
    length = count - 1 - first
    power = random.uniform(*sorted((1.0, np.log(length) / np.log(records - 1))))
    places = first + length * np.linspace(0, 1, records) ** power
    share = places - np.floor(places)
    bends = np.diff(run.values, 2, prepend=run.values[:1], append=run.values[-1:]) / 6**0.5
    noise = np.interp(places, np.arange(count), _running_mean(np.abs(bends)))
    lost = np.sqrt(2 * share * (1 - share))
    values = np.interp(places, np.arange(count), run.values)
    values = np.clip(values + lost * noise * random.standard_normal(records), *run.bounds)
    rates = None if run.rates is None else np.interp(places, np.arange(count), run.rates)
    return replace(run, steps=np.arange(1.0, records + 1), values=values, rates=rates)


Drawn = tuple[Array, Array, Array, float, float, Array]


def _varied(
    run: RecordedRun,
    other: RecordedRun,
    length: int,
    how: Augmentation,
    random: np.random.Generator,
) -> Drawn:
    """Fractions, values, deviation of the target, ceiling, floor and schedule of one curve."""
    end = len(run.values)
    if random.random() < how.cut_rate:
        end = max(length, round(end * random.uniform(*how.cut)))
    chosen = _chosen(end, length, random, scattered=random.random() < how.scattered_rate)
    fractions = run.steps[chosen] / run.steps[chosen[-1]]
    sign = 1.0 if run.maximize else -1.0
    best, worst = (run.bounds[1], run.bounds[0]) if run.maximize else run.bounds
    values, best, worst = sign * run.values[chosen], sign * best, sign * worst
    if random.random() < how.mixed_rate:
        values = _mixed(values, fractions, other, best, worst, random)
    size = max(float(np.ptp(values)), _LEAST_RANGE)
    if random.random() < how.noisy_rate:
        values = values + size * _log_uniform(how.noisy, random) * random.standard_normal(length)
        values = np.clip(values, worst, best)
    if random.random() < how.smooth_rate:
        values = _averaged(values, random.uniform(0.3, 0.9))
    if random.random() < how.bent_rate:
        values, best, worst = _bent(values, best, worst, _log_uniform(how.bent, random), random)
    if np.isfinite(best) and not np.isfinite(worst) and random.random() < how.shifted_rate:
        best = best + np.ptp(values) * _log_uniform(how.shifted, random)
    if np.isfinite(best - worst) and random.random() < how.scaled_rate:
        values = worst + (values - worst) * _log_uniform(how.scaled, random)
    schedule = _schedule(run, chosen)
    if random.random() < how.stretched_rate:
        fractions = fractions ** _log_uniform(how.stretched, random)
        fractions = np.maximum(fractions, np.arange(1, length + 1) / (4 * _CELLS))
        if schedule[0, 0] >= 0:
            schedule[:, 1] = _spent(schedule[:, 0], fractions)
    if random.random() < how.unbounded_rate:
        best, worst = np.inf, -np.inf
    first = abs(values[0]) or 1.0
    unit = 2.0 ** np.floor(np.log2(max(first, np.ptp(values) / _MOST_UNITS, 1e-30)))
    values, best, worst = ((part - values[0]) / unit for part in (values, best, worst))
    return fractions, values, how.soft * _roughness(values), best, worst, schedule


def _chosen(
    end: int, length: int, random: np.random.Generator, scattered: bool
) -> NDArray[np.int64]:
    """`length` of the first `end` records, the last one always among them."""
    if scattered:
        others = random.choice(end - 1, length - 1, replace=False)
        return np.append(np.sort(others), end - 1)
    start = random.uniform(0, max(1.0, end / length))
    return np.round(np.linspace(min(start, end - length), end - 1, length)).astype(np.int64)


def _mixed(
    values: Array,
    fractions: Array,
    other: RecordedRun,
    best: float,
    worst: float,
    random: np.random.Generator,
) -> Array:
    """The curve plus some of another's, which is moved to the same range."""
    sign = 1.0 if other.maximize else -1.0
    theirs = sign * np.interp(fractions, other.steps / other.steps[-1], other.values)
    theirs = (theirs - theirs.min()) / max(float(np.ptp(theirs)), _LEAST_RANGE)
    theirs = values.min() + theirs * np.ptp(values)
    weight = random.uniform(0, 0.5)
    mixed: Array = np.clip((1 - weight) * values + weight * theirs, worst, best)
    return mixed


def _bent(
    values: Array, best: float, worst: float, power: float, random: np.random.Generator
) -> tuple[Array, float, float]:
    """Values whose distance to the best, or to the worst, possible one is taken to a power."""
    if np.isfinite(worst) and (random.random() < 0.5 or not np.isfinite(best)):
        unit = best - worst if np.isfinite(best) else max(float((values - worst).max()), 1e-12)
        bent = ((values - worst) / unit).clip(0) ** power * unit
        return bent, best - worst, 0.0
    if np.isfinite(best):
        unit = best - worst if np.isfinite(worst) else max(float((best - values).max()), 1e-12)
        bent = -(((best - values) / unit).clip(0) ** power) * unit
        return bent, 0.0, worst - best
    low, size = values.min(), max(float(np.ptp(values)), _LEAST_RANGE)
    share = (values - low) / size
    bent = share**power if random.random() < 0.5 else 1 - (1 - share) ** power
    return low + size * bent, best, worst


def _roughness(values: Array) -> Array:
    """(n,) the mean change from record to record around each, next to nothing where there is none.

    A run that has fallen by decades moves by a thousandth of its range, and that is to be seen.
    """
    around = _running_mean(np.abs(np.diff(values, prepend=values[:1])))
    least = 1e-6 * max(float(np.ptp(values)), _LEAST_RANGE)
    roughness: Array = np.maximum(around, least)
    return roughness


def _running_mean(values: Array) -> Array:
    """(n,) of each value and those around it."""
    padded = np.pad(values, _AROUND, mode="edge")
    mean: Array = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1).mean(-1)
    return mean


def _averaged(values: Array, memory: float) -> Array:
    averaged: Array = values.copy()
    for index in range(1, len(values)):
        averaged[index] = memory * averaged[index - 1] + (1 - memory) * values[index]
    return averaged


def _schedule(run: RecordedRun, chosen: NDArray[np.int64]) -> Array:
    """(length, 2) rate over its peak and share of the sum; -1 where rates are not known."""
    unknown = np.full((len(chosen), 2), _UNKNOWN)
    if run.rates is None:
        return unknown
    rates = run.rates[: chosen[-1] + 1]
    if not (np.isfinite(rates).all() and (rates >= 0).all() and rates.max() > 0):
        return unknown
    relative = rates / rates.max()
    spent = _spent(relative, run.steps[: chosen[-1] + 1])
    return np.stack([relative[chosen], spent[chosen]], 1)


def _spent(rates: Array, steps: Array) -> Array:
    """Share of the summed rate at each step; before the first record the rate counts as there."""
    parts = np.diff(steps, prepend=0.0) * (rates + np.append(rates[:1], rates[:-1])) / 2
    total = np.cumsum(parts)
    return total / max(float(total[-1]), _LEAST_RANGE)


def _log_uniform(ends: tuple[float, float], random: np.random.Generator) -> float:
    return float(np.exp(random.uniform(*np.log(ends))))
