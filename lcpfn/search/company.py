"""The runs of a search as each other's peers: what is known of each is kept, and looked up."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Goal
from lcpfn.forecast.bounds import BoundsLike
from lcpfn.forecast.company import (
    MOST_PEERS,
    Told,
    chosen_peers,
    distinct,
    lasting,
    told_of,
)
from lcpfn.forecast.curve import Curve, read_curve
from lcpfn.forecast.extrapolation import Extrapolation
from lcpfn.forecast.landmarks import END, expected, landmark_of
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.schedule import Schedule
from lcpfn.search.run import Record

# Of more runs than this that came earlier, nobody looks how alike they are.
_LOOKED_AT = 256


@dataclass(frozen=True)
class Companion:
    """Another run of the search.

    Args:
        run: its key.
        records: (step, value) of it, steps increasing.
        shift: what is to be added to the steps, as no forecast has a step 0.
        horizon: its own last step, that included.
        config: its hyperparameters, None where unknown.
    """

    run: Hashable
    records: Sequence[Record]
    shift: int
    horizon: float
    config: Mapping[str, Any] | None


class Company:
    """What is known of the runs of a search as peers, from one landmark to the next.

    Args:
        model: forecasts them.
        goal: "maximize" or "minimize".
    """

    def __init__(self, model: LCPFN, goal: Goal) -> None:
        self._model = model
        self._goal = goal
        self._known: dict[Hashable, tuple[tuple[Any, ...], Told]] = {}

    def forget(self, run: Hashable) -> None:
        """Drops what is kept of a run."""
        self._known.pop(run, None)

    def forget_all(self) -> None:
        """Drops what is kept of all runs."""
        self._known.clear()

    def heard(
        self,
        post: Extrapolation,
        companions: Sequence[Companion],
        config: Mapping[str, Any] | None,
        bounds: BoundsLike,
        schedule: Schedule | None,
    ) -> Extrapolation:
        """A forecast of a run, corrected by what became of the forecasts of others.

        Args:
            post: the forecast of the run alone.
            companions: the other runs, the latest last.
            config: the run's hyperparameters.
            bounds, schedule: as the run was forecast with.
        """
        kept_by = lasting(bounds), lasting(schedule)
        told = [
            known
            for companion in companions[-_LOOKED_AT:]
            if (known := self._told(companion, bounds, schedule, kept_by)) is not None
        ]
        chosen = chosen_peers(distinct(told), config, MOST_PEERS)
        return self._model.in_company(post, chosen, config)

    def _told(
        self,
        companion: Companion,
        bounds: BoundsLike,
        schedule: Schedule | None,
        kept_by: tuple[Hashable, Hashable],
    ) -> Told | None:
        last = companion.records[-1][0] + companion.shift
        share = last / companion.horizon
        # Nothing is looked up between two landmarks, so the records there need not be known.
        before = [
            (step + companion.shift) / companion.horizon for step, _ in companion.records[-2:]
        ]
        landmark = END if share >= 1 else landmark_of(share, expected(before))
        if landmark < 0:
            return None
        told_with = (companion.horizon, companion.shift, *kept_by)
        basis = (landmark, *told_with, companion.records[0])
        known = self._known.get(companion.run)
        if known is not None and known[0] == basis:
            return known[1]
        steps = [step + companion.shift for step, _ in companion.records]
        values = [value for _, value in companion.records]
        horizon = max(companion.horizon, last)
        try:
            curve = read_curve(values, steps, horizon, self._goal, bounds, schedule)
        except InputError:
            # Of a run that breaks what holds for the others, nobody learns.
            return None
        told = self.track(companion.run, curve, companion.config)
        if known is not None and known[0][1:] == basis[1:]:
            told.track.take_over(known[1].track)
        self._known[companion.run] = basis, told
        return told

    def track(self, run: Hashable, curve: Curve, config: Mapping[str, Any] | None) -> Told:
        """What is known of a run that has reached another landmark."""
        return told_of(curve, self._model.encode(curve), config)
