"""What a forecast is made of: a batch of distributions, whoever computed them.

The network answers with histograms (`lcpfn.network.histogram.BinnedDistribution`), samplers with
mixtures of normals (`lcpfn.mcmc.mixture.Mixture`). `Extrapolation` asks either for no more than
what stands here.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Distribution(Protocol):
    """A batch of distributions of a metric, of batch shape (...,), bounds included.

    Answers are numpy arrays or torch tensors of 64-bit floats.
    """

    def __getitem__(self, index: Any, /) -> Distribution:
        """Part of the batch."""
        ...

    def expand(self, *shape: int) -> Distribution:
        """The distribution broadcast to another batch shape."""
        ...

    @property
    def mean(self) -> Any:
        """Expected value, (...,)."""
        ...

    @property
    def std(self) -> Any:
        """Standard deviation, (...,)."""
        ...

    def quantile(self, q: Any, /) -> Any:
        """Inverse of `cdf` at probabilities in [0, 1], broadcast against (...,)."""
        ...

    def cdf(self, y: Any, /) -> Any:
        """P(Y <= y), broadcast against (...,)."""
        ...

    def log_prob(self, y: Any, /) -> Any:
        """Log-density at y, broadcast against (...,); -inf outside the bounds."""
        ...
