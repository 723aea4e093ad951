"""Draws from the posterior of one run, and what draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.mcmc.bank import PriorBank
from lcpfn.mcmc.diagnostics import Diagnostics
from lcpfn.mcmc.target import Target


@dataclass(frozen=True)
class Posterior:
    """Draws from the posterior of one run.

    Args:
        parameters: (draws, 13), as ordered by `target.PARAMETER_PRIORS`.
        weights: (draws,) that sum to 1.
        diagnostics: how far to trust them.
    """

    parameters: Array
    weights: Array
    diagnostics: Diagnostics


class Sampler(Protocol):
    """A way to draw from the posterior."""

    def draw(self, target: Target, bank: PriorBank, generator: np.random.Generator) -> Posterior:
        """Draws given records; the bank of prior curves provides starting points."""
        ...
