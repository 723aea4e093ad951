"""The broad prior: what every draw promises, and what each effect does."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from lcpfn.priors import BroadConfig, BroadPrior, Prior, effects
from lcpfn.training.questions import draw_examples


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("length", BroadConfig().lengths)
def test_draws_are_finite_and_keep_their_promises(length: int) -> None:
    prior = BroadPrior(dataclasses.replace(BroadConfig(), lengths=(length,), length_weights=(1.0,)))
    batch = prior.sample(500, _generator(length))
    assert isinstance(prior, Prior)
    assert batch.values.shape == batch.clean.shape == batch.noise.shape == (500, length)
    for tensor in (batch.values, batch.clean, batch.noise):
        assert torch.isfinite(tensor).all()
    assert (batch.noise > 0).all()
    assert (batch.values[:, 0] == 0).all()
    assert batch.fractions[-1] == 1
    assert (torch.diff(batch.fractions) > 0).all()


def test_no_value_passes_the_ceiling() -> None:
    batch = BroadPrior().sample(1000, _generator())
    assert batch.ceiling is not None
    slack = 1e-4 * batch.ceiling.clamp(1, 1e6)
    assert (batch.values <= (batch.ceiling + slack)[:, None]).all()
    known = torch.isfinite(batch.ceiling).float().mean()
    assert abs(known - BroadConfig().ceiling_rate) < 0.05


def test_same_seed_same_curves() -> None:
    first, second = (BroadPrior().sample(20, _generator(3)) for _ in range(2))
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.noise, second.noise)


def test_lengths_come_from_the_configuration() -> None:
    generator = _generator()
    lengths = {BroadPrior().sample(2, generator).values.shape[1] for _ in range(200)}
    assert lengths == set(BroadConfig().lengths)


def test_noise_is_the_soft_target_of_values() -> None:
    config = dataclasses.replace(BroadConfig(), quantised_rate=0.0)
    batch = BroadPrior(config).sample(2000, _generator())
    standard = ((batch.values - batch.clean) / batch.noise)[:, 1:]
    # Curves next to their best possible value are cut off there, so the check is a robust one.
    assert abs(standard.median()) < 0.05
    assert abs(standard.abs().median() - 0.6745) < 0.05


def test_limits_reach_the_examples() -> None:
    generator = _generator()
    batch = BroadPrior().sample(8, generator)
    examples = draw_examples(batch, 4, generator)
    limits = examples.observations.limits
    assert limits is not None and batch.ceiling is not None and batch.floor is not None
    assert torch.equal(limits[:, 0], batch.ceiling)
    assert torch.equal(limits[:, 1], batch.floor)


def test_accuracies_and_only_they_have_a_floor() -> None:
    known = dataclasses.replace(BroadConfig(), ceiling_rate=1.0)
    for rate in (0.0, 1.0):
        batch = BroadPrior(dataclasses.replace(known, rising_rate=rate)).sample(200, _generator())
        assert batch.floor is not None
        assert (torch.isfinite(batch.floor) == (rate == 1.0)).all()
        assert (batch.values >= batch.floor[:, None]).all()


TIME = torch.linspace(0, 1, 257).expand(1, -1)


def _parameter(value: float) -> torch.Tensor:
    return torch.full((1, 1), value)


def test_progress_follows_the_schedule() -> None:
    rate = effects.cosine_schedule(TIME, _parameter(1.0), _parameter(0.0))
    assert rate[0, 0] == pytest.approx(1.0) and rate[0, -1] == pytest.approx(0.0, abs=1e-6)
    progress = effects.cumulative(rate)
    expected = TIME + torch.sin(torch.pi * TIME) / torch.pi
    torch.testing.assert_close(progress, expected, atol=1e-4, rtol=0)
    halfway = effects.interpolate(progress, _parameter(0.5))
    assert halfway.item() == pytest.approx(0.5 + 1 / torch.pi, abs=1e-4)


def test_restarts_return_to_the_peak() -> None:
    rate = effects.cosine_schedule(TIME, _parameter(2.0), _parameter(0.1))
    assert rate[0, 128] == pytest.approx(1.0)
    assert rate[0, -1] == pytest.approx(0.1)


def test_stable_then_decay_holds() -> None:
    rate = effects.linear_schedule(TIME, _parameter(0.75), _parameter(0.0))
    assert (rate[0, :192] == 1).all() and rate[0, -1] == 0


def test_step_schedule_drops_by_its_factor() -> None:
    rate = effects.step_schedule(TIME, _parameter(0.5), _parameter(0.25), _parameter(0.1))
    assert rate[0, 100] == 1
    torch.testing.assert_close(rate[0, [150, 200]], torch.tensor([0.1, 0.01]))


@pytest.mark.parametrize(
    "decay",
    [
        effects.power_decay(TIME, _parameter(0.1), _parameter(1.0)),
        effects.stretched_exponential_decay(TIME, _parameter(0.1), _parameter(0.7)),
        effects.logarithmic_decay(TIME, _parameter(0.1)),
        effects.hill_decay(TIME, _parameter(0.1), _parameter(3.0)),
    ],
)
def test_decays_fall_from_one(decay: torch.Tensor) -> None:
    assert decay[0, 0] == pytest.approx(1.0)
    assert (torch.diff(decay) <= 0).all()
    assert (decay >= 0).all()


def test_wandering_has_its_size_and_freezes_with_the_rate() -> None:
    generator = _generator()
    innovations = torch.randn(4000, 64, generator=generator)
    progress = torch.cat([torch.linspace(0, 1, 32), torch.ones(32)]).expand(4000, -1)
    speed = torch.full((4000, 1), 30.0)
    walk = effects.wandering(progress, speed, torch.full((4000, 64), 0.5), innovations)
    assert walk[:, 20].std().item() == pytest.approx(0.5, rel=0.05)
    torch.testing.assert_close(walk[:, -1], walk[:, 31])


def test_spikes_recover() -> None:
    hits = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    heights = effects.spikes(hits, torch.full((1, 4), 2.0), _parameter(0.5))
    assert heights.tolist() == [[0.0, 2.0, 1.0, 0.5]]


def test_heavy_tails_have_mean_one() -> None:
    uniform = torch.rand(200_000, 1, generator=_generator())
    assert effects.heavy_tails(uniform, _parameter(3.0)).mean().item() == pytest.approx(1, abs=0.02)


def test_overfitting_and_divergence_start_at_their_onset() -> None:
    upturn = effects.overfitting(TIME, _parameter(0.5), _parameter(1.5))
    explosion = effects.divergence(TIME, _parameter(0.5), _parameter(10.0))
    for effect in (upturn, explosion):
        assert (effect[0, :129] == 0).all() and (torch.diff(effect[0, 128:]) > 0).all()
    assert upturn[0, -1] == 1
