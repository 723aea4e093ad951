"""Learning curves that trainers are made to report, and what all of their tests share."""

from __future__ import annotations

import importlib
import math
import warnings
from types import ModuleType

import pytest

EPOCHS = 50
BEST = 0.93
HOPELESS = [0.6 - 0.4 * 0.7**epoch for epoch in range(1, EPOCHS + 1)]
GOOD = [0.95 - 0.6 * 0.8**epoch for epoch in range(1, EPOCHS + 1)]
# Of a run that has begun; where it has no ceiling, it goes on beyond 1.
RISING = [0.1 * epoch for epoch in range(1, 9)]
DIVERGED = [0.3, 0.4, math.nan, *HOPELESS[3:]]
# Stops as soon as it may.
BOLD = {"threshold": 0.9, "early_caution": 0.0}
LEAST = 4

# Trainers warn of much, and most of it of each other.
quietly = pytest.mark.filterwarnings("ignore")


def import_trainer(name: str) -> ModuleType:
    """A trainer's package; the tests of an environment without it are skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(name)
        return importlib.import_module(name)


def losses(accuracies: list[float]) -> list[float]:
    return [1 - accuracy for accuracy in accuracies]
