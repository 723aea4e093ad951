"""Many runs followed by their logs alone: what each is worth while it is being written.

All that is known stands in the logs: whoever begins anew finds the same.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array, Goal
from lcpfn.forecast.bounds import BoundsLike
from lcpfn.logs.name_bounds import bounds_by_name
from lcpfn.logs.run import RunLog
from lcpfn.logs.shares import other_unit
from lcpfn.logs.tree import Log, Place, find_runs
from lcpfn.search.chances import LEVELS, chances_to_end_best
from lcpfn.search.forecasts import Forecaster
from lcpfn.search.search import Search
from lcpfn.search.verdict import Verdict

if TYPE_CHECKING:
    from lcpfn.forecast.model import LCPFN

State = Literal["live", "idle", "finished", "diverged"]

_BEST = "--best"
# The ends of the central interval of 88 %.
_BAND = (0.06, 0.94)
_SHAPE = 16
# A log that is written anew may be gone for a moment.
_MISSED = 3
# Every run that has ended is a peer, so that the order in which they did does not matter.
_ALL = 10**9


@dataclass(frozen=True)
class Asked:
    """What is asked of every log; what is None is taken from the logs where they say it.

    Args:
        metric, steps_column: as for `lcpfn.logs.run.read_run`.
        goal: "maximize" or "minimize".
        horizon: length of the full run as a person states it.
    """

    metric: str | None = None
    steps_column: str | None = None
    goal: str | None = None
    horizon: float | None = None


@dataclass(frozen=True)
class WatchedRun:
    """What is known of a run.

    Args:
        name: what to call it.
        path: of its log, or of the folder that is its own.
        run: its name in its log, where that holds several.
        metric, step_name: what is forecast, and over what.
        state: "live"; "idle", its log has not changed for long; "finished", it has reached its
            horizon; or "diverged".
        records: how many there are.
        first: its first record, a step and a value.
        step, value: of its newest record, in the log's own numbering.
        horizon: length of the full run as a person states it, None where unknown.
        progress: share of the run that has been observed, NaN where the horizon is unknown.
        low, median, high: of its final value; it lies between `low` and `high` with a probability
            of 88 %. All are that value itself where the run has finished, NaN where nothing is
            known.
        chance: probability to end best of all, NaN where nothing is known.
        verdict: what the rule says, and why.
        shape: (m,) its values, m at most 16, each the mean of as many records.
        quiet: seconds since its log was written to.
        notes: how its log was read, each a sentence.
    """

    name: str
    path: Path
    run: str | None
    metric: str
    step_name: str
    state: State
    records: int
    first: tuple[float, float]
    step: float
    value: float
    horizon: float | None
    progress: float
    low: float
    median: float
    high: float
    chance: float
    verdict: Verdict
    shape: tuple[float, ...]
    quiet: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """What was read of a run.

    Args:
        log: its records.
        horizon: its last step for a model, in the steps of `log.model_steps`; None where unknown.
        bounds: what the metric can never pass.
        known_bounds: the same as far as it is known without any values: as stated, or by its name.
    """

    log: RunLog
    horizon: float | None
    bounds: BoundsLike
    known_bounds: BoundsLike


class Watch:
    """Follows the logs of many runs, and says what each run is worth among the others.

    Args:
        sources: paths of logs, and of folders below which all runs are followed. They need not
            exist yet.
        asked: of every log.
        best: the final value of the best run so far, where none of these is it.
        idle: seconds after which a run whose log does not change is idle.
        model: bundled name or path, as for `lcpfn.load`, or a model; None is the default model.
        forecast: what forecasts instead of a model, as for `lcpfn.Search`.
        now: gives the time in seconds since 1970.
        settings: by keywords, as for `lcpfn.Search`.

    Raises:
        InputError: an argument breaks its rule.
        WeightsError: there is no such model.

    Attributes:
        problems: why nothing could be read, by path.
    """

    def __init__(
        self,
        sources: Sequence[str | os.PathLike[str]],
        asked: Asked | None = None,
        *,
        best: float | None = None,
        idle: float = 1800.0,
        model: str | Path | LCPFN | None = None,
        forecast: Forecaster | None = None,
        now: Callable[[], float] = time.time,
        **settings: Any,
    ) -> None:
        if not sources:
            raise InputError("there is nothing to watch: name a folder or a log")
        if best is not None and math.isnan(best):
            raise InputError("best is nan, but must be the final value of a run")
        if not idle > 0:
            raise InputError(f"idle is {idle:g}, but must be a positive number of seconds")
        self._sources = list(sources)
        self._asked = Asked() if asked is None else asked
        if self._asked.horizon is not None and not 0 < self._asked.horizon < math.inf:
            raise InputError(f"horizon is {self._asked.horizon:g}, but must be positive and finite")
        self._best, self._idle, self._now = best, idle, now
        self._about_search = {"model": model, "forecast": forecast, "peers": _ALL, **settings}
        # Bad settings are told now, not at the first record.
        self._search = self._new_search(self._asked.goal or "maximize")
        self._followed: dict[Path, _Followed] = {}
        self._entries: dict[str, _Entry] = {}
        self._judged: list[_Judged] = []
        self.problems: dict[str, str] = {}

    def refresh(self) -> list[WatchedRun]:
        """Reads what is new in the logs, and judges all runs; the most promising come first."""
        self._look()
        for followed in self._followed.values():
            followed.read(self._asked)
        self._settle()
        news = [self._tell(entry) for entry in self._entries.values()]
        if any(news) or len(news) != len(self._judged):
            self._judged = self._judge()
        return [self._watched(judged) for judged in self._judged]

    def notices(self) -> list[str]:
        """What users must know of, each thing once."""
        return self._search.notices()

    @property
    def goal(self) -> Goal:
        """Which way the metric is better: "maximize" or "minimize"."""
        return self._search.goal

    def reading(self, run: WatchedRun) -> Reading:
        """What was read of a run at the latest look.

        Args:
            run: one that `refresh` has just returned.
        """
        entry = self._entries[_key(run.path, run.run)]
        bounds, known = self._search.bounds(entry.key), self._known_bounds(entry.log, self.goal)
        return Reading(entry.log, entry.horizon, bounds, known)

    def _known_bounds(self, log: RunLog, goal: str) -> BoundsLike:
        """As stated, or as the name of the metric in a log says."""
        return bounds_by_name(self._about_search.get("bounds", "auto"), log.metric, goal)

    def _new_search(self, goal: str) -> Search:
        search = Search(goal, self._asked.horizon, calls_horizon="--horizon", **self._about_search)
        if self._best is not None:
            search.end(_BEST, "finished", value=self._best)
        return search

    def _look(self) -> None:
        """Finds the runs that there are."""
        self.problems = {}
        found: dict[Path, Place] = {}
        for source in self._sources:
            try:
                places = find_runs(source)
            except InputError as error:
                self.problems[str(source)] = str(error)
                continue
            if not places:
                self.problems[str(source)] = f"{source} is a folder that holds no log yet"
            for place in places:
                # Several folders may have runs of the same names in them.
                several = len(self._sources) > 1 and place.path != Path(source)
                name = str(place.path) if several else place.name
                found.setdefault(place.path, Place(place.path, name, place.sources, place.follow))
        for path, followed in list(self._followed.items()):
            followed.missed = 0 if path in found else followed.missed + 1
            if followed.missed >= _MISSED:
                del self._followed[path]
        for path, place in found.items():
            known = self._followed.setdefault(path, _Followed(place))
            known.place = place

    def _settle(self) -> None:
        """Settles what is asked of the runs that there are."""
        logs = {
            key: (followed, log)
            for _, followed in sorted(self._followed.items())
            for key, log in followed.by_key()
        }
        for followed in self._followed.values():
            if followed.problem is not None:
                self.problems[str(followed.place.path)] = followed.problem
        stated = [log.stated_goal for _, log in logs.values() if log.stated_goal is not None]
        goal = self._asked.goal or next(iter(stated), None)
        usable = {}
        for key, (followed, log) in logs.items():
            problem = self._contradiction(log, goal) or self._doubt(log, goal)
            if problem is None:
                usable[key] = _Entry(key, followed, log)
            else:
                self.problems[key] = f"{key}: {problem}"
        if goal is not None and goal != self._search.goal:
            self._search, self._entries = self._new_search(goal), {}
        for key in self._entries.keys() - usable.keys():
            self._search.forget(key)
        lengths = _lengths(log for _, log in logs.values())
        for key, entry in usable.items():
            entry.settle(self._asked.horizon, lengths)
            known = self._entries.get(key)
            same = known is not None and known.log is entry.log
            if known is not None and same and known.horizon == entry.horizon:
                usable[key] = known
        self._entries = usable

    def _contradiction(self, log: RunLog, goal: str | None) -> str | None:
        """Why a log cannot stand beside the others, None where it can."""
        if self._asked.goal is not None:
            return None
        if log.stated_goal is None:
            return (
                f"the name {log.metric!r} does not say which way is better: add --goal maximize or "
                "--goal minimize"
            )
        if log.stated_goal != goal:
            return (
                f"its metric {log.metric!r} is to {log.stated_goal}, but that of other runs to "
                f"{goal}: name one with --metric"
            )
        return None

    def _doubt(self, log: RunLog, goal: str | None) -> str | None:
        """Why a log cannot be judged by the value to beat, None where it can."""
        if goal is None or self._known_bounds(log, goal) != "auto":
            return None
        return other_unit(log.metric, goal, log.values.tolist(), self._best)

    def _tell(self, entry: _Entry) -> bool:
        """Tells the search what is new of a run; returns whether there was anything."""
        if entry.told:
            return False
        entry.told = True
        log, search = entry.log, self._search
        if entry.horizon is not None:
            search.describe(entry.key, {}, entry.horizon)
        if self._known_bounds(log, search.goal) is None:
            search.open_bounds(entry.key)
        steps = log.model_steps.tolist()
        rates = {} if log.rates is None else dict(zip(steps, log.rates.tolist(), strict=True))
        search.set_records(entry.key, zip(steps, log.values.tolist(), strict=True), rates)
        if search.complete(entry.key):
            search.end(entry.key, "finished")
            entry.followed.done()
        return True

    def _judge(self) -> list[_Judged]:
        """What each run is worth, the one with the highest chance to end best first."""
        search = self._search
        verdicts: dict[str, Verdict] = {}
        ends: dict[str, Array | None] = {}
        for key in self._entries:
            # One after the other, while the search has the forecast at hand.
            verdicts[key], ends[key] = self._verdict(key), self._end(key)
        known = {key: end for key, end in ends.items() if end is not None}
        others = [] if self._best is None else [np.array([self._best])]
        chances = chances_to_end_best([*known.values(), *others], search.goal)
        chance = dict(zip(known, chances, strict=False))
        keys = [str(each.run) for each in search.outlook() if each.run in self._entries]
        # Sorting keeps the order of the outlook where nothing is known of the chances.
        keys.sort(key=lambda key: -chance.get(key, 0.0))
        return [
            _Judged(key, verdicts[key], _band(ends[key]), chance.get(key, math.nan)) for key in keys
        ]

    def _verdict(self, key: str) -> Verdict:
        try:
            return self._search.judge(key)
        except InputError as error:
            return Verdict("continue", str(error))

    def _end(self, key: str) -> Array | None:
        """Values that the run's end takes with equal probability, None where nothing is known."""
        known = self._search.runs[key]
        if known.state == "finished":
            return None if known.final is None else np.array([known.final])
        try:
            post = self._search.forecast(key)
        except InputError:
            return None
        return None if post is None else np.asarray(post.quantile(LEVELS)[:, -1])

    def _watched(self, judged: _Judged) -> WatchedRun:
        entry, verdict, chance = self._entries[judged.key], judged.verdict, judged.chance
        log, place = entry.log, entry.followed.place
        known = self._search.runs[entry.key]
        quiet = max(0.0, self._now() - entry.followed.changed)
        state: State = "live"
        if known.trouble is not None:
            # Nothing that broke down ends best.
            state, chance = "diverged", 0.0
        elif known.state == "finished":
            state = "finished"
        elif quiet > self._idle:
            state = "idle"
        steps = log.logged_steps
        return WatchedRun(
            place.name if log.run is None else f"{place.name} - {log.run}",
            place.path,
            log.run,
            log.metric,
            log.step_name,
            state,
            len(log.values),
            (float(steps[0]), float(log.values[0])),
            float(steps[-1]),
            float(log.values[-1]),
            entry.stated,
            math.nan if verdict.horizon is None else known.last / verdict.horizon,
            *judged.band,
            chance,
            verdict,
            _shape(log.values),
            quiet,
            (*log.notes, *log.notes_on_steps, *entry.notes),
        )


@dataclass(frozen=True)
class _Judged:
    """What a run is worth.

    Args:
        key: of the run.
        verdict: of the rule.
        band: low, median and high of its final value.
        chance: to end best.
    """

    key: str
    verdict: Verdict
    band: tuple[float, float, float]
    chance: float


class _Followed:
    """A run as far as its logs have been read."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.missed = 0
        self.problem: str | None = None
        self._logs: dict[Path, Log] = {}
        self._refused: dict[Path, str] = {}
        self._current: Path | None = None
        self._runs: list[RunLog] = []

    @property
    def changed(self) -> float:
        """When the log that is read was last written to."""
        return 0.0 if self._current is None else self._logs[self._current].changed

    def read(self, asked: Asked) -> None:
        """Reads what is new, of the first log that has what is asked."""
        for source, follow in zip(self.place.sources, self.place.follow, strict=True):
            log = self._logs.get(source)
            if log is None:
                log = self._logs[source] = follow()
            try:
                new = log.update()
                if source == self._current and not new:
                    return
                if source in self._refused and not new and log.tables:
                    continue
                self._runs = log.runs(asked.metric, asked.steps_column, asked.horizon)
            except InputError as error:
                self._refused[source] = str(error)
                continue
            except (OSError, ValueError, RecursionError) as error:
                # One file of a hundred must not end the view of all others.
                self._refused[source] = f"{source} cannot be read: {error}"
                continue
            self._current, self.problem = source, None
            self._refused.pop(source, None)
            return
        # What had been read before still counts.
        refused = (self._refused.get(source) for source in self.place.sources)
        self.problem = next((reason for reason in refused if reason is not None), None)

    def by_key(self) -> Iterator[tuple[str, RunLog]]:
        """The runs in the log, by what the search knows them by."""
        for log in self._runs:
            yield _key(self.place.path, log.run), log

    def done(self) -> None:
        """Drops what only a growing log needs; it is read again should it grow after all."""
        if self._current is not None and len(self._runs) == 1:
            self._logs[self._current].forget()


@dataclass(eq=False)
class _Entry:
    """A run as the search is told of it.

    Args:
        key: by which the search knows it.
        followed: its logs.
        log: the newest reading.
        stated: length of the full run as a person states it, None where unknown.
        horizon: the same for a model.
        notes: on that length.
        told: whether the search knows this reading.
    """

    key: str
    followed: _Followed
    log: RunLog
    stated: float | None = None
    horizon: float | None = None
    notes: tuple[str, ...] = field(default=())
    told: bool = False

    def settle(self, asked: float | None, lengths: Mapping[str, float]) -> None:
        """Settles how long the run is.

        Args:
            asked: as a person said.
            lengths: by step column, what other logs say.
        """
        log = self.log
        self.stated = log.stated_horizon if asked is None else asked
        if self.stated is None:
            self._borrow(lengths)
            return
        try:
            self.horizon = log.model_horizon(self.stated)
        except InputError as error:
            self.horizon = float(log.model_steps[-1])
            self.notes = (f"taken for complete: {error}",)

    def _borrow(self, lengths: Mapping[str, float]) -> None:
        """Takes the length from other logs, if it can be this run's: "step" is not one unit."""
        length = lengths.get(self.log.step_name)
        if length is None:
            return
        try:
            self.horizon = self.log.model_horizon(length)
        except InputError:
            return
        self.stated = length
        self.notes = (f"horizon {length:g} in {self.log.step_name}, as other logs say",)


def _key(path: Path, run: str | None) -> str:
    """By what the search knows a run."""
    return str(path) if run is None else f"{path} - {run}"


def _lengths(logs: Iterator[RunLog]) -> dict[str, float]:
    """By step column, how long runs are as far as their logs say so and agree."""
    stated: dict[str, set[float]] = {}
    for log in logs:
        if log.stated_horizon is not None and log.steps_column is not None:
            stated.setdefault(log.steps_column, set()).add(log.stated_horizon)
    return {column: lengths.pop() for column, lengths in stated.items() if len(lengths) == 1}


def _band(end: Array | None) -> tuple[float, float, float]:
    """The central interval of 88 % and the median."""
    if end is None:
        return (math.nan,) * 3
    levels = LEVELS if len(end) > 1 else LEVELS[:1]
    low, median, high = np.interp([_BAND[0], 0.5, _BAND[1]], levels, end).tolist()
    return low, median, high


def _shape(values: Array) -> tuple[float, ...]:
    """Means of as many records each."""
    present = values[np.isfinite(values)]
    parts = np.array_split(present, min(_SHAPE, len(present))) if len(present) else []
    return tuple(float(part.mean()) for part in parts)
