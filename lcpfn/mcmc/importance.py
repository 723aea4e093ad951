"""Importance sampling from the prior: next to exact for short prefixes, hopeless for long ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lcpfn.mcmc.bank import PriorBank
from lcpfn.mcmc.diagnostics import LEAST_CURVES, Diagnostics
from lcpfn.mcmc.posterior import Posterior
from lcpfn.mcmc.target import Target


@dataclass(frozen=True)
class ImportanceSampler:
    """Weights every curve of the bank by its likelihood, the noise integrated out.

    Args:
        draws: how many to take from the weighted bank.
    """

    draws: int = 20_000

    def draw(self, target: Target, bank: PriorBank, generator: np.random.Generator) -> Posterior:
        """Draws given records; see `Sampler`."""
        parameters, weights, effective = bank.posterior(target, self.draws, generator)
        problem = None
        if effective < LEAST_CURVES:
            problem = (
                f"{effective:.1f} curves of the bank explain the run, but at least "
                f"{LEAST_CURVES:.0f} should"
            )
        return Posterior(
            parameters, weights, Diagnostics("importance", None, effective, problem=problem)
        )
