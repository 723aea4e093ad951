"""Counts that begin anew in every epoch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.logs.run import RunLog, read_run

BATCHES = 30


def batches(epochs: list[int]) -> list[tuple[int, int, float]]:
    """Epoch, batch and loss, three records an epoch."""
    return [
        (epoch, batch, round(2 / (at + 1) + 0.01 * batch / BATCHES, 4))
        for at, epoch in enumerate(epochs)
        for batch in (10, 20, 30)
    ]


def read(folder: Path, lines: list[str], metric: str = "loss", **options: float) -> RunLog:
    path = folder / "train.log"
    path.write_text("\n".join([*lines, ""]))
    return read_run(path, metric, **options)


LINES = (
    "Epoch(train) [{0}][{1}/30]  lr: 1.0e-02  loss: {2}",
    "Epoch: [{0}] [ {1}/30] learning_rate: 0.010 loss: {2}",
    "Epoch: [{0}/80] Iter:[{1}/30], Loss: {2}",
    '{{"mode": "train", "epoch": {0}, "iter": {1}, "loss": {2}}}',
)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("first", [0, 1, 7])
def test_records_lie_at_parts_of_an_epoch(tmp_path: Path, line: str, first: int) -> None:
    found = batches(list(range(first, first + 4)))
    log = read(tmp_path, [line.format(*each) for each in found])
    assert log.values.tolist() == [loss for _, _, loss in found]
    base = 0 if first == 0 else 1
    expected = [epoch - base + batch / BATCHES for epoch, batch, _ in found]
    np.testing.assert_allclose(log.logged_steps, expected)
    assert any("begins anew in every epoch" in note for note in log.notes)


@given(st.lists(st.integers(1, 200), min_size=2, max_size=6, unique=True), st.integers(2, 9))
def test_any_number_of_batches(
    tmp_path_factory: pytest.TempPathFactory, epochs: list[int], count: int
) -> None:
    lines = [
        json.dumps({"epoch": epoch, "iter": batch, "loss": epoch + batch / 100})
        for epoch in sorted(epochs)
        for batch in range(1, count + 1)
    ]
    log = read(tmp_path_factory.getbasetemp(), lines)
    assert len(log.values) == len(lines)
    assert log.logged_steps[-1] == max(epochs)


def test_a_resumed_epoch(tmp_path: Path) -> None:
    found = batches([1, 2])[:5] + batches([2, 3])
    log = read(tmp_path, [LINES[0].format(*each) for each in found])
    assert len(log.values) == 3 + 6
    assert any("resumed" in note for note in log.notes)


def test_a_count_through_the_whole_run_is_better(tmp_path: Path) -> None:
    lines = [
        json.dumps({"epoch": epoch, "batch": batch, "step": 30 * epoch + batch, "loss": loss})
        for epoch, batch, loss in batches([0, 1, 2])
    ]
    assert read(tmp_path, lines).steps_column == "step"


def test_the_only_epoch_is_counted_in_batches(tmp_path: Path) -> None:
    found = batches([0])
    one = read(tmp_path, [f"Epoch: [{e}/1] [ {b}/30] loss: {loss}" for e, b, loss in found])
    assert (one.steps_column, one.stated_horizon) == ("batch", 30)
    first = read(tmp_path, [f"Epoch: [{e}/300] [ {b}/30] loss: {loss}" for e, b, loss in found])
    assert (first.steps_column, first.stated_horizon) == ("epoch", 300)
    assert first.logged_steps[-1] == 1


@pytest.mark.parametrize("line", LINES)
def test_a_horizon_in_batches(tmp_path: Path, line: str) -> None:
    lines = [line.format(*each) for each in batches([1, 2, 3])]
    log = read(tmp_path, lines, horizon=2700.0)
    assert log.logged_steps.tolist() == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert any("the horizon of 2700 is one of" in note for note in log.notes)


def test_batches_from_nought_whose_number_is_not_said(tmp_path: Path) -> None:
    lines = [
        json.dumps({"epoch": epoch, "batch": batch, "loss": 1 / (1 + epoch + batch)})
        for epoch in (1, 2, 3)
        for batch in (0, 10, 20, 30)
    ]
    log = read(tmp_path, lines)
    assert log.logged_steps.tolist() == [at / 4 for at in range(12)]


def test_a_horizon_in_batches_of_a_metric_without_them_is_doubted(tmp_path: Path) -> None:
    lines = [
        *(LINES[0].format(*each) for each in batches([1, 2, 3, 4, 5])),
        "Epoch(val)  [5][14/14]  coco/bbox_mAP: 0.2710",
    ]
    log = read(tmp_path, lines, "bbox_mAP", horizon=580.0)
    assert any("580 is 116 times the last epoch, 5" in note for note in log.notes)
    assert not any("times" in note for note in read(tmp_path, lines, "bbox_mAP", horizon=99).notes)
    # Epoch 0 says nothing of how far the run is.
    early = ["Epoch(val)  [0][14/14]  coco/bbox_mAP: 0.2710"]
    assert read(tmp_path, early, "bbox_mAP", horizon=580.0).logged_steps.tolist() == [0]
