"""What the user of a search must know, each thing once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from lcpfn.forecast.direction import LIKE_A_LOSS, falls_like_a_loss

# Where so many runs have ended and all of them broke down, something is wrong with all of them.
_ALL_BROKEN = 3
# A value this many times the size of all others is of another unit.
_OTHER_UNIT = 100.0
_COMPARED = 3


class Notices:
    """Collects what the user of a search must know, each kind of thing once.

    Args:
        horizon: what the door calls the length of a full run.
    """

    def __init__(self, horizon: str) -> None:
        self._horizon = horizon
        self._told: set[str] = set()
        self._new: list[str] = []
        self._broken = 0
        self._unbroken = False

    def take(self) -> list[str]:
        """What is new since the last call."""
        new, self._new = self._new, []
        return new

    def tell(self, kind: str, words: str) -> None:
        """Adds something, unless its kind is known."""
        if kind not in self._told:
            self._told.add(kind)
            self._new.append(words)

    def step_back(self, run: Hashable, step: float) -> None:
        """A record came at a step before the newest one."""
        self.tell(
            "back",
            f"the steps of run {run} went back to {step:g}: steps must count the whole run, and go "
            "down only where it goes on from a checkpoint",
        )

    def ended(self, broken: bool) -> None:
        """A run has ended, broken down or not."""
        self._broken += broken
        self._unbroken = self._unbroken or not broken
        if not self._unbroken and self._broken >= _ALL_BROKEN:
            self.tell(
                "nan",
                f"all {self._broken} runs so far broke down at a record that was NaN, infinite or "
                "far beyond those before it: is the right metric reported?",
            )

    def lengths(self, learned: bool, length: float | None, spread: tuple[float, float]) -> None:
        """A run has finished.

        Args:
            learned: whether lengths are learned, not stated.
            length: the one that was learned, or the run's own as stated.
            spread: the shortest and the longest that have finished.
        """
        shortest, longest = spread
        if learned and shortest < longest:
            self.tell(
                "differ",
                f"{self._horizon} is not given, and runs have finished after {shortest:g} to "
                f"{longest:g} steps: those under way are taken for ones as long as the longest. "
                f"Pass {self._horizon}: a number, or the name of the hyperparameter that holds it",
            )
        if learned and length is not None:
            self.tell(
                "learned",
                f"{self._horizon} is not given: learned from finished runs that a full run has "
                f"{length:g} steps",
            )

    def contradiction(self, run: Hashable, step: float, length: float, more: bool) -> None:
        """A run has more steps than was stated, or finished after fewer."""
        self.tell(
            "more" if more else "fewer",
            f"run {run} {'has reported' if more else 'finished at'} step {step:g}, but "
            f"{self._horizon} is {length:g}: set {self._horizon} to the length of a full run",
        )

    def unit(self, best: float, others: list[float]) -> None:
        """The best finished run's value, and the next best ones."""
        sizes = sorted(abs(other) for other in others)
        usual = sizes[len(sizes) // 2] if len(sizes) >= _COMPARED else 0.0
        if not (best and usual):
            return
        if not 1 / _OTHER_UNIT < abs(best) / usual < _OTHER_UNIT:
            self.tell(
                "unit",
                f"the best run ended at {best:g}, the next ones at about {usual:g}: is that one's "
                "value of another unit? All others are judged by it",
            )

    def direction(self, run: Hashable, values: Sequence[float]) -> None:
        """A run is stopped that is to be maximized.

        Args:
            run: its key.
            values: (n,) its records, as far as they are usable.
        """
        if "direction" not in self._told and falls_like_a_loss(np.asarray(values)):
            self.tell("direction", f"the values of run {run} fall {LIKE_A_LOSS}")

    def passed_bounds(self, run: Hashable, bounds: str) -> None:
        """A run has passed stated bounds."""
        self.tell("bounds", f"run {run} reported a value outside bounds={bounds}: left out for it")
