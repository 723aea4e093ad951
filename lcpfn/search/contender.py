"""A run, as far as the choice of the next one is concerned."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from lcpfn.search.configurations import Config
from lcpfn.search.run import Belief, Run

_NOTHING = Belief((), math.nan)


@dataclass(frozen=True)
class Contender:
    """A run, as far as the choice of the next one is concerned.

    Args:
        run: its key.
        config: its hyperparameters, None where unknown.
        waits: whether it can be resumed.
        busy: whether somebody works on it.
        low, median, high: of what its end is believed to be, as in `Verdict`; the value itself
            where it has finished. NaN where nothing is known: it has no record yet, or `diverged`.
        secured: what it has reached or will hardly fall short of; None where that counts for
            nothing.
        progress: the share of the run that has been observed.
        diverged: whether its training broke down.
        failed: whether it ended without a result, by an error of its own or of the machine.
    """

    run: Hashable
    config: Config | None
    waits: bool
    busy: bool
    low: float
    median: float
    high: float
    secured: float | None
    progress: float
    diverged: bool = False
    failed: bool = False

    @staticmethod
    def of(run: Hashable, known: Run, belief: Belief | None, progress: float) -> Contender:
        """A run of a search.

        Args:
            run: its key.
            known: its records, and what became of it.
            belief: of its end; None where nothing is known. It says nothing of one that broke down
                or failed.
            progress: the share of its length that has been observed.
        """
        failed = known.state == "failed"
        broken = broke_down(known) and not failed
        told = _NOTHING if broken or failed or belief is None else belief
        return Contender(
            run,
            known.config,
            waits=known.state == "paused" and not broken,
            busy=known.state == "live",
            low=told.low,
            median=told.median,
            high=told.high,
            secured=None if failed else _secured(known, told),
            progress=1.0 if known.state in ("finished", "failed") else progress,
            diverged=broken,
            failed=failed,
        )


def broke_down(known: Run) -> bool:
    """Whether nothing good is to be learned of a run: it diverged, or its end does not count."""
    return (known.trouble is not None and known.value is None) or not known.counts


def _secured(known: Run, belief: Belief) -> float | None:
    """What a run has reached or will hardly fall short of; None where that is for nothing."""
    if not known.counts:
        return None
    if known.state != "stopped" and not math.isnan(belief.low):
        return belief.low
    return known.kept
