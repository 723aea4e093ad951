"""Steps that stand in the rows of training alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lcpfn.logs.run import RunLog, read_run

ACCURACIES = [0.31, 0.48, 0.55, 0.6, 0.63]
# What a row of validation says of its step: how large the data are, or which epoch it is.
VALIDATION = ("iter", "step")


def read(folder: Path, kind: str, horizon: float) -> RunLog:
    lines: list[dict[str, object]] = []
    for at, accuracy in enumerate(ACCURACIES, start=1):
        lines += [
            {"epoch": at, "iter": 200 * at - back, "step": 200 * at - back, "loss": 1 / at}
            for back in (100, 0)
        ]
        own = {"epoch": at, "iter": 64} if kind == "iter" else {"step": at}
        lines.append({**own, "top1": accuracy})
    path = folder / "scalars.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_run(path, "top1", None, horizon)


@pytest.mark.parametrize("kind", VALIDATION)
def test_a_horizon_of_steps(tmp_path: Path, kind: str) -> None:
    log = read(tmp_path, kind, 4000)
    assert log.values.tolist() == ACCURACIES
    assert log.model_steps.tolist() == [200, 400, 600, 800, 1000]
    assert any("the horizon of 4000 fits iter in other rows" in note for note in log.notes)


@pytest.mark.parametrize("kind", VALIDATION)
def test_a_horizon_of_epochs(tmp_path: Path, kind: str) -> None:
    log = read(tmp_path, kind, 100)
    assert log.model_steps.tolist() == [1, 2, 3, 4, 5]
    assert log.steps_column == ("epoch" if kind == "iter" else "step")
