"""The affine-invariant ensemble sampler of emcee, all walkers evaluated at once.

Sources:
    Foreman-Mackey et al. 2013, emcee: the MCMC hammer.
    Nelson, Ford, Payne 2014: differential-evolution moves for such ensembles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lcpfn.errors import InputError
from lcpfn.mcmc.bank import PriorBank
from lcpfn.mcmc.diagnostics import diagnose
from lcpfn.mcmc.extra import import_extra
from lcpfn.mcmc.posterior import Posterior
from lcpfn.mcmc.target import Target

_LEAST_WALKERS = 20
_SUPERCHAINS = 4


@dataclass(frozen=True)
class EnsembleSampler:
    """emcee with differential-evolution moves in the coordinates of `Target`.

    Args:
        walkers: chains that propose for each other, at least 20.
        steps: of every walker.
        burn_in: steps of each walker that are dropped.
        thin: every how many steps a draw is kept.
    """

    walkers: int = 100
    steps: int = 2000
    burn_in: int = 500
    thin: int = 15

    def __post_init__(self) -> None:
        if self.walkers < _LEAST_WALKERS:
            raise InputError(f"walkers is {self.walkers}, but must be at least {_LEAST_WALKERS}")
        if self.walkers % _SUPERCHAINS:
            raise InputError(f"walkers is {self.walkers}, but must be a multiple of {_SUPERCHAINS}")
        if not 0 <= self.burn_in < self.steps:
            raise InputError(f"burn_in is {self.burn_in}, but must lie within 0 and {self.steps}")
        if not 1 <= self.thin <= (self.steps - self.burn_in) // 4:
            raise InputError(f"thin is {self.thin}, but must leave at least 4 draws a walker")

    def draw(self, target: Target, bank: PriorBank, generator: np.random.Generator) -> Posterior:
        """Draws given records; see `Sampler`."""
        emcee = import_extra("emcee")
        moves = emcee.moves
        starts = target.to_coordinates(bank.starts(target, self.walkers, generator))
        sampler = emcee.EnsembleSampler(
            *starts.shape,
            target.log_density_of_coordinates,
            vectorize=True,
            # Full-length jumps along differences of walkers, short ones for narrow posteriors,
            # and now and then from one mode to another.
            moves=[
                (moves.DEMove(), 0.45),
                (moves.DEMove(gamma0=0.2, sigma=0.5), 0.45),
                (moves.DEMove(gamma0=1.0), 0.1),
            ],
        )
        state = np.random.RandomState(generator.integers(2**32))
        sampler.random_state = state.get_state()
        sampler.run_mcmc(starts, self.steps, skip_initial_state_check=True)
        chain = sampler.get_chain(discard=self.burn_in, thin=self.thin)
        flat = chain.reshape(-1, starts.shape[1])
        parameters = target.to_parameters(flat, generator)
        by_walker = parameters.reshape(*chain.shape[:2], -1).transpose(1, 0, 2)
        diagnostics = diagnose(
            "ensemble",
            target,
            by_walker,
            superchains=_SUPERCHAINS,
            acceptance=float(sampler.acceptance_fraction.mean()),
        )
        return Posterior(parameters, np.full(len(flat), 1 / len(flat)), diagnostics)
