"""Shares in percent and not."""

from __future__ import annotations

import math

import pytest

from lcpfn.logs.shares import other_unit


@pytest.mark.parametrize("metric", ["val_acc", "Acc@1", "metrics/mAP50(B)", "eval_f1", "mIoU"])
@pytest.mark.parametrize(
    ("values", "best", "instead"),
    [([0.31, math.nan, 0.62], 84.6, "Write 0.846"), ([31.0, 62.0], 0.846, "Write 84.6")],
)
def test_what_is_doubted(metric: str, values: list[float], best: float, instead: str) -> None:
    doubt = other_unit(metric, "maximize", values, best)
    assert doubt is not None and instead in doubt


@pytest.mark.parametrize(
    ("metric", "goal", "values", "best"),
    [
        ("val_acc", "maximize", [0.3, 0.6], 0.8),
        ("val_acc", "maximize", [31.0, 62.0], 84.6),
        ("reward", "maximize", [0.3, 0.6], 84.6),
        ("error_rate", "minimize", [2.3, 1.4], 0.8),
        ("val_acc", "maximize", [0.3, 0.6], None),
        ("val_acc", "maximize", [0.3, 0.6], -math.inf),
        ("val_acc", "maximize", [math.nan], 84.6),
    ],
)
def test_what_is_not(metric: str, goal: str, values: list[float], best: float | None) -> None:
    assert other_unit(metric, goal, values, best) is None
