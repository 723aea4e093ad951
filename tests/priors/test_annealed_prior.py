"""The prior of long annealed runs: what every draw promises, and what each effect does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from lcpfn.priors import AnnealedConfig, AnnealedPrior, CurveBatch, Prior, effects
from lcpfn.training.questions import draw_examples

# One healthy run: everything that happens to some is turned off.
_PLAIN: dict[str, Any] = {
    "lengths": (65,),
    "length_weights": (1.0,),
    "warmup_rate": 0.0,
    "unfinished_rate": 0.0,
    "untrained_rate": 0.0,
    "uneven_rate": 0.0,
    "held_rate": 0.0,
    "slow_rate": 0.0,
    "decades_rate": 0.0,
    "takeoff_rate": 0.0,
    "overfitting_rate": 0.0,
    "collapse_rate": 0.0,
    "wave_rate": 0.0,
    "noise_size": (1e-5, 2e-5),
    "late_noise_size": (1e-5, 2e-5),
    "noisy_rate": 0.0,
    "wandering_rate": 0.0,
    "heavy_rate": 0.0,
    "averaged_rate": 0.0,
    "spike_rate": 0.0,
    "error_rate": 0.0,
    "reward_rate": 0.0,
    "quantised_rate": 0.0,
    "still_rate": 0.0,
}


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _draw(count: int = 400, seed: int = 0, **changes: Any) -> CurveBatch:
    config = dataclasses.replace(AnnealedConfig(), **{**_PLAIN, **changes})
    return AnnealedPrior(config).sample(count, _generator(seed))


def _shape(batch: CurveBatch) -> torch.Tensor:
    """Values from 0 at the worst to 1 at the best record."""
    low, high = batch.values.amin(1, keepdim=True), batch.values.amax(1, keepdim=True)
    return (batch.values - low) / (high - low).clamp_min(1e-9)


@pytest.mark.parametrize("length", AnnealedConfig().lengths)
def test_draws_are_finite_and_keep_their_promises(length: int) -> None:
    config = dataclasses.replace(AnnealedConfig(), lengths=(length,), length_weights=(1.0,))
    prior = AnnealedPrior(config)
    batch = prior.sample(500, _generator(length))
    assert isinstance(prior, Prior)
    assert batch.values.shape == batch.clean.shape == batch.noise.shape == (500, length)
    for tensor in (batch.values, batch.clean, batch.noise, batch.schedule):
        assert torch.isfinite(tensor).all()
    assert (batch.noise > 0).all()
    assert (batch.values[:, 0] == 0).all()
    assert torch.allclose(batch.fractions[:, -1], torch.ones(500))
    # No two records lie in one cell of a model's step axis, where one of them would be dropped.
    assert torch.diff(batch.fractions).min() > 0.99 / 193


def test_no_value_passes_its_limits() -> None:
    batch = AnnealedPrior().sample(2000, _generator())
    assert batch.ceiling is not None and batch.floor is not None
    slack = 1e-4 * batch.ceiling.clamp(1, 1e6)
    assert (batch.values <= (batch.ceiling + slack)[:, None]).all()
    assert (batch.values >= batch.floor[:, None] - 1e-4).all()


def test_same_seed_same_curves() -> None:
    first, second = (AnnealedPrior().sample(20, _generator(3)) for _ in range(2))
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.noise, second.noise)


def test_the_noise_is_that_of_the_values() -> None:
    batch = _draw(2000, noise_size=(0.01, 0.1), late_noise_size=(0.01, 0.1), level=(5.0, 10.0))
    standard = ((batch.values - batch.clean) / batch.noise)[:, 1:]
    assert abs(standard.median()) < 0.05
    assert abs(standard.abs().median() - 0.6745) < 0.05


def test_annealing_releases_what_the_rate_held_up() -> None:
    only_drop = _shape(_draw(schedule_weights=(1, 0, 0, 0, 0, 0, 0)))
    released = _shape(
        _draw(schedule_weights=(1, 0, 0, 0, 0, 0, 0), held_rate=1.0, held_size=(0.4, 0.8))
    )
    third = only_drop.shape[1] * 2 // 3
    gained = [(shape[:, -1] - shape[:, third]).mean() for shape in (only_drop, released)]
    assert gained[1] > gained[0] + 0.05


def test_a_constant_rate_releases_nothing_at_the_end() -> None:
    held = {"held_rate": 1.0, "held_size": (0.4, 0.8), "delay_rate": 0.0}
    constant = _shape(_draw(schedule_weights=(0, 0, 0, 1, 0, 0, 0), **held))
    cosine = _shape(_draw(schedule_weights=(1, 0, 0, 0, 0, 0, 0), **held))
    late = [(shape[:, -1] - shape[:, 48]).mean() for shape in (constant, cosine)]
    assert late[0] < 0.5 * late[1]


def test_a_late_take_off_stands_still_before() -> None:
    batch = _draw(
        takeoff_rate=1.0,
        takeoff_start=(0.4, 0.41),
        time_scale=(0.3, 0.5),
        schedule_weights=(0, 0, 0, 1, 0, 0, 0),
    )
    assert _shape(batch)[:, 13].quantile(0.9) < 0.2


def test_losses_by_decades_fall_evenly_in_their_logarithm() -> None:
    batch = _draw(decades_rate=1.0, decades=(3.0, 3.1), level=(1e-9, 2e-9), easy_rate=0.0)
    assert batch.ceiling is not None
    loss = (batch.ceiling[:, None] - batch.values)[torch.isfinite(batch.ceiling)]
    assert (loss[:, 0] / loss[:, -1]).median() > 300


def test_rewards_have_no_known_bounds() -> None:
    batch = _draw(reward_rate=1.0)
    assert batch.ceiling is not None and batch.floor is not None
    assert torch.isinf(batch.ceiling).all() and torch.isinf(batch.floor).all()


def test_averaged_logs_are_smoother() -> None:
    noisy = {"noise_size": (0.1, 0.2), "late_noise_size": (0.1, 0.2)}
    rough = [
        torch.diff(_draw(averaged_rate=rate, **noisy).values, 2).abs().median()
        for rate in (0.0, 1.0)
    ]
    assert rough[1] < 0.7 * rough[0]


def test_some_runs_stand_still() -> None:
    batch = _draw(still_rate=1.0, noise_size=(0.05, 0.1))
    assert (batch.values[:, -1] == batch.values[:, -2]).float().mean() > 0.95


def test_training_can_ask_about_every_draw() -> None:
    generator = _generator(1)
    for _ in range(5):
        batch = AnnealedPrior().sample(16, generator)
        examples = draw_examples(batch, 8, generator)
        assert torch.isfinite(examples.clean).all()


def test_saturation_joins_the_ends_of_the_loss() -> None:
    ends = torch.tensor([[0.0, 1.0]])
    for sharpness in (-2.0, -0.01, 0.0, 0.5, 5.0):
        k = torch.tensor([[sharpness]])
        assert torch.allclose(effects.saturation(ends, k), ends, atol=1e-5)
        middle = torch.tensor([[0.4]], requires_grad=True)
        (slope,) = torch.autograd.grad(effects.saturation(middle, k).sum(), middle)
        assert torch.allclose(effects.saturation_slope(middle, k), slope, atol=1e-4)


def test_remembered_noise_is_standard_and_correlated() -> None:
    memory = torch.full((4000, 1), 0.8)
    noise = effects.remembered(torch.randn(4000, 30, generator=_generator()), memory)
    assert abs(noise[:, -1].std() - 1) < 0.05
    correlation = torch.corrcoef(torch.stack([noise[:, -2], noise[:, -1]]))[0, 1]
    assert abs(correlation - 0.8) < 0.03
