"""The reference prior: the published LC-PFN prior over rising accuracies in [0, 1].

    y_t = w1 pow3(t) + w2 ilog2(t) + w3 janoschek(t) + e_t,    t = 1..100
    w_k ~ U(0, 1),  e_t ~ N(0, sigma^2),  log sigma ~ N(-4, 1)

A draw is kept when its noiseless curve is finite, stays in [0, 1] and ends above its start.

Source: Adriaensen et al. 2023 (NeurIPS), section 3, after Domhan et al. 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lcpfn.priors.base import CurveBatch
from lcpfn.priors.distributions import LogNormal, Uniform
from lcpfn.priors.families import FAMILIES

REFERENCE_FAMILIES = ("pow3", "ilog2", "janoschek")
REFERENCE_STEPS = 100

WEIGHT = Uniform(0.0, 1.0)
"""Prior of each family's weight."""
NOISE = LogNormal(-4.0, 1.0)
"""Prior of the standard deviation of the noise."""
# About one candidate in five is kept; a round this much larger than what is missing rarely
# needs a second one.
_CANDIDATES_PER_CURVE = 5.2
_LARGEST_ROUND = 1 << 18


@dataclass(frozen=True)
class ReferenceParameters:
    """Parameters of a batch of curves: every tensor has shape (curves, 1).

    Args:
        weights: family name to its weight w_k.
        families: family name to its own parameters by name.
    """

    weights: dict[str, Tensor]
    families: dict[str, dict[str, Tensor]]

    def __getitem__(self, kept: Tensor | slice) -> ReferenceParameters:
        return ReferenceParameters(
            {name: weight[kept] for name, weight in self.weights.items()},
            {
                name: {key: value[kept] for key, value in family.items()}
                for name, family in self.families.items()
            },
        )


@dataclass(frozen=True)
class ReferencePrior:
    """The published prior. Stateless; randomness comes from the generator you pass.

    >>> import torch
    >>> batch = ReferencePrior().sample(4, torch.Generator().manual_seed(0))
    >>> batch.values.shape, bool((batch.clean[:, -1] > batch.clean[:, 0]).all())
    (torch.Size([4, 100]), True)
    """

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` accepted curves over the steps 1..100.

        Returns:
            a batch with `fractions` (100,), `values` and `clean` (count, 100), `noise`
            (count, 1).
        """
        _, clean = self.sample_clean(count, generator)
        noise = NOISE.sample((count, 1), generator)
        error = torch.randn(clean.shape, generator=generator, device=clean.device)
        steps = reference_steps(clean.device)
        return CurveBatch(steps / REFERENCE_STEPS, error.mul_(noise).add_(clean), clean, noise)

    def sample_clean(
        self, count: int, generator: torch.Generator | None = None
    ) -> tuple[ReferenceParameters, Tensor]:
        """Draws accepted parameters and their noiseless curves (count, 100)."""
        parts: list[tuple[ReferenceParameters, Tensor]] = []
        missing = count
        while missing > 0:
            size = min(int(missing * _CANDIDATES_PER_CURVE) + 64, _LARGEST_ROUND)
            parameters, clean = _accept(draw_parameters(size, generator))
            parameters, clean = parameters[slice(missing)], clean[:missing]
            parts.append((parameters, clean))
            missing -= len(clean)
        if len(parts) == 1:
            return parts[0]
        return _concatenate([kept for kept, _ in parts]), torch.cat([c for _, c in parts])

    def clean_curve(self, parameters: ReferenceParameters, steps: Tensor) -> Tensor:
        """The noiseless curve at `steps` (n,): (curves, n)."""
        clean: Tensor = combine(parameters, steps)
        return clean


def reference_steps(device: torch.device | str = "cpu") -> Tensor:
    """The steps of the prior, 1..100, as floats."""
    return torch.arange(1, REFERENCE_STEPS + 1, dtype=torch.float32, device=device)


def draw_parameters(count: int, generator: torch.Generator | None = None) -> ReferenceParameters:
    """Draws `count` parameter sets before any is rejected."""
    weights = {name: WEIGHT.sample((count, 1), generator) for name in REFERENCE_FAMILIES}
    families = {
        name: FAMILIES[name].sample_parameters(count, generator) for name in REFERENCE_FAMILIES
    }
    return ReferenceParameters(weights, families)


def combine(parameters: Any, steps: Any, *, xp: Any = torch) -> Any:
    """The weighted sum of the three families at `steps` (n,): (curves, n).

    Args:
        parameters: `ReferenceParameters`, or others with `weights` and `families` like theirs,
            each parameter (curves, 1) or a scalar.
        steps: of the prior.
        xp: what computes with them: torch, numpy or `pytensor.tensor`.
    """
    terms = [
        parameters.weights[name]
        * FAMILIES[name].function(steps, **parameters.families[name], xp=xp)
        for name in REFERENCE_FAMILIES
    ]
    return terms[0] + terms[1] + terms[2]


def supported(clean: Tensor) -> Tensor:
    """Whether noiseless curves (curves, n) are finite, in [0, 1] and rise end to end: (curves,)."""
    low, high = torch.aminmax(clean, dim=1)
    kept: Tensor = accepted(low, high, clean[:, 0], clean[:, -1])
    return kept


def accepted(low: Any, high: Any, first: Any, last: Any) -> Any:
    """The prior's constraint on a noiseless curve: its extremes lie in [0, 1] and it ends higher.

    NaN and infinities fail the comparisons, so no separate check is needed.
    """
    return (low >= 0) & (high <= 1) & (last > first)


def _accept(candidates: ReferenceParameters) -> tuple[ReferenceParameters, Tensor]:
    # Two ends and one early step reject four fifths of the candidates; only the rest are worth
    # a hundred evaluations.
    steps = reference_steps(candidates.weights["pow3"].device)
    for probe in (steps[[0, -1]], steps[[0, 2, -1]]):
        candidates = candidates[supported(combine(candidates, probe)).nonzero().squeeze(1)]
    clean = combine(candidates, steps)
    kept = supported(clean).nonzero().squeeze(1)
    return candidates[kept], clean[kept]


def _concatenate(parts: list[ReferenceParameters]) -> ReferenceParameters:
    first = parts[0]
    return ReferenceParameters(
        {name: torch.cat([part.weights[name] for part in parts]) for name in first.weights},
        {
            name: {key: torch.cat([part.families[name][key] for part in parts]) for key in family}
            for name, family in first.families.items()
        },
    )
