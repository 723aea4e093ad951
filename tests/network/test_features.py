import numpy as np
import torch

from lcpfn.network.features import (
    CONTEXT_FEATURES,
    QUERY_FEATURES,
    context_features,
    query_features,
)
from lcpfn.priors import CurveBatch

FLOOR = 1e-3


def test_shapes_and_finiteness(prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:50]
    fractions = prior_curves.fractions.expand_as(values)
    context = context_features(fractions, values, FLOOR)
    assert context.tokens.shape == (50, 100, CONTEXT_FEATURES)
    assert torch.isfinite(context.tokens).all()
    assert (context.frame.unit >= FLOOR).all()


def test_features_of_an_observation_ignore_later_ones(prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:20].clone()
    fractions = prior_curves.fractions.expand_as(values)
    before = context_features(fractions, values, FLOOR).tokens[:, :40]
    values[:, 40:] = 0.123
    after = context_features(fractions, values, FLOOR).tokens[:, :40]
    assert torch.equal(before, after)


def test_start_gives_the_last_rows(prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:20]
    fractions = prior_curves.fractions.expand_as(values)
    whole = context_features(fractions, values, FLOOR)
    part = context_features(fractions, values, FLOOR, start=97)
    torch.testing.assert_close(part.tokens, whole.tokens[:, 97:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.frame.unit, whole.frame.unit[:, 97:])


def test_numpy_equals_torch(prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:20]
    fractions = prior_curves.fractions.expand_as(values).contiguous()
    for start in (0, 60):
        expected = context_features(fractions, values, FLOOR, start)
        result = context_features(fractions.numpy(), values.numpy(), FLOOR, start)
        assert result.tokens.dtype == np.float32
        np.testing.assert_allclose(result.tokens, expected.tokens, atol=2e-5)
        np.testing.assert_allclose(result.frame.averages, expected.frame.averages, atol=1e-6)


def test_query_features_tell_distances_apart() -> None:
    features = query_features(torch.tensor([[0.2, 0.2]]), torch.tensor([[0.3, 1.0]]))
    assert features.shape == (1, 2, QUERY_FEATURES) and torch.isfinite(features).all()
    assert not torch.allclose(features[0, 0], features[0, 1])
