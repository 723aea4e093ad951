"""Whether a sampler can be trusted on a run: R-hat, effective sample size, and a warning."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.mcmc.extra import import_extra
from lcpfn.mcmc.target import GRID, Target, clean_curve

LARGEST_R_HAT = 1.05
LEAST_EFFECTIVE = 400.0
LEAST_CURVES = 30.0


class ConvergenceWarning(UserWarning):
    """A sampler did not converge: its forecast may be off. The forecast carries the same text."""


@dataclass(frozen=True)
class Diagnostics:
    """What is known about the quality of posterior draws.

    R-hat and effective sample size (Vehtari et al. 2021) are the worst over what the forecast
    depends on: the noiseless curve at the step after the last record, halfway and at the end, and
    the logarithm of the noise. The 13 parameters themselves are not identified.

    Args:
        engine: name of the sampler.
        r_hat: largest potential scale reduction; None for importance sampling.
        effective: least effective number of draws; for importance sampling, of curves.
        divergences: NUTS transitions that diverged, leaving the support included; else None.
        acceptance: mean share of accepted proposals, where the sampler has one.
        problem: what failed, in words; None where nothing did.
    """

    engine: str
    r_hat: float | None
    effective: float
    divergences: int | None = None
    acceptance: float | None = None
    problem: str | None = None

    @property
    def converged(self) -> bool:
        """Whether R-hat and effective sample size are within their limits."""
        return self.problem is None

    def warn(self) -> None:
        """Issues a `ConvergenceWarning` where something failed."""
        if self.problem is not None:
            warnings.warn(f"{self.engine}: {self.problem}", ConvergenceWarning, stacklevel=3)


def diagnose(
    engine: str,
    target: Target,
    parameters: Array,
    *,
    superchains: int | None = None,
    divergences: int | None = None,
    acceptance: float | None = None,
) -> Diagnostics:
    """Judges chains of parameters (chains, draws, 13).

    Args:
        engine: name of the sampler.
        target: what it drew from.
        parameters: the draws.
        superchains: where chains are many and short, R-hat compares this many groups of them, and
            the first and second half of each (after Margossian et al. 2024); default single ones.
        divergences, acceptance: reported as they are.
    """
    arviz = import_extra("arviz")
    chains, draws, _ = parameters.shape
    last = target.steps[-1]
    steps = np.array([min(last + 1, GRID[-1]), (last + GRID[-1]) / 2, GRID[-1]])
    clean = clean_curve(parameters.reshape(chains * draws, -1), steps)
    watched = np.column_stack([clean, np.log(parameters[..., -1].ravel())])
    watched = watched.reshape(chains, draws, -1)
    groups = superchains or chains
    # Draws of a group lie in order of time, so that its two halves are early and late.
    grouped = watched.reshape(groups, chains // groups, draws, -1).swapaxes(1, 2)
    grouped = grouped.reshape(groups, -1, watched.shape[2])
    columns = range(watched.shape[2])
    r_hat = max(float(arviz.rhat(grouped[..., column])) for column in columns)
    effective = min(float(arviz.ess(watched[..., column])) for column in columns)
    problems = []
    # Written so that NaN, which chains that never moved give, fails.
    if not r_hat <= LARGEST_R_HAT:
        problems.append(f"R-hat is {r_hat:.3f}, but should be at most {LARGEST_R_HAT}")
    if not effective >= LEAST_EFFECTIVE:
        problems.append(
            f"the effective sample size is {effective:.0f}, but should be at least "
            f"{LEAST_EFFECTIVE:.0f}"
        )
    return Diagnostics(
        engine, r_hat, effective, divergences, acceptance, "; ".join(problems) or None
    )
