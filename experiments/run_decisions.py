"""Would the stopping rule lose a run that would have won, and do small chances come true?

    python experiments/run_decisions.py ../shared/data/world ../shared/data/wild

Recorded runs, alone and without peers, are asked about at up to 60 of their records, from the first
on. Printed for each folder:

- **Lost winners.** A winner is judged against a best value that its own end beats by 2 % of its
  spread, a loser against one that its end misses by 10 %. How many of each the rule stops at some
  record, and after what share of the run it stops the losers (1 where it never does), for several
  thresholds and powers of the observed share (`StoppingRule.early_caution`). Files count alike.
- **Reliability.** Of the values that a forecast gives a chance of 1, 2, 5, 10 or 20 %, how many the
  run's end then beats, by the share of the run that had been observed. Sources count alike.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.real_runs import by_source, table
from experiments.support.recorded_runs import read_ragged
from lcpfn.forecast.model import LCPFN
from lcpfn.priors import RecordedRun

Array = NDArray[np.float64]

CHANCES = (0.01, 0.02, 0.05, 0.1, 0.2)
_ASKED = 60
_LEAD, _LAG = 0.02, 0.1
_FEWEST_RUNS = 8
_STAGES = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class Judged:
    """A run against a value to beat.

    Args:
        posts: n forecasts.
        progress: (n,) the shares of the run that they rest on.
        incumbent: the value to beat.
    """

    posts: Sequence[lcpfn.Extrapolation]
    progress: Array
    incumbent: float

    def stopped_at(self, rule: lcpfn.StoppingRule) -> float | None:
        """The share of the run after which a rule stops it; None where it never does."""
        for post, progress in zip(self.posts, self.progress.tolist(), strict=True):
            if rule.decide(post, self.incumbent).stop:
                return float(progress)
        return None


@dataclass(frozen=True)
class AskedRun:
    """What was forecast of one run's end, after n of its first records.

    Args:
        progress: (n,) the shares of the run that had been seen.
        as_winner, as_loser: against a value that the run's end beats, and one that it misses.
        beaten: (n, CHANCES) whether the end beat the value of that chance.
    """

    progress: Array
    as_winner: Judged
    as_loser: Judged
    beaten: NDArray[np.bool_]


def ask(model: LCPFN, run: RecordedRun) -> AskedRun:
    """Forecasts a run's end from up to 60 of its beginnings."""
    counts = np.unique(np.linspace(1, len(run.values) - 1, _ASKED).astype(int))
    posts = model.extrapolate_batch(
        [run.values[:count] for count in counts],
        steps=[run.steps[:count] for count in counts],
        horizon=float(run.steps[-1]),
        goal="maximize" if run.maximize else "minimize",
        query=[run.steps[-1]],
    )
    sign = 1 if run.maximize else -1
    end = float(run.values[-1])
    spread = float(np.quantile(run.values, 0.95) - np.quantile(run.values, 0.05))
    levels = 1 - np.array(CHANCES) if run.maximize else np.array(CHANCES)
    values = np.stack([post.quantile(levels)[:, -1] for post in posts])
    progress = run.steps[counts - 1] / run.steps[-1]

    def against(incumbent: float) -> Judged:
        # What the rule asks for is kept, as it is asked of many rules.
        return Judged([post.allowing(incumbent) for post in posts], progress, incumbent)

    return AskedRun(
        progress,
        against(end - sign * _LEAD * spread),
        against(end + sign * _LAG * spread),
        sign * (end - values) > 0,
    )


def main(
    folders: Annotated[list[Path], typer.Argument(help="folders of recorded runs")],
    model: Annotated[str, typer.Option(help="name or path of a model")] = "default",
    per_file: Annotated[int, typer.Option(help="runs of each file")] = 40,
    threshold: Annotated[list[float], typer.Option(help="of the rule; repeatable")] = [  # noqa: B006
        0.02,
        0.05,
        0.1,
    ],
    early_caution: Annotated[list[float], typer.Option(help="powers; repeatable")] = [  # noqa: B006
        0.0,
        0.5,
        1.0,
        1.5,
        2.0,
    ],
    markdown: Annotated[Path | None, typer.Option(help="write the tables here as well")] = None,
) -> None:
    """Asks about recorded runs, record by record."""
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    asked = {folder.name: _ask_all(loaded, folder, per_file) for folder in folders}
    lines = [*_lost_winners(asked, threshold, early_caution), *_reliability(asked)]
    if markdown is not None:
        markdown.write_text("\n".join(lines).lstrip() + "\n")


def _ask_all(
    model: LCPFN, folder: Path, per_file: int
) -> dict[tuple[str, str], list[tuple[str, AskedRun]]]:
    """By kind and source, the runs with the file that each is from."""
    found: dict[tuple[str, str], list[tuple[str, AskedRun]]] = defaultdict(list)
    for path in sorted(folder.glob("*.npz")):
        runs = list(read_ragged(folder, only=path.name))[:per_file]
        for key, members in by_source(runs, per_file).items():
            found[key] += [(path.stem, ask(model, run)) for run in members]
    return found


def _lost_winners(
    asked: dict[str, dict[tuple[str, str], list[tuple[str, AskedRun]]]],
    thresholds: Sequence[float],
    powers: Sequence[float],
) -> list[str]:
    rows = []
    for threshold in thresholds:
        for power in powers:
            rule = replace(lcpfn.StoppingRule(), threshold=threshold, early_caution=power)
            cells = [_stopped(rule, runs) for runs in asked.values()]
            rows.append([f"{threshold:g}", f"{power:g}", *cells])
    title = "winners stopped / losers stopped, on average after this share of the run"
    return table(title, ["threshold", "power", *asked], rows)


def _stopped(
    rule: lcpfn.StoppingRule, runs: dict[tuple[str, str], list[tuple[str, AskedRun]]]
) -> str:
    files: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for members in runs.values():
        for name, run in members:
            lost = run.as_winner.stopped_at(rule)
            saved = run.as_loser.stopped_at(rule)
            shares = float(lost is not None), float(saved is not None)
            files[name].append((*shares, 1.0 if saved is None else saved))
    pooled = np.array([np.mean(rows, 0) for rows in files.values() if len(rows) >= _FEWEST_RUNS])
    mean = pooled.mean(0)
    error = pooled.std(0) / max(1, len(pooled) - 1) ** 0.5
    winners, losers, share = (f"{m:.2f} ± {e:.2f}" for m, e in zip(mean, error, strict=True))
    return f"{winners} / {losers}, {share}"


def _reliability(
    asked: dict[str, dict[tuple[str, str], list[tuple[str, AskedRun]]]],
) -> list[str]:
    lines = []
    for folder, sources in asked.items():
        rows = []
        for low, high in [*pairwise(_STAGES), (0.0, 1.0)]:
            shares = [
                np.mean(np.concatenate([_beaten(run, low, high) for _, run in members]), 0)
                for members in sources.values()
                if any(len(_beaten(run, low, high)) for _, run in members)
            ]
            mean = np.mean(shares, 0)
            error = np.std(shares, 0) / max(1, len(shares) - 1) ** 0.5
            cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True)]
            rows.append([f"{low:.0%} to {high:.0%}", str(len(shares)), *cells])
        columns = ["of the run", "sources", *(f"{chance:g}" for chance in CHANCES)]
        title = f"{folder}: how often a value of such a chance was beaten"
        lines += table(title, columns, rows)
    return lines


def _beaten(run: AskedRun, low: float, high: float) -> NDArray[np.bool_]:
    kept: NDArray[np.bool_] = run.beaten[(run.progress > low) & (run.progress <= high)]
    return kept


if __name__ == "__main__":
    typer.run(main)
