"""Another run of the search, as users and doors tell of it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import shortened


@dataclass(frozen=True)
class Peer:
    """Another run of the search.

    Args:
        steps: (n,) of its records, increasing.
        values: (n,) its records; NaN counts as worse than anything.
        stopped: it was stopped before its end, because it would not have won.
        config: its hyperparameters, None where unknown.
        horizon: its own last step where runs differ in length, which are then compared at the same
            share of each; default that of the run that it is a peer of.

    Raises:
        InputError: steps do not increase, or are not as many as the values.
    """

    steps: Sequence[float]
    values: Sequence[float]
    stopped: bool
    config: Mapping[str, Any] | None = None
    horizon: float | None = None
    # What models forecast of it is made once, and goes with it.
    remembered: dict[Hashable, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values):
            raise InputError(f"{len(self.steps)} steps, but {len(self.values)} values")
        for earlier, later in pairwise(self.steps):
            if not earlier < later:
                raise InputError(
                    f"steps has {later:g} after {earlier:g}, but they must strictly increase"
                )

    @staticmethod
    def of(records: Iterable[tuple[float, float]], stopped: bool) -> Peer:
        """A run by its (step, value) records in order; NaN is a record that is missing."""
        present = [(step, value) for step, value in records if not math.isnan(value)]
        return Peer([step for step, _ in present], [value for _, value in present], stopped)

    def at(self, step: float) -> float | None:
        """Its newest value at a step; NaN where it had been stopped, None before its first."""
        if self.stopped and (not len(self.steps) or step > self.steps[-1]):
            return math.nan
        return newest(self.steps, self.values, step)


def newest(steps: Sequence[float], values: Sequence[float], step: float) -> float | None:
    """The newest value at a step, None before the first."""
    index = bisect_right(steps, step) - 1
    return values[index] if index >= 0 else None


def check_peers(peers: Iterable[Peer]) -> list[Peer]:
    """Checks what is given as peers.

    Raises:
        InputError: something else than a peer.
    """
    if isinstance(peers, Peer) or not isinstance(peers, Iterable):
        raise InputError(
            f"peers is {shortened(peers)}, but must be several lcpfn.Peer objects, such as a list "
            "of one"
        )
    listed = list(peers)
    for index, peer in enumerate(listed):
        if not isinstance(peer, Peer):
            raise InputError(
                f"peers[{index}] is {shortened(peer)}, but must be an lcpfn.Peer(steps, values, "
                "stopped)"
            )
    return listed


def read_config(config: Any) -> Mapping[str, Any] | None:
    """Checks what is given as hyperparameters.

    Raises:
        InputError: no mapping.
    """
    if config is not None and not isinstance(config, Mapping):
        raise InputError(f"config is {shortened(config)}, but must be a mapping from names")
    return config
