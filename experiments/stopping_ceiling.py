"""Could any rule stop sooner? What one learns that was taught by the recorded searches themselves.

    python -m experiments.stopping_ceiling --data ../shared/data/lcbench

The stopping rule hears a forecast and a standing. Here gradient-boosted trees learn from recorded
searches how often a run like this one went on to beat the incumbent, and stop it where that is
rarer than some limit. They are judged on searches of data sets that they were not taught by (a
third at a time), in three steps of what they are told:

- *forecast and standing*: what the rule hears, with the number of records and the progress.
- *and the search*: how far the run is behind the incumbent and behind the best at the same record,
  where the incumbent stood then, what it gained afterwards, how well forecasts of finished runs
  held, how fast the run moves in units of the spread between runs.
- *and the configurations*: a random forest's guess of how the run will end, from the
  hyperparameters of all runs before it. (It learns from the forecasts of stopped runs, judged by
  the final values of all: more than a search can know.)

No real search has such a teacher, so this is no method but a bound: if the trees cannot save more
at the same regret, then no better way to combine what is known will. Searches and measures are
those of `experiments.early_stopping`, one trial after another; rows named *rule* replay the default
with other thresholds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingClassifier

import lcpfn
from experiments.early_stopping import cells
from experiments.replay import Outcome, RecordedRuns, Replay, outcome, read_runs
from experiments.replay_search import forecast_all
from experiments.support.score_tables import write

Array = NDArray[np.float64]
Policy = Callable[[Array], NDArray[np.bool_]]
"""Says after which records to stop, given (records, features)."""

RULE_THRESHOLDS = (0.02, 0.05, 0.1, 0.2)
LIMITS = (0.001, 0.002, 0.004, 0.008, 0.015)
LEAST_RECORDS = 2
FOLDS = 3
LEVELS = {"forecast and standing": 4, "and the search": 13, "and the configurations": 15}
"""How many of the features each step is told."""
_FEWEST_PEERS = 4
_LATEST = 50
_FOREST_FROM, _FOREST_EVERY = 8, 6
_TAILS = 1 / (1 + np.exp(np.linspace(9, -9, 181)))
_FAR = 50.0


@dataclass(frozen=True)
class KnownRuns:
    """Runs of one data set with all their forecasts, lower is better.

    Args:
        runs: as recorded.
        values: (runs, records), infinite where not finite.
        quantiles: (runs, records - 1, levels) of the final value, after each record but the last.
        usable: (runs,) records until the one that shows that the run has diverged.
        orders: in which the runs become trials.
    """

    runs: RecordedRuns
    values: Array
    quantiles: Array
    usable: NDArray[np.int64]
    orders: Sequence[NDArray[np.int64]]

    @property
    def finals(self) -> Array:
        """(runs,) final values."""
        return self.values[:, -1]

    def beats(self, run: int, final: float) -> Array:
        """(records - 1,) probability after each record that the run ends below a value."""
        return np.array([np.interp(final, row, _TAILS) for row in self.quantiles[run]])

    def expected_share(self, run: int, records: int) -> float:
        """The share of all runs that this one is expected to beat, after its first records."""
        if records == self.values.shape[1] or records > self.usable[run]:
            return float((self.finals > self.finals[run]).mean())
        ends = np.interp(np.linspace(0.01, 0.99, 50), _TAILS, self.quantiles[run, records - 1])
        return float((self.finals > ends[:, None]).mean())


def know(runs: RecordedRuns, model: lcpfn.LCPFN, orders: int, seed: int) -> KnownRuns:
    """Forecasts all runs of a data set from all their prefixes."""
    sign = 1 if runs.goal == "minimize" else -1
    values = np.where(np.isfinite(runs.curves), sign * runs.curves, np.inf)
    count, records = values.shape
    quantiles = np.full((count, records - 1, len(_TAILS)), np.inf, dtype=np.float32)
    usable = np.full(count, records)
    for run, forecasts in enumerate(forecast_all(runs, model)):
        usable[run] = len(forecasts)
        for record, post in enumerate(forecasts[: records - 1]):
            levels = post.quantile(_TAILS)[:, 0]
            quantiles[run, record] = levels if sign > 0 else -levels[::-1]
    return KnownRuns(runs, values, quantiles, usable, runs.orders(orders, seed))


class TaughtSearch:
    """A search as it goes: which trials ended when, and what each new one looks like in it."""

    def __init__(self, known: KnownRuns, told: int):
        count, records = known.values.shape
        self.known = known
        self.tried: list[int] = []
        self.spent = np.full(count, records)
        self.ended = np.zeros(count, dtype=bool)
        self._seen = np.full((count, records - 1), np.inf)
        self._finished: list[int] = []
        self._shares: list[float] = []
        self._guesses: dict[int, tuple[float, float]] = {}
        self._guessing = told > LEVELS["and the search"]

    @property
    def incumbent(self) -> int | None:
        """The best run that has finished."""
        finals = self.known.finals
        return min(self._finished, key=lambda run: float(finals[run]), default=None)

    def features(self, run: int, incumbent: int) -> Array:
        """(records - 1, features) of a run, after each of its records."""
        known, records = self.known, np.arange(1, self.known.values.shape[1])
        own, theirs = known.values[run, :-1], known.values[incumbent, :-1]
        chance = known.beats(run, float(known.finals[incumbent]))
        peers = self._seen[max(0, len(self.tried) - _LATEST) : len(self.tried)]
        alive = np.ma.masked_invalid(peers)
        spread = np.ma.median(abs(alive - np.ma.median(alive, axis=0)), axis=0).filled(0.0)
        earlier = own[np.maximum(records - 4, 0)]
        better = (peers < own).sum(0) + 0.5 * (peers == own).sum(0)
        standing = better / len(peers) if len(peers) >= _FEWEST_PEERS else np.nan
        held = [known.beats(other, float(known.finals[other])) for other in self._finished]
        guess, doubt = self._guess(run) if self._guessing else (np.nan, np.nan)
        columns = (
            np.log(chance / (1 - chance)),
            records,
            records / len(records),
            standing,
            (own - theirs) / spread,
            (own - alive.min(axis=0).filled(np.inf)) / spread,
            (peers < theirs).mean(0),
            (theirs - known.finals[incumbent]) / spread,
            np.mean(held, axis=0),
            len(self._finished),
            (earlier - own) / spread,
            (np.maximum.accumulate(own) - np.minimum.accumulate(own)) / spread,
            len(self.tried),
            guess,
            doubt,
        )
        table = np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.float64)
        return np.where(np.isfinite(table), np.clip(table, -_FAR, _FAR), np.nan)

    def end(self, run: int, spent: int, finished: bool) -> None:
        """Takes down how a trial ended."""
        trial = len(self.tried)
        looked_at = min(spent, self._seen.shape[1])
        self._seen[trial, :looked_at] = self.known.values[run, :looked_at]
        self.tried.append(run)
        self.spent[trial], self.ended[trial] = spent, finished
        if finished and np.isfinite(self.known.finals[run]):
            self._finished.append(run)
        if self._guessing:
            self._shares.append(self.known.expected_share(run, spent))

    def _guess(self, run: int) -> tuple[float, float]:
        tried, settings = self.tried, self.known.runs.configurations
        if settings is None or len(tried) < _FOREST_FROM:
            return np.nan, np.nan
        if run not in self._guesses or len(tried) % _FOREST_EVERY == 0:
            forest = ExtraTreesRegressor(40, min_samples_leaf=2, random_state=0)
            forest.fit(settings[tried], self._shares)
            guesses = np.array([tree.predict(settings) for tree in forest.estimators_])
            pairs = zip(guesses.mean(0).tolist(), guesses.std(0).tolist(), strict=True)
            self._guesses = dict(enumerate(pairs))
        return self._guesses[run]


def replay(
    known: KnownRuns, order: NDArray[np.int64], policy: Policy, told: int
) -> tuple[Replay, list[tuple[Array, bool]]]:
    """Runs one search; also gives the features of every trial and whether it beats the incumbent.

    Args:
        known: the runs.
        order: in which they become trials.
        policy: says where to stop.
        told: how many of the features count.
    """
    search = TaughtSearch(known, told)
    lessons: list[tuple[Array, bool]] = []
    length = known.values.shape[1]
    for run in order.tolist():
        spent = min(length, int(known.usable[run]) + 1)
        finished = known.usable[run] == length
        incumbent = search.incumbent
        if incumbent is not None:
            with np.errstate(all="ignore"):
                features = search.features(run, incumbent)[:, :told]
            lessons.append((features, bool(known.finals[run] < known.finals[incumbent])))
            stops = np.flatnonzero(policy(features))
            if len(stops) and stops[0] + 1 <= spent:
                spent, finished = int(stops[0]) + 1, False
        search.end(run, spent, finished)
    return Replay(search.spent, search.ended), lessons


def rule_policy(rule: lcpfn.StoppingRule) -> Policy:
    """The stopping rule, on the features it hears."""

    def policy(features: Array) -> NDArray[np.bool_]:
        chance = 1 / (1 + np.exp(-features[:, 0]))
        rows = zip(features[:, 1], features[:, 2], features[:, 3], strict=True)
        limits = [
            rule.limit(int(records), None if np.isnan(standing) else float(standing), progress)
            for records, progress, standing in rows
        ]
        return np.asarray(chance < np.array(limits))

    return policy


def trees_policy(trees: HistGradientBoostingClassifier, limit: float) -> Policy:
    """Stops where winning is rarer than a limit."""

    def policy(features: Array) -> NDArray[np.bool_]:
        rare = trees.predict_proba(features)[:, 1] < limit
        return np.asarray(rare & (features[:, 1] >= LEAST_RECORDS))

    return policy


def learn(lessons: Sequence[tuple[Array, bool]], seed: int) -> HistGradientBoostingClassifier:
    """Trees that tell how often runs like these win; a better forecast never hurts."""
    features = np.concatenate([rows for rows, _ in lessons])
    won = np.concatenate([np.full(len(rows), won) for rows, won in lessons])
    chosen = np.random.default_rng(seed).random(len(features)) < 0.5
    trees = HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=150,
        max_leaf_nodes=20,
        min_samples_leaf=400,
        l2_regularization=5.0,
        monotonic_cst=[1] + [0] * (features.shape[1] - 1),
        random_state=seed,
    )
    return trees.fit(features[chosen], won[chosen])


def outcomes_of(known: KnownRuns, policy: Policy, told: int) -> list[Outcome]:
    """What a policy does in each of a data set's searches."""
    return [
        outcome(
            replace(known.runs, curves=known.runs.curves[order]),
            replay(known, order, policy, told)[0],
        )
        for order in known.orders
    ]


def fold(name: str) -> int:
    """The third that a data set belongs to."""
    return zlib.crc32(name.encode()) % FOLDS


def trees_outcomes(
    all_known: Sequence[KnownRuns], told: int
) -> Iterator[tuple[float, list[list[Outcome]]]]:
    """For each limit, what trees do on the data sets they were not taught by."""
    teacher = rule_policy(lcpfn.StoppingRule())
    lessons = [
        [lesson for order in known.orders for lesson in replay(known, order, teacher, told)[1]]
        for known in track(all_known, description=f"lessons of {told} features")
    ]
    places = [fold(known.runs.name) for known in all_known]
    taught = {}
    for number in sorted(set(places)):
        elsewhere = [own for own, place in zip(lessons, places, strict=True) if place != number]
        taught[number] = learn(list(chain.from_iterable(elsewhere)), seed=number)
    for limit in LIMITS:
        outcomes = [
            outcomes_of(known, trees_policy(taught[place], limit), told)
            for known, place in zip(all_known, places, strict=True)
        ]
        yield limit, outcomes


def add_row(table: Table, name: str, outcomes: Sequence[list[Outcome]]) -> None:
    """Means and their standard errors over data sets and seeds."""
    table.add_row(name, *cells([{name: searches} for searches in outcomes], name))


def main(
    data: Annotated[list[Path], typer.Option(help="folder with one .npz per set")],
    model: Annotated[str, typer.Option(help="name or path of the model")] = "default",
    per_set: Annotated[int, typer.Option(help="runs of each data set", min=10)] = 100,
    orders: Annotated[int, typer.Option(help="searches in each data set", min=1)] = 2,
    seed: Annotated[
        list[int] | None, typer.Option(help="of the choice of runs and their order; repeatable")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
) -> None:
    """Compares the stopping rule with trees that recorded searches have taught."""
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    tables = []
    for folder in data:
        recorded = [(one, runs) for one in seed or [0] for runs in read_runs(folder, per_set, one)]
        if len({fold(runs.name) for _, runs in recorded}) < FOLDS:
            raise typer.BadParameter(f"{folder} has too few data sets with a known metric")
        forecasting = track(recorded, description=f"forecasts of {folder.name}")
        all_known = [know(runs, loaded, orders, one) for one, runs in forecasting]
        table = Table(title=f"{folder.name}: {len(all_known) * orders} searches")
        for heading in ("what decides", "epochs used", "mean regret", "best kept"):
            table.add_column(heading, justify="left" if heading == "what decides" else "right")
        for threshold in RULE_THRESHOLDS:
            policy = rule_policy(lcpfn.StoppingRule(threshold))
            heard = LEVELS["forecast and standing"]
            outcomes = [outcomes_of(known, policy, heard) for known in all_known]
            add_row(table, f"rule, threshold {threshold:g}", outcomes)
        for level, told in LEVELS.items():
            for limit, outcomes in trees_outcomes(all_known, told):
                add_row(table, f"trees, {level}, limit {limit:g}", outcomes)
        tables.append(table)
    write(tables, [], markdown)


if __name__ == "__main__":
    typer.run(main)
