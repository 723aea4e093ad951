"""What a network sees of curves: absolute or scale-free, by type."""

from __future__ import annotations

from typing import Literal, Protocol

from lcpfn.network.arrays import AnyArray
from lcpfn.network.features import ContextFeatures
from lcpfn.network.inputs import Observations, Questions

Frame = Literal["absolute", "relative"]
"""Whether a network knows values in its prior's own unit, or values of any unit."""


class View(Protocol):
    """How observations and questions become features, and in which coordinates answers come."""

    @property
    def context_features(self) -> int:
        """Features of one observation."""
        ...

    @property
    def query_features(self) -> int:
        """Features of one question."""
        ...

    def observe(self, observations: Observations, start: int = 0) -> ContextFeatures:
        """Features of the observations from number `start` on; they depend on all before them.

        Returns:
            tokens (curves, n - start, context_features), and the coordinates after each.
        """
        ...

    def ask(self, since: Observations, questions: Questions) -> AnyArray:
        """Features of questions, (curves, m, query_features).

        Args:
            since: (curves, m) the last observation that each question knows of, or (curves, 1).
            questions: (curves, m).
        """
        ...
