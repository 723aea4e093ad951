"""A sampler behind the interface of a trained model: to swap the engine at will."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array
from lcpfn.forecast.axis import StepAxis
from lcpfn.forecast.best import Of
from lcpfn.forecast.bounds import BoundsLike
from lcpfn.forecast.curve import Curve, read_curve, read_query
from lcpfn.forecast.extrapolation import Extrapolation
from lcpfn.forecast.scaling import MetricMap, absolute_map
from lcpfn.mcmc.bank import PriorBank
from lcpfn.mcmc.diagnostics import Diagnostics
from lcpfn.mcmc.mixture import Mixture
from lcpfn.mcmc.posterior import Posterior, Sampler
from lcpfn.mcmc.target import Target, clean_curve
from lcpfn.network.randomness import Generator
from lcpfn.priors.reference import REFERENCE_STEPS

_KNOWN_SHARPNESS = 1e-9


class SampledExtrapolation(Extrapolation):
    """A forecast by posterior draws; everything else is as for any `Extrapolation`.

    Attributes:
        posterior: the draws; None where the horizon itself was observed.
    """

    def __init__(self, curve: Curve, steps: Array, predictor: PosteriorPredictor):
        super().__init__(curve, steps, predictor)
        self.posterior = predictor.posterior

    @property
    def diagnostics(self) -> Diagnostics | None:
        """How far to trust the draws; None where the horizon itself was observed."""
        return None if self.posterior is None else self.posterior.diagnostics


@dataclass(frozen=True)
class PosteriorPredictor:
    """Forecasts one curve from its posterior draws; a `Predictor` for `Extrapolation`."""

    posterior: Posterior | None
    metric: MetricMap
    axis: StepAxis

    def forecast(self, curve: Curve, steps: Array, of: Of = "last") -> Mixture:
        """Marginal forecasts at `steps` (m,): batch shape (m,).

        Raises:
            InputError: `of` is "best", which a sampler answers by `trajectories` alone.
        """
        if of == "best":
            raise InputError("of is 'best', but a sampler forecasts the values at steps alone")
        if self.posterior is None:
            return _known(curve).expand(len(steps))
        clean = clean_curve(self.posterior.parameters, self._prior_steps(curve, steps))
        centres = torch.from_numpy(np.ascontiguousarray(clean.T))
        noise = torch.from_numpy(self.posterior.parameters[:, -1])
        unit = Mixture(
            centres, noise.expand(centres.shape), torch.from_numpy(self.posterior.weights)
        )
        return unit.affine(self.metric.offset, 1 / self.metric.gain).truncate(*curve.bounds)

    def trajectories(
        self, curve: Curve, steps: Array, count: int, generator: Generator | None
    ) -> Array:
        """Joint draws (count, m): posterior draws' curves with their noise, cut at the bounds."""
        if self.posterior is None:
            return np.full((count, len(steps)), curve.values[-1])
        if isinstance(generator, np.random.Generator):
            generator = torch.Generator().manual_seed(int(generator.integers(2**63)))
        weights = torch.from_numpy(self.posterior.weights)
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        parameters = self.posterior.parameters[chosen.numpy()]
        clean = clean_curve(parameters, self._prior_steps(curve, steps))
        centres = self.metric.offset + torch.from_numpy(clean) / self.metric.gain
        noise = torch.from_numpy(parameters[:, -1:]) / abs(self.metric.gain)
        low, high = (
            torch.special.ndtr((bound - centres) / noise)
            if bound is not None
            else torch.full_like(centres, end)
            for bound, end in zip(curve.bounds, (0.0, 1.0), strict=True)
        )
        uniform = torch.rand(centres.shape, generator=generator, dtype=torch.float64)
        drawn = centres + noise * torch.special.ndtri(low + uniform * (high - low))
        # Where next to no mass lies inside, rounding may leave the bounds or give infinity.
        inside: Array = drawn.clamp(
            -torch.inf if curve.bounds[0] is None else curve.bounds[0],
            torch.inf if curve.bounds[1] is None else curve.bounds[1],
        ).numpy()
        return inside

    def _prior_steps(self, curve: Curve, steps: Array) -> Array:
        return self.axis.query_fractions(steps, curve.steps[-1]) * REFERENCE_STEPS


class SamplingModel:
    """A sampler behind the interface of a trained model.

    Get one with `lcpfn.mcmc.load()`.

    Attributes:
        sampler: draws from the posterior.
        bank: prior curves that chains start from.
    """

    def __init__(self, sampler: Sampler, bank: PriorBank):
        self.sampler = sampler
        self.bank = bank

    def extrapolate(
        self,
        values: ArrayLike,
        steps: ArrayLike | None = None,
        horizon: float = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        query: ArrayLike | None = None,
        schedule: Any = None,
        *,
        generator: np.random.Generator | None = None,
    ) -> SampledExtrapolation:
        """Forecasts the rest of a run from its first records, by sampling, in seconds.

        Args:
            values, steps, horizon, goal, bounds, query: as for `LCPFN.extrapolate`. A horizon
                other than 100 is mapped onto the prior's 100 steps, and metrics onto [0, 1], as
                the `reference` model does it.
            schedule: must be None; the prior knows no learning rates.
            generator: source of randomness; None draws a fresh one from the operating system.

        Raises:
            InputError: naming the value and the rule it breaks.
            MissingExtraError: the sampler's package is not installed.

        Warns:
            ConvergenceWarning: R-hat or effective sample size fail; also on `diagnostics`.
        """
        if schedule is not None:
            raise InputError("schedule is given, but the reference prior knows no learning rates")
        curve = read_curve(values, steps, horizon, goal, bounds)
        asked = read_query(query, curve)
        axis = StepAxis(curve.horizon, REFERENCE_STEPS, curve.shift)
        metric = absolute_map(curve)
        posterior = None
        if not curve.finished:
            kept = axis.kept(curve.steps)
            target = Target(
                axis.fractions(curve.steps[kept]) * REFERENCE_STEPS,
                metric.to_unit(curve.values[kept]),
            )
            posterior = self.sampler.draw(target, self.bank, generator or np.random.default_rng())
            posterior.diagnostics.warn()
        return SampledExtrapolation(curve, asked, PosteriorPredictor(posterior, metric, axis))


def _known(curve: Curve) -> Mixture:
    """The forecast of a horizon that has been observed: its value, next to exact."""
    value = torch.tensor([float(curve.values[-1])], dtype=torch.float64)
    scale = (value.abs() * _KNOWN_SHARPNESS).clamp_min(1e-290)
    return Mixture(value, scale, torch.ones(1, dtype=torch.float64))
