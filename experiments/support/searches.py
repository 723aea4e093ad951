"""Recorded searches: runs of one task side by side, and the forecasts that a model made of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from typer import BadParameter

from experiments.benchmarks.folder import OWN_CURVES
from experiments.support.recorded_runs import COUNTED, FOLDS, SIXTHS, part_of
from lcpfn.forecast.bounds import BoundsLike, bounds_that_hold, telling_values
from lcpfn.forecast.curve import read_curve
from lcpfn.forecast.landmarks import END, HALF, REACHES
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.prefixes import Asked, forecast_after
from lcpfn.forecast.tracks import Pair, Track, learn
from lcpfn.network.correction import EDGES
from lcpfn.priors.searches import SearchPrior

Array = NDArray[Any]
_Network = TypeVar("_Network")

UNSEEN = "own_unseen"
"""The family of the project's own curves that nothing is fitted on."""
_LARGEST = 1e100
_FEWEST = 12
_RAGGED = ("world", "wild")
_CHUNK = 64


@dataclass(frozen=True)
class RecordedSearch:
    """Runs of one task.

    Args:
        family: the folder that it is from.
        source: the data set, workload or repository.
        name: of the search, unique.
        goal: "maximize" or "minimize".
        steps, values: of each run (n,), infinite where it diverged.
        settings: (runs, k) hyperparameters, k = 0 where not recorded.
    """

    family: str
    source: str
    name: str
    goal: str
    steps: Sequence[Array]
    values: Sequence[Array]
    settings: Array


def fold_of(search: RecordedSearch | SearchTable, folds: int = FOLDS) -> int:
    """Which part of the sources a search belongs to, of halves, sixths, or all in one."""
    return fold_of_source(search.family, search.source, folds)


def fold_of_source(family: str, source: str, folds: int = FOLDS) -> int:
    """Which part of the sources one belongs to, of halves, sixths, or all in one."""
    return part_of(f"{family}/{source}", source, folds)


def left_out_of(search: RecordedSearch | SearchTable, networks: Sequence[_Network]) -> _Network:
    """The network that has not seen the source of a search, see `left_out_of_source`."""
    return left_out_of_source(search.family, search.source, networks)


def left_out_of_source(family: str, source: str, networks: Sequence[_Network]) -> _Network:
    """The network that has not seen a source.

    Args:
        family, source: of a search.
        networks: made without the first part of the sources, the second, and so on: two of halves,
            six of sixths, or one for all. An even sixth lies in the first half.

    Raises:
        BadParameter: there are more or fewer.
    """
    if len(networks) not in (1, FOLDS, SIXTHS):
        raise BadParameter(
            f"{len(networks)} networks were given, but each is of a part of the sources: "
            f"give one, {FOLDS} of halves, or {SIXTHS} of sixths"
        )
    return networks[fold_of_source(family, source, len(networks))]


def recorded_searches(data: Path, per_set: int) -> Iterator[RecordedSearch]:
    """All searches below a folder that holds a folder of .npz for each family, and our own."""
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        for path in sorted(folder.glob("*.npz")):
            read = _ragged if folder.name in _RAGGED else _even
            yield from read(folder.name, path, per_set)
    for path in sorted(OWN_CURVES.glob("*.npz")):
        yield from _even("own", path, per_set)


def _even(family: str, path: Path, per_set: int) -> Iterator[RecordedSearch]:
    with np.load(path) as stored:
        names = ("val_loss", "valid_loss", "val_accuracy")
        found = {name: stored[name].astype(np.float64) for name in names if name in stored.files}
        settings = stored["config"].astype(np.float64)
    for metric, curves in found.items():
        goal = "maximize" if metric == "val_accuracy" else "minimize"
        if family == "own" and (metric != "val_accuracy" or path.stem not in COUNTED):
            family_here = UNSEEN
        else:
            family_here = family
        chosen = _choice(path.stem, len(curves), per_set)
        runs = [_diverged(curves[index], goal) for index in chosen]
        usable = [index for index, run in enumerate(runs) if _usable(run)]
        steps = np.arange(1.0, curves.shape[1] + 1)
        yield RecordedSearch(
            family_here,
            path.stem,
            f"{family_here}/{path.stem}/{metric}",
            goal,
            [steps] * len(usable),
            [runs[index] for index in usable],
            settings[chosen][usable],
        )


def _ragged(family: str, path: Path, per_set: int) -> Iterator[RecordedSearch]:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    goal = str(arrays["goal"])
    own = path.stem.split("__")
    workload = own[1] if own[0] == "algoperf" else own[0]
    sources = arrays.get("repo", np.array([workload] * len(arrays["values"])))
    for source in sorted(set(sources.tolist())):
        steps, values = [], []
        rows = np.flatnonzero(sources == source)
        for index in rows[_choice(f"{path.stem}{source}", len(rows), per_set)]:
            known = np.isfinite(arrays["steps"][index])
            at, run = arrays["steps"][index][known], arrays["values"][index][known]
            run = _diverged(run.astype(np.float64), goal)
            if _usable(run):
                steps.append(at.astype(np.float64))
                values.append(run)
        if len(values) >= 2:
            settings = np.empty((len(values), 0))
            named = f"{family}/{path.stem}" + (f"/{source}" if "repo" in arrays else "")
            yield RecordedSearch(family, str(source), named, goal, steps, values, settings)


def drawn_searches(
    count: int, runs: int, seed: int, prior: SearchPrior | None = None
) -> Iterator[RecordedSearch]:
    """Searches drawn from a prior."""
    generator = torch.Generator().manual_seed(seed)
    prior = prior or SearchPrior()
    for index in range(count):
        batch = prior.sample(1, runs, generator)
        goal = "maximize" if bool(batch.maximize[0]) else "minimize"
        steps = list(batch.fractions[0].double().numpy())
        values = [_diverged(run, goal) for run in batch.values[0].double().numpy()]
        usable = [number for number, run in enumerate(values) if _usable(run)]
        if len(usable) >= 2:
            yield RecordedSearch(
                "prior",
                f"draw {index}",
                f"prior/{index}",
                goal,
                [steps[number] for number in usable],
                [values[number] for number in usable],
                batch.settings[0].double().numpy()[usable],
            )


def _choice(name: str, count: int, per_set: int) -> Array:
    return np.random.default_rng(zlib.crc32(name.encode())).permutation(count)[:per_set]


def _diverged(values: Array, goal: str) -> Array:
    """The run with infinities in the worse direction from where it diverged."""
    broken = np.flatnonzero(~np.isfinite(values) | (np.abs(values) > _LARGEST))
    if len(broken) and not np.isfinite(values[broken[0] :]).any():
        return np.where(
            np.arange(len(values)) >= broken[0], -np.inf if goal == "maximize" else np.inf, values
        )
    return np.where(np.isfinite(values) & (np.abs(values) < _LARGEST), values, np.nan)


def _usable(values: Array) -> bool:
    known = values[np.isfinite(values)]
    if (
        not len(values)
        or len(known) < _FEWEST
        or not np.isfinite(values[0])
        or np.isnan(values[-1])
    ):
        return False
    return bool(np.quantile(known, 0.95) > np.quantile(known, 0.05))


@dataclass(frozen=True)
class SearchTable:
    """What a model forecast of the runs of a search at their landmarks, higher is better.

    Args:
        family, source, name, goal: of the search.
        first, final: (runs,) first and last record.
        shares, values: (runs, END) as in `Track`.
        ends: (runs, END, 4) the forecast of the end: low, middle, high, met; NaN where none.
        halves: (runs, END) `met` of the forecast half as far, NaN where none.
        later: (runs, END, len(REACHES), 4) forecasts of later landmarks.
        edges: (runs, END, len(EDGES)) quantiles of the forecast of the end at EDGES.
        settings: (runs, k).
        records: (runs, most) all values in the metric's own direction, NaN beyond the last.
        counts: (runs, END) how many records there were by each landmark.
    """

    family: str
    source: str
    name: str
    goal: str
    first: Array
    final: Array
    shares: Array
    values: Array
    ends: Array
    halves: Array
    later: Array
    edges: Array
    settings: Array
    records: Array
    counts: Array


def make_table(model: LCPFN, search: RecordedSearch) -> SearchTable:
    """Forecasts all runs of a search at all landmarks."""
    tracks = _tracks(model, search)
    runs = len(tracks)
    ends, later = np.full((runs, END, 4), np.nan), np.full((runs, END, len(REACHES), 4), np.nan)
    halves = np.full((runs, END), np.nan)
    edges = np.full((runs, END, len(EDGES)), np.nan)
    for begin in range(0, runs, _CHUNK):
        part = tracks[begin : begin + _CHUNK]
        learn(model.network, [(track, _all_pairs(track)) for track in part])
        for run, track in enumerate(part, begin):
            for (made, about), answer in track.answers.items():
                if about == END:
                    ends[run, made] = answer
                if about in REACHES:
                    later[run, made, REACHES.index(about)] = answer
                if about == made + HALF < END:
                    halves[run, about] = answer.met
            edges[run] = _edges(model, track)
    return SearchTable(
        search.family,
        search.source,
        search.name,
        search.goal,
        np.array([track.first for track in tracks]),
        np.array([track.values[END] for track in tracks]),
        np.array([track.shares[:END] for track in tracks]),
        np.array([track.values[:END] for track in tracks]),
        ends,
        halves,
        later,
        edges,
        search.settings,
        *_records(tracks),
    )


def _records(tracks: Sequence[Track]) -> tuple[Array, Array]:
    """All values of runs (runs, most), and how many of them there were by landmarks (runs, END)."""
    lengths = [len(track.curve.values) for track in tracks]
    records = np.full((len(tracks), max(lengths)), np.nan)
    for row, track, length in zip(records, tracks, lengths, strict=True):
        row[:length] = track.curve.values
    return records, np.array([track.records[:END] for track in tracks])


def bounds_of(search: RecordedSearch) -> BoundsLike:
    """What the metric can never pass, as guessed from all runs of a search."""
    telling = telling_values(np.concatenate(search.values).tolist())
    return bounds_that_hold("auto", search.values[0][:1].tolist(), search.goal, telling)


def _tracks(model: LCPFN, search: RecordedSearch) -> list[Track]:
    bounds = bounds_of(search)
    curves = [
        read_curve(values, steps, float(steps[-1]), search.goal, bounds)
        for steps, values in zip(search.steps, search.values, strict=True)
    ]
    return [Track.of(curve, model.encode(curve)) for curve in curves]


def _edges(model: LCPFN, track: Track) -> Array:
    """Quantiles (END, len(EDGES)) of the forecasts of the end."""
    known = np.flatnonzero(track.records[:END] > 0)
    asked = Asked(
        track.encoded, track.curve, track.records[known], np.full(len(known), track.curve.horizon)
    )
    (forecasts,) = forecast_after(model.network, [asked])
    rising = track.curve.goal == "maximize"
    inside = np.clip(EDGES, EDGES[1] / 100, 1 - EDGES[1] / 100)
    levels = inside if rising else 1 - inside
    quantiles = np.asarray(forecasts.quantile(levels[:, None])) * (1 if rising else -1)
    found = np.full((END, len(EDGES)), np.nan)
    found[known] = quantiles.T
    return found


def _all_pairs(track: Track) -> Iterable[Pair]:
    for made in range(END):
        about = {END, *(reach for reach in REACHES if reach > made), min(made + HALF, END)}
        for landmark in sorted(about):
            if track.possible((made, landmark)) or (landmark == END and track.records[made]):
                yield made, landmark


def save_tables(path: Path, tables: Sequence[SearchTable]) -> None:
    """Writes tables to one .npz."""
    arrays = {
        f"{index}/{field.name}": np.asarray(getattr(table, field.name))
        for index, table in enumerate(tables)
        for field in fields(SearchTable)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def load_tables(path: Path) -> list[SearchTable]:
    """Reads what `save_tables` wrote."""
    with np.load(path) as stored:
        count = 1 + max(int(name.split("/")[0]) for name in stored.files)
        return [
            SearchTable(
                **{
                    field.name: str(stored[f"{index}/{field.name}"])
                    if field.name in ("family", "source", "name", "goal")
                    else stored[f"{index}/{field.name}"]
                    for field in fields(SearchTable)
                }
            )
            for index in range(count)
        ]
