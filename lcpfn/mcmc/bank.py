"""A bank of prior curves, weighted by how well they explain a run.

Starting points of the chains come from here, and where a prefix is so short that many curves of
the bank explain it, the weighted bank is itself the posterior, next to exact (importance sampling
from the prior). The noise level is integrated out over a grid: it is independent of the curve, and
a run's records depend on a curve only through their sum of squared errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array
from lcpfn.mcmc.target import GRID, Target, as_slice, clean_curve, flatten
from lcpfn.priors import ReferencePrior
from lcpfn.priors.reference import NOISE

_CHUNK = 100_000
_NOISE_NODES = 121
_NOISE_REACH = 4.5
_SQUARES_NODES = 2_000
# Beyond so many, light curves are thinned out.
_MOST_CURVES = 20_000


@dataclass(frozen=True)
class PriorBank:
    """Accepted curves of the reference prior.

    Args:
        parameters: (curves, 12), all but the noise, float32.
        clean: (curves, 100) noiseless over steps 1..100, float32.
    """

    parameters: np.ndarray
    clean: np.ndarray

    @classmethod
    def draw(cls, curves: int, generator: torch.Generator | None = None) -> PriorBank:
        """Draws a bank: about 6 s and 450 MB per million curves on one core.

        Raises:
            InputError: fewer than one curve is asked for.
        """
        if curves < 1:
            raise InputError(f"curves is {curves}, but must be at least 1")
        parameters = np.empty((curves, 12), np.float32)
        clean = np.empty((curves, len(GRID)), np.float32)
        for start in range(0, curves, _CHUNK):
            size = min(_CHUNK, curves - start)
            drawn, values = ReferencePrior().sample_clean(size, generator)
            parameters[start : start + size] = flatten(drawn, np.zeros(size))[:, :-1]
            clean[start : start + size] = values.numpy()
        return cls(parameters, clean)

    def first(self, curves: int) -> PriorBank:
        """A smaller bank of the first `curves`, sharing memory."""
        return PriorBank(self.parameters[:curves], self.clean[:curves])

    def squared_errors(self, target: Target) -> Array:
        """Sum of squared errors of the records under every curve, (curves,)."""
        values = target.values.astype(np.float32)
        on_grid = np.isin(target.steps, GRID).all()
        columns = as_slice(np.searchsorted(GRID, target.steps))
        squares = np.empty(len(self.clean))
        for start in range(0, len(squares), _CHUNK):
            part = slice(start, start + _CHUNK)
            if on_grid:
                error: np.ndarray = self.clean[part, columns] - values
            else:
                error = clean_curve(self.parameters[part].astype(float), target.steps) - values
            squares[part] = np.einsum("ij,ij->i", error, error)
        return squares

    def posterior(
        self, target: Target, draws: int, generator: np.random.Generator
    ) -> tuple[Array, Array, float]:
        """Draws from the posterior by importance resampling.

        Args:
            target: the posterior.
            draws: how many, repeated ones included.
            generator: source of randomness; systematic resampling uses little of it.

        Returns:
            distinct parameters (k, 13), their weights (k,), and how many curves, effectively,
            the posterior rests on.
        """
        squares = self.squared_errors(target)
        records = len(target.values)
        marginal = _marginal_log_likelihood(squares, records)
        weights = np.exp(marginal - marginal.max())
        effective = float(weights.sum() ** 2 / (weights**2).sum())
        # A curve that is due several of these draws keeps its exact weight; the light ones that
        # a draw falls on stand for all light ones.
        chosen = np.unique(systematic(weights, _MOST_CURVES, generator))
        due = weights[chosen] / weights.sum() * _MOST_CURVES
        curve_log_weights = np.log(np.maximum(due, 1.0))
        nodes = _noise_nodes()
        conditional = _log_joint(squares[chosen], records, nodes)
        conditional -= np.logaddexp.reduce(conditional, axis=1, keepdims=True)
        joint = np.exp(conditional + (curve_log_weights - curve_log_weights.max())[:, None])
        places, counts = np.unique(systematic(joint.ravel(), draws, generator), return_counts=True)
        rows, columns = np.divmod(places, len(nodes))
        parameters = np.column_stack(
            [self.parameters[chosen[rows]].astype(np.float64), np.exp(nodes[columns])]
        )
        return parameters, counts / counts.sum(), effective

    def starts(self, target: Target, count: int, generator: np.random.Generator) -> Array:
        """Starting points of chains: likelihood-weighted draws, (count, 13), all distinct curves.

        Where few curves explain the run, the likelihood is tempered until the weight is shared by
        twice as many curves as chains, so that no two chains start alike.
        """
        squares = self.squared_errors(target)
        records = len(target.values)
        marginal = _marginal_log_likelihood(squares, records)
        power = 1.0
        while True:
            weights = np.exp(power * (marginal - marginal.max()))
            if weights.sum() ** 2 / (weights**2).sum() >= min(2 * count, len(weights) / 2):
                break
            power *= 0.8
        chosen = generator.choice(
            len(weights), size=count, replace=len(weights) < count, p=weights / weights.sum()
        )
        nodes = _noise_nodes()
        conditional = _log_joint(squares[chosen], records, nodes)
        gumbel = generator.gumbel(size=conditional.shape)
        noise = nodes[np.argmax(conditional + gumbel, axis=1)]
        width = nodes[1] - nodes[0]
        noise = noise + width * generator.uniform(-0.5, 0.5, size=count)
        return np.column_stack([self.parameters[chosen].astype(np.float64), np.exp(noise)])


def systematic(weights: Array, count: int, generator: np.random.Generator) -> np.ndarray:
    """Indices (count,) drawn in proportion to `weights` by systematic resampling, in order."""
    cumulative = np.cumsum(weights)
    points = (np.arange(count) + generator.uniform()) / count * cumulative[-1]
    drawn: np.ndarray = np.minimum(np.searchsorted(cumulative, points), len(weights) - 1)
    return drawn


def _noise_nodes() -> Array:
    """Logarithms of noise levels, evenly spaced, (121,)."""
    reach = _NOISE_REACH * NOISE.std
    return np.linspace(NOISE.mean - reach, NOISE.mean + reach, _NOISE_NODES)


def _log_joint(squares: Array, records: int, nodes: Array) -> Array:
    """Log-density of the records and a noise level, up to a constant: (curves, nodes)."""
    prior = -0.5 * ((nodes - NOISE.mean) / NOISE.std) ** 2
    return -0.5 * squares[:, None] * np.exp(-2 * nodes) - records * nodes + prior


def _marginal_log_likelihood(squares: Array, records: int) -> Array:
    """Log-density of the records with the noise integrated out, up to a constant: (curves,)."""
    logarithm = np.log(np.maximum(squares, 1e-12))
    known = np.linspace(logarithm.min(), logarithm.max(), _SQUARES_NODES)
    table = np.logaddexp.reduce(_log_joint(np.exp(known), records, _noise_nodes()), axis=1)
    return np.interp(logarithm, known, table)
