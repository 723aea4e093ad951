"""What a search knows of one of its runs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from lcpfn.search.run import State


@dataclass(frozen=True)
class Outlook:
    """What a search knows of one of its runs.

    Args:
        run: its key.
        state: "live", "paused", "finished", "stopped" or "failed".
        steps, values: (n,) of its records.
        horizon: how many steps the full run has; None where unknown.
        low, median, high: of its final value, as in `Verdict`: the value itself where it has
            finished, NaN where nothing is known.
        hope: the quantile by which runs are ordered.
    """

    run: Hashable
    state: State
    steps: Sequence[float]
    values: Sequence[float]
    horizon: float | None
    low: float
    median: float
    high: float
    hope: float
