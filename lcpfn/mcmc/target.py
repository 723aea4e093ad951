"""The posterior of the reference prior's parameters, as the density that samplers explore.

A point has 13 parameters: three weights, nine curve parameters and the noise. Samplers may use
either of two coordinates: the parameters themselves, or standard-normal scores z, in which every
prior is N(0, 1): z = Phi^-1 of the prior's distribution function. The support constraint, that the
noiseless curve over steps 1..100 is finite, stays in [0, 1] and ends above its start, is a density
of zero in both.

Source: Adriaensen et al. 2023 (NeurIPS), section 3 and appendix A.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from lcpfn.forecast.arguments import Array
from lcpfn.priors import FAMILIES, ParameterPrior, Uniform, reference
from lcpfn.priors.families import ilog2, janoschek, pow3
from lcpfn.priors.reference import REFERENCE_FAMILIES, REFERENCE_STEPS, ReferenceParameters

NOISE = "noise"


def _parameter_priors() -> dict[str, ParameterPrior]:
    named: dict[str, ParameterPrior] = {}
    for family in REFERENCE_FAMILIES:
        named[f"{family}_weight"] = reference.WEIGHT
        for name, prior in FAMILIES[family].parameters.items():
            named[f"{family}_{name}"] = prior
    return {**named, NOISE: reference.NOISE}


PARAMETER_PRIORS = _parameter_priors()
"""Name to prior of the 13 parameters, in the order of the columns of every parameter array."""

GRID: Array = np.arange(1.0, REFERENCE_STEPS + 1)
"""The steps at which the support constraint holds, (100,)."""

_PLACE = np.array(
    [p.low if isinstance(p, Uniform) else p.mean for p in PARAMETER_PRIORS.values()]  # type: ignore[attr-defined]
)
_SPREAD = np.array(
    [p.high - p.low if isinstance(p, Uniform) else p.std for p in PARAMETER_PRIORS.values()]  # type: ignore[attr-defined]
)
_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
_COLUMN = {name: index for index, name in enumerate(PARAMETER_PRIORS)}
_RATES = [_COLUMN[name] for name in ("pow3_alpha", "janoschek_k", "janoschek_delta", NOISE)]
_DIMENSIONS = 10
# Mean and standard deviation of the level and the three slopes under the prior, roughly. They
# only shape the coordinates; the density is exact whatever they are.
_MEAN = np.array([0.65, 0.1, 0.05, 0.1])
_PRECISION = np.diag(1 / np.array([0.25, 0.25, 0.2, 0.4]) ** 2)
_ENLARGED = (0.0, 1e-12, 1e-9)

_POW3_A = FAMILIES["pow3"].parameters["a"].high  # type: ignore[attr-defined]
_POW3_C = FAMILIES["pow3"].parameters["c"].high  # type: ignore[attr-defined]
_ILOG2_A = FAMILIES["ilog2"].parameters["a"].high  # type: ignore[attr-defined]
_ILOG2_C = FAMILIES["ilog2"].parameters["c"].high  # type: ignore[attr-defined]
_JANOSCHEK_A = FAMILIES["janoschek"].parameters["a"].high  # type: ignore[attr-defined]
_JANOSCHEK_BETA = FAMILIES["janoschek"].parameters["beta"].high  # type: ignore[attr-defined]


def _least_weights(coefficients: Array, levels: Array) -> list[Array]:
    """The least weight of each family that its products allow, each (curves,)."""
    level, a1, a2, a3 = coefficients.T
    level_pow3, level_ilog2 = levels.T
    rest = level - level_pow3 - level_ilog2
    return [
        np.maximum(level_pow3 / _POW3_C, np.abs(a1) / _POW3_A),
        np.maximum(level_ilog2 / _ILOG2_C, np.abs(a2) / _ILOG2_A),
        np.maximum(rest / _JANOSCHEK_A, (rest - a3) / _JANOSCHEK_BETA),
    ]


def flatten(parameters: ReferenceParameters, noise: Array) -> Array:
    """The torch sampler's parameters as an array (curves, 13).

    Args:
        parameters: of `curves` curves.
        noise: (curves,) standard deviations.
    """
    columns = []
    for family in REFERENCE_FAMILIES:
        columns.append(parameters.weights[family][:, 0].numpy())
        own = parameters.families[family]
        columns.extend(own[name][:, 0].numpy() for name in FAMILIES[family].parameters)
    return np.stack([*columns, noise], 1).astype(np.float64)


@dataclass(frozen=True)
class NamedParameters:
    """Parameters as `lcpfn.priors.reference.combine` takes them, of arrays of any kind."""

    weights: dict[str, Any]
    families: dict[str, dict[str, Any]]

    @staticmethod
    def of(named: Mapping[str, Any]) -> NamedParameters:
        """From one mapping, by the names of `PARAMETER_PRIORS`."""
        return NamedParameters(
            {family: named[f"{family}_weight"] for family in REFERENCE_FAMILIES},
            {
                family: {name: named[f"{family}_{name}"] for name in FAMILIES[family].parameters}
                for family in REFERENCE_FAMILIES
            },
        )


def clean_curve(parameters: Array, steps: Array) -> Array:
    """Noiseless curves of parameters (curves, 13) at `steps` (n,) of the prior: (curves, n)."""
    # The noise comes last, and a bank of curves leaves it out.
    columns = (column[:, None] for column in parameters.T)
    named = NamedParameters.of(dict(zip(PARAMETER_PRIORS, columns, strict=False)))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        clean: Array = reference.combine(named, steps, xp=np)
    return clean


def supported(clean: Array) -> np.ndarray:
    """Whether noiseless curves (curves, 100) over the grid meet the constraint: (curves,)."""
    inside: np.ndarray = reference.accepted(clean.min(1), clean.max(1), clean[:, 0], clean[:, -1])
    return inside


def _inverse_factors(precision: Array) -> Array:
    """Inverse Cholesky factors (curves, 4, 4), NaN for a matrix that is not finite.

    With hardly any noise rounding can leave a matrix that is not positive definite; one that is a
    little larger then takes its place. A proposal like that must not cost all others theirs.
    """
    try:
        return np.asarray(np.linalg.inv(np.linalg.cholesky(precision)))
    except np.linalg.LinAlgError:
        return np.stack([_inverse_factor(matrix) for matrix in precision])


def _inverse_factor(matrix: Array) -> Array:
    for enlarged in _ENLARGED:
        try:
            larger = matrix + enlarged * np.trace(matrix) * np.eye(len(matrix))
            return np.asarray(np.linalg.inv(np.linalg.cholesky(larger)))
        except np.linalg.LinAlgError:
            continue
    return np.full_like(matrix, np.nan)


def log_prior(parameters: Array) -> Array:
    """Log-density of parameters (curves, 13) before any curve is rejected: (curves,)."""
    density = np.zeros(len(parameters))
    for prior, column in zip(PARAMETER_PRIORS.values(), parameters.T, strict=True):
        density += prior.log_prob(torch.from_numpy(np.ascontiguousarray(column))).numpy()
    return density


@dataclass(frozen=True)
class Target:
    """The posterior given records at some steps, up to a constant.

    Args:
        steps: (n,) in the unit of the prior, within [1, 100].
        values: (n,) in the unit of the prior.
    """

    steps: Array
    values: Array

    def log_likelihood(self, parameters: Array) -> Array:
        """Log-density of the records, -inf outside the support: (curves,)."""
        with np.errstate(all="ignore"):
            return self._fit(clean_curve(parameters, self._union), parameters[:, -1])

    def log_density(self, parameters: Array) -> Array:
        """Log-density over the parameters, (curves, 13) to (curves,)."""
        return log_prior(parameters) + self.log_likelihood(parameters)

    def log_density_of_coordinates(self, coordinates: Array) -> Array:
        """Log-density over coordinates, (curves, 10) to (curves,), up to a constant."""
        scores, levels, rates = coordinates[:, :4], coordinates[:, 4:6], coordinates[:, 6:]
        with np.errstate(all="ignore"):
            basis, noise = self._basis(rates)
            centre, root = self._conditional(basis, noise)
            coefficients = centre + _times(scores, root)
            clean = _times(coefficients, basis)
            score = self._fit(clean, noise) - 0.5 * (rates**2).sum(1)
            score += np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1)
            for least in _least_weights(coefficients, levels):
                score += np.log(1 / least - 1)
        level, _, _, a3 = coefficients.T
        rest = level - levels.sum(1)
        lowest = np.minimum(levels.min(1), np.minimum(rest, rest - a3))
        return np.where((lowest >= 0) & np.isfinite(score), score, -np.inf)

    def to_coordinates(self, parameters: Array) -> Array:
        """Coordinates (curves, 10) of parameters (curves, 13)."""
        p = dict(zip(PARAMETER_PRIORS, parameters.T, strict=True))
        levels = np.stack([p["pow3_weight"] * p["pow3_c"], p["ilog2_weight"] * p["ilog2_c"]], 1)
        coefficients = np.stack(
            [
                levels.sum(1) + p["janoschek_weight"] * p["janoschek_a"],
                p["pow3_weight"] * p["pow3_a"],
                p["ilog2_weight"] * p["ilog2_a"],
                p["janoschek_weight"] * (p["janoschek_a"] - p["janoschek_beta"]),
            ],
            1,
        )
        rates = np.log(parameters[:, _RATES]) - _PLACE[_RATES]
        rates /= _SPREAD[_RATES]
        centre, root = self._conditional(*self._basis(rates))
        inverse: Array = np.linalg.inv(root).astype(np.float64, copy=False)
        scores = _times(coefficients - centre, inverse)
        return np.concatenate([scores, levels, rates], 1)

    def to_parameters(self, coordinates: Array, generator: np.random.Generator) -> Array:
        """Parameters (curves, 13) of coordinates (curves, 10).

        The weights, which the coordinates leave open, are drawn from their posterior: given its
        products, the density of a weight falls as 1 / w^2 from the least possible one up to 1.
        """
        scores, levels, rates = coordinates[:, :4], coordinates[:, 4:6], coordinates[:, 6:]
        centre, root = self._conditional(*self._basis(rates))
        coefficients = centre + _times(scores, root)
        w1, w2, w3 = (
            1 / generator.uniform(1, 1 / np.maximum(least, 1e-12))
            for least in _least_weights(coefficients, levels)
        )
        level, a1, a2, a3 = coefficients.T
        level_pow3, level_ilog2 = levels.T
        rest = level - level_pow3 - level_ilog2
        alpha, k, delta, noise = np.exp(_PLACE[_RATES] + _SPREAD[_RATES] * rates).T
        columns = [w1, a1 / w1, level_pow3 / w1, alpha, w2, a2 / w2, level_ilog2 / w2]
        columns += [w3, rest / w3, (rest - a3) / w3, k, delta, noise]
        return np.stack(columns, 1)

    def _basis(self, rates: Array) -> tuple[Array, Array]:
        """Basis curves (curves, 4, n) over the union of all steps, and noise (curves,)."""
        natural = np.exp(_PLACE[_RATES] + _SPREAD[_RATES] * rates)
        alpha, k, delta, noise = natural.T
        # A curve is linear in its level and in the slopes of the families, so that these at a
        # level of zero and a slope of one are its basis.
        steps = self._union
        basis = np.empty((len(rates), 4, len(steps)))
        basis[:, 0] = 1
        basis[:, 1] = pow3(steps, 1.0, 0.0, alpha[:, None], xp=np)
        basis[:, 2] = ilog2(steps, 1.0, 0.0, xp=np)
        basis[:, 3] = janoschek(steps, 0.0, -1.0, k[:, None], delta[:, None], xp=np)
        return basis, noise

    def _conditional(self, basis: Array, noise: Array) -> tuple[Array, Array]:
        """Mean (curves, 4) and root (curves, 4, 4) of the coefficients' normal distribution.

        With scores u ~ N(0, I), mean + u @ root has the distribution.
        """
        seen = basis[:, :, self._recorded] / noise[:, None, None]
        precision = seen @ seen.transpose(0, 2, 1) + _PRECISION
        pull = seen @ self.values / noise[:, None] + _PRECISION @ _MEAN
        root = _inverse_factors(precision)
        return _times(np.einsum("ijk,ik->ij", root, pull), root), root

    def _fit(self, clean: Array, noise: Array) -> Array:
        """Log-density of the records given noiseless curves over the union of all steps."""
        squares = ((clean[:, self._recorded] - self.values) ** 2).sum(1)
        score = -0.5 * squares / noise**2 - len(self.values) * (np.log(noise) + _HALF_LOG_TWO_PI)
        return np.where(supported(clean[:, self._gridded]) & (noise > 0), score, -np.inf)

    @cached_property
    def _union(self) -> Array:
        return np.union1d(GRID, self.steps)

    @cached_property
    def _recorded(self) -> slice | np.ndarray:
        return as_slice(np.searchsorted(self._union, self.steps))

    @cached_property
    def _gridded(self) -> slice | np.ndarray:
        return as_slice(np.searchsorted(self._union, GRID))


def as_slice(indices: np.ndarray) -> slice | np.ndarray:
    """The same indices as a slice where they have no gaps: a view is cheaper than a copy."""
    if len(indices) == indices[-1] - indices[0] + 1:
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


def _times(vectors: Array, matrices: Array) -> Array:
    """Row vectors (curves, j) times matrices (curves, j, k): (curves, k)."""
    product: Array = np.matmul(vectors[:, None, :], matrices)[:, 0, :]
    return product
