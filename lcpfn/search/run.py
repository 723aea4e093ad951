"""One run of a search: its records, what became of it, and what is believed of its end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal, read_number, shortened
from lcpfn.forecast.best import Of
from lcpfn.search.divergence import divergence, usable
from lcpfn.search.evidence import evidence
from lcpfn.search.settings import Missing

State = Literal["live", "paused", "finished", "stopped", "failed"]
Fate = Literal["finished", "stopped", "failed"]
Record = tuple[float, float]


@dataclass(frozen=True)
class Belief:
    """What a forecast says about the end of a run.

    Args:
        basis: what it rests on; another basis makes it out of date.
        reach, low, median, high: of the final value, as in `Verdict`.
        hope: the quantile that orders runs.
        stopped: whether the decision that it was made for was to stop the run.
    """

    basis: tuple[Any, ...]
    reach: float
    low: float = math.nan
    median: float = math.nan
    high: float = math.nan
    hope: float = math.nan
    stopped: bool = False


class Run:
    """A run as far as it is known.

    Args:
        goal, of, nan: as in the search.

    Attributes:
        steps, values: (n,) of its records as they were reported, steps increasing.
        state: whether it is under way, waits, or how it ended.
        horizon: its own length in its own steps, where it has one.
        config: its hyperparameters, None where unknown.
        value: what the objective made of it, where it said.
        counts: whether it may be the one to beat.
        belief: of its end, the newest.
        resumed: the step at which it went on after a pause, the newest.
        goes_on: whether it has just gone on after a pause or its end, so that steps may go back.
        rates: learning rates by step, where they are known.
        is_open: whether its metric has no bounds, whatever those of the other runs suggest.
    """

    # Of a run that was stored by an older version, too.
    is_open = False

    def __init__(self, goal: Goal, of: Of, nan: Missing) -> None:
        self._goal, self._of, self._nan = goal, of, nan
        self.state: State = "live"
        self.horizon: float | None = None
        self.config: Mapping[str, Any] | None = None
        self.value: float | None = None
        self.counts = True
        self.belief: Belief | None = None
        self.resumed = -math.inf
        self.goes_on = False
        self.steps: list[float] = []
        self.values: list[float] = []
        self.rates: dict[float, float] = {}
        self._evidence: tuple[tuple[float, float], int] | None = None

    @property
    def last(self) -> float:
        """The step of the newest record, -infinity before the first."""
        return self.steps[-1] if self.steps else -math.inf

    @property
    def ended(self) -> bool:
        """Whether it will report nothing more."""
        return self.state not in ("live", "paused")

    @property
    def final(self) -> float | None:
        """What the run is worth by its own records; None where its last one is no number."""
        if not self.usable or (self._of == "last" and not usable(self.values[-1])):
            return None
        return self.worths[1][-1]

    @cached_property
    def usable(self) -> list[Record]:
        """The (step, value) records that can be forecast from."""
        return [record for record in zip(self.steps, self.values, strict=True) if usable(record[1])]

    @cached_property
    def best(self) -> float | None:
        """The best usable record; None where there is none."""
        values = [value for _, value in self.usable]
        return (max if self._goal == "maximize" else min)(values) if values else None

    @property
    def kept(self) -> float | None:
        """Its best record, where that is kept whatever comes later; None where the last one counts.

        None before the first usable record, too.
        """
        return self.best if self._of == "best" else None

    @cached_property
    def worths(self) -> tuple[list[float], list[float]]:
        """Steps of all but the missing records, and what the run was worth at each."""
        present = [
            record
            for record in zip(self.steps, self.values, strict=True)
            if not math.isnan(record[1])
        ]
        steps, values = [step for step, _ in present], [value for _, value in present]
        if self._of == "best":
            values = list(accumulate(values, max if self._goal == "maximize" else min))
        return steps, values

    @cached_property
    def trouble(self) -> str | None:
        """Why the newest record shows that the run diverged; None where it does not."""
        if not self.values or (self._nan == "missing" and math.isnan(self.values[-1])):
            return None
        return divergence(self.values, self._goal)

    def evidence(self, length: float, shift: float) -> int:
        """In how many fiftieths of its length the run has usable records; see `evidence`."""
        basis = length, shift
        if self._evidence is None or self._evidence[0] != basis:
            steps = [step + shift for step, _ in self.usable]
            self._evidence = basis, evidence(steps, length)
        return self._evidence[1]

    def rates_at(self, count: int) -> list[float] | None:
        """Learning rates at the first usable records, NaN where unknown; None where all are."""
        if not self.rates:
            return None
        return [self.rates.get(step, math.nan) for step, _ in self.usable[:count]]

    def add(self, step: float, value: float) -> bool:
        """Adds a record; one at an earlier step replaces what was reported from there on.

        Returns:
            whether the step lies before the newest one.
        """
        back = step < self.last
        while self.steps and self.steps[-1] >= step:
            self.steps.pop()
            self.values.pop()
        self.steps.append(step)
        self.values.append(value)
        self._forget()
        return back

    def replace(self, records: Iterable[Record]) -> bool:
        """Takes all records afresh, in any order.

        Returns:
            whether one is new that lies before the newest one known.
        """
        ordered = sorted(records)
        known, last = set(self.steps), self.last
        back = any(step < last and step not in known for step, _ in ordered)
        self.steps = [step for step, _ in ordered]
        self.values = [value for _, value in ordered]
        self._forget()
        return back

    def _forget(self) -> None:
        for name in ("usable", "best", "worths", "trouble"):
            vars(self).pop(name, None)
        self._evidence = None


def read_rates(rates: Mapping[float, float]) -> dict[float, float]:
    """Checks learning rates by step; what is NaN is unknown."""
    if not isinstance(rates, Mapping):
        raise InputError(f"rates is {shortened(rates)}, but must be a mapping of rates by step")
    found = {step: read_number("rate", rate) for step, rate in rates.items()}
    for rate in found.values():
        if rate < 0 or math.isinf(rate):
            raise InputError(f"rate is {rate:g}, but must be finite and at least 0")
    return {step: rate for step, rate in found.items() if not math.isnan(rate)}
