"""For which runs the forecasts are good: ragged recorded runs, kind by kind.

    python experiments/real_runs.py ../shared/data/world ../shared/data/wild --figure runs.png

A folder holds .npz files with `steps` and `values` (runs, n), padded with NaN, `goal`, and where
they are known `repo`, which says what runs are of one source, and `rates`, learning rates at the
records. Printed for each kind of run, after 10, 20, 40 and 80 % of the steps: the CRPS of the
final value over that of repeating the last value (each source counting alike, with its standard
error over sources), how often the central 88 % held the truth, and in brackets how often the truth
was better than that. Then the same of the best value of the run, and what the learning rates are
worth where the log has them; with --unheard six times, networks that lack a sixth of the sources
each (`experiments/train_sixths.py`), also to those, each on the runs that it has not heard.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.support.real_runs_figure import draw_kinds
from experiments.support.recorded_runs import SIXTHS, part_of, read_ragged
from experiments.support.run_scores import CUTOFFS, RunScores, paired_gain, pool, score_runs
from experiments.support.unheard import Unheard, load_unheard
from lcpfn.forecast.best import Of
from lcpfn.forecast.model import LCPFN
from lcpfn.priors import RecordedRun

Sources = Mapping[tuple[str, str], Sequence[RecordedRun]]


def main(
    folders: Annotated[list[Path], typer.Argument(help="folders of recorded runs")],
    model: Annotated[str, typer.Option(help="name or path of a model")] = "default",
    unheard: Unheard = None,
    per_source: Annotated[int, typer.Option(help="most runs of each source")] = 40,
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="draw the best, median and worst forecast of each kind")
    ] = None,
) -> None:
    """Scores forecasts of recorded runs."""
    torch.set_num_threads(1)
    loaded, others = lcpfn.load(model), load_unheard(unheard)
    runs = [run for folder in folders for run in read_ragged(folder)]
    if not runs:
        raise typer.BadParameter(f"there are no usable runs in {', '.join(map(str, folders))}")
    sources = by_source(runs, per_source)
    lines = []
    for title, of in (("the last value", "last"), ("the best value", "best")):
        lines += _table_of_kinds(f"Forecasts of {title}", loaded, sources, of)  # type: ignore[arg-type]
    lines += _table_of_rates("", lambda source: loaded, sources)
    if others:
        lines += _table_of_rates(
            ", to networks that have not heard these",
            lambda source: others[part_of(*source, SIXTHS)],
            sources,
        )
    if markdown is not None:
        markdown.write_text("\n".join(lines).lstrip() + "\n")
    if figure is not None:
        groups: dict[str, list[RecordedRun]] = defaultdict(list)
        for (group, _), members in sources.items():
            groups[group].extend(members)
        scored = {
            group: (members, score_runs(loaded, members)) for group, members in groups.items()
        }
        draw_kinds(loaded, scored, figure)


def by_source(runs: Iterable[RecordedRun], per_source: int) -> Sources:
    """Runs of each source of each kind, spread evenly over all that it has."""
    found: dict[tuple[str, str], list[RecordedRun]] = defaultdict(list)
    for run in runs:
        found[run.group, run.source].append(run)
    return {key: _spread(members, per_source) for key, members in sorted(found.items())}


def _spread(runs: Sequence[RecordedRun], most: int) -> Sequence[RecordedRun]:
    chosen = np.unique(np.linspace(0, len(runs) - 1, most).round().astype(int))
    return [runs[index] for index in chosen]


def _table_of_kinds(title: str, model: LCPFN, sources: Sources, of: Of) -> list[str]:
    scores = {key: score_runs(model, runs, of) for key, runs in sources.items()}
    kinds: dict[str, list[RunScores]] = defaultdict(list)
    for (group, _), found in scores.items():
        for kind in (group, f"all of {group.split('/')[0]}"):
            kinds[kind].append(found)
    rows = [
        [
            kind,
            str(len(members)),
            *(str(pool(members, cutoff)) for cutoff in CUTOFFS),
        ]
        for kind, members in sorted(kinds.items(), key=lambda item: item[0].startswith("all"))
    ]
    return table(title, ["", "sources", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)], rows)


def _table_of_rates(
    whom: str, model: Callable[[tuple[str, str]], LCPFN], sources: Sources
) -> list[str]:
    """By how much the CRPS falls where learning rates are told to a source's model."""
    known = {
        key: [run for run in runs if run.rates is not None and len(set(run.rates)) > 1]
        for key, runs in sources.items()
    }
    asked = [(model(key), runs) for key, runs in known.items() if runs]
    if not asked:
        return []
    untold = [score_runs(*each) for each in asked]
    rows = []
    for told in ("rates", "schedule"):
        scores = [score_runs(*each, "last", told) for each in asked]  # type: ignore[arg-type]
        rows.append([told, *(paired_gain(scores, untold, cutoff) for cutoff in CUTOFFS)])
    title = f"What learning rates are worth on the runs of {len(asked)} sources{whom}"
    return table(title, ["told", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)], rows)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Prints a table, and returns it in Markdown."""
    drawn = Table(title=title)
    for column in columns:
        drawn.add_column(column)
    lines = ["", f"**{title}**", "", f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for row in rows:
        drawn.add_row(*row)
        lines.append(f"| {' | '.join(row)} |")
    Console(width=150).print(drawn)
    return lines


if __name__ == "__main__":
    typer.run(main)
