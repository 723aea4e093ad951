"""What happens to a run after a record, and what is stored of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Action = Literal["continue", "stop", "pause"]


@dataclass(frozen=True)
class Verdict:
    """What happens to a run after its newest record, and what that rests on.

    True where the run is to be stopped.

    Args:
        action: "continue", "stop" or "pause".
        reason: a sentence for the log.
        prob_better: probability that the run ends better than `to_beat`; NaN where unknown.
        to_beat: the value to beat: the incumbent's final one, or what the best other run under way
            will hardly fall short of; None where there is neither.
        reach: what the run will hardly fall short of, by which others are judged: it beats this
            with probability 1 - `caution`; NaN where there was no forecast.
        low, median, high: forecast of the run's final value, which beats `low` and falls short of
            `high` with 95 %; NaN where there was none. To minimize, `low` is the larger one.
        limit: the probability below which the run would be stopped; NaN where nothing was compared.
        standing: share of the latest runs that were better at this step; None where unknown.
        horizon: how many steps the full run has; None where unknown.
    """

    action: Action
    reason: str
    prob_better: float = math.nan
    to_beat: float | None = None
    reach: float = math.nan
    low: float = math.nan
    median: float = math.nan
    high: float = math.nan
    limit: float = math.nan
    standing: float | None = None
    horizon: float | None = None

    @property
    def stop(self) -> bool:
        """Whether the run is to be stopped."""
        return self.action == "stop"

    def __bool__(self) -> bool:
        return self.stop

    @property
    def forecast(self) -> bool:
        """Whether there was a forecast."""
        return not math.isnan(self.median)

    def record(self, unknown: float | None = None) -> dict[str, Any]:
        """What frameworks store of it, by name; `unknown` stands for what is not known."""
        return {
            name: unknown if value is None or value != value else value
            for name, value in asdict(self).items()
        }
