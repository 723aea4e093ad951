"""What is known of a run at its landmarks, and what became of the forecasts that were made there.

A forecast that a model made of a run says nothing about the model until the run has gone on. Then
the value that came lies at some probability of that forecast, its probability integral transform
(Dawid 1984): near 1 means that the run did better than forecast.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from lcpfn.forecast.arguments import Array
from lcpfn.forecast.curve import Curve
from lcpfn.forecast.distribution import Distribution
from lcpfn.forecast.encoding import Encoded
from lcpfn.forecast.landmarks import END, HALF, expected, landmark_of, reach_of, records_by
from lcpfn.forecast.prefixes import Asked, forecast_after
from lcpfn.network.engine import Engine

LEVELS = np.array([0.1, 0.5, 0.9])
"""Levels at which forecasts are compared."""


class Answer(NamedTuple):
    """A forecast made at a landmark, higher is better.

    Args:
        low, middle, high: its quantiles at `LEVELS`.
        met: the probability of values below the one that came; NaN where it has not come.
    """

    low: float
    middle: float
    high: float
    met: float


Pair = tuple[int, int]
"""The landmark at which a forecast was made, and the one that it is about."""


@dataclass(frozen=True)
class Track:
    """One run at its landmarks, higher is better.

    Args:
        curve: the run so far.
        encoded: the same as the network sees it.
        shares: (END + 1,) of the run that its newest record by each landmark had seen, NaN before
            the first; at the end, those of its newest record.
        values: (END + 1,) the newest record by each landmark, NaN before the first.
        records: (END + 1,) how many there were.
        following: share at which its next record is to be expected.
        answers: forecasts by landmarks, as far as they have been asked for.
        facts: what the second network is told of it, by the landmark of the run at hand, as far as
            it has been asked, see `lcpfn.network.peer_description.prepared`; None for nothing.
    """

    curve: Curve
    encoded: Encoded
    shares: Array
    values: Array
    records: Array
    following: float
    answers: dict[Pair, Answer] = field(default_factory=dict, compare=False, repr=False)
    facts: dict[int, Array | None] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(curve: Curve, encoded: Encoded) -> Track:
        """The track of a run.

        Args:
            curve: its records.
            encoded: the same as the network sees it.
        """
        axis = encoded.axis
        shares = axis.fractions(curve.steps)
        # Where a log is thinned, a landmark goes by the last record that is kept.
        kept = axis.kept(curve.steps)
        counted = records_by(shares[kept])
        records = np.append(np.where(counted > 0, kept[counted - 1] + 1, 0), len(shares))
        worth = curve.values if curve.goal == "maximize" else -curve.values
        missing = records == 0
        return Track(
            curve,
            encoded,
            np.where(missing, np.nan, shares[records - 1]),
            np.where(missing, np.nan, worth[records - 1]),
            records,
            expected(shares[-2:].tolist()),
        )

    @cached_property
    def first(self) -> float:
        """The first record."""
        return float(self.curve.values[0] * (1 if self.curve.goal == "maximize" else -1))

    def place(self, landmark: int) -> int | None:
        """Where it is compared with a run at a landmark: there, or at the last it has reached.

        None where it had no record by then.
        """
        place = min(self.last, landmark)
        return place if place >= 0 and self.records[place] else None

    @cached_property
    def last(self) -> int:
        """The last landmark that the run has reached, -1 before the first; END at its end."""
        return END if self.curve.finished else landmark_of(float(self.shares[-1]), self.following)

    @cached_property
    def reach(self) -> int:
        """The last landmark at which it is looked up what became of the run, -1 before any."""
        return END if self.curve.finished else reach_of(self.last)

    def take_over(self, earlier: Track) -> None:
        """Takes over the forecasts of the same run, made when it had fewer records."""
        same = self.records == earlier.records
        for pair, answer in earlier.answers.items():
            made, about = pair
            # What is said of the end does not change, but at the end it is met.
            kept = same[about] if about != END else not self.curve.finished
            if same[made] and kept:
                self.answers[pair] = answer

    def pairs(self, landmark: int, reach: int | None = None) -> Iterable[Pair]:
        """The forecasts that tell of a run at a landmark.

        Of its end; half as far, of this landmark; and here, of what has become of it since.

        Args:
            landmark: that the run has reached.
            reach: how far its later records may be looked at; default as far as they go.
        """
        yield landmark, END
        if self.possible((landmark - HALF, landmark)):
            yield landmark - HALF, landmark
        later = self.reach if reach is None else reach
        if later != END and self.possible((landmark, later)):
            yield landmark, later

    def possible(self, pair: Pair) -> bool:
        """Whether there are records to forecast from, and a later one to compare with."""
        made, about = pair
        return made >= 0 and 0 < self.records[made] < self.records[about]

    def step(self, landmark: int) -> float:
        """The step of the newest record by a landmark; the horizon for the end."""
        if landmark == END:
            return self.curve.horizon
        return float(self.curve.steps[self.records[landmark] - 1])


def learn(network: Engine, wanted: Sequence[tuple[Track, Iterable[Pair]]]) -> None:
    """Makes the forecasts of some runs that have not been made before.

    Args:
        network: with its weights.
        wanted: runs, and the landmarks that forecasts are wanted of.
    """
    missing = [
        (track, [pair for pair in dict.fromkeys(pairs) if pair not in track.answers])
        for track, pairs in wanted
    ]
    missing = [(track, pairs) for track, pairs in missing if pairs]
    asked = [
        Asked(
            track.encoded,
            track.curve,
            np.array([track.records[made] for made, _ in pairs]),
            np.array([track.step(about) for _, about in pairs]),
        )
        for track, pairs in missing
    ]
    for (track, pairs), forecasts in zip(missing, forecast_after(network, asked), strict=True):
        answers = _answers(track, pairs, forecasts)
        track.answers.update(zip(pairs, answers, strict=True))


def _answers(track: Track, pairs: Sequence[Pair], forecasts: Distribution) -> list[Answer]:
    rising = track.curve.goal == "maximize"
    levels = LEVELS if rising else 1 - LEVELS
    quantiles = np.asarray(forecasts.quantile(levels[:, None])) * (1 if rising else -1)
    came = np.array([track.values[about] for _, about in pairs])
    below = np.asarray(forecasts.cdf(came if rising else -came))
    met = below if rising else 1 - below
    known = [about != END or track.curve.finished for _, about in pairs]
    table = np.column_stack([quantiles.T, np.where(known, met, np.nan)])
    return [Answer(*row) for row in table.tolist()]
