"""What every loader returns: the recorded learning curves of one data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcpfn.errors import InputError, LCPFNError
from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import Bounds

Array = NDArray[np.float64]


class MissingDownloadError(LCPFNError, FileNotFoundError):
    """A benchmark is not where it was looked for; the message says how to get it."""


@dataclass(frozen=True)
class RecordedCurves:
    """Curves of one data set (task), as published.

    Args:
        benchmark: such as "lcbench".
        name: of the data set.
        metric: what was recorded, in the benchmark's own words.
        goal: "maximize" or "minimize".
        bounds: what the metric can never pass, None where open.
        steps: for each curve (records,) the step of each record; 0 is before training.
        values: for each curve (records,); NaN and infinities where training diverged.
        configurations: for each curve what it was trained with.
    """

    benchmark: str
    name: str
    metric: str
    goal: Goal
    bounds: Bounds
    steps: tuple[Array, ...]
    values: tuple[Array, ...]
    configurations: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        counts = {len(self.steps), len(self.values), len(self.configurations)}
        if len(counts) > 1:
            raise InputError(
                f"{self.name} has {len(self.steps)} steps, {len(self.values)} values and "
                f"{len(self.configurations)} configurations, but must have one of each per curve"
            )
        for index, (at, recorded) in enumerate(zip(self.steps, self.values, strict=True)):
            if at.shape != recorded.shape:
                raise InputError(
                    f"curve {index} of {self.name} has steps of shape {at.shape}, but values of "
                    f"shape {recorded.shape}; they must agree"
                )

    @property
    def full_name(self) -> str:
        """The benchmark and the data set, "lcbench/adult"."""
        return f"{self.benchmark}/{self.name}"


@dataclass(frozen=True)
class Download:
    """Where a benchmark comes from.

    Args:
        title: name and publication.
        commands: shell commands that fetch and unpack it.
        give: what of it to pass on.
    """

    title: str
    commands: tuple[str, ...]
    give: str

    def require(self, path: Path) -> None:
        """Checks that `path` exists.

        Raises:
            MissingDownloadError: with the commands that fetch the benchmark.
        """
        if not path.exists():
            commands = "\n".join(f"    {command}" for command in self.commands)
            raise MissingDownloadError(
                f"{path} does not exist. To get {self.title}, type\n{commands}\n"
                f"and give {self.give}"
            )

    def wrong(self, path: Path, reason: str) -> InputError:
        """The error for a file that is there, but is not what was expected."""
        return InputError(f"{path} is not {self.title}: {reason}. Give {self.give}")


def choose(name: str, value: str, known: Mapping[str, Any]) -> Any:
    """An entry of `known` by its key.

    Raises:
        InputError: listing the keys.
    """
    if value not in known:
        raise InputError(f"{name} is {value!r}, but must be one of {', '.join(map(repr, known))}")
    return known[value]
