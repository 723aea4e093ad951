"""Which run goes on next, and which configuration is worth a run."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lcpfn.forecast.arguments import Array, Goal
from lcpfn.search.configurations import Scales
from lcpfn.search.outlook import Outlook
from lcpfn.search.surrogate import Evidence, Surrogate, fit

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Proposal:
    """What a free worker should do next.

    Args:
        action: "start" a new run, or "resume" one that waits.
        reason: a sentence for the log.
        config: of the new run, one of the candidates; None where one is resumed.
        run: which one is resumed; None where one is started.
        probability: that its end beats `target`; NaN where nothing could be said yet.
        target: what was asked of all that could be chosen; None where nothing could be said yet.
        median: what the end of the run is believed to be; NaN where nothing could be said yet.
    """

    action: Literal["start", "resume"]
    reason: str
    config: Config | None = None
    run: Hashable | None = None
    probability: float = math.nan
    target: float | None = None
    median: float = math.nan
