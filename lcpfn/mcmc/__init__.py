"""The exact posterior of the reference prior, sampled: what the trained model approximates.

Any caller of a model can swap in one of these: `extrapolate` answers the same questions, in
seconds instead of milliseconds.

    model = lcpfn.mcmc.load("ensemble")
    post = model.extrapolate(accuracy, horizon=100, bounds=None)
    post.quantile([0.06, 0.94]); post.prob_better(0.8); post.diagnostics

Engines: "ensemble" (emcee), "nuts" (PyMC, nutpie where installed), "smc" (PyMC), "importance" (a
weighted bank of prior curves). Needs the extra `mcmc`.
"""

from __future__ import annotations

from collections.abc import Callable

from lcpfn.errors import InputError
from lcpfn.extras import missing

try:
    import torch

    from lcpfn.mcmc.bank import PriorBank
    from lcpfn.mcmc.diagnostics import ConvergenceWarning, Diagnostics
    from lcpfn.mcmc.ensemble import EnsembleSampler
    from lcpfn.mcmc.importance import ImportanceSampler
    from lcpfn.mcmc.model import SampledExtrapolation, SamplingModel
    from lcpfn.mcmc.nuts import NUTS
    from lcpfn.mcmc.posterior import Posterior, Sampler
    from lcpfn.mcmc.smc import SMC
except ModuleNotFoundError as error:
    raise missing(error, "lcpfn.mcmc", "mcmc", "torch") from error

__all__ = [
    "NUTS",
    "SMC",
    "ConvergenceWarning",
    "Diagnostics",
    "EnsembleSampler",
    "ImportanceSampler",
    "Posterior",
    "PriorBank",
    "SampledExtrapolation",
    "Sampler",
    "SamplingModel",
    "load",
]

_ENGINES: dict[str, Callable[[], Sampler]] = {
    "ensemble": EnsembleSampler,
    "nuts": NUTS,
    "smc": SMC,
    "importance": ImportanceSampler,
}
_BANK_CURVES = {"importance": 1_000_000}
_DEFAULT_CURVES = 200_000


def load(
    engine: str = "ensemble",
    *,
    curves: int | None = None,
    generator: torch.Generator | None = None,
) -> SamplingModel:
    """A sampler of the reference posterior, ready to extrapolate.

    Args:
        engine: "ensemble", "nuts", "smc" or "importance".
        curves: size of the bank of prior curves; default 1,000,000 for importance sampling (7 s,
            450 MB) and 200,000 for the others, which only start from it.
        generator: source of the bank; None uses torch's global one.

    Raises:
        InputError: an unknown engine.
    """
    if engine not in _ENGINES:
        raise InputError(f"engine is {engine!r}, but must be one of {', '.join(_ENGINES)}")
    size = _BANK_CURVES.get(engine, _DEFAULT_CURVES) if curves is None else curves
    return SamplingModel(_ENGINES[engine](), PriorBank.draw(size, generator))
