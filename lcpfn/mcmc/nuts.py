"""The no-U-turn sampler on the PyMC model: nutpie's where installed, PyMC's own otherwise.

The support constraint is a wall for Hamiltonian trajectories: where the density drops to zero there
is no gradient to turn them, and nearly every one ends as a divergence. So the model that is sampled
has a slope outside instead (see `build`), and draws that lie outside get no weight, which leaves
exact draws from the posterior.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array
from lcpfn.mcmc.bank import PriorBank
from lcpfn.mcmc.diagnostics import diagnose
from lcpfn.mcmc.extra import import_extra
from lcpfn.mcmc.posterior import Posterior
from lcpfn.mcmc.pymc_model import build, unconstrained
from lcpfn.mcmc.target import GRID, PARAMETER_PRIORS, Target, clean_curve, supported

# Sum over steps of how far a curve leaves [0, 1] that costs one nat.
_SOFTNESS = 0.02


@dataclass(frozen=True)
class NUTS:
    """NUTS with several chains, each started from its own likelihood-weighted prior draw.

    nutpie compiles the model at the first forecast, which takes half a minute; later ones of the
    same object only swap the data.

    Args:
        chains: at least 2, so that R-hat has something to compare.
        tune: steps of each chain to adapt, dropped.
        draws: kept of each chain.
        target_accept: mean acceptance that step sizes are adapted to.
        max_depth: largest depth of a trajectory's tree: at most 2^depth gradients a draw.
    """

    chains: int = 4
    tune: int = 500
    draws: int = 500
    target_accept: float = 0.9
    max_depth: int = 8

    def __post_init__(self) -> None:
        for name, least in (("chains", 2), ("tune", 1), ("draws", 4)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, but must be at least {least}")

    def draw(self, target: Target, bank: PriorBank, generator: np.random.Generator) -> Posterior:
        """Draws given records; see `Sampler`."""
        import_extra("pymc")
        starts = bank.starts(target, self.chains, generator)
        seed = int(generator.integers(2**31))
        sample = self._nutpie if find_spec("nutpie") else self._pymc
        with warnings.catch_warnings():
            # Divergences, R-hat and the like are reported by `Diagnostics`.
            warnings.simplefilter("ignore", UserWarning)
            trace = sample(target, starts, seed)
        parameters = np.stack([trace.posterior[name].values for name in PARAMETER_PRIORS], -1)
        diagnostics = diagnose(
            "nuts", target, parameters, divergences=int(trace.sample_stats["diverging"].sum())
        )
        flat = parameters.reshape(self.chains * self.draws, -1)
        inside = supported(clean_curve(flat, GRID))
        if not inside.any():
            # The starting points are draws from the prior, and so within the support.
            flat, inside = starts, np.ones(len(starts), bool)
            diagnostics = dataclasses.replace(
                diagnostics, problem="no draw met the support constraint; these are the starts"
            )
        return Posterior(flat, inside / inside.sum(), diagnostics)

    def _nutpie(self, target: Target, starts: Array, seed: int) -> Any:
        nutpie = import_extra("nutpie")
        model, compiled = self._compiled
        points = unconstrained(model, starts)
        order = [variable.name for variable in model.value_vars]
        # nutpie asks for one starting point after another, in the order of the value variables.
        queue = itertools.cycle([np.array([point[name] for name in order]) for point in points])
        compiled = dataclasses.replace(compiled, initial_point_func=lambda seed: next(queue))
        return nutpie.sample(
            compiled.with_data(steps=target.steps, values=target.values),
            chains=self.chains,
            tune=self.tune,
            draws=self.draws,
            cores=1,
            seed=seed,
            target_accept=self.target_accept,
            maxdepth=self.max_depth,
            save_warmup=False,
            progress_bar=False,
        )

    def _pymc(self, target: Target, starts: Array, seed: int) -> Any:
        pymc = import_extra("pymc")
        model = build(target, _SOFTNESS)
        with model:
            return pymc.sample(
                chains=self.chains,
                tune=self.tune,
                draws=self.draws,
                cores=1,
                random_seed=seed,
                initvals=[dict(zip(PARAMETER_PRIORS, start, strict=True)) for start in starts],
                init="adapt_diag",
                step=pymc.NUTS(target_accept=self.target_accept, max_treedepth=self.max_depth),
                progressbar=False,
                compute_convergence_checks=False,
            )

    @cached_property
    def _compiled(self) -> tuple[Any, Any]:
        """The model and nutpie's compilation of it, on data that are swapped later."""
        model = build(Target(GRID[:2], np.array([0.4, 0.5])), _SOFTNESS)
        return model, import_extra("nutpie").compile_pymc_model(model)
