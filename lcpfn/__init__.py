"""Learning-curve extrapolation and early stopping with a prior-data fitted network.

>>> import lcpfn
>>> post = lcpfn.load().extrapolate([0.31, 0.52, 0.58, 0.63], horizon=50)
>>> 0 < post.prob_better(than=0.8) < 1
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lcpfn.errors import (
        CheckpointError,
        InputError,
        LCPFNError,
        MissingExtraError,
        TrainingError,
        WeightsError,
    )
    from lcpfn.forecast.extrapolation import Extrapolation
    from lcpfn.forecast.model import LCPFN
    from lcpfn.forecast.peer import Peer
    from lcpfn.forecast.stream import Stream
    from lcpfn.search.early_stopping import EarlyStopping
    from lcpfn.search.outlook import Outlook
    from lcpfn.search.proposals import Proposal
    from lcpfn.search.rule import Decision, StoppingRule
    from lcpfn.search.search import Search
    from lcpfn.search.settings import SearchSettings
    from lcpfn.search.standing import standing
    from lcpfn.search.verdict import Verdict
    from lcpfn.weights import available, load

__version__ = "0.1.0"

# Imported on first use, so that `lcpfn --help` does not wait for torch.
_HOMES = {
    "LCPFN": "lcpfn.forecast.model",
    "CheckpointError": "lcpfn.errors",
    "Decision": "lcpfn.search.rule",
    "EarlyStopping": "lcpfn.search.early_stopping",
    "Extrapolation": "lcpfn.forecast.extrapolation",
    "InputError": "lcpfn.errors",
    "LCPFNError": "lcpfn.errors",
    "MissingExtraError": "lcpfn.errors",
    "Outlook": "lcpfn.search.outlook",
    "Peer": "lcpfn.forecast.peer",
    "Proposal": "lcpfn.search.proposals",
    "Search": "lcpfn.search.search",
    "SearchSettings": "lcpfn.search.settings",
    "StoppingRule": "lcpfn.search.rule",
    "Stream": "lcpfn.forecast.stream",
    "TrainingError": "lcpfn.errors",
    "Verdict": "lcpfn.search.verdict",
    "WeightsError": "lcpfn.errors",
    "available": "lcpfn.weights",
    "load": "lcpfn.weights",
    "standing": "lcpfn.search.standing",
}

__all__ = [
    "LCPFN",
    "CheckpointError",
    "Decision",
    "EarlyStopping",
    "Extrapolation",
    "InputError",
    "LCPFNError",
    "MissingExtraError",
    "Outlook",
    "Peer",
    "Proposal",
    "Search",
    "SearchSettings",
    "StoppingRule",
    "Stream",
    "TrainingError",
    "Verdict",
    "WeightsError",
    "available",
    "load",
    "standing",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lcpfn' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
