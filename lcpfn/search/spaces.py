"""Spaces of hyperparameters, and configurations drawn from them, at random or near good ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lcpfn.errors import InputError

# How far from a good configuration others are drawn, as a share of the range of a number.
_SPREADS = (0.2, 0.05, 0.0125)
# How many hyperparameters of it are changed at a time, on average, and how many are at least.
_CHANGED = 3.0


@dataclass(frozen=True)
class Number:
    """A number between two others.

    >>> round(Number(1e-4, 1.0, log=True).at(0.5), 6), Number(1, 8, step=1).at(0.99)
    (0.01, 8)

    Args:
        low, high: the least and the largest.
        log: whether it is drawn evenly on a logarithmic scale; then `low` is positive.
        step: multiples of this above `low` alone are allowed; None allows all. A whole one, of
            whole ends, makes the number whole.

    Raises:
        InputError: `low` is above `high`, or not positive on a logarithmic scale, or the step is
            not positive.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise InputError(
                f"low is {self.low} and high {self.high}, but must be finite, in order"
            )
        if self.log and self.low <= 0:
            raise InputError(f"low is {self.low}, but on a logarithmic scale must be positive")
        if self.step is not None and not self.step > 0:
            raise InputError(f"step is {self.step}, but must be positive, or None")

    def at(self, place: float) -> float:
        """The number at a place within 0 and 1."""
        first, last = self._ends
        value = first + min(1.0, max(0.0, place)) * (last - first)
        value = math.exp(value) if self.log else value
        if self.step is not None:
            value = self.low + self.step * round((value - self.low) / self.step)
            # Multiples of the step may pass the end by rounding, and need not meet it.
            count = math.floor((self.high - self.low) / self.step + 1e-9)
            value = min(value, self.low + self.step * count)
        value = min(self.high, max(self.low, value))
        return int(value) if self._whole else value

    def place(self, value: float) -> float:
        """Where a number stands, within 0 and 1."""
        first, last = self._ends
        at = math.log(max(value, self.low)) if self.log else float(value)
        return 0.5 if first == last else min(1.0, max(0.0, (at - first) / (last - first)))

    def draw(self, generator: np.random.Generator) -> float:
        """A number at random."""
        return self.at(generator.random())

    def near(self, value: float, spread: float, generator: np.random.Generator) -> float:
        """Another number, about `spread` of the range from one."""
        place = self.place(value) + spread * generator.normal()
        # What falls off at one end comes back from it.
        place = -place if place < 0 else 2 - place if place > 1 else place
        return self.at(place)

    @property
    def _whole(self) -> bool:
        ends = (self.low, self.high, self.step)
        return all(isinstance(end, int | np.integer) for end in ends)

    @property
    def _ends(self) -> tuple[float, float]:
        """Of the scale that is even; half a step is left at both, so that all are drawn alike."""
        margin = 0.0 if self.step is None else self.step / 2
        if not self.log:
            return self.low - margin, self.high + margin
        return math.log(max(self.low - margin, self.low / 2)), math.log(self.high + margin)


@dataclass(frozen=True)
class Choice:
    """One of several things, of any kind.

    Args:
        options: the things.

    Raises:
        InputError: there is none.
    """

    options: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise InputError("options is empty, but must hold something to choose")

    def draw(self, generator: np.random.Generator) -> Any:
        """One at random."""
        return self.options[int(generator.integers(len(self.options)))]

    def near(self, value: Any, spread: float, generator: np.random.Generator) -> Any:
        """Another one, with no regard to how far it is."""
        return self.draw(generator)


Space = Mapping[str, Number | Choice]


def draw(space: Space, count: int, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Configurations at random."""
    return [{name: part.draw(generator) for name, part in space.items()} for _ in range(count)]


def candidates(
    space: Space,
    good: Sequence[Mapping[str, Any]],
    count: int,
    generator: np.random.Generator,
) -> list[dict[str, Any]]:
    """Configurations to choose from: half of them at random, the others near good ones.

    >>> space = {"rate": Number(1e-5, 1.0, log=True), "kind": Choice(("a", "b"))}
    >>> drawn = candidates(space, [{"rate": 0.1, "kind": "a"}], 200, np.random.default_rng(0))
    >>> len(drawn), sum(0.01 < config["rate"] < 1 for config in drawn) > 120
    (200, True)

    Args:
        space: by name.
        good: configurations that did well, best first; each has every name of the space.
        count: how many.
        generator: source of randomness.
    """
    near = [
        _near(space, good[number % len(good)], _SPREADS[number % len(_SPREADS)], generator)
        for number in range(count // 2 if good else 0)
    ]
    return [*near, *draw(space, count - len(near), generator)]


def _near(
    space: Space, config: Mapping[str, Any], spread: float, generator: np.random.Generator
) -> dict[str, Any]:
    """A configuration with some of another's hyperparameters changed, at least one."""
    names = list(space)
    share = min(1.0, _CHANGED / len(names))
    changed = {name for name in names if generator.random() < share}
    changed = changed or {names[int(generator.integers(len(names)))]}
    return {
        name: part.near(config[name], spread, generator) if name in changed else config[name]
        for name, part in space.items()
    }
