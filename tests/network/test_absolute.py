import numpy as np
import torch

from lcpfn.network.absolute import AbsoluteView
from lcpfn.network.inputs import Observations, Questions
from lcpfn.priors import CurveBatch

VIEW = AbsoluteView(unit_floor=1e-3)


def test_shapes_and_finiteness(prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:50]
    fractions = prior_curves.fractions.expand_as(values)
    context = VIEW.observe(Observations(fractions, values))
    assert context.tokens.shape == (50, 100, VIEW.context_features)
    assert torch.isfinite(context.tokens).all()
    assert (context.coordinates.unit >= VIEW.unit_floor).all()


def test_features_of_an_observation_ignore_later_ones(prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:20].clone()
    fractions = prior_curves.fractions.expand_as(values)
    before = VIEW.observe(Observations(fractions, values)).tokens[:, :40]
    values[:, 40:] = 0.123
    after = VIEW.observe(Observations(fractions, values)).tokens[:, :40]
    assert torch.equal(before, after)


def test_start_gives_the_last_rows(prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:20]
    fractions = prior_curves.fractions.expand_as(values)
    whole = VIEW.observe(Observations(fractions, values))
    part = VIEW.observe(Observations(fractions, values), start=97)
    torch.testing.assert_close(part.tokens, whole.tokens[:, 97:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.coordinates.unit, whole.coordinates.unit[:, 97:])


def test_numpy_equals_torch(prior_curves: CurveBatch) -> None:
    values = prior_curves.values[:20]
    fractions = prior_curves.fractions.expand_as(values).contiguous()
    for start in (0, 60):
        expected = VIEW.observe(Observations(fractions, values), start)
        in_numpy = Observations(fractions.numpy(), values.numpy())
        result = VIEW.observe(in_numpy, start)
        assert result.tokens.dtype == np.float32
        np.testing.assert_allclose(result.tokens, expected.tokens, atol=2e-5)
        np.testing.assert_allclose(
            result.coordinates.averages, expected.coordinates.averages, atol=1e-6
        )


def test_query_features_tell_distances_apart() -> None:
    since = Observations(torch.tensor([[0.2, 0.2]]), torch.zeros(1, 2))
    features = VIEW.ask(since, Questions(torch.tensor([[0.3, 1.0]])))
    assert features.shape == (1, 2, VIEW.query_features) and torch.isfinite(features).all()
    assert not torch.allclose(features[0, 0], features[0, 1])
