from __future__ import annotations

import math

import numpy as np
import pytest

from lcpfn.forecast.grain import Grain, counted_otherwise


def counted(examples: int, records: int = 40, seed: int = 0) -> np.ndarray:
    """Accuracies in per cent, as they are stored in single precision."""
    right = np.random.default_rng(seed).binomial(examples, np.linspace(0.6, 0.9, records))
    return (100 * right / examples).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("examples", [89, 285, 1360, 10_000])
def test_a_finished_run_shows_on_how_many_examples_it_was_counted(examples: int):
    assert 100 / Grain.of(counted(examples)).step == pytest.approx(examples, rel=1e-3)


def test_what_is_not_counted_has_no_step():
    assert Grain.of(np.random.default_rng(0).normal(size=50)).step == 0
    assert math.isnan(Grain.of(np.array([0.5, 0.6, 0.5, np.inf])).step)
    assert math.isnan(Grain.of(np.array([])).step)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (1e-2, 0.0), (-1.0, 100.0), (1e6, 3.0)])
def test_runs_on_as_many_examples_go_together_in_any_unit(gain: float, offset: float):
    grains = [Grain.of(offset + gain * counted(n, seed=1)) for n in (285, 1360, 89, 285)]
    run = offset + gain * counted(285, records=8, seed=2)
    assert counted_otherwise(run, grains).tolist() == [False, True, True, False]


def test_what_is_not_known_of_a_run_is_as_of_most_others():
    few = Grain.of(counted(89, records=3))
    same, other = (Grain.of(counted(n, seed=1)) for n in (285, 89))
    run = counted(285, records=8, seed=2)
    assert counted_otherwise(run, [same, few]).tolist() == [False, False]
    assert counted_otherwise(run, [other, few]).tolist() == [True, True]
    assert counted_otherwise(run, [other, same, same, few]).tolist() == [True, False, False, False]


def test_nothing_is_said_of_a_run_without_values():
    assert not counted_otherwise(np.array([np.inf]), [Grain.of(counted(89))]).any()
    assert counted_otherwise(counted(89), []).tolist() == []


@pytest.mark.parametrize("decimals", [2, 3, 4])
def test_rounding_is_not_counting(decimals: int):
    generator = np.random.default_rng(0)
    written = np.round(generator.uniform(0.5, 0.9, 60), decimals)
    assert not counted_otherwise(generator.uniform(0.5, 0.9, 8), [Grain.of(written)]).any()
    # The same run, written down with fewer digits than its peer.
    rounded = np.round(counted(285, records=8, seed=2) / 100, decimals)
    assert not counted_otherwise(rounded, [Grain.of(counted(285, seed=1) / 100)]).any()
