"""Recorded runs as a prior: sources count alike, and every variation keeps the run a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lcpfn.priors import Augmentation, Prior, RecordedPrior, RecordedRun
from lcpfn.priors.recorded import resample

_NONE = Augmentation(
    bent_rate=0,
    shifted_rate=0,
    mixed_rate=0,
    noisy_rate=0,
    smooth_rate=0,
    stretched_rate=0,
    cut_rate=0,
    scattered_rate=0,
    unbounded_rate=0,
)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _run(source: str = "a", records: int = 40, level: float = 0.2, group: str = "g") -> RecordedRun:
    steps = np.arange(1.0, records + 1)
    return RecordedRun(
        steps, level + np.exp(-steps / 8), False, (0.0, np.inf), group, source, 1 - steps / records
    )


def _rising() -> RecordedRun:
    steps = np.linspace(500, 20_000, 60)
    return RecordedRun(steps, 0.9 - 0.7 * np.exp(-steps / 4000), True, (0.0, 1.0), "g", "b")


def test_an_unvaried_draw_is_the_run() -> None:
    run = _run(records=25)
    prior = RecordedPrior([run], lengths=(25,), length_weights=(1.0,), augmentation=_NONE)
    assert isinstance(prior, Prior)
    batch = prior.sample(3, _generator())
    unit = (run.values[0] - run.values) / 2.0 ** np.floor(np.log2(run.values[0]))
    assert np.allclose(batch.values[0], unit, atol=1e-6)
    assert np.allclose(batch.fractions[0], run.steps / 25, atol=1e-6)
    assert batch.schedule is not None and batch.ceiling is not None
    assert np.allclose(batch.schedule[0, :, 0], run.rates / run.rates.max(), atol=1e-6)
    assert batch.schedule[0, -1, 1] == 1
    assert torch.isfinite(batch.ceiling).all()


@pytest.mark.parametrize("seed", range(4))
def test_varied_draws_stay_within_their_limits(seed: int) -> None:
    prior = RecordedPrior([_run("a"), _run("c", 70, 1e-3), _rising()], lengths=(13, 33))
    prior = replace(prior, length_weights=(0.5, 0.5))
    batch = prior.sample(200, _generator(seed))
    for tensor in (batch.values, batch.noise, batch.fractions, batch.schedule):
        assert torch.isfinite(tensor).all()
    assert (batch.values[:, 0] == 0).all()
    assert (torch.diff(batch.fractions) > 0).all()
    assert torch.allclose(batch.fractions[:, -1], torch.ones(200))
    assert batch.ceiling is not None and batch.floor is not None
    slack = 1e-4 * batch.ceiling.clamp(1, 1e6)
    assert (batch.values <= (batch.ceiling + slack)[:, None]).all()
    assert (batch.values >= batch.floor[:, None] - 1e-3).all()


def test_sources_count_alike_and_groups_by_weight() -> None:
    many = [_run("many", level=0.1) for _ in range(50)]
    runs = [*many, _run("one", level=10.0), _run("other", level=1000.0, group="h")]
    prior = RecordedPrior(
        runs,
        {"g": 0.8, "h": 0.2},
        lengths=(25,),
        length_weights=(1.0,),
        augmentation=_NONE,
    )
    batch = prior.sample(2000, _generator())
    assert batch.ceiling is not None
    room = batch.ceiling + batch.values.amin(1)
    span = batch.values.amax(1)
    level = (room / span).round()
    shares = [float((level > low).float().mean()) for low in (5, 500)]
    assert abs(shares[0] - 0.6) < 0.05
    assert abs(shares[1] - 0.2) < 0.05


def test_runs_too_short_for_a_length_are_not_drawn_for_it() -> None:
    prior = RecordedPrior([_run(records=20), _run("long", 100, level=50.0)], lengths=(13, 49))
    prior = replace(prior, length_weights=(0.0, 1.0), augmentation=_NONE)
    batch = prior.sample(50, _generator())
    assert batch.ceiling is not None
    assert ((batch.ceiling / batch.values.amax(1)) > 20).all()


@pytest.mark.parametrize("records", [12, 40, 55, 160])
def test_a_run_at_another_length_is_the_same_run(records: int) -> None:
    run = _run(records=40)
    for seed in range(20):
        found = resample(run, records, np.random.default_rng(seed))
        np.testing.assert_array_equal(found.steps, np.arange(1, records + 1))
        first = int(found.values[0] != run.values[0])
        assert found.values[[0, -1]] == pytest.approx(run.values[[first, -1]])
        assert found.rates is not None and run.rates is not None
        assert found.rates[[0, -1]] == pytest.approx(run.rates[[first, -1]])
        # The same fall, at first by record and later by share of the run.
        half = np.interp(0.5, found.steps / records, found.values)
        ends = np.interp([0.25, 0.75], run.steps / 40, run.values)
        assert ends[1] <= half <= ends[0]


def test_a_run_at_another_length_is_as_noisy() -> None:
    generator = np.random.default_rng(3)
    run = replace(_run(records=50), values=1 + 0.1 * generator.standard_normal(50))
    for records in (30, 50, 120):
        drawn = [resample(run, records, np.random.default_rng(s)).values for s in range(50)]
        assert np.mean([values[1:-1].std() for values in drawn]) == pytest.approx(0.1, rel=0.25)


def test_draws_at_other_lengths() -> None:
    prior = RecordedPrior(
        [_run(records=20), _rising()], lengths=(12, 100), length_weights=(0.5, 0.5), resampled=True
    )
    drawn = {prior.sample(4, _generator(seed)).values.shape for seed in range(20)}
    assert drawn == {(4, 12), (4, 100)}


def test_same_seed_same_curves() -> None:
    prior = RecordedPrior([_run(), _rising()])
    first, second = (prior.sample(20, _generator(3)) for _ in range(2))
    assert torch.equal(first.values, second.values)


def test_no_usable_run_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 13 records"):
        RecordedPrior([_run(records=5)])
