"""The broad prior, kept where its curves resemble real ones: what the default model learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor

from lcpfn.priors import effects
from lcpfn.priors.base import CurveBatch
from lcpfn.priors.broad import BroadConfig, BroadPrior
from lcpfn.priors.draws import Range
from lcpfn.priors.resemblance import RECORDS, Metric, Resemblance, describe

_LEAST_DRAWS = 512
_DRAWS_PER_CURVE = 12
# Rounded and frozen records leave no noise, but a density needs some width.
_ROUNDING_NOISE = 0.2
_FROZEN_NOISE = 3e-3


@lru_cache(maxsize=2)
def _bundled_resemblance(metric: Metric) -> Resemblance:
    return Resemblance.bundled(metric)


@dataclass(frozen=True)
class RealisticPrior:
    """Draws from `BroadPrior`, most of them kept by how much they resemble real curves.

    A draw is kept with probability min(1, r / exp(strictness)), where r is the density ratio of
    real to simulated curves; losses and accuracies have a ratio each. A share of the curves is
    drawn without looking, so that nothing the broad prior can do becomes impossible. Some curves
    are then rounded, like accuracies that count examples and losses logged with few digits, and
    some stand still, like networks whose units have died or that predict one class for long: the
    benchmarks behind the density ratios hold hardly any. Stateless.

    >>> import torch
    >>> batch = RealisticPrior().sample(8, torch.Generator().manual_seed(0))
    >>> bool(torch.isfinite(batch.values).all()), bool((batch.values[:, 0] == 0).all())
    (True, True)

    Args:
        broad: rates and ranges of the draws; its lengths are not used.
        losses, accuracies: the density ratios.
        accuracy_rate: share of the kept curves that are accuracies.
        share: of the curves that are kept by resemblance.
        strictness: log density ratio from which on every draw is kept.
        lengths: records of a curve, one more than a divisor or a multiple of 48.
        length_weights: how often each is drawn.
        rounded_rate: share of curves whose values are rounded.
        rounded_step: log-uniform ends of the step of these, in units of the curve's range.
        dead_rate: share of curves that never leave their first record.
        frozen_rate: share of curves that repeat one record from a random moment on.
        stuck_rate: share of curves that repeat their first record up to a random moment.
    """

    broad: BroadConfig = field(default_factory=BroadConfig)
    losses: Resemblance = field(default_factory=lambda: _bundled_resemblance("loss"))
    accuracies: Resemblance = field(default_factory=lambda: _bundled_resemblance("accuracy"))
    accuracy_rate: float = 0.35
    share: float = 0.85
    strictness: float = 2.0
    lengths: tuple[int, ...] = (7, 13, 25, 49, 97, 193)
    length_weights: tuple[float, ...] = (0.05, 0.12, 0.18, 0.4, 0.17, 0.08)
    rounded_rate: float = 0.12
    rounded_step: Range = (1e-3, 0.3)
    dead_rate: float = 0.02
    frozen_rate: float = 0.015
    stuck_rate: float = 0.015

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` curves, all with the same random number of records.

        Those that are kept by resemblance are all losses or all accuracies.
        """
        device = torch.device("cpu") if generator is None else generator.device
        weights = torch.tensor(self.length_weights, device=device)
        length = self.lengths[int(torch.multinomial(weights, 1, generator=generator))]
        drawn = max(length, RECORDS)
        # A curve is judged with its ceiling, whether or not a user would know it.
        config = replace(self.broad, lengths=(drawn,), length_weights=(1.0,), ceiling_rate=1.0)
        prior = BroadPrior(config)
        rising = bool(torch.rand((), generator=generator, device=device) < self.accuracy_rate)
        judge = self.accuracies if rising else self.losses
        judged = BroadPrior(replace(config, rising_rate=float(rising)))
        plain = round(count * (1 - self.share))
        batches = [prior.sample(plain, generator)] if plain else []
        missing = count - plain
        while missing > 0:
            draws = max(_LEAST_DRAWS, _DRAWS_PER_CURVE * missing)
            kept = self._kept(judged.sample(draws, generator), judge, generator)
            batches.append(_rows(kept, slice(missing)))
            missing -= len(batches[-1].values)
        order = torch.randperm(count, generator=generator, device=device)
        curves = _rows(_joined(batches), order)
        if drawn > length:
            skip_first = bool(torch.rand((), generator=generator, device=device) < 0.5)
            curves = _thinned(curves, (drawn - 1) // (length - 1), skip_first)
        curves = self._standing_still(self._rounded(curves, generator), generator)
        known = torch.rand(count, generator=generator, device=device) < self.broad.ceiling_rate
        return replace(
            curves,
            ceiling=torch.where(known, _ceiling(curves), torch.inf),
            floor=torch.where(known, _floor(curves), -torch.inf),
        )

    def _kept(
        self, batch: CurveBatch, judge: Resemblance, generator: torch.Generator | None
    ) -> CurveBatch:
        values = batch.values
        stride = (values.shape[1] - 1) // (RECORDS - 1)
        with torch.no_grad():
            statistics = describe(values[:, ::stride], _ceiling(batch))
            chance = torch.exp(judge.log_ratio(statistics) - self.strictness)
        draws = torch.rand(len(values), generator=generator, device=values.device)
        return _rows(batch, draws < chance)

    def _rounded(self, batch: CurveBatch, generator: torch.Generator | None) -> CurveBatch:
        """Some curves counted in steps from their ceiling: what is to be forecast is the count."""
        draws = torch.rand(
            (2, len(batch.values), 1), generator=generator, device=batch.values.device
        )
        low, high = (math.log(end) for end in self.rounded_step)
        step = _range(batch.values) * torch.exp(low + (high - low) * draws[0])
        happens = (draws[1] < self.rounded_rate) & (step > 0)
        ceiling = _ceiling(batch)[:, None]
        counted = ceiling - effects.quantise(ceiling - batch.values, step)
        values = torch.where(happens, counted, batch.values)
        start = values[:, :1]
        return replace(
            batch,
            values=values - start,
            clean=torch.where(happens, values, batch.clean) - start,
            noise=torch.where(happens, _ROUNDING_NOISE * step, batch.noise),
            ceiling=_ceiling(batch) - start[:, 0],
            floor=_floor(batch) - start[:, 0],
        )

    def _standing_still(self, batch: CurveBatch, generator: torch.Generator | None) -> CurveBatch:
        """Some curves that never move, stop moving for good, or take long to start."""
        values = batch.values
        kind, moment = torch.rand(
            (2, len(values), 1), generator=generator, device=values.device
        ).unbind()
        ends = torch.tensor(
            [self.dead_rate, self.frozen_rate, self.stuck_rate], device=values.device
        ).cumsum(0)
        dead, frozen, stuck = (
            (kind >= low) & (kind < high) for low, high in zip((0.0, *ends[:-1]), ends, strict=True)
        )
        length = values.shape[1]
        begin = torch.where(frozen, (moment * length).long(), 0)
        # Log-uniform: the longer nothing happens, the less likely it is that anything will.
        end = torch.where(stuck, length**moment, torch.where(dead | frozen, float(length), 0.0))
        order = torch.arange(length, device=values.device)
        still = (order >= begin) & (order < end)
        kept = values.gather(1, begin)
        size = _range(values)
        return replace(
            batch,
            values=torch.where(still, kept, values),
            clean=torch.where(still, kept, batch.clean),
            noise=torch.where(still, _FROZEN_NOISE * size, batch.noise),
        )


def _range(values: Tensor) -> Tensor:
    """(curves, 1) best minus worst."""
    return values.amax(1, keepdim=True) - values.amin(1, keepdim=True)


def _ceiling(batch: CurveBatch) -> Tensor:
    if batch.ceiling is None:
        raise ValueError("curves are judged with their ceiling, but the batch has none")
    return batch.ceiling


def _floor(batch: CurveBatch) -> Tensor:
    if batch.floor is None:
        raise ValueError("accuracies have a floor, but the batch has none")
    return batch.floor


def _rows(batch: CurveBatch, rows: Tensor | slice) -> CurveBatch:
    """The batch of some of the curves."""
    return replace(
        batch,
        values=batch.values[rows],
        clean=batch.clean[rows],
        noise=batch.noise.expand_as(batch.values)[rows],
        ceiling=_ceiling(batch)[rows],
        schedule=None if batch.schedule is None else batch.schedule[rows],
        floor=_floor(batch)[rows],
    )


def _joined(batches: list[CurveBatch]) -> CurveBatch:
    return CurveBatch(
        batches[0].fractions,
        torch.cat([batch.values for batch in batches]),
        torch.cat([batch.clean for batch in batches]),
        torch.cat([batch.noise.expand_as(batch.values) for batch in batches]),
        torch.cat([_ceiling(batch) for batch in batches]),
        torch.cat([batch.schedule for batch in batches if batch.schedule is not None]),
        torch.cat([_floor(batch) for batch in batches]),
    )


def _thinned(batch: CurveBatch, stride: int, skip_first: bool) -> CurveBatch:
    """Every `stride`-th record, with the very first one or without, counted from the first kept."""
    kept = slice(stride if skip_first else 0, None, stride)
    values = batch.values[:, kept]
    start = values[:, :1]
    return CurveBatch(
        batch.fractions[kept],
        values - start,
        batch.clean[:, kept] - start,
        batch.noise.expand_as(batch.values)[:, kept],
        _ceiling(batch) - start[:, 0],
        None if batch.schedule is None else batch.schedule[:, kept],
        _floor(batch) - start[:, 0],
    )
