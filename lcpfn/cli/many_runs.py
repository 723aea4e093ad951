"""What the commands about many runs share: their options, and the check of what they are given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from lcpfn.cli.options import Option
from lcpfn.errors import InputError

MINUTE = 60.0
"""In seconds."""

BestOption = Annotated[
    float | None,
    Option(
        help="Final value of the best run so far, where it is none of these.",
        show_default=False,
    ),
]
ThresholdOption = Annotated[
    float, Option(help="Stop where the probability to beat the best is below this.")
]
PatienceOption = Annotated[int, Option(help="Records in a row that must say stop.")]
MinDeltaOption = Annotated[float, Option(help="By how much the best must be beaten.")]


def idle_seconds(minutes: float) -> float:
    """Checks --idle, and gives it in seconds.

    Raises:
        InputError: it is not positive.
    """
    if not minutes > 0:
        raise InputError(f"--idle is {minutes:g}, but must be a positive number of minutes")
    return minutes * MINUTE


def check_sources(sources: Iterable[str]) -> None:
    """Checks that folders and logs are there.

    Raises:
        InputError: one is not.
    """
    for source in sources:
        if not Path(source).exists():
            raise InputError(f"{source} does not exist: name a folder of runs, or a log")
