"""Several priors at once."""

from __future__ import annotations

import pytest
import torch

from lcpfn.priors import AnnealedPrior, BroadPrior, MixturePrior, Prior, ReferencePrior


def test_parts_are_drawn_by_weight() -> None:
    prior = MixturePrior([(3.0, AnnealedPrior()), (1.0, ReferencePrior())])
    assert isinstance(prior, Prior)
    generator = torch.Generator().manual_seed(0)
    batches = [prior.sample(2, generator) for _ in range(400)]
    share = sum(batch.schedule is not None for batch in batches) / 400
    assert abs(share - 0.75) < 0.06


@pytest.mark.parametrize("weights", [(), (0.5, 0.0), (float("nan"),)])
def test_weights_must_be_positive(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="weights are"):
        MixturePrior([(weight, BroadPrior()) for weight in weights])
