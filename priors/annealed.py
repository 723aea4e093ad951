"""A prior over the long runs on which most compute is spent: deep networks, annealed to the end.

A run drops fast and then improves along a long, nearly straight line that bends down as the
learning rate reaches zero. In terms of the summed rate s and the rate r at a moment:

    loss = drop(s) + held_up * r^p + slow * (1 - s)^q + whatever else happens

The first term is a power law of the summed rate, the second what only annealing releases: the two
terms of the scaling law with learning-rate annealing (Tissue, Wang and Wang 2024; Luo et al. 2025
for multi-power laws). Error rates and accuracies are saturating functions of such a loss, rewards
take off late and are noisy, and logs are short, dense, averaged or spiked.

The ranges of `AnnealedConfig` were set by looking at summary statistics of recorded runs of many
kinds beside draws, and judged by leaving kinds of runs out (`experiments/train_default.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lcpfn.priors import effects
from lcpfn.priors.base import CurveBatch
from lcpfn.priors.draws import Draws, Range

_SCHEDULE_POINTS = 257
_CELLS = 193
_LEAST_NOISE = 1e-6
_LEAST_SIZE = 1e-6
# Levels of a loss that falls to next to nothing.
_EASY = (1e-4, 0.01)


@dataclass(frozen=True)
class AnnealedConfig:
    """Rates and ranges of `AnnealedPrior`.

    Sizes are in units of the main drop as it is seen, from the first record to the last, and times
    are shares of the run. Ranges are log-uniform unless said otherwise; a rate is the share of
    curves that has the effect.

    Args:
        lengths: records of a curve; one of them for all curves of a draw.
        length_weights: how often each is drawn.
        schedule_weights: cosine, linear, stable then decay, constant, inverse root, steps, cosine
            with restarts.
        warmup_rate, warmup_length: a ramp at the start.
        unfinished_rate: the schedule was planned for another length than the run has; uniform
            ends `unfinished` of the planned part that is run, above 1 for a rate that stays at its
            end.
        untrained_rate: the first record was taken before training. uneven_rate: records come more
            densely at first.
        family_weights: of the drop: power law, stretched exponential, logarithm, two power laws.
        time_scale, power_exponent, stretch: of the drop.
        held_rate, held_size, held_power: loss held up by the learning rate, which annealing
            releases. delay_rate: the release lags behind the rate.
        slow_rate, slow_size: improvement that goes on evenly.
        decades_rate, decades: the loss falls by so many powers of ten.
        takeoff_rate, takeoff_start: nothing happens until then.
        overfitting_rate, overfitting_size: an upturn.
        collapse_rate, collapse_size, collapse_length: a sudden loss of what was learned, and how
            long it takes to recover; half never do.
        wave_rate, wave_size: slow waves.
        noise_size: white noise of each record, in half of the curves. late_noise_size: in the other
            half, in units of what is still gained after a third of the run.
        noisy_rate, noisy_size: single minibatches or episodes.
        wandering_rate, wandering_memory: autocorrelated noise, uniform memory from record to
            record. heavy_rate: heavy tails.
        annealed_noise_rate: noise shrinks with the rate. proportional_noise_rate: with the loss.
        averaged_rate: the log shows running averages.
        spike_rate, spike_size: spikes; `spike_density` of a spiky curve's records start one.
        error_rate: seen as an error or accuracy that saturates. sharpness: uniform ends of the
            exponent of the saturation, negative where the error falls before the loss does.
        reward_rate: seen as a reward without bounds, which takes off late more often.
        level: what the loss does not get below. easy_rate: next to none.
        rising_rate: an error is logged as its complement, an accuracy.
        quantised_rate, quantum: steps of a metric that counts or is rounded. counted_rate: the rate
            among rewards.
        still_rate: curves that never move, or stop moving.
        bounds_rate: the best possible value is known, and of an accuracy the worst.
    """

    lengths: tuple[int, ...] = (13, 17, 25, 33, 49, 65, 97, 193)
    length_weights: tuple[float, ...] = (0.1, 0.1, 0.15, 0.15, 0.18, 0.12, 0.12, 0.08)
    schedule_weights: tuple[float, ...] = (0.34, 0.22, 0.12, 0.17, 0.06, 0.06, 0.03)
    warmup_rate: float = 0.55
    warmup_length: Range = (0.002, 0.15)
    unfinished_rate: float = 0.25
    unfinished: Range = (0.5, 1.3)
    untrained_rate: float = 0.3
    uneven_rate: float = 0.12
    family_weights: tuple[float, ...] = (0.6, 0.15, 0.05, 0.2)
    time_scale: Range = (2e-4, 0.5)
    power_exponent: Range = (0.15, 1.5)
    stretch: Range = (0.3, 1.2)
    held_rate: float = 0.7
    held_size: Range = (0.004, 0.8)
    held_power: Range = (0.4, 2.0)
    delay_rate: float = 0.3
    slow_rate: float = 0.5
    slow_size: Range = (0.005, 0.7)
    decades_rate: float = 0.06
    decades: Range = (1.0, 5.0)
    takeoff_rate: float = 0.1
    takeoff_start: Range = (0.01, 0.7)
    overfitting_rate: float = 0.14
    overfitting_size: Range = (0.01, 1.0)
    collapse_rate: float = 0.06
    collapse_size: Range = (0.05, 1.0)
    collapse_length: Range = (0.01, 0.3)
    wave_rate: float = 0.15
    wave_size: Range = (0.003, 0.1)
    noise_size: Range = (3e-4, 0.2)
    late_noise_size: Range = (0.01, 1.5)
    noisy_rate: float = 0.12
    noisy_size: Range = (0.05, 0.8)
    wandering_rate: float = 0.5
    wandering_memory: Range = (0.1, 0.97)
    heavy_rate: float = 0.25
    annealed_noise_rate: float = 0.6
    proportional_noise_rate: float = 0.4
    averaged_rate: float = 0.1
    spike_rate: float = 0.12
    spike_size: Range = (0.03, 3.0)
    spike_density: float = 0.03
    error_rate: float = 0.45
    sharpness: Range = (-2.0, 5.0)
    reward_rate: float = 0.1
    level: Range = (0.01, 10.0)
    easy_rate: float = 0.1
    rising_rate: float = 0.6
    quantised_rate: float = 0.15
    counted_rate: float = 0.35
    quantum: Range = (1e-3, 0.25)
    still_rate: float = 0.03
    bounds_rate: float = 0.75


@dataclass(frozen=True)
class Logged:
    """Curves as a log shows them: losses and errors fall, rewards are drawn negated.

    Args:
        fractions, values, clean, noise: as in `CurveBatch`, but in the unit of the log.
        error: (curves, 1) whether a curve is an error within [0, 1].
        reward: (curves, 1) whether it has no bounds.
        schedule: as in `CurveBatch`.
    """

    fractions: Tensor
    values: Tensor
    clean: Tensor
    noise: Tensor
    error: Tensor
    reward: Tensor
    schedule: Tensor


@dataclass(frozen=True)
class AnnealedPrior:
    """Draws long annealed runs of any metric, higher is better. Stateless.

    Values are as `BroadPrior` has them: distances from the first record, in a unit in which that
    record was of size 1 to 2.

    >>> import torch
    >>> batch = AnnealedPrior().sample(4, torch.Generator().manual_seed(0))
    >>> bool(torch.isfinite(batch.values).all()), bool((batch.values[:, 0] == 0).all())
    (True, True)
    """

    config: AnnealedConfig = AnnealedConfig()

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` curves, all with the same random number of records."""
        draws = Draws(count, generator)
        length = draws.length(self.config.lengths, self.config.length_weights)
        return _delivered(self.config, draws, logged_curves(self.config, draws, length))


def logged_curves(config: AnnealedConfig, draws: Draws, length: int) -> Logged:
    """Draws curves of some number of records as a log shows them."""
    reward = draws.happens(config.reward_rate)
    fractions, time = _times(config, draws, length)
    rate, lagging, spent = _schedule(config, draws, time)
    loss = _loss(config, draws, time, rate, lagging, spent, reward)
    noise = _noise(config, draws, loss, rate, reward)
    wandering, white = _split_noise(config, draws, noise)
    sudden = _sudden_effects(config, draws, time)
    clean, white = _still(config, draws, loss + wandering + sudden, white)
    white = white * _tails(config, draws, length)
    seen = clean + white * draws.normal(length)
    averaged = draws.happens(config.averaged_rate)
    memory = draws.uniform(0.5, 0.95)
    seen = torch.where(averaged, effects.exponential_average(seen, memory), seen)
    # What the next record of an averaged log differs by is a small part of the noise.
    clean = torch.where(averaged, seen, clean)
    white = torch.where(averaged, 0.1 * white, white)
    schedule = torch.stack([rate, spent], -1)
    return _metric(config, draws, fractions, clean, seen, white, reward, schedule)


def _times(config: AnnealedConfig, draws: Draws, length: int) -> tuple[Tensor, Tensor]:
    """Recorded fractions of the horizon, and the share of the training done at each, (curves, n).

    Logs that begin before training count their first record as one interval after the start.
    """
    even = torch.arange(1, length + 1, device=draws.device) / length
    fractions = even.expand(draws.curves, -1)
    # Records of one cell of the model's step axis would be thinned, so they do not lie closer.
    evenness = draws.uniform(0.1, 1.0).clamp_min(length / _CELLS)
    dense = evenness * even + (1 - evenness) * even**2.5
    fractions = torch.where(draws.happens(config.uneven_rate), dense, fractions)
    first = fractions[:, :1]
    trained = ((fractions - first) / (1 - first)).clamp(1e-4, 1.0)
    return fractions, torch.where(draws.happens(config.untrained_rate), trained, fractions)


def _schedule(config: AnnealedConfig, draws: Draws, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rate over its peak, the same with a lag, and the share of the summed rate, (curves, n)."""
    grid = torch.linspace(0, 1, _SCHEDULE_POINTS, device=draws.device).expand(draws.curves, -1)
    none = torch.zeros(draws.curves, 1, device=draws.device)
    warm = torch.where(
        draws.happens(config.warmup_rate), draws.log_uniform(config.warmup_length), none
    )
    planned = torch.where(
        draws.happens(config.unfinished_rate), draws.uniform(*config.unfinished), none + 1
    )
    share = (((grid - warm) / (1 - warm)).clamp_min(0) * planned).clamp_max(1)
    final = torch.where(draws.happens(0.3), draws.uniform(0.0, 0.3), none)
    rate = draws.one_of(
        (
            effects.cosine_schedule(share, none + 1, final),
            effects.linear_schedule(share, none, final),
            effects.linear_schedule(share, draws.uniform(0.3, 0.95), final),
            torch.ones_like(share),
            effects.inverse_root_schedule(share, draws.log_uniform((0.005, 0.2))),
            effects.step_schedule(
                share,
                draws.uniform(0.2, 0.8),
                draws.uniform(0.1, 0.4),
                draws.log_uniform((0.05, 0.5)),
            ),
            effects.cosine_schedule(share, torch.floor(draws.uniform(2.0, 6.0)), final),
        ),
        config.schedule_weights,
    )
    rate = rate * torch.where(warm > 0, effects.warmup(grid, warm), 1.0)
    rate = (rate / rate.amax(1, keepdim=True)).clamp(0, 1)
    spent = effects.cumulative(rate)
    # While the rate warms up nothing is held up by it yet.
    held = torch.where(grid < warm, 1.0, rate)
    memory = torch.where(draws.happens(config.delay_rate), draws.uniform(0.8, 0.98), none)
    lagging = effects.exponential_average(held, memory)
    at = [effects.interpolate(table, time) for table in (rate, lagging, spent)]
    return at[0].clamp(0, 1), at[1].clamp(0, 1), at[2].clamp(0, 1)


def _loss(
    config: AnnealedConfig,
    draws: Draws,
    time: Tensor,
    rate: Tensor,
    lagging: Tensor,
    spent: Tensor,
    reward: Tensor,
) -> Tensor:
    """The expected loss, about 1 at the first record and about 0 at the last."""
    late = draws.happens(torch.where(reward, 0.4, config.takeoff_rate))
    start = torch.where(late, draws.log_uniform(config.takeoff_start), 0.0)
    progress = effects.after(spent, start, draws.uniform(0.0, 0.3) * start)
    drop = _drop(config, draws, progress)
    low, high = drop[:, -1:], drop[:, :1]
    # A drop that lies before the first record leaves the rest of the power law.
    drop = (drop - low) / (high - low).clamp_min(_LEAST_SIZE)
    begun = 1 - drop
    loss = drop + draws.sometimes(config.held_rate, config.held_size) * begun * (
        lagging ** draws.log_uniform(config.held_power)
    )
    clock = torch.where(draws.happens(0.5), spent, time)
    slow = draws.sometimes(config.slow_rate, config.slow_size)
    loss = loss + slow * (1 - clock) ** draws.log_uniform((0.6, 2.0))
    loss = torch.where(
        draws.happens(config.decades_rate),
        effects.by_decades(loss, draws.uniform(*config.decades)),
        loss,
    )
    upturn = effects.overfitting(
        spent, draws.uniform(-0.1, 0.9).clamp_min(0), draws.log_uniform((0.5, 2.5))
    )
    loss = loss + draws.sometimes(config.overfitting_rate, config.overfitting_size) * upturn
    waves = effects.wiggles(
        torch.where(draws.happens(0.5), time, torch.log1p(30 * time) / 3.43),
        draws.uniform(0.5, 6.0, columns=3),
        draws.uniform(columns=3),
        torch.full((draws.curves, 3), 3**-0.5, device=draws.device),
    )
    return loss + draws.sometimes(config.wave_rate, config.wave_size) * waves


def _drop(config: AnnealedConfig, draws: Draws, progress: Tensor) -> Tensor:
    """A decay from 1 at the start of training."""
    scale, other = (draws.log_uniform(config.time_scale) for _ in range(2))
    exponent, faster = (draws.log_uniform(config.power_exponent) for _ in range(2))
    power = effects.power_decay(progress, scale, exponent)
    weight = draws.uniform(0.2, 0.9)
    two = weight * power + (1 - weight) * effects.power_decay(progress, other, 1 + faster)
    return draws.one_of(
        (
            power,
            effects.stretched_exponential_decay(progress, scale, draws.log_uniform(config.stretch)),
            effects.logarithmic_decay(progress, scale),
            two,
        ),
        config.family_weights,
    )


def _noise(
    config: AnnealedConfig, draws: Draws, loss: Tensor, rate: Tensor, reward: Tensor
) -> Tensor:
    """Standard deviation of the noise of each record, (curves, n)."""
    third = loss.shape[1] // 3
    later = (loss[:, third:].amax(1, keepdim=True) - loss[:, -1:]).clamp_min(1e-3)
    size = torch.where(
        draws.happens(0.5),
        draws.log_uniform(config.noise_size),
        draws.log_uniform(config.late_noise_size) * later.clamp_max(1.0),
    )
    noisy = draws.happens(torch.where(reward, 0.7, config.noisy_rate))
    size = torch.where(noisy, draws.log_uniform(config.noisy_size), size)
    by_rate = torch.where(draws.happens(config.annealed_noise_rate), draws.uniform(0.2, 1.2), 0.0)
    by_loss = torch.where(
        draws.happens(config.proportional_noise_rate), draws.uniform(0.3, 1.0), 0.0
    )
    excess = loss.clamp_min(0) + 0.02
    excess = excess / excess.mean(1, keepdim=True)
    return size * (0.03 + 0.97 * rate) ** by_rate * excess**by_loss


def _split_noise(config: AnnealedConfig, draws: Draws, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Autocorrelated noise as drawn, and the standard deviation of what is white, (curves, n)."""
    wanders = draws.happens(config.wandering_rate)
    share = torch.where(wanders, draws.uniform(0.1, 0.95), 0.0)
    memory = draws.uniform(*config.wandering_memory)
    walk = effects.remembered(draws.normal(noise.shape[1]), memory) * noise
    return torch.sqrt(share) * walk, (torch.sqrt(1 - share) * noise).clamp_min(_LEAST_NOISE)


def _tails(config: AnnealedConfig, draws: Draws, length: int) -> Tensor:
    heavy = effects.heavy_tails(draws.uniform(columns=length), draws.uniform(2.5, 6.0))
    return torch.where(draws.happens(config.heavy_rate), heavy, 1.0)


def _sudden_effects(config: AnnealedConfig, draws: Draws, time: Tensor) -> Tensor:
    """Collapses with their recoveries, and spikes."""
    length = time.shape[1]
    begin = draws.uniform(0.02, 1.0)
    recovery = torch.where(draws.happens(0.5), draws.log_uniform(config.collapse_length), torch.inf)
    fallen = (time >= begin) * torch.exp(-(time - begin).clamp_min(0) / recovery)
    collapse = draws.sometimes(config.collapse_rate, config.collapse_size) * fallen
    hits = (draws.uniform(columns=length) < config.spike_density) & draws.happens(config.spike_rate)
    sizes = draws.log_uniform(config.spike_size) * torch.exp(draws.normal(length))
    fading = torch.where(draws.happens(0.5), draws.uniform(0.0, 0.9), 0.0)
    return collapse + effects.spikes(hits.to(time.dtype), sizes, fading)


def _still(
    config: AnnealedConfig, draws: Draws, clean: Tensor, white: Tensor
) -> tuple[Tensor, Tensor]:
    """Some curves repeat one record from a random moment on, often the first."""
    length = clean.shape[1]
    frozen = draws.happens(config.still_rate)
    begin = torch.where(draws.happens(0.5), 0.0, draws.uniform(0.0, length - 1.0)).long()
    after = torch.arange(length, device=clean.device) >= begin
    still = frozen & after
    return torch.where(still, clean.gather(1, begin), clean), torch.where(still, 0.0, white)


def _metric(
    config: AnnealedConfig,
    draws: Draws,
    fractions: Tensor,
    clean: Tensor,
    seen: Tensor,
    noise: Tensor,
    reward: Tensor,
    schedule: Tensor,
) -> Logged:
    """What the log shows: a loss above its level, an error or accuracy, or a reward."""
    error = draws.happens(config.error_rate) & ~reward
    sharp, floor = draws.uniform(*config.sharpness), draws.uniform() ** 2 * 0.8
    reach = 1 - floor
    slope = effects.saturation_slope(clean, sharp)
    easy = draws.happens(config.easy_rate)
    level = torch.where(easy, draws.log_uniform(_EASY), draws.log_uniform(config.level))

    def shown(loss: Tensor) -> Tensor:
        bounded = (floor + reach * effects.saturation(loss, sharp)).clamp(0, 1)
        plain = torch.where(reward, loss + level, (loss + level).clamp_min(0))
        return torch.where(error, bounded, plain)

    values, centre = shown(seen), shown(clean)
    noise = torch.where(error, noise * reach * slope, noise)
    size = values.amax(1, keepdim=True) - values.amin(1, keepdim=True)
    step = draws.log_uniform(config.quantum) * size.clamp_min(_LEAST_SIZE)
    counted = draws.happens(torch.where(reward, config.counted_rate, config.quantised_rate))
    rounded = effects.quantise(values, step)
    rounded = torch.where(error, rounded.clamp(0, 1), rounded)
    values = torch.where(counted, rounded, values)
    centre = torch.where(counted, values, centre)
    noise = torch.where(counted, 0.2 * step, noise)
    return Logged(fractions, values, centre, noise, error, reward, schedule)


def _delivered(config: AnnealedConfig, draws: Draws, logged: Logged) -> CurveBatch:
    """Turns losses and errors into higher-is-better distances from the first record."""
    values, error, reward = logged.values, logged.error, logged.reward
    start = values[:, :1]
    rising = error & draws.happens(config.rising_rate)
    first = torch.where(rising, (1 - start).clamp_min(0.0), start)
    first = torch.where(reward, draws.log_uniform((0.01, 10.0)), first)
    first = torch.where(first < _LEAST_SIZE, 1.0, first)
    size = torch.exp2(torch.floor(torch.log2(first)))
    known = draws.happens(config.bounds_rate) & ~reward
    ceiling = torch.where(known, start / size, torch.inf)
    worst = torch.where(rising, -first / size, -torch.inf)
    return CurveBatch(
        logged.fractions,
        (start - values) / size,
        (start - logged.clean) / size,
        (logged.noise / size).clamp_min(_LEAST_NOISE),
        ceiling[:, 0],
        logged.schedule,
        torch.where(known, worst, -torch.inf)[:, 0],
    )
