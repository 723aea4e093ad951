"""The bundled reference model against its own prior: 2,000 curves that training never saw."""

import numpy as np
import pytest
from scipy import stats

import lcpfn
from lcpfn.network.inputs import Observations, Questions
from lcpfn.priors import CurveBatch

# Tests of a fixed seed either pass or fail for good; the level is how often a model that is
# exactly calibrated would have failed at this seed.
LEVEL = 1e-3


def final_forecasts(
    model: lcpfn.LCPFN, curves: CurveBatch, cutoffs: np.ndarray
) -> list[lcpfn.Extrapolation]:
    values = curves.values.double().numpy()
    observed = [values[index, :cutoff] for index, cutoff in enumerate(cutoffs)]
    return model.extrapolate_batch(observed, bounds=None)


@pytest.fixture(scope="module")
def posts(reference: lcpfn.LCPFN, prior_curves: CurveBatch) -> list[lcpfn.Extrapolation]:
    cutoffs = np.random.default_rng(5).integers(1, 100, size=2000)
    return final_forecasts(reference, prior_curves, cutoffs)


@pytest.fixture(scope="module")
def truth(prior_curves: CurveBatch) -> np.ndarray:
    return prior_curves.values[:, -1].double().numpy()


def test_probability_integral_transform_is_uniform(
    posts: list[lcpfn.Extrapolation], truth: np.ndarray
) -> None:
    transform = [1 - post.prob_better(value) for post, value in zip(posts, truth, strict=True)]
    assert stats.kstest(transform, "uniform").pvalue > LEVEL


def test_prob_better_is_a_probability(posts: list[lcpfn.Extrapolation], truth: np.ndarray) -> None:
    incumbents = np.random.default_rng(6).permutation(truth)
    claimed = np.array(
        [post.prob_better(best) for post, best in zip(posts, incumbents, strict=True)]
    )
    happened = truth > incumbents
    spread = np.sqrt((claimed * (1 - claimed)).sum())
    assert abs((happened - claimed).sum()) < stats.norm.isf(LEVEL / 2) * spread


def test_forecasts_beat_the_prior_and_sharpen_with_data(
    reference: lcpfn.LCPFN, prior_curves: CurveBatch
) -> None:
    values = prior_curves.values[:500].numpy()
    fractions = np.broadcast_to(prior_curves.fractions.numpy(), values.shape)
    scores = []
    for cutoff in (10, 20, 40, 80):
        asked = Questions(fractions[:, cutoff:])
        seen = Observations(fractions, values).first(cutoff)
        forecast = reference.network.extend(None, seen, asked)
        scores.append(float(forecast.log_prob(values[:, cutoff:]).mean()))
    assert scores == sorted(scores)
    # Rounded down from what experiments/prior_score.py prints for the shared set of curves.
    assert all(score > floor for score, floor in zip(scores, (1.6, 1.95, 2.2, 2.35), strict=True))
