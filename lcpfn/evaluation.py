"""How good are forecasts of recorded runs? Scored after 10, 20, 40 and 80 % of each.

The last record is forecast, with everything as it would have been at the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lcpfn.errors import InputError
from lcpfn.forecast.bounds import BoundsLike
from lcpfn.forecast.model import LCPFN

SHARES = (0.1, 0.2, 0.4, 0.8)
"""Of each curve that are observed."""
INTERVALS = (0.50, 0.88, 0.96)
"""Central ones whose coverage is scored."""
LEAST_RECORDS = 4
"""Of a run that can be forecast in hindsight."""


@dataclass(frozen=True)
class Hindsight:
    """One forecast of a run's final value, beside what happened.

    Args:
        share: of the records that was observed.
        records: how many these were.
        last_value: the last of them.
        low, median, high: 6 %, 50 % and 94 % quantiles of the forecast.
        final: the value that was forecast.
        rank: probability that the forecast gave to values below the final one.
    """

    share: float
    records: int
    last_value: float
    low: float
    median: float
    high: float
    final: float
    rank: float

    def inside(self, level: float) -> bool:
        """Whether the final value lies in the central interval of this probability."""
        return 2 * abs(self.rank - 0.5) < level


def hindsight(
    model: LCPFN, values: ArrayLike, steps: ArrayLike, goal: str, bounds: BoundsLike = "auto"
) -> list[Hindsight]:
    """Forecasts of a run's last record from shares of its records, as they would have been made.

    Bounds are guessed from the records observed by then.

    Args:
        model: that forecasts.
        values: (n,) as logged; records that are missing or infinite are left out.
        steps: (n,) of these.
        goal, bounds: as for `LCPFN.extrapolate`.

    Returns:
        one for each share that leaves something to forecast.

    Raises:
        InputError: too few records, or as for `LCPFN.extrapolate`.
    """
    logged = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(logged)
    logged, at = logged[finite], np.asarray(steps, dtype=np.float64)[finite]
    if len(logged) < LEAST_RECORDS:
        raise InputError(
            f"the run has {len(logged)} finite records, but must have at least {LEAST_RECORDS} to "
            "be forecast in hindsight"
        )
    counts = {share: max(2, round(share * len(logged))) for share in SHARES}
    posts = {
        share: model.extrapolate(
            logged[:count],
            at[:count],
            horizon=float(at[-1]),
            goal=goal,
            bounds=bounds,
            query=at[-1:],
        )
        for share, count in counts.items()
        if count < len(logged)
    }
    made = []
    for share, post in posts.items():
        low, median, high = post.quantile([0.06, 0.5, 0.94])[:, -1].tolist()
        last_value, final = float(logged[counts[share] - 1]), float(logged[-1])
        rank = float(post.cdf(final)[-1])
        made.append(Hindsight(share, counts[share], last_value, low, median, high, final, rank))
    return made
