"""PyMC's sequential Monte Carlo: a population that moves from the prior to the posterior.

Source: Del Moral, Doucet, Jasra 2006; PyMC's `sample_smc`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array
from lcpfn.mcmc.bank import PriorBank
from lcpfn.mcmc.diagnostics import diagnose
from lcpfn.mcmc.extra import import_extra
from lcpfn.mcmc.posterior import Posterior
from lcpfn.mcmc.pymc_model import build, unconstrained
from lcpfn.mcmc.target import PARAMETER_PRIORS, Target
from lcpfn.priors.reference import NOISE


@dataclass(frozen=True)
class SMC:
    """Several independent populations; each starts from curves that meet the support constraint.

    Args:
        chains: populations, at least 2, so that R-hat has something to compare.
        draws: particles in each.
    """

    chains: int = 4
    draws: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("chains", 2), ("draws", 50)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, but must be at least {least}")

    def draw(self, target: Target, bank: PriorBank, generator: np.random.Generator) -> Posterior:
        """Draws given records; see `Sampler`."""
        pymc = import_extra("pymc")
        model = build(target)
        starts = [self._start(model, bank, generator) for _ in range(self.chains)]
        with model, warnings.catch_warnings():
            # R-hat and the like are reported by `Diagnostics`.
            warnings.simplefilter("ignore")
            trace = pymc.sample_smc(
                draws=self.draws,
                chains=self.chains,
                cores=1,
                start=starts,
                random_seed=int(generator.integers(2**31)),
                progressbar=False,
                compute_convergence_checks=False,
            )
        parameters = np.stack([trace.posterior[name].values for name in PARAMETER_PRIORS], -1)
        count = self.chains * self.draws
        return Posterior(
            parameters.reshape(count, -1),
            np.full(count, 1 / count),
            diagnose("smc", target, parameters),
        )

    def _start(
        self, model: object, bank: PriorBank, generator: np.random.Generator
    ) -> dict[str, Array]:
        """Particles from the prior, by value variable."""
        rows = generator.integers(len(bank.parameters), size=self.draws)
        noise = np.exp(NOISE.mean + NOISE.std * generator.standard_normal(self.draws))
        parameters = np.column_stack([bank.parameters[rows].astype(np.float64), noise])
        points = unconstrained(model, parameters)
        return {name: np.array([point[name] for point in points]) for name in points[0]}
