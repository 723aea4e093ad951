"""What the ends of runs say about hyperparameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lcpfn.search import surrogate
from lcpfn.search.surrogate import Evidence, Surrogate, fit

GENERATOR = np.random.default_rng(0)


def height(settings: Any) -> Any:
    """What runs reach: it peaks at 0.3 of the first setting and hardly minds the second."""
    return 1 - 4 * (settings[:, 0] - 0.3) ** 2 + 0.05 * settings[:, 1]


def evidence(count: int, spread: float = 0.02, dimensions: int = 3) -> Evidence:
    generator = np.random.default_rng(count)
    settings = generator.random((count, dimensions))
    ends = height(settings) + spread * generator.normal(size=count)
    return Evidence(settings, ends, np.full(count, spread), np.full(count, 0.5))


def test_slope_is_that_of_the_marginal_likelihood():
    known = evidence(25, 0.1)
    known = Evidence(
        known.settings,
        known.ends,
        GENERATOR.uniform(0.05, 0.5, 25),
        GENERATOR.uniform(0.05, 1.0, 25),
    )
    parameters = 0.5 * GENERATOR.normal(size=7)
    apart = ((known.settings[:, None] - known.settings[None]) ** 2).reshape(-1, 3).T.copy()

    def against(at: Any) -> float:
        covariance = surrogate._Parts.of(known, at).covariance
        inverse = np.linalg.inv(covariance)
        level, weights = surrogate._level_and_weights(inverse, known.ends)
        fits = 0.5 * (known.ends - level) @ weights
        return float(fits + 0.5 * np.linalg.slogdet(covariance)[1])

    numeric = [
        (against(parameters + 1e-5 * unit) - against(parameters - 1e-5 * unit)) / 2e-5
        for unit in np.eye(7)
    ]
    assert surrogate._slope(known, parameters, apart) == pytest.approx(numeric, abs=1e-4)


def test_what_is_next_to_a_run_hardly_ends_elsewhere():
    known = evidence(12, 1e-3)
    beside = known.settings + np.array([0.0, 0.0, 0.01])
    means, spreads = Surrogate(known, fit(known)).at(np.concatenate([beside, 1 - beside]))
    assert means[:12] == pytest.approx(known.ends, abs=0.05)
    assert np.median(spreads[:12]) < 0.5 * np.median(spreads[12:])


def test_learns_which_settings_are_good():
    known = evidence(40)
    asked = np.random.default_rng(1).random((200, 3))
    means, spreads = Surrogate(known, fit(known)).at(asked)
    assert np.corrcoef(means, height(asked))[0, 1] > 0.97
    assert abs(asked[means.argmax(), 0] - 0.3) < 0.1
    assert (np.abs(means - height(asked)) < 3 * spreads).mean() > 0.95


def test_what_does_not_matter_gets_a_long_length():
    parameters = fit(evidence(60))
    assert parameters[0] < parameters[1] and parameters[0] < parameters[2]


def test_doubtful_forecasts_are_drawn_towards_their_neighbours():
    known = evidence(40)
    ends, spreads = known.ends.copy(), known.spreads.copy()
    ends[0] += 1.0
    spreads[0] = 1.0
    doubtful = Evidence(known.settings, ends, spreads, known.progress)
    means, after = Surrogate(doubtful, fit(doubtful)).runs()
    assert means[0] - known.ends[0] < 0.4
    assert after[0] < 0.5
    assert means[1:] == pytest.approx(known.ends[1:], abs=0.1)


def test_the_surer_a_forecast_is_the_more_it_is_followed():
    known = evidence(25)
    spreads = np.where(np.arange(25) % 2, 0.01, 2.0)
    mixed = Evidence(known.settings, known.ends, spreads, known.progress)
    heard = Surrogate(mixed, fit(mixed)).heard()
    assert (heard >= 0).all() and (heard <= 1).all()
    assert heard[1::2].min() > 0.8 > 0.2 > heard[::2].max()


def test_what_others_run_is_not_worth_asking_again():
    known = evidence(20)
    parameters = fit(known)
    before = Surrogate(known, parameters)
    place = np.array([[0.3, 0.9, 0.5]])
    means, spreads = before.at(place)
    after_means, after_spreads = Surrogate(known.with_believed(place, means), parameters).at(place)
    assert after_means == pytest.approx(means, abs=0.01)
    assert after_spreads < 0.9 * spreads


def test_runs_of_which_no_settings_are_known_share_a_level():
    known = Evidence(np.empty((5, 0)), np.arange(5.0), np.full(5, 0.01), np.full(5, 0.5))
    means, _ = Surrogate(known, fit(known)).runs()
    assert np.all(np.diff(means) > 0)
    mean, spread = Surrogate(known, fit(known)).at(np.empty((1, 0)))
    assert mean == pytest.approx([2.0], abs=0.2) and spread > 0.05


def test_fits_to_a_few_of_many_runs():
    assert np.isfinite(fit(evidence(500))).all()
