"""The reference prior and its likelihood as a PyMC model, for NUTS and SMC.

Written from the formulas of the paper, independently of the numpy density that the other samplers
use; a test holds the two against each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.mcmc.extra import import_extra
from lcpfn.mcmc.target import GRID, NOISE, PARAMETER_PRIORS, Target
from lcpfn.priors import Uniform


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

        def clean(at: Any) -> Any:
            pow3 = p["pow3_c"] - p["pow3_a"] * at ** (-p["pow3_alpha"])
            ilog2 = p["ilog2_c"] - p["ilog2_a"] / tensor.log(at + 1)
            decay = tensor.exp(-p["janoschek_k"] * at ** p["janoschek_delta"])
            janoschek = p["janoschek_a"] - (p["janoschek_a"] - p["janoschek_beta"]) * decay
            return (
                p["pow3_weight"] * pow3
                + p["ilog2_weight"] * ilog2
                + p["janoschek_weight"] * janoschek
            )

        whole = clean(tensor.as_tensor_variable(GRID))
        if softness:
            beyond = tensor.sum(tensor.maximum(-whole, 0) + tensor.maximum(whole - 1, 0))
            fall = tensor.maximum(whole[0] - whole[-1], 0)
            pymc.Potential("support", -(beyond + fall) / softness)
        else:
            possible = (whole.min() >= 0) & (whole.max() <= 1) & (whole[-1] > whole[0])
            pymc.Potential("support", tensor.switch(possible, 0.0, -np.inf))
        pymc.Normal("records", clean(steps), p[NOISE], observed=values)
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
