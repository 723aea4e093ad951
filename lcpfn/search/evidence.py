"""How much is known of a run: records that stand close together tell little more than one."""

from __future__ import annotations

from typing import Any

import numpy as np

_PARTS = 50
# A record at the end of a part belongs to it, whatever rounding made of it.
_ROUNDING = 1e-9


def evidence(steps: Any, horizon: float) -> int:
    """In how many fiftieths of its run a run has records.

    So a run that logs ten times as often is not decided on ten times as soon. Of runs of up to
    about fifty records it is their number.

    >>> evidence([1, 2, 3, 4], horizon=50), evidence([0.1, 0.2, 0.3, 0.4, 1.2], horizon=50)
    (4, 2)

    Args:
        steps: (n,) of the records, increasing and positive.
        horizon: last step of the run.
    """
    parts = np.ceil(np.asarray(steps, dtype=np.float64) * (_PARTS / horizon) - _ROUNDING)
    return int(np.count_nonzero(np.diff(parts)) + 1) if len(parts) else 0
