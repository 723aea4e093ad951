"""A broad prior over the metrics that people log, without units.

A curve is an irreducible level, plus a drop, plus whatever else happens:

    y = level + sum of decays over effective progress + noise-floor loss + pathologies + noise

The drop is a mixture of power law, stretched exponential, logarithm and Hill curve over effective
progress, the integral of the learning rate under a random schedule. Its size is 1: a scale-free
network does not see units. Every pathology has a rate, and rates are small, because each costs
sharpness on all healthy curves.

The ranges of `BroadConfig` were set by comparing summary statistics of draws with those of real
curves (`experiments/prior_predictive.py`) and by the forecasts of small networks on LCBench,
TaskSet and LCBench-surrogate development sets; networks train on draws alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lcpfn.priors import effects
from lcpfn.priors.base import CurveBatch
from lcpfn.priors.draws import Draws, Range

_SCHEDULE_POINTS = 257
_WAVES = 6
_KINKS = 10
_LEAST_NOISE = 1e-6


@dataclass(frozen=True)
class BroadConfig:
    """Rates and ranges of `BroadPrior`.

    Sizes are in units of the curve's main drop, times are shares of the run. Ranges are
    log-uniform unless said otherwise; a rate is the share of curves that has the effect.

    Args:
        lengths: records of a curve; one of them for all curves of a draw.
        length_weights: how often each is drawn.
        schedule_weights: constant, cosine, cosine with restarts, linear, stable then decay, steps,
            inverse root.
        warmup_rate, warmup_length: a ramp at the start.
        unfinished_rate: the schedule was planned for a longer run than the horizon.
        family_weights: power, stretched exponential, logarithm, Hill.
        mixture_rate: two families at once.
        time_scale: of the decays. power_exponent, stretch, hill_exponent: their shapes.
        flat_rate: no drop at all.
        untrained_rate: the first record was taken before training.
        first_jump_rate, first_jump: that record lies off the curve by this much.
        floor_rate, floor_size, floor_power: loss held up by the learning rate, as its power.
        overfitting_rate, overfitting_size: an upturn.
        late_drop_rate, late_drop_size: a drop after a plateau.
        bump_rate, bump_size: double descent.
        instability_rate, instability_size: a bad start that recovers.
        divergence_rate, divergence_growth: exponential growth, uniform in the exponent.
        shift_rate, shift_size: a sudden change of level.
        spike_rate, spike_size: spikes; `spike_density` of a spiky curve's records start one.
        smooth_rate: no noise at all, as from a surrogate model.
        wiggle_rate, smooth_wiggle_rate, wiggle_size: slow variation, by whether a curve is smooth.
        kink_rate, kink_size: sudden changes of slope, of smooth curves only.
        noise_size: white noise of each record. wandering_rate, wandering_size, wandering_speed:
            autocorrelated noise. heavy_rate: heavy tails.
        annealed_noise_rate: noise shrinks with the learning rate. falling_noise_rate: noise shrinks
            with what is left of the drop.
        level: irreducible level. easy_rate: next to none. distant_rate: far above the drop.
        quantised_rate, quantum: steps of a metric that counts.
        ceiling_rate: the best possible value is known, and of an accuracy the worst.
        rising_rate: logged as the complement, an accuracy rather than an error.
    """

    lengths: tuple[int, ...] = (13, 25, 49, 97, 193)
    length_weights: tuple[float, ...] = (0.15, 0.2, 0.4, 0.17, 0.08)
    schedule_weights: tuple[float, ...] = (0.27, 0.45, 0.02, 0.12, 0.06, 0.05, 0.03)
    warmup_rate: float = 0.12
    warmup_length: Range = (0.005, 0.2)
    unfinished_rate: float = 0.04
    family_weights: tuple[float, ...] = (0.44, 0.32, 0.07, 0.17)
    mixture_rate: float = 0.3
    time_scale: Range = (0.003, 5.0)
    power_exponent: Range = (0.15, 4.0)
    stretch: Range = (0.35, 1.3)
    hill_exponent: Range = (0.6, 6.0)
    flat_rate: float = 0.08
    untrained_rate: float = 0.35
    first_jump_rate: float = 0.12
    first_jump: Range = (0.05, 30.0)
    floor_rate: float = 0.4
    floor_size: Range = (0.002, 0.5)
    floor_power: Range = (0.5, 2.0)
    overfitting_rate: float = 0.16
    overfitting_size: Range = (0.003, 1.0)
    late_drop_rate: float = 0.03
    late_drop_size: Range = (0.05, 10.0)
    bump_rate: float = 0.015
    bump_size: Range = (0.03, 0.5)
    instability_rate: float = 0.05
    instability_size: Range = (0.05, 100.0)
    divergence_rate: float = 0.008
    divergence_growth: Range = (1.0, 15.0)
    shift_rate: float = 0.01
    shift_size: Range = (0.02, 3.0)
    spike_rate: float = 0.03
    spike_size: Range = (0.02, 10.0)
    spike_density: float = 0.03
    smooth_rate: float = 0.15
    wiggle_rate: float = 0.08
    smooth_wiggle_rate: float = 0.75
    wiggle_size: Range = (0.002, 0.1)
    kink_rate: float = 0.5
    kink_size: Range = (1e-3, 0.2)
    noise_size: Range = (1e-5, 0.5)
    wandering_rate: float = 0.5
    wandering_size: Range = (1e-4, 0.2)
    wandering_speed: Range = (2.0, 300.0)
    heavy_rate: float = 0.2
    annealed_noise_rate: float = 0.75
    falling_noise_rate: float = 0.5
    level: Range = (0.02, 30.0)
    easy_rate: float = 0.1
    distant_rate: float = 0.1
    quantised_rate: float = 0.05
    quantum: Range = (3e-4, 0.05)
    ceiling_rate: float = 0.65
    rising_rate: float = 0.4


@dataclass(frozen=True)
class BroadPrior:
    """Draws curves of any kind of metric, higher is better. Stateless.

    Values are distances from the first record, so that curves far above their own drop keep full
    precision, in a unit in which the first record was of size 1 to 2: what a network with a
    relative frame is to be given, see `lcpfn.network.relative.RelativeView`.

    >>> import torch
    >>> batch = BroadPrior().sample(4, torch.Generator().manual_seed(0))
    >>> bool(torch.isfinite(batch.values).all()), bool((batch.values[:, 0] == 0).all())
    (True, True)
    """

    config: BroadConfig = BroadConfig()

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` curves, all with the same random number of records."""
        draws = Draws(count, generator)
        length = draws.length(self.config.lengths, self.config.length_weights)
        return _curves(self.config, draws, length)


def _curves(config: BroadConfig, draws: Draws, length: int) -> CurveBatch:
    fractions = torch.arange(1, length + 1, device=draws.device) / length
    untrained = draws.happens(config.untrained_rate)
    time = torch.where(untrained, (fractions * length - 1) / (length - 1), fractions)
    rate, progress = _schedule(config, draws, time)

    drop = _drop(config, draws, progress)
    trained = 1 - drop[:, -1:]
    flat = draws.happens(config.flat_rate)
    # A slow curve shows a part of its drop only; what is seen is the unit of everything else.
    seen = drop / trained.clamp_min(0.02)
    clean = torch.where(flat, 0.0, seen)
    clean = clean + _slow_effects(config, draws, time, progress, rate, drop)
    level = _level(config, draws)
    smooth = draws.happens(config.smooth_rate)
    wiggle_rate = torch.where(smooth, config.smooth_wiggle_rate, config.wiggle_rate)
    clean = clean + draws.happens(wiggle_rate) * _wiggles(config, draws, time, progress)
    kinked = draws.happens(config.kink_rate) & smooth
    clean = clean + kinked * _kinks(config, draws, time)
    clean, noise = _noise(config, draws, clean, drop, rate, progress, smooth)
    clean = clean + _sudden_effects(config, draws, time)

    # Nothing falls below the best possible value, and noise becomes small close to it.
    clean = torch.maximum(clean, -0.98 * level)
    noise = torch.minimum(noise, 0.3 * (clean + level))
    error = draws.normal(length)
    values = torch.maximum(clean + noise * error, -level)
    values, clean, noise = _quantised(config, draws, values, clean, noise, level)
    schedule = torch.stack([rate / rate.amax(1, keepdim=True), progress], -1)
    return _delivered(config, draws, fractions, values, clean, noise, level, schedule)


def _schedule(config: BroadConfig, draws: Draws, time: Tensor) -> tuple[Tensor, Tensor]:
    """Learning rate relative to its peak, and effective progress, both at `time`."""
    grid = torch.linspace(0, 1, _SCHEDULE_POINTS, device=draws.device).expand(draws.curves, -1)
    planned = torch.where(draws.happens(config.unfinished_rate), draws.uniform(0.3, 1.0), 1.0)
    share = grid * planned
    one = torch.ones_like(planned)
    final = torch.where(draws.happens(0.3), draws.uniform(0.0, 0.2), 0 * one)
    cycles = torch.floor(draws.uniform(2.0, 5.0))
    candidates = (
        torch.ones_like(share),
        effects.cosine_schedule(share, one, final),
        effects.cosine_schedule(share, cycles, final),
        effects.linear_schedule(share, 0 * one, final),
        effects.linear_schedule(share, draws.uniform(0.5, 0.95), final),
        effects.step_schedule(
            share,
            draws.uniform(0.2, 0.8),
            draws.uniform(0.1, 0.5),
            draws.log_uniform((0.05, 0.5)),
        ),
        effects.inverse_root_schedule(share, draws.log_uniform((0.005, 0.2))),
    )
    rate = draws.one_of(candidates, config.schedule_weights)
    ramp = effects.warmup(share, draws.log_uniform(config.warmup_length))
    rate = rate * torch.where(draws.happens(config.warmup_rate), ramp, 1.0)
    progress = effects.cumulative(rate)
    rate, progress = effects.interpolate(rate, time), effects.interpolate(progress, time)
    return rate.clamp(0, 1), progress.clamp(0, 1)


def _drop(config: BroadConfig, draws: Draws, progress: Tensor) -> Tensor:
    """A decay from 1 at the start of training, of one family or a mixture of two."""
    first = _one_decay(config, draws, progress)
    second = _one_decay(config, draws, progress)
    mixed = draws.happens(config.mixture_rate)
    weight = torch.where(mixed, draws.uniform(), 1.0)
    return weight * first + (1 - weight) * second


def _one_decay(config: BroadConfig, draws: Draws, progress: Tensor) -> Tensor:
    scale = draws.log_uniform(config.time_scale)
    candidates = (
        effects.power_decay(progress, scale, draws.log_uniform(config.power_exponent)),
        effects.stretched_exponential_decay(progress, scale, draws.log_uniform(config.stretch)),
        effects.logarithmic_decay(progress, scale),
        effects.hill_decay(progress, scale, draws.log_uniform(config.hill_exponent)),
    )
    return draws.one_of(candidates, config.family_weights)


def _slow_effects(
    config: BroadConfig,
    draws: Draws,
    time: Tensor,
    progress: Tensor,
    rate: Tensor,
    drop: Tensor,
) -> Tensor:
    """Everything beside the main drop that training does to the expected loss."""
    noise_floor = rate ** draws.log_uniform(config.floor_power) * (1 - drop)
    upturn = effects.overfitting(
        progress, draws.uniform(-0.2, 0.9).clamp_min(0), draws.log_uniform((0.4, 2.5))
    )
    late = effects.late_drop(time, draws.uniform(0.05, 1.1), draws.log_uniform((0.005, 0.1)))
    bump = effects.bump(progress, draws.log_uniform((0.03, 1.0)), draws.uniform(0.2, 0.8))
    unstable = effects.early_instability(
        progress,
        draws.log_uniform((0.003, 1.0)),
        draws.log_uniform((0.3, 4.0)),
        torch.where(draws.happens(0.7), 0.0, draws.uniform(0.0, 0.2)),
    )
    explosion = effects.divergence(
        time, draws.uniform(-0.3, 1.0).clamp_min(0), draws.uniform(*config.divergence_growth)
    )
    return (
        draws.sometimes(config.floor_rate, config.floor_size) * noise_floor
        + draws.sometimes(config.overfitting_rate, config.overfitting_size) * upturn
        + draws.sometimes(config.late_drop_rate, config.late_drop_size) * late
        + draws.sometimes(config.bump_rate, config.bump_size) * bump
        + draws.sometimes(config.instability_rate, config.instability_size) * unstable
        + draws.sometimes(config.divergence_rate, (0.001, 0.1)) * explosion.clamp_max(1e6)
    )


def _wiggles(config: BroadConfig, draws: Draws, time: Tensor, progress: Tensor) -> Tensor:
    """Slow smooth variation over time, or over the logarithm of it as surrogates have it."""
    clock = torch.where(draws.happens(0.5), progress, torch.log1p(30 * time) / math.log(31))
    frequencies = draws.uniform(0.3, 1.0) * torch.arange(1, _WAVES + 1, device=draws.device)
    rough = draws.uniform(0.5, 2.0)
    weights = draws.normal(_WAVES) * frequencies**-rough
    weights = weights / weights.norm(dim=1, keepdim=True).clamp_min(1e-6)
    wave = effects.wiggles(clock, frequencies, draws.uniform(columns=_WAVES), weights)
    return draws.log_uniform(config.wiggle_size) * wave


def _kinks(config: BroadConfig, draws: Draws, time: Tensor) -> Tensor:
    """Changes of slope, most of them early as surrogates have them, a few much larger."""
    places = draws.uniform(columns=_KINKS) ** draws.uniform(1.0, 3.0)
    sizes = draws.normal(_KINKS) * torch.exp(draws.normal(_KINKS))
    return draws.log_uniform(config.kink_size) * effects.kinks(time, places, sizes)


def _noise(
    config: BroadConfig,
    draws: Draws,
    clean: Tensor,
    drop: Tensor,
    rate: Tensor,
    progress: Tensor,
    smooth: Tensor,
) -> tuple[Tensor, Tensor]:
    """The curve with its autocorrelated noise added, and the deviation of its white noise.

    Both shrink with the learning rate and with what is left of the drop, to random powers:
    gradient noise goes away with the rate, evaluation noise stays.
    """
    length = clean.shape[1]
    remaining = clean.clamp_min(0) + 0.01
    remaining = remaining / remaining.mean(1, keepdim=True)

    def shape() -> Tensor:
        anneals, falls = (
            draws.happens(chance)
            for chance in (config.annealed_noise_rate, config.falling_noise_rate)
        )
        by_rate = torch.where(anneals, draws.uniform(0.3, 1.5), 0.0)
        by_progress = torch.where(falls, draws.uniform(0.2, 1.0), 0.0)
        return rate.clamp_min(1e-4) ** by_rate * remaining**by_progress

    heavy = effects.heavy_tails(draws.uniform(columns=length), draws.uniform(2.5, 6.0))
    heavy = torch.where(draws.happens(config.heavy_rate), heavy, 1.0)
    noise = draws.log_uniform(config.noise_size) * shape() * heavy
    wanders = draws.happens(config.wandering_rate) & ~smooth
    size = draws.log_uniform(config.wandering_size) * shape()
    walk = effects.wandering(
        progress, draws.log_uniform(config.wandering_speed), size, draws.normal(length)
    )
    noise = torch.where(smooth, _LEAST_NOISE, noise.clamp_min(_LEAST_NOISE))
    return clean + torch.where(wanders, walk, 0.0), noise


def _sudden_effects(config: BroadConfig, draws: Draws, time: Tensor) -> Tensor:
    """Jumps: a first record off the curve, changes of level, spikes."""
    first = torch.zeros_like(time)
    jumps = draws.happens(config.first_jump_rate) * draws.log_uniform(config.first_jump)
    sign = torch.where(draws.happens(0.15), -0.3, 1.0)
    first[:, :1] = jumps * sign
    shift = draws.happens(config.shift_rate) * draws.log_uniform(config.shift_size)
    shift = shift * torch.where(draws.happens(0.3), -0.5, 1.0)
    spiky = draws.happens(config.spike_rate)
    hits = (draws.uniform(columns=time.shape[1]) < config.spike_density) & spiky
    sizes = draws.log_uniform(config.spike_size) * torch.exp(draws.normal(time.shape[1]))
    recovery = torch.where(draws.happens(0.5), draws.uniform(0.0, 0.9), 0.0)
    return (
        first
        + shift * effects.level_shift(time, draws.uniform())
        + effects.spikes(hits.to(time.dtype), sizes, recovery)
    )


def _level(config: BroadConfig, draws: Draws) -> Tensor:
    """What is left of the loss at the end of the main drop, in units of the drop seen."""
    level = draws.log_uniform(config.level)
    easy = draws.log_uniform((1e-4, 0.02))
    distant = draws.log_uniform((30.0, 3000.0))
    kind = draws.uniform()
    level = torch.where(kind < config.easy_rate, easy, level)
    return torch.where(kind > 1 - config.distant_rate, distant, level)


def _quantised(
    config: BroadConfig,
    draws: Draws,
    values: Tensor,
    clean: Tensor,
    noise: Tensor,
    level: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Counts some curves in steps from the best value; there the target is all but sharp."""
    happens = draws.happens(config.quantised_rate)
    step = draws.log_uniform(config.quantum)
    rounded = effects.quantise(values + level, step) - level
    return (
        torch.where(happens, rounded, values),
        torch.where(happens, rounded, clean),
        torch.where(happens, (0.1 * step).expand_as(noise), noise),
    )


def _delivered(
    config: BroadConfig,
    draws: Draws,
    fractions: Tensor,
    values: Tensor,
    clean: Tensor,
    noise: Tensor,
    level: Tensor,
    schedule: Tensor,
) -> CurveBatch:
    """Turns losses into higher-is-better distances from the first record, in its unit."""
    start = values[:, :1]
    room = start + level
    # The first record of an accuracy is of another size than that of the error.
    rising = draws.happens(config.rising_rate)
    first = room * torch.where(rising, draws.log_uniform((0.02, 10.0)), 1.0)
    size = torch.exp2(torch.floor(torch.log2(first.clamp_min(1e-6))))
    known = draws.happens(config.ceiling_rate)
    ceiling = torch.where(known, room / size, torch.inf)
    # No accuracy falls below zero.
    worst = torch.where(rising, -first / size, -torch.inf)
    floor = torch.where(known, worst, -torch.inf)
    return CurveBatch(
        fractions,
        torch.maximum((start - values) / size, worst),
        torch.maximum((start - clean) / size, worst),
        noise / size,
        ceiling[:, 0],
        schedule,
        floor[:, 0],
    )
