"""The realistic prior: draws kept by resemblance, and the statistics that judge them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest
import torch

from lcpfn.priors import (
    BroadConfig,
    BroadPrior,
    CurveBatch,
    Prior,
    RealisticPrior,
    Resemblance,
)
from lcpfn.priors.resemblance import Metric, describe
from lcpfn.training.questions import draw_examples


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("length", RealisticPrior().lengths)
def test_draws_keep_the_promises_of_a_prior(length: int) -> None:
    prior = dataclasses.replace(RealisticPrior(), lengths=(length,), length_weights=(1.0,))
    assert isinstance(prior, Prior)
    for seed in range(2):
        batch = prior.sample(60, _generator(seed))
        assert len(batch.values) == 60 and batch.values.shape[1] in (length, length - 1)
        assert batch.values.shape == batch.clean.shape == batch.noise.shape
        for tensor in (batch.values, batch.clean, batch.noise, batch.schedule):
            assert tensor is not None and torch.isfinite(tensor).all()
        assert (batch.values[:, 0] == 0).all()
        assert batch.fractions[-1] == 1 and (torch.diff(batch.fractions) > 0).all()
        assert draw_examples(batch, 8, _generator()).questions.fractions.shape == (60, 8)


def test_ceilings_hold_and_are_known_at_their_rate() -> None:
    prior = dataclasses.replace(RealisticPrior(), lengths=(49,), length_weights=(1.0,))
    batch = prior.sample(2000, _generator(4))
    assert batch.ceiling is not None
    slack = 1e-4 * batch.ceiling.clamp(1, 1e6)
    assert (batch.values <= (batch.ceiling + slack)[:, None]).all()
    known = torch.isfinite(batch.ceiling).float().mean()
    assert abs(known - BroadConfig().ceiling_rate) < 0.05


@pytest.mark.parametrize("metric", get_args(Metric))
def test_what_is_kept_resembles_real_curves_more(metric: Metric) -> None:
    rising = float(metric == "accuracy")
    settings = dataclasses.replace(
        BroadConfig(), lengths=(49,), length_weights=(1.0,), ceiling_rate=1.0, rising_rate=rising
    )
    judge = Resemblance.bundled(metric)
    ratios = []
    for prior in (
        BroadPrior(settings),
        RealisticPrior(
            broad=settings,
            share=1.0,
            accuracy_rate=rising,
            lengths=(49,),
            length_weights=(1.0,),
        ),
    ):
        batch = prior.sample(1000, _generator(1))
        assert batch.ceiling is not None
        ratios.append(judge.log_ratio(describe(batch.values, batch.ceiling)).median())
    assert ratios[0] < 0 < ratios[1]


def test_share_zero_draws_without_looking() -> None:
    never = Resemblance(
        torch.zeros(62), torch.ones(62), (torch.zeros(62, 1),), (torch.tensor([-99.0]),)
    )
    batch = RealisticPrior(losses=never, accuracies=never, share=0.0).sample(50, _generator())
    assert batch.values.shape[0] == 50


@pytest.mark.parametrize(("gain", "offset"), [(0.25, 0.0), (8.0, 3.0)])
def test_statistics_have_no_unit(gain: float, offset: float) -> None:
    batch = BroadPrior(
        dataclasses.replace(BroadConfig(), lengths=(49,), length_weights=(1.0,), ceiling_rate=1.0)
    ).sample(300, _generator(2))
    assert batch.ceiling is not None
    values, ceiling = batch.values.double(), batch.ceiling.double()
    plain = describe(values, ceiling)
    moved = describe(gain * values + offset, gain * ceiling + offset)
    # Differences that are next to nothing are where rounding shows.
    assert ((plain - moved).abs() < 1e-3).double().mean() > 0.99


def test_a_curve_without_change_has_no_resemblance() -> None:
    statistics = describe(torch.zeros(1, 49), torch.ones(1))
    for metric in get_args(Metric):
        assert Resemblance.bundled(metric).log_ratio(statistics).item() == -torch.inf


def test_saved_and_loaded_classifiers_agree(tmp_path: Path) -> None:
    bundled = Resemblance.bundled("loss")
    bundled.save(tmp_path / "copy.npz")
    statistics = torch.randn(20, len(bundled.centre), generator=_generator())
    copied = Resemblance.load(tmp_path / "copy.npz").log_ratio(statistics)
    assert torch.equal(copied, bundled.log_ratio(statistics))


def test_rounded_curves_count_from_their_ceiling() -> None:
    prior = dataclasses.replace(
        RealisticPrior(),
        rounded_rate=1.0,
        dead_rate=0.0,
        frozen_rate=0.0,
        stuck_rate=0.0,
        rounded_step=(0.1, 0.1),
    )
    prior = dataclasses.replace(prior, lengths=(49,), length_weights=(1.0,))
    batch = prior.sample(200, _generator(2))
    size = batch.values.amax(1) - batch.values.amin(1)
    # At most 11 levels, and what is to be forecast is the count itself.
    levels = torch.tensor(
        [
            len(torch.unique((row / 1e-3 / top).round()))
            for row, top in zip(batch.values, size.clamp_min(1e-9), strict=True)
        ]
    )
    assert (levels <= 13).all() and (levels > 3).any()
    assert torch.equal(batch.values, batch.clean)
    assert (batch.noise > 0).all()


def _still(**rates: float) -> CurveBatch:
    nothing = {"rounded_rate": 0.0, "dead_rate": 0.0, "frozen_rate": 0.0, "stuck_rate": 0.0}
    prior = dataclasses.replace(
        RealisticPrior(), lengths=(49,), length_weights=(1.0,), **{**nothing, **rates}
    )
    batch = prior.sample(400, _generator(3))
    assert (batch.values[:, 0] == 0).all() and (batch.noise >= 0).all()
    return batch


def test_dead_curves_never_move() -> None:
    batch = _still(dead_rate=1.0)
    assert (batch.values == 0).all() and (batch.clean == 0).all()


def test_frozen_curves_never_move_again() -> None:
    batch = _still(frozen_rate=1.0)
    changes = torch.diff(batch.values, dim=1) != 0
    last_change = torch.where(changes, torch.arange(48), -1).amax(1).float()
    assert 15 < last_change.mean() < 30 and last_change.max() > 40
    assert (batch.clean[:, -1] == batch.values[:, -1]).all()


def test_stuck_curves_take_long_to_start() -> None:
    batch = _still(stuck_rate=1.0)
    moving = (batch.values != 0).any(0)
    first_change = torch.where(batch.values != 0, torch.arange(49), 49).amin(1)
    assert moving[1:].any() and not moving[0]
    # Log-uniform over the run: half of them by the seventh record.
    assert 5 <= first_change.float().median() <= 9 and (first_change > 30).any()


def test_untouched_curves_are_the_same_without_them() -> None:
    prior = dataclasses.replace(RealisticPrior(), lengths=(49,), length_weights=(1.0,))
    plain = dataclasses.replace(
        prior, rounded_rate=0.0, dead_rate=0.0, frozen_rate=0.0, stuck_rate=0.0
    )
    changed, unchanged = prior.sample(500, _generator(5)), plain.sample(500, _generator(5))
    same = (changed.values == unchanged.values).all(1).float().mean()
    assert 0.75 < same < 0.95
