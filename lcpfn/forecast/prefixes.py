"""Forecasts of many steps after many prefixes of many curves, in few passes of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.forecast.bounded import Marginal
from lcpfn.forecast.curve import Curve
from lcpfn.forecast.encoding import Encoded
from lcpfn.network.engine import Engine
from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import Observations, Questions

# Tokens that go through the network together: enough to keep it busy, few enough for caches.
_TOKENS = 4096


class Asked(NamedTuple):
    """What is asked of one curve.

    Args:
        encoded: the curve, as the network sees it.
        curve: the curve itself.
        records: (m,) how many of the curve's records each question knows of, at least 1.
        steps: (m,) asked steps, each after the last record that its question knows of.
    """

    encoded: Encoded
    curve: Curve
    records: Array
    steps: Array


def forecast_after(network: Engine, asked: Sequence[Asked]) -> list[Marginal]:
    """Answers questions after prefixes of curves.

    Prefixes are seen on the scale of their whole curve, and a log that is thinned is cut where the
    cell of its last record ends, so the answers are those of `LCPFN.extrapolate` on the prefix but
    for rounding, in all but pathological curves.

    Args:
        network: with its weights.
        asked: of each curve, at least one question.

    Returns:
        of each curve (m,) forecasts in the metric's own unit.
    """
    order = sorted(range(len(asked)), key=lambda index: _tokens(asked[index]))
    found: dict[int, Marginal] = {}
    while order:
        chosen: list[int] = []
        while order and (len(chosen) + 1) * _tokens(asked[order[0]]) <= _TOKENS:
            chosen.append(order.pop(0))
        chosen = chosen or [order.pop(0)]
        found |= zip(chosen, _pass(network, [asked[index] for index in chosen]), strict=True)
    return [found[index] for index in range(len(asked))]


def _tokens(one: Asked) -> int:
    return one.encoded.observations.length + len(one.steps)


def _pass(network: Engine, asked: Sequence[Asked]) -> list[Marginal]:
    most = max(len(one.steps) for one in asked)
    prefixes, questions = [], []
    for one in asked:
        axis = one.encoded.axis
        kept = axis.kept(one.curve.steps)
        # The record of the prefix's newest cell is there, if maybe a later one of that cell.
        seen = np.searchsorted(kept, one.records - 1) + 1
        last = one.curve.steps[one.records - 1]
        fractions = [
            axis.query_fractions(np.array([step]), before)[0]
            for step, before in zip(one.steps.tolist(), last.tolist(), strict=True)
        ]
        missing = most - len(seen)
        prefixes.append(np.pad(seen, (0, missing), mode="edge"))
        schedule = one.encoded.schedule
        steps = np.pad(one.steps, (0, missing), mode="edge")
        questions.append(
            Questions(
                np.pad(fractions, (0, missing), mode="edge").astype(np.float32)[None],
                None if schedule is None else schedule.at(steps)[None],
            )
        )
    observations = Observations.padded([one.encoded.observations for one in asked])
    unit = network.answer_after(observations, np.stack(prefixes), Questions.stacked(questions))
    return [_in_metric(unit[row, : len(one.steps)], one) for row, one in enumerate(asked)]


def _in_metric(unit: BinnedDistribution, one: Asked) -> Marginal:
    headroom = one.encoded.headroom_after(one.curve, one.records, one.steps)
    return one.encoded.in_metric(unit, one.curve, headroom)
