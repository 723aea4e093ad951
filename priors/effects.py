"""Effects that shape real learning curves, each a small pure function on batches of curves.

Curves here are loss-like: lower is better. `time` and `progress` have shape (curves, n) and run
over [0, 1], parameters have shape (curves, 1), and randomness comes in as tensors of standard
normal or uniform draws, so every function is deterministic. `lcpfn.priors.broad` draws the
parameters and puts the effects together.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# --- Learning-rate schedules: the rate over the whole run, relative to its peak. ---


def warmup(time: Tensor, length: Tensor) -> Tensor:
    """A linear ramp over the first `length` of the run, as large batches and Adam need it."""
    return (time / length.clamp_min(1e-6)).clamp(0.02, 1.0)


def cosine_schedule(time: Tensor, cycles: Tensor, final: Tensor) -> Tensor:
    """Cosine annealing to `final` (Loshchilov and Hutter 2017), restarted `cycles` times."""
    phase = torch.remainder(time * cycles, 1.0)
    phase = torch.where(time >= 1, 1.0, phase)
    return final + (1 - final) * 0.5 * (1 + torch.cos(math.pi * phase))


def linear_schedule(time: Tensor, hold: Tensor, final: Tensor) -> Tensor:
    """Constant until `hold`, then a straight line to `final`.

    `hold` = 0 is linear decay; a late `hold` is the warm-up-stable-decay of language models.
    """
    return 1 - (1 - final) * ((time - hold) / (1 - hold)).clamp(0, 1)


def step_schedule(time: Tensor, first: Tensor, spacing: Tensor, factor: Tensor) -> Tensor:
    """Drops by `factor` at `first` and every `spacing` after it, the ResNet recipe."""
    drops = torch.floor((time - first) / spacing + 1).clamp(0, 4)
    return torch.exp(drops * torch.log(factor))


def inverse_root_schedule(time: Tensor, onset: Tensor) -> Tensor:
    """1 / sqrt(t) after `onset`, the original transformer's decay."""
    return torch.sqrt(onset / torch.maximum(time, onset))


def cumulative(rate: Tensor) -> Tensor:
    """Effective progress on an even grid of the run, scaled to end at 1.

    A gradient step moves the weights in proportion to the learning rate, so training time counts
    by its integral: curves flatten as the rate anneals.
    """
    total = torch.cumsum((rate[:, 1:] + rate[:, :-1]) / 2, 1)
    total = torch.cat([torch.zeros_like(rate[:, :1]), total], 1)
    return total / total[:, -1:]


def interpolate(grid: Tensor, time: Tensor) -> Tensor:
    """Values at `time` (curves, n) of functions tabulated evenly over [0, 1], (curves, points)."""
    position = time * (grid.shape[1] - 1)
    left = position.long().clamp(0, grid.shape[1] - 2)
    share = position - left
    return grid.gather(1, left) * (1 - share) + grid.gather(1, left + 1) * share


# --- What training does to the expected loss. Families start at 1 and fall towards 0. ---


def power_decay(progress: Tensor, scale: Tensor, exponent: Tensor) -> Tensor:
    """(1 + p / scale)^(-exponent): many time scales at once, the shape of scaling laws."""
    return torch.exp(-exponent * torch.log1p(progress / scale))


def stretched_exponential_decay(progress: Tensor, scale: Tensor, exponent: Tensor) -> Tensor:
    """exp(-(p / scale)^exponent): one dominant time scale, blurred for exponents below 1."""
    return torch.exp(-((progress / scale) ** exponent))


def logarithmic_decay(progress: Tensor, scale: Tensor) -> Tensor:
    """1 - ln(1 + p / scale) / ln(1 + 1 / scale): equal gains for every doubling of training."""
    return 1 - torch.log1p(progress / scale) / torch.log1p(1 / scale)


def hill_decay(progress: Tensor, scale: Tensor, exponent: Tensor) -> Tensor:
    """1 / (1 + (p / scale)^exponent): a plateau, then a drop around `scale`."""
    return 1 / (1 + (progress / scale) ** exponent)


def after(progress: Tensor, start: Tensor, softness: Tensor) -> Tensor:
    """Progress counted from `start`, scaled to end where it did: a run that takes off late.

    Speech recognisers whose word error stands near 1, and agents that have yet to find a reward,
    begin like this. Around the start it bends over a width of `softness`.
    """
    width = softness.clamp_min(1e-4)
    shifted = width * torch.nn.functional.softplus((progress - start) / width)
    last = width * torch.nn.functional.softplus((progress[:, -1:] - start) / width)
    return progress[:, -1:] * shifted / last.clamp_min(1e-6)


def by_decades(loss: Tensor, decades: Tensor) -> Tensor:
    """A loss from 1 to 0 as one from 1 to 10^-decades: equal gains become equal ratios."""
    return torch.exp(-math.log(10.0) * decades * (1 - loss.clamp(-0.5, 2.0)))


def saturation(loss: Tensor, sharpness: Tensor) -> Tensor:
    """The error that goes with a loss, from 0 to 1 as the loss does.

    (1 - e^(-k y)) / (1 - e^(-k)): for large k the error stands near 1 until most of the loss is
    gone, for negative k it has fallen before the loss has.
    """
    k = torch.where(sharpness.abs() < 0.05, 0.05, sharpness)
    return torch.expm1(-k * loss.clamp(-0.5, 2.0)) / torch.expm1(-k)


def saturation_slope(loss: Tensor, sharpness: Tensor) -> Tensor:
    """The derivative of `saturation` by the loss."""
    k = torch.where(sharpness.abs() < 0.05, 0.05, sharpness)
    return -k * torch.exp(-k * loss.clamp(-0.5, 2.0)) / torch.expm1(-k)


def late_drop(time: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """A step from 1 to 0: a symmetry broken, a skill learned after a long plateau."""
    return torch.sigmoid((centre - time) / width)


def overfitting(progress: Tensor, onset: Tensor, power: Tensor) -> Tensor:
    """0 until `onset`, then growth to 1 at the end: validation loss while training goes on."""
    return ((progress - onset) / (1 - onset)).clamp_min(0) ** power


def bump(progress: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """A rise and fall in log progress: double descent around the interpolation threshold."""
    return torch.exp(-0.5 * (torch.log(progress.clamp_min(1e-6) / centre) / width) ** 2)


def early_instability(progress: Tensor, scale: Tensor, exponent: Tensor, onset: Tensor) -> Tensor:
    """A jump at `onset` that decays as a power law: a rate too high for the first steps."""
    late = (progress - onset).clamp_min(0)
    return torch.where(progress > onset, power_decay(late, scale, exponent), 0.0)


def divergence(time: Tensor, onset: Tensor, growth: Tensor) -> Tensor:
    """0 until `onset`, then exponential growth: a rate beyond the edge of stability."""
    return torch.expm1(growth * (time - onset).clamp_min(0))


def level_shift(time: Tensor, onset: Tensor) -> Tensor:
    """0 before `onset`, 1 after: a collapse to a worse solution, changed data, a resumed run."""
    return (time >= onset).to(time.dtype)


def wiggles(time: Tensor, frequencies: Tensor, phases: Tensor, weights: Tensor) -> Tensor:
    """Slow smooth variation, a sum of sine waves with root mean square about 1.

    Args:
        time: (curves, n).
        frequencies, phases, weights: (curves, waves), the weights with sum of squares 1.
    """
    angles = 2 * math.pi * (time[:, :, None] * frequencies[:, None] + phases[:, None])
    return math.sqrt(2) * (torch.sin(angles) * weights[:, None]).sum(-1)


def kinks(time: Tensor, places: Tensor, bends: Tensor) -> Tensor:
    """Straight pieces whose slope changes at a few places: what rectifier networks fit to curves.

    Args:
        time: (curves, n).
        places, bends: (curves, kinks), where the slope changes and by how much.
    """
    return ((time[:, :, None] - places[:, None]).clamp_min(0) * bends[:, None]).sum(-1)


# --- Noise ---


def wandering(progress: Tensor, speed: Tensor, size: Tensor, innovations: Tensor) -> Tensor:
    """Autocorrelated noise of a standard deviation `size` that forgets at the pace of training.

    An Ornstein-Uhlenbeck process in effective progress: weights bounce around a minimum as fast
    as the learning rate lets them, and freeze as it goes to zero.

    Args:
        progress, innovations: (curves, n), the innovations standard normal.
        speed: (curves, 1) forgetting times in a run.
        size: (curves, n).
    """
    kept = torch.exp(-speed * torch.diff(progress, dim=1).clamp_min(0))
    fresh = torch.sqrt((1 - kept**2).clamp_min(0)) * innovations[:, 1:] * size[:, 1:]
    state = innovations[:, 0] * size[:, 0]
    states = [state]
    for keep, new in zip(kept.unbind(1), fresh.unbind(1), strict=True):
        state = keep * state + new
        states.append(state)
    return torch.stack(states, 1)


def remembered(innovations: Tensor, memory: Tensor) -> Tensor:
    """Standard normal noise of which each record keeps a share `memory` of the one before.

    Args:
        innovations: (curves, n) standard normal.
        memory: (curves, 1) autocorrelation, below 1.
    """
    fresh = torch.sqrt(1 - memory**2)[:, 0]
    kept = memory[:, 0]
    state = innovations[:, 0]
    states = [state]
    for new in innovations[:, 1:].unbind(1):
        state = kept * state + fresh * new
        states.append(state)
    return torch.stack(states, 1)


def exponential_average(values: Tensor, memory: Tensor) -> Tensor:
    """Running averages with weight `memory` (curves, 1) on the past: logs and rates that lag."""
    kept = memory[:, 0]
    state = values[:, 0]
    states = [state]
    for new in values[:, 1:].unbind(1):
        state = kept * state + (1 - kept) * new
        states.append(state)
    return torch.stack(states, 1)


def heavy_tails(uniform: Tensor, power: Tensor) -> Tensor:
    """Factors on the noise's standard deviation, mostly about 1 and now and then large.

    With uniform u, u^(-1/power) scaled to a mean of 1 gives normal noise tails that fall off as a
    power law: single bad batches and evaluations.
    """
    return (1 - 1 / power) * uniform.clamp_min(1e-4) ** (-1 / power)


def spikes(hits: Tensor, sizes: Tensor, recovery: Tensor) -> Tensor:
    """Sudden losses that fade by a factor `recovery` at every later record.

    Args:
        hits: (curves, n) 1 where a spike starts, else 0.
        sizes: (curves, n) height of each.
        recovery: (curves, 1) share that is left after one record.
    """
    height = torch.zeros_like(hits[:, 0])
    heights = []
    for new in (hits * sizes).unbind(1):
        height = recovery[:, 0] * height + new
        heights.append(height)
    return torch.stack(heights, 1)


def quantise(values: Tensor, step: Tensor) -> Tensor:
    """Rounds to multiples of `step`: an accuracy over 100 examples moves in steps of 0.01."""
    return torch.round(values / step) * step
