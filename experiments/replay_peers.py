r"""Does it pay to hear the other runs when a search decides which to stop?

    python experiments/replay_peers.py --data ../shared/data/lcbench --sets 6 \
        --model runs/fold0/fold0.safetensors --model runs/fold1/fold1.safetensors \
        --network runs/peers/fold0.safetensors --network runs/peers/fold1.safetensors

Replays recorded searches, as `experiments.rule_choice` does, with the forecasts of runs corrected
by those of the others ("always") and without ("nothing"), at several thresholds and numbers of
trials at a time. Each half of the data sets is replayed with the networks that were trained without
it, or each sixth with those of six. What a threshold means differs, so what counts is whether one
curve of epochs against regret lies below the other.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.early_stopping import Record, search_source
from experiments.replay import Outcome, RecordedRuns, outcome, read_runs, side_by_side
from experiments.replay_search import Foreseen, Remembered, RunForecasts, SearchTrials, forecast_all
from experiments.support.searches import left_out_of_source
from lcpfn.forecast.company import Told
from lcpfn.forecast.curve import Curve
from lcpfn.forecast.extrapolation import Extrapolation
from lcpfn.forecast.model import LCPFN
from lcpfn.forecast.tracks import Track
from lcpfn.peer_weights import load_peer_network
from lcpfn.search.company import Companion, Company
from lcpfn.search.forecasts import Question
from lcpfn.search.rule import FinalForecast

WORKERS = (1, 8, 32, 100)
THRESHOLDS = (0.02, 0.05, 0.1)
HEARS = ("nothing", "always")


class RememberingCompany(Company):
    """Keeps what was forecast of runs from one replay to the next."""

    def __init__(self, model: LCPFN, runs: RecordedRuns) -> None:
        super().__init__(model, runs.goal)
        self._tracks: dict[Hashable, Track] = {}

    def track(self, run: Hashable, curve: Curve, config: Mapping[str, Any] | None) -> Told:
        """What is known of a run, with all that was ever forecast of these records of it."""
        told = super().track(run, curve, config)
        known = self._tracks.get(run)
        if known is not None:
            told.track.take_over(known)
        if known is None or len(curve.steps) >= len(known.curve.steps):
            self._tracks[run] = told.track
        return told


class HearingForeseen(Foreseen):
    """Forecasts that were made before, and listen to the other runs.

    Args:
        forecasts: of the runs alone, by number.
        company: of the runs.
    """

    def __init__(self, forecasts: Sequence[RunForecasts], company: Company) -> None:
        super().__init__(forecasts)
        self._company = company

    def heard(
        self, post: FinalForecast, companions: Sequence[Companion], question: Question
    ) -> FinalForecast:
        """The forecast corrected by those of the other runs."""
        assert isinstance(post, Remembered)
        alone: Extrapolation = post.forecast.at_horizon()
        told = question.bounds, question.schedule
        return self._company.heard(alone, companions, question.config, *told)


def replay(
    runs: RecordedRuns,
    forecasts: Sequence[RunForecasts],
    company: Company,
    workers: int,
    **settings: Any,
) -> Outcome:
    """One search."""
    company.forget_all()
    forecaster = HearingForeseen(forecasts, company)
    search = lcpfn.Search(runs.goal, runs.curves.shape[1], forecast=forecaster, **settings)
    return outcome(runs, side_by_side(runs, workers, DescribedTrials(search, runs)))


class DescribedTrials(SearchTrials):
    """Trials in the care of a search that is told how they are made.

    Args:
        search: decides.
        runs: in the order of trials.
    """

    def __init__(self, search: lcpfn.Search, runs: RecordedRuns) -> None:
        super().__init__(search)
        self._runs = runs

    def begin(self, trial: int) -> None:
        """Tells the search."""
        if self._runs.configurations is not None:
            settings = self._runs.configurations[trial].tolist()
            self.search.describe(trial, {str(index): one for index, one in enumerate(settings)})


def main(
    data: Annotated[list[Path], typer.Option(help="folder with one .npz per set; repeatable")],
    network: Annotated[
        list[Path] | None, typer.Option(help="made without the parts, in order of these")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="name or path; two or six, in order of the parts")
    ] = None,
    sets: Annotated[int, typer.Option(help="of each folder")] = 6,
    per_set: Annotated[int, typer.Option(help="runs of each data set", min=2)] = 100,
    seed: int = 1,
    workers: Annotated[list[int] | None, typer.Option(help="trials at a time; repeatable")] = None,
    threshold: Annotated[list[float] | None, typer.Option(help="repeatable")] = None,
    save: Annotated[Path | None, typer.Option(help="keep outcomes in this file")] = None,
    markdown: Annotated[Path | None, typer.Option(help="write the table here as well")] = None,
) -> None:
    """Compares searches that hear with searches that do not."""
    torch.set_num_threads(1)
    models = [lcpfn.load(name) for name in model or ("default",)]
    thresholds = tuple(threshold or THRESHOLDS)
    networks = [load_peer_network(path) for path in network or ()]
    basis = {
        "models": [one.card["sha256"] for one in models],
        "networks": [str(path) for path in network or ()],
        "source": search_source(),
        "thresholds": list(thresholds),
        "searches": [per_set, seed],
    }
    record = Record(save, basis)
    found: dict[tuple[str, int, str, float], list[Outcome]] = defaultdict(list)
    for folder in data:
        for number, runs in enumerate(read_runs(folder, per_set, seed)):
            if number >= sets:
                break
            hearing = loaded = left_out_of_source(folder.name, runs.name, models)
            if networks:
                hears = left_out_of_source(folder.name, runs.name, networks)
                hearing = LCPFN(loaded.network, loaded.card, lambda hears=hears: hears)
            (order,) = runs.orders(1, seed)
            told = None if runs.configurations is None else runs.configurations[order]
            ordered = RecordedRuns(runs.name, runs.curves[order], runs.goal, told)
            forecasts = company = None
            for width in workers or WORKERS:
                key = f"{folder.name}/{runs.name}/{width}"
                known = record.get(key)
                if known is None:
                    forecasts = forecasts or forecast_all(ordered, loaded)
                    company = company or RememberingCompany(hearing, ordered)
                    known = {
                        f"{when} {one:g}": replay(
                            ordered, forecasts, company, width, hears=when, threshold=one
                        )
                        for when in HEARS
                        for one in thresholds
                    }
                    record.put(key, known)
                for when in HEARS:
                    for one in thresholds:
                        found[folder.name, width, when, one].append(known[f"{when} {one:g}"])
            print(folder.name, runs.name, flush=True)
    lines = list(_table(found, thresholds))
    print("\n".join(lines))
    if markdown is not None:
        markdown.write_text("\n".join(lines) + "\n")


def _table(
    found: Mapping[tuple[str, int, str, float], Sequence[Outcome]], thresholds: Sequence[float]
) -> Iterable[str]:
    yield "| | at a time | hears | " + " | ".join(f"{value:g}" for value in thresholds) + " |"
    yield "|" + " --- |" * (3 + len(thresholds))
    for folder, workers, hears in dict.fromkeys(key[:3] for key in found):
        cells = []
        for threshold in thresholds:
            outcomes = found[folder, workers, hears, threshold]
            epochs, regret, kept = (
                np.mean([getattr(one, name) for one in outcomes])
                for name in ("epochs", "regret", "kept")
            )
            cells.append(f"{epochs:.3f} / {regret:.4f} / {kept:.2f}")
        yield f"| {folder} | {workers} | {hears} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    typer.run(main)
