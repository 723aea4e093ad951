"""The eleven learning-curve families of Domhan et al. (2015), as pure batched functions.

Every family maps steps and parameters to values. Steps have shape (n,) (or any shape that
broadcasts against the parameters) and are positive; each parameter has shape (..., 1), so a
batch of curves comes out as (..., n). The functions hold no state, keep dtype and device, and
are differentiable; they do not clip, and a few are undefined (NaN) outside the ranges that the
parameter priors give. Those of the published prior are written for any kind of array: samplers
take them with numpy or PyTensor as `xp`, so the formulas stand here alone.

`FAMILIES` pairs each function with its parameter prior. The published prior of Adriaensen et
al. (2023) uses `pow3`, `ilog2` and `janoschek` with the ranges below; the other eight carry
ranges around the default values and bounds of Domhan's fits, wide enough for rising accuracies
in [0, 1] over 1 to 100 epochs.

Sources:
    Domhan, Springenberg, Hutter. Speeding up automatic hyperparameter optimization of deep
    neural networks by extrapolation of learning curves. IJCAI 2015, table 1.
    Adriaensen, Rakotoarison, Müller, Hutter. Efficient Bayesian learning curve extrapolation
    using prior-data fitted networks. NeurIPS 2023, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lcpfn.priors.distributions import LogNormal, ParameterPrior, Uniform


def pow3(steps: Any, a: Any, c: Any, alpha: Any, *, xp: Any = torch) -> Any:
    """Power law with offset, c - a t^(-alpha)."""
    return c - a * xp.exp(-alpha * xp.log(steps))


def pow4(steps: Tensor, a: Tensor, b: Tensor, c: Tensor, alpha: Tensor) -> Tensor:
    """Shifted power law, c - (a t + b)^(-alpha)."""
    return c - torch.exp(-alpha * torch.log(a * steps + b))


def log_power(steps: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Logistic in log time, a / (1 + (t / e^b)^c), with c < 0 for a rising curve."""
    return a * torch.sigmoid(-c * (torch.log(steps) - b))


def weibull(steps: Tensor, alpha: Tensor, beta: Tensor, kappa: Tensor, delta: Tensor) -> Tensor:
    """Weibull growth, alpha - (alpha - beta) exp(-(kappa t)^delta)."""
    return alpha - (alpha - beta) * torch.exp(
        -torch.exp(delta * (torch.log(kappa) + torch.log(steps)))
    )


def mmf(steps: Tensor, alpha: Tensor, beta: Tensor, kappa: Tensor, delta: Tensor) -> Tensor:
    """Morgan-Mercer-Flodin growth, alpha - (alpha - beta) / (1 + (kappa t)^delta)."""
    return alpha - (alpha - beta) * torch.sigmoid(-delta * (torch.log(kappa) + torch.log(steps)))


def janoschek(steps: Any, a: Any, beta: Any, k: Any, delta: Any, *, xp: Any = torch) -> Any:
    """Janoschek growth, a - (a - beta) exp(-k t^delta)."""
    return a - (a - beta) * xp.exp(-k * xp.exp(delta * xp.log(steps)))


def exp4(steps: Tensor, a: Tensor, b: Tensor, c: Tensor, alpha: Tensor) -> Tensor:
    """Stretched exponential, c - exp(-a t^alpha + b)."""
    return c - torch.exp(b - a * torch.exp(alpha * torch.log(steps)))


def ilog2(steps: Any, a: Any, c: Any, *, xp: Any = torch) -> Any:
    """Inverse logarithm, c - a / ln(t + 1)."""
    return c - a / xp.log1p(steps)


def vap(steps: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Vapour pressure, exp(a + b / t + c ln t)."""
    return torch.exp(a + b / steps + c * torch.log(steps))


def loglog_linear(steps: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Linear in log-log space, ln(a ln t + b)."""
    return torch.log(a * torch.log(steps) + b)


def dr_hill_zero_background(steps: Tensor, theta: Tensor, eta: Tensor, log_kappa: Tensor) -> Tensor:
    """Hill dose response from zero, theta t^eta / (kappa^eta + t^eta)."""
    return theta * torch.sigmoid(eta * (torch.log(steps) - log_kappa))


@dataclass(frozen=True)
class Family:
    """A curve function together with independent priors of its parameters.

    Args:
        function: called as `function(steps, **parameters)`.
        parameters: parameter name to prior, in the function's argument order.
    """

    function: Callable[..., Tensor]
    parameters: Mapping[str, ParameterPrior]

    def sample_parameters(
        self, count: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Draws `count` independent parameter sets, each parameter of shape (count, 1)."""
        return {
            name: prior.sample((count, 1), generator) for name, prior in self.parameters.items()
        }

    def log_prob(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Log-density of parameters of shape (..., 1), summed over parameters: (...,)."""
        terms = [prior.log_prob(parameters[name]) for name, prior in self.parameters.items()]
        return torch.stack(terms).sum(0).squeeze(-1)


FAMILIES: Mapping[str, Family] = {
    "pow3": Family(
        pow3, {"a": Uniform(-0.6, 0.6), "c": Uniform(0.0, 1.25), "alpha": LogNormal(0.0, 2.0)}
    ),
    "ilog2": Family(ilog2, {"a": Uniform(-0.5, 0.5), "c": Uniform(0.0, 1.0)}),
    "janoschek": Family(
        janoschek,
        {
            "a": Uniform(0.0, 1.0),
            "beta": Uniform(0.0, 2.0),
            "k": LogNormal(-2.0, 1.0),
            "delta": LogNormal(0.0, 0.5),
        },
    ),
    "log_power": Family(
        log_power, {"a": Uniform(0.0, 1.0), "b": Uniform(-2.0, 4.0), "c": Uniform(-3.0, 0.0)}
    ),
    "weibull": Family(
        weibull,
        {
            "alpha": Uniform(0.0, 1.0),
            "beta": Uniform(0.0, 1.0),
            "kappa": LogNormal(-3.0, 1.0),
            "delta": LogNormal(0.0, 0.5),
        },
    ),
    "mmf": Family(
        mmf,
        {
            "alpha": Uniform(0.0, 1.0),
            "beta": Uniform(0.0, 1.0),
            "kappa": LogNormal(-3.0, 1.5),
            "delta": LogNormal(0.0, 0.5),
        },
    ),
    "vap": Family(vap, {"a": Uniform(-3.0, 0.0), "b": Uniform(-2.0, 0.0), "c": Uniform(0.0, 0.3)}),
    "loglog_linear": Family(loglog_linear, {"a": Uniform(0.0, 0.4), "b": Uniform(1.0, 2.0)}),
    "exp4": Family(
        exp4,
        {
            "a": LogNormal(-2.0, 1.0),
            "b": Uniform(-2.0, 0.0),
            "c": Uniform(0.0, 1.0),
            "alpha": LogNormal(-0.5, 0.5),
        },
    ),
    "pow4": Family(
        pow4,
        {
            "a": LogNormal(1.0, 1.5),
            "b": LogNormal(1.0, 1.0),
            "c": Uniform(0.0, 1.25),
            "alpha": LogNormal(-1.0, 1.0),
        },
    ),
    "dr_hill_zero_background": Family(
        dr_hill_zero_background,
        {"theta": Uniform(0.0, 1.0), "eta": LogNormal(0.0, 0.5), "log_kappa": Uniform(-1.0, 4.0)},
    ),
}
"""Every family by name, with its parameter prior."""
