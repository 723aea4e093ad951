"""A Gaussian-process prior whose posterior is closed-form: the check that training finds the truth.

A curve is a Gaussian process over x = log(step) with a constant mean, a squared-exponential
kernel and white noise of known size:

    f ~ GP(mean, amplitude^2 exp(-(x - x')^2 / (2 length_scale^2))),   y_t = f(log t) + e_t

so curves change fast early and slowly late, as learning curves do. A network trained on draws from
this prior can be held against the exact posterior predictive at every step.

Sources:
    Rasmussen, Williams 2006, Gaussian processes for machine learning, algorithm 2.1.
    Müller et al. 2022 (ICLR), section 4, use the same check for their networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lcpfn.priors.base import CurveBatch

# Added to the kernel's diagonal, relative to its variance, for a stable factorisation.
_JITTER = 1e-8


@dataclass(frozen=True)
class GaussianProcessPrior:
    """Curves of a Gaussian process in log time, with noise of one known size.

    >>> import torch
    >>> prior = GaussianProcessPrior()
    >>> batch = prior.sample(3, torch.Generator().manual_seed(0))
    >>> mean, std = prior.posterior(batch.values[:, :10])
    >>> batch.values.shape, mean.shape, std.shape
    (torch.Size([3, 100]), torch.Size([3, 90]), torch.Size([90]))

    Args:
        steps: of a curve.
        mean: of the noiseless curve.
        amplitude: standard deviation of the noiseless curve.
        length_scale: in units of log(step): 1 lets a curve turn about once while the step
            doubles or trebles.
        noise: standard deviation of the noise.
    """

    steps: int = 100
    mean: float = 0.5
    amplitude: float = 0.2
    length_scale: float = 1.0
    noise: float = 0.05

    def sample(self, count: int, generator: torch.Generator | None = None) -> CurveBatch:
        """Draws `count` curves over the steps 1..steps."""
        device = torch.device("cpu") if generator is None else generator.device
        root = torch.linalg.cholesky(self._kernel(device, jitter=True)).float()
        normal = torch.randn(count, self.steps, generator=generator, device=device)
        clean = self.mean + normal @ root.T
        error = torch.randn(clean.shape, generator=generator, device=device)
        noise = torch.full((count, 1), self.noise, device=device)
        fractions = torch.arange(1, self.steps + 1, device=device) / self.steps
        return CurveBatch(fractions, clean + noise * error, clean, noise)

    def posterior(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The exact posterior predictive of noisy values after a prefix.

        Args:
            values: (curves, n) noisy values at steps 1..n, n below `steps`.

        Returns:
            mean (curves, steps - n) and standard deviation (steps - n,) of the normal predictive
            at every later step, noise included, in float64. The deviation is the same for all.
        """
        seen = values.shape[1]
        kernel = self._kernel(values.device)
        known = kernel[:seen, :seen] + self.noise**2 * torch.eye(seen, device=values.device)
        across = kernel[:seen, seen:]
        root = torch.linalg.cholesky(known)
        pull = torch.cholesky_solve((values.double() - self.mean).T, root)
        reduced = torch.linalg.solve_triangular(root, across, upper=False)
        variance = torch.diagonal(kernel)[seen:] - (reduced**2).sum(0) + self.noise**2
        return self.mean + (across.T @ pull).T, torch.sqrt(variance)

    def _kernel(self, device: torch.device, jitter: bool = False) -> Tensor:
        """Covariance of the noiseless curve, (steps, steps), float64."""
        logarithm = torch.log(torch.arange(1, self.steps + 1, dtype=torch.float64, device=device))
        distance = (logarithm[:, None] - logarithm) / self.length_scale
        kernel = self.amplitude**2 * torch.exp(-0.5 * distance**2)
        if jitter:
            kernel += _JITTER * self.amplitude**2 * torch.eye(self.steps, device=device)
        return kernel
