"""One table of searches through all doors: the same decision from each."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from tests.search.scenarios import DOORS, SCENARIOS, Scenario


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.filterwarnings("ignore:The reported value is ignored")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("door", list(DOORS))
def test_every_door_decides_alike(door: str, scenario: Scenario, tmp_path: Path) -> None:
    if door == "should-stop" and not scenario.command:
        pytest.skip("it hears of runs that have ended, all of one length")
    assert DOORS[door](scenario, tmp_path) == scenario.expected
