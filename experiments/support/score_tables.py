"""Tables of scores, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from experiments.support.means import mean_and_error
from experiments.support.scores import COVERAGES, CUTOFFS, Scores, SetScores, ratio
from experiments.support.tasks import Array
from lcpfn.atomic import write_atomically

BASELINE = "last value"
_WIDTH = 140


def ratio_table(
    title: str,
    results: Mapping[str, SetScores],
    names: Sequence[str],
    measure: Literal["crps", "median"] = "crps",
) -> Table:
    """Scores as a fraction of the last value's: a row for each forecaster and group of curves."""
    table = cutoff_table(title, "curves of", "forecaster")
    for group, members in results.items():
        count = members[BASELINE].crps.shape[1]
        for name in names:
            own, base = (_measure(members[key], measure) for key in (name, BASELINE))
            cells = [_pair(ratio(own[i], base[i])) for i in range(len(CUTOFFS))]
            if name == BASELINE:
                cells = [f"1 ({base[i].mean():.3g})" for i in range(len(CUTOFFS))]
            table.add_row(f"{group} ({count})", name, *cells)
    return table


def coverage_table(results: Mapping[str, SetScores], names: Sequence[str]) -> Table:
    """Share of curves inside each central interval."""
    table = cutoff_table(
        "share of truths inside the central intervals", "curves of", "forecaster", "of"
    )
    for group, members in results.items():
        for name in names:
            for index, coverage in enumerate(COVERAGES):
                inside = members[name].covered[:, index]
                cells = [_pair(mean_and_error(row), 2) for row in inside]
                table.add_row(group, name, f"{coverage:.0%}", *cells)
    return table


def worse_table(results: Mapping[str, SetScores], names: Sequence[str]) -> Table:
    """Every data set and cutoff where a model's mean CRPS is above the last value's."""
    table = Table(title="where a model is worse than the last value", box=box.SIMPLE)
    for heading in ("data set", "model", "observed", "CRPS ratio", "by standard errors"):
        table.add_column(heading)
    for name in names:
        for task, members in results.items():
            for index, cutoff in enumerate(CUTOFFS):
                value, error = ratio(members[name].crps[index], members[BASELINE].crps[index])
                if value > 1:
                    beyond = (value - 1) / error if error > 0 else float("inf")
                    cells = (f"{cutoff:.0%}", _pair((value, error)), f"{beyond:.1f}")
                    table.add_row(task, name, *cells)
    if not table.row_count:
        table.add_row("nowhere", ", ".join(names), "", "", "")
    return table


def write(tables: Sequence[Table], notes: Sequence[str], markdown: Path | None) -> None:
    """Prints tables and notes, and writes them to a file as Markdown."""
    console = Console(width=_WIDTH)
    for table in tables:
        console.print(table)
    for note in notes:
        console.print(note)
    if markdown is not None:
        parts = [f"{_heading(table)}\n\n{_as_markdown(table)}" for table in tables]
        parts += [f"- {note}" for note in notes]
        write_atomically(markdown, ("\n\n".join(parts) + "\n").encode())


def _as_markdown(table: Table) -> str:
    text = StringIO()
    title, table.title, table.box = table.title, None, box.MARKDOWN
    Console(file=text, width=1000).print(table)
    table.title = title
    return "\n".join(line.strip() for line in text.getvalue().splitlines() if line.strip())


def _heading(table: Table) -> str:
    text = str(table.title)
    return f"**{text[0].upper()}{text[1:]}**"


def cutoff_table(title: str, *headings: str) -> Table:
    """An empty table with a column for each heading, then one for each cutoff."""
    table = Table(title=title, box=box.SIMPLE)
    for heading in headings:
        table.add_column(heading)
    for cutoff in CUTOFFS:
        table.add_column(f"{cutoff:.0%}", justify="right")
    return table


def _measure(scores: Scores, measure: str) -> Array:
    return scores.crps if measure == "crps" else scores.median_error


def _pair(value: tuple[float, float], digits: int = 3) -> str:
    return f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}"
