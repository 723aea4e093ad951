"""Metrics that are shares, in percent in one place and not in another."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lcpfn.logs.names import MAXIMIZE, words

_SHARES_TEXT = """
acc accuracy top1 top5 acc1 acc5 map map50 ap ap50 ap75 auc auroc aucpr auprc prauc f1 fscore f2
fbeta precision recall dice iou miou jaccard sensitivity specificity hits
"""
_SHARES = frozenset(_SHARES_TEXT.split())
_PERCENT = 100.0


def other_unit(metric: str, goal: str, values: Iterable[float], best: float | None) -> str | None:
    """Why a value to beat is in percent where a run's share is not, or the other way round.

    Args:
        metric: its name.
        goal: "maximize" or "minimize".
        values: of the run.
        best: the value to beat, None where there is none.

    Returns:
        A sentence that says what to write instead; None where they seem to be of one unit.
    """
    finite = [value for value in values if math.isfinite(value)]
    if best is None or goal != MAXIMIZE or not finite or not _SHARES & set(words(metric)):
        return None
    low, high = min(finite), max(finite)
    if low >= 0 and high <= 1 < best <= _PERCENT:
        instead = best / _PERCENT
    elif 1 < high <= _PERCENT and low >= 0 and 0 < best <= 1:
        instead = best * _PERCENT
    else:
        return None
    return (
        f"best is {best:g}, but {metric} lies between {low:g} and {high:g} so far: is one of them "
        f"in percent? Write {instead:g}, or state the bounds of the metric where it is not"
    )
