import math

import numpy as np
import pytest

import lcpfn
from lcpfn.errors import InputError
from lcpfn.evaluation import INTERVALS, SHARES, hindsight
from lcpfn.priors import ReferencePrior
from lcpfn.training import score_on_prior


def test_scores_on_the_prior_improve_with_what_is_seen(reference: lcpfn.LCPFN) -> None:
    scores = score_on_prior(reference, ReferencePrior(), curves=300, seed=5)
    assert [score.share for score in scores] == list(SHARES)
    likelihoods = [score.log_likelihood for score in scores]
    assert likelihoods == sorted(likelihoods)
    for score in scores:
        assert 0 < score.standard_error < 0.2
        for level in INTERVALS:
            assert abs(score.coverage[level] - level) < 0.08
    again = score_on_prior(reference, ReferencePrior(), curves=300, seed=5)
    assert again == scores


def test_one_curve_has_no_standard_error(reference: lcpfn.LCPFN) -> None:
    with pytest.raises(InputError, match="curves is 1, but must be at least 2"):
        score_on_prior(reference, ReferencePrior(), curves=1, seed=0)


def test_hindsight_knows_no_more_than_was_known_at_the_time() -> None:
    model = lcpfn.load()
    losses = [2.0, 1.5, math.nan, 1.2, 1.0, math.inf, 0.9, 0.85, 0.82, 0.8, 0.79, 0.785]
    steps = np.arange(1.0, 13)
    made = hindsight(model, losses, steps, "minimize")
    assert [one.records for one in made] == [2, 2, 4, 8]
    assert {one.final for one in made} == {0.785}
    kept = np.isfinite(losses)
    seen = np.array(losses)[kept][:4]
    post = model.extrapolate(seen, steps[kept][:4], horizon=12, goal="minimize")
    (third,) = (one for one in made if one.share == 0.4)
    assert third.median == pytest.approx(post.median[-1])
    assert third.last_value == seen[-1]
    assert third.inside(0.96) == (0.02 < third.rank < 0.98)


def test_too_short_a_run_cannot_be_judged() -> None:
    with pytest.raises(InputError, match="has 3 finite records, but must have at least 4"):
        hindsight(lcpfn.load(), [0.1, 0.2, math.nan, 0.3], [1, 2, 3, 4], "maximize")
