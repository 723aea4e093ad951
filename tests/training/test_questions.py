import pytest
import torch

from lcpfn.priors import CurveBatch
from lcpfn.training.questions import draw_examples


@pytest.mark.parametrize("seed", range(12))
def test_questions_come_after_what_is_observed(prior_curves: CurveBatch, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    examples = draw_examples(prior_curves, 16, generator)
    curves, observed = examples.values.shape
    assert curves == 2000 and observed in (99, 49, 24)
    assert (examples.fractions.diff(dim=1) > 0).all()
    assert examples.prefixes.min() == 1 and examples.prefixes.max() <= observed
    last = examples.fractions.gather(1, examples.prefixes - 1)
    assert (examples.queries > last).all() and examples.queries.max() == 1
    steps = (examples.queries * 100).round().long() - 1
    assert torch.equal(examples.clean, prior_curves.clean.gather(1, steps))


def test_values_belong_to_their_steps(prior_curves: CurveBatch) -> None:
    examples = draw_examples(prior_curves, 4, torch.Generator().manual_seed(3))
    steps = (examples.fractions * 100).round().long() - 1
    assert torch.equal(examples.values, prior_curves.values.gather(1, steps))
