"""Several priors at once: each batch comes from one of them, drawn by weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lcpfn.priors.base import CurveBatch, Prior


class MixturePrior:
    """Draws every batch from one of several priors. Stateless if they are.

    >>> from lcpfn.priors import AnnealedPrior, BroadPrior
    >>> prior = MixturePrior([(0.7, AnnealedPrior()), (0.3, BroadPrior())])
    >>> len(prior.sample(4, torch.Generator().manual_seed(0)).values)
    4

    Args:
        parts: (weight, prior) of each, weights positive and of any sum.
    """

    def __init__(self, parts: Sequence[tuple[float, Prior]]):
        if not parts or any(not weight > 0 for weight, _ in parts):
            weights = [weight for weight, _ in parts]
            raise ValueError(f"weights are {weights}, but must be positive, and at least one")
        self.parts = tuple(parts)

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` curves from one of the priors."""
        device = torch.device("cpu") if generator is None else generator.device
        weights = torch.tensor([weight for weight, _ in self.parts], device=device)
        chosen = int(torch.multinomial(weights, 1, generator=generator))
        return self.parts[chosen][1].sample(count, generator)
