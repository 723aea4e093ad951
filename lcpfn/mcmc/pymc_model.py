"""The reference prior and its likelihood as a PyMC model, for NUTS and SMC.

The formulas are the prior's own (`lcpfn.priors.reference`), written in PyTensor's terms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.mcmc.extra import import_extra
from lcpfn.mcmc.target import GRID, NOISE, PARAMETER_PRIORS, NamedParameters, Target
from lcpfn.priors import Uniform
from lcpfn.priors.reference import accepted, combine


def build(target: Target, softness: float = 0.0) -> Any:
    """A PyMC model of one run: 13 named parameters, the records, and the support constraint.

    `steps` and `values` are data containers, so that one compiled model serves many runs.

    Args:
        target: steps and values in the unit of the prior.
        softness: 0 gives points outside the support a density of zero. Above, the log-density
            outside falls off by the size of the violation over `softness`, a slope for gradients
            to follow; inside nothing changes, so that draws from the softened model follow the
            posterior exactly once those outside are dropped.

    Raises:
        MissingExtraError: PyMC is not installed.
    """
    pymc = import_extra("pymc")
    tensor = import_extra("pytensor.tensor")
    with pymc.Model() as model:
        steps = pymc.Data("steps", target.steps)
        values = pymc.Data("values", target.values)
        p = {
            name: pymc.Uniform(name, prior.low, prior.high)
            if isinstance(prior, Uniform)
            else pymc.LogNormal(name, prior.mean, prior.std)  # type: ignore[attr-defined]
            for name, prior in PARAMETER_PRIORS.items()
        }

        named = NamedParameters.of(p)
        whole = combine(named, tensor.as_tensor_variable(GRID), xp=tensor)
        if softness:
            beyond = tensor.sum(tensor.maximum(-whole, 0) + tensor.maximum(whole - 1, 0))
            fall = tensor.maximum(whole[0] - whole[-1], 0)
            pymc.Potential("support", -(beyond + fall) / softness)
        else:
            possible = accepted(whole.min(), whole.max(), whole[0], whole[-1])
            pymc.Potential("support", tensor.switch(possible, 0.0, -np.inf))
        pymc.Normal("records", combine(named, steps, xp=tensor), p[NOISE], observed=values)
    return model


def unconstrained(model: Any, parameters: Array) -> list[dict[str, Array]]:
    """Points of the model's transformed value variables, one for each row of (chains, 13)."""
    columns: dict[str, Array] = {}
    for (name, prior), column in zip(PARAMETER_PRIORS.items(), parameters.T, strict=True):
        value = model.rvs_to_values[model[name]].name
        if isinstance(prior, Uniform):
            share = np.clip((column - prior.low) / (prior.high - prior.low), 1e-7, 1 - 1e-7)
            columns[value] = np.log(share / (1 - share))
        else:
            columns[value] = np.log(column)
    return [
        {name: column[row] for name, column in columns.items()} for row in range(len(parameters))
    ]
