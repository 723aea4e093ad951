"""What a search goes by: one set of settings, which every door takes as keywords."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Literal, get_args

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import read_count, read_number
from lcpfn.forecast.best import Of
from lcpfn.forecast.bounds import BoundsLike, read_bounds
from lcpfn.forecast.schedule import Schedule
from lcpfn.search.rule import StoppingRule

Missing = Literal["stop", "missing"]
Hears = Literal["nothing", "outlook", "always"]
"""For what the forecast of a run listens to what became of those of the other runs."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How a search decides about its runs.

    `lcpfn.Search`, `LCPFNPruner`, `LCPFNScheduler` and `LCPFNStopper` take these as keywords, and
    those of `lcpfn.StoppingRule` beside them.

    Args:
        rule: the stopping rule.
        of: what a run is worth: "last", its last record, or "best", its best one. Say "best"
            where the objective returns the best epoch's value.
        caution: a run is stopped in favour of another that is still under way where it will hardly
            beat what that one reaches with probability 1 - `caution`; in (0, 0.5].
        rival_records: records that a run under way needs before others are stopped in its favour,
            at least 1.
        peers: how many of the latest runs that have ended one is compared with at the same share
            of the run, at least 0; 0 goes by forecasts alone. A sampler that learns makes ever
            better runs, so only the latest say where a new one stands. Runs under way are compared
            with as well, unless this is 0.
        counts_on: a run that was stopped counts as worse than one that gets further, up to so many
            times as far as it got itself, at least 1; infinity never forgets it, 1 compares with
            those alone that got as far.
        lag: a run under way that is behind another by up to this share of the way is compared with
            it as well, at its own newest record, in [0, 1]; 0 compares with those alone that have
            got as far. Where many run at a time, few have got as far as the first of them.
        warmup_trials: runs that must have finished before any is stopped for being behind, at
            least 0.
        bounds: (low, high) that the metric can never pass, as for `LCPFN.extrapolate`. "auto"
            guesses them from the values of all runs; doors that know the metric's name take it as
            open where that says so, as of a reward. A run that passes stated ones is forecast
            without, and a warning says so.
        schedule: learning rate over a full run where all runs share its shape, which makes
            forecasts sharper: "constant", "linear", "cosine", a callable of the run's own step, or
            a pair (steps, rates), as for `LCPFN.extrapolate`.
        nan: "stop" takes a newest record of NaN as divergence, "missing" as a record that is not
            there. Before a run's first usable record it is missing either way.
        hears: for what the forecast of a run is corrected by what became of the forecasts of the
            other runs, at most 64 of them, see docs/peers.md: "always"; "outlook", for
            `Search.outlook` and not for decisions; or "nothing".
        pause: whether doubtful runs are paused in favour of more promising ones that wait.
        first_records: records that every run gets before any other goes on, where runs are paused,
            at least 1.
        hope: runs that wait go on in the order of this quantile of their final value, best first;
            in [0.5, 1).
        startup: runs that `Search.propose` starts with candidates far from one another before it
            chooses any, at least 1.
        slice: a run that goes on after a pause is not paused again before it has got this share of
            a full run, in [0, 1].

    Raises:
        InputError: an argument breaks its rule.
    """

    rule: StoppingRule = field(default_factory=StoppingRule)
    of: Of = "last"
    caution: float = 0.05
    rival_records: int = 2
    peers: int = 50
    counts_on: float = math.inf
    lag: float = 0.2
    warmup_trials: int = 0
    bounds: BoundsLike = "auto"
    schedule: Schedule | None = None
    nan: Missing = "stop"
    hears: Hears = "outlook"
    pause: bool = False
    first_records: int = 2
    hope: float = 0.75
    startup: int = 12
    slice: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in (("of", Of), ("nan", Missing), ("hears", Hears)):
            if getattr(self, name) not in get_args(allowed):
                *others, last = (repr(word) for word in get_args(allowed))
                raise InputError(
                    f"{name} is {getattr(self, name)!r}, but must be {', '.join(others)} or {last}"
                )
        for name, least in (
            ("rival_records", 1),
            ("peers", 0),
            ("warmup_trials", 0),
            ("first_records", 1),
            ("startup", 1),
        ):
            read_count(name, getattr(self, name), least)
        if not read_number("counts_on", self.counts_on) >= 1:
            raise InputError(f"counts_on is {self.counts_on}, but must be at least 1")
        if not 0 < read_number("caution", self.caution) <= 0.5:
            raise InputError(f"caution is {self.caution}, but must be above 0 and at most 0.5")
        if not 0.5 <= read_number("hope", self.hope) < 1:
            raise InputError(f"hope is {self.hope}, but must be at least 0.5 and below 1")
        for name in ("lag", "slice"):
            if not 0 <= read_number(name, getattr(self, name)) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}, but must lie within 0 and 1")
        if not (isinstance(self.bounds, str) and self.bounds == "auto"):
            object.__setattr__(self, "bounds", read_bounds(self.bounds))

    @staticmethod
    def of_keywords(**keywords: Any) -> SearchSettings:
        """Settings by their names, those of the rule among them.

        >>> SearchSettings.of_keywords(threshold=0.1, peers=20).rule.threshold
        0.1

        Raises:
            InputError: an argument breaks its rule.
            TypeError: there is no such setting.
        """
        names = {known.name for known in fields(StoppingRule)}
        own_names = {known.name for known in fields(SearchSettings)}
        own = {name: value for name, value in keywords.items() if name not in names}
        shape = {name: value for name, value in keywords.items() if name in names}
        unknown = own.keys() - own_names
        if unknown:
            name = min(unknown)
            alike = get_close_matches(name, sorted((names | own_names) - {"rule"}), 1)
            meant = f" (did you mean {alike[0]!r}?)" if alike else ""
            raise TypeError(
                f"there is no setting {name!r}{meant}; see lcpfn.SearchSettings and "
                "lcpfn.StoppingRule"
            )
        if shape:
            own["rule"] = StoppingRule(**shape)
        return SearchSettings(**own)


def check_taken(settings: Mapping[str, Any], taken: Mapping[str, str]) -> None:
    """Checks that no setting is stated which a door takes from elsewhere.

    Args:
        settings: by their names.
        taken: where those come from that must not be stated, by their names.

    Raises:
        TypeError: one is stated; the message says where it comes from.
    """
    for name in taken.keys() & settings.keys():
        raise TypeError(f"{name!r} is no setting here: {taken[name]}")
