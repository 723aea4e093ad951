"""How far peers are let in: a second look at whether they are of use.

The second network says how likely its peers are to be of any use, but it learned that beside all
else that it answers, from peers most of whom were of the same task. What it is shown of the run
among its peers tells more. So a small network of its own reads that and answers two log-odds: by
how much peers are likelier to be of use than the second network says, which it learned from the
scores of the forecasts that come out; and that they are of the run's own task, which it learned as
a classifier does, and which only ever closes. They are not added up while they are learned, or the
first would undo the second.

Late in a run the second network knows by itself how useful peers are, and the first fades. That
they are of another task shows best then, and stays.

And what a few peers say may be too much to be true. A forecast is seldom so wrong that a single
other run could tell that nearly all of its probability belongs into one of its tails. Where peers
say so, they mostly are of another task, and what that does to a forecast with long tails is the
worst that they can do. So the gate closes by how many nats of information about the forecast are
claimed beyond what so many peers can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.arrays import AnyArray, array_module, clipped
from lcpfn.network.comparison import OWN

_HIDDEN = 64
_INPUTS = len(OWN) + 1
_SHARE, _LOG_COUNT, _ONE_IN = (
    slice(OWN[name], OWN[name] + 1) for name in ("share", "log_count", "one_in")
)
USE, KINSHIP = 0, 1
"""What it answers: by how much likelier peers are to be of use, and that they are of the task."""
GATE = {
    "gate.centre": (_INPUTS,),
    "gate.scale": (_INPUTS,),
    "gate.in": (_INPUTS, _HIDDEN),
    "gate.bias": (_HIDDEN,),
    "gate.out": (_HIDDEN, 2),
    "gate.out_bias": (2,),
}
"""Its parameters by name."""
_FARTHEST = 8.0
# How much the second closes, and how much more where there is one peer alone, which shows little of
# being of the task; and how fast each fades as the run goes on. Set on sources left out of
# training, see `experiments/peers.py`.
_CLOSES, _CLOSES_ALONE = 1.5, 1.0
_USE_FADES, _KINSHIP_FADES = 2.0, 0.5
# So many nats are believed, so many more for the logarithm of one more than there are peers; and so
# much closes the gate each nat beyond that, and so much more where there is one peer alone.
_NATS, _NATS_MORE = 0.5, 0.22
_OVERSTATED, _OVERSTATED_ALONE = 1.0, 1.0


def initial_gate(generator: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Starting weights, float32: an untrained gate changes nothing."""
    found = {name: np.zeros(shape, np.float32) for name, shape in GATE.items()}
    found["gate.scale"] += 1
    drawn = _INPUTS**-0.5 * generator.normal(size=GATE["gate.in"])
    return {**found, "gate.in": drawn.astype(np.float32)}


def seen_by_gate(own: AnyArray, helpful: AnyArray) -> AnyArray:
    """What the gate reads, (..., inputs).

    Args:
        own: (..., len(OWN)) what the second network is shown of the run.
        helpful: (..., 1) log-odds with which it says that peers are of use.
    """
    return array_module(own).concat([own, helpful], axis=-1)


def gate_answer(weights: Mapping[str, Any], seen: AnyArray) -> AnyArray:
    """Both log-odds, (..., 2).

    Args:
        weights: by the names of `GATE`, numpy arrays or torch tensors.
        seen: (..., inputs) see `seen_by_gate`.
    """
    placed = (seen - weights["gate.centre"]) / weights["gate.scale"]
    placed = clipped(placed, -_FARTHEST, _FARTHEST)
    hidden = clipped(placed @ weights["gate.in"] + weights["gate.bias"], 0.0)
    return hidden @ weights["gate.out"] + weights["gate.out_bias"]


def fading(own: AnyArray) -> AnyArray:
    """How much its first answer counts, (..., 1): all at the start of a run, nothing at its end."""
    return _to_come(own) ** _USE_FADES


def gated(weights: Mapping[str, Any], own: AnyArray, helpful: AnyArray, nats: AnyArray) -> AnyArray:
    """Log-odds that peers are of use, (..., 1), after the second look.

    Args:
        weights: by the names of `GATE`.
        own, helpful: see `seen_by_gate`.
        nats: (..., 1) how much peers claim to know of where the run ends in its forecast.
    """
    told = gate_answer(weights, seen_by_gate(own, helpful))
    use, kinship = told[..., USE : USE + 1], told[..., KINSHIP : KINSHIP + 1]
    closes = _to_come(own) ** _KINSHIP_FADES * (_CLOSES + _CLOSES_ALONE * own[..., _ONE_IN])
    opened = helpful + fading(own) * use + closes * clipped(kinship, high=0.0)
    return opened - overstated(own, nats)


def overstated(own: AnyArray, nats: AnyArray) -> AnyArray:
    """By how much the gate closes as peers claim more than so many can know, (..., 1)."""
    believed = _NATS + 2 * _NATS_MORE * own[..., _LOG_COUNT]
    closes = _OVERSTATED + _OVERSTATED_ALONE * own[..., _ONE_IN]
    return closes * clipped(nats - believed, 0.0)


def _to_come(own: AnyArray) -> AnyArray:
    """The share of the run that is to come, (..., 1)."""
    return clipped(1 - own[..., _SHARE], 0.0)
