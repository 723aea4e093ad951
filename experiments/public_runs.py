r"""Runs of public repositories that no training has seen, as collected by hand.

    python experiments/public_runs.py COLLECTED ../shared/data/public \
        --listed experiments/public_runs.csv

Reads the .csv files below a folder, one for each curve: lines `# name: content` say `repo`,
`path`, `commit`, `metric`, `goal` and `kind`; then `step,value` or `step,value,rate`. Writes one
.npz of each kind and goal, as `experiments/real_runs.py` and `experiments/train_default.py` read
them, and a list of where each curve was found. Left out, and said so, are curves of fewer than
twelve records, whose steps do not increase, that never move or that pass a million.

The numbers themselves are not part of the project; `experiments/public_runs.csv` says where to
find them again.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.support.recorded_runs import LARGEST

_FEWEST = 12
_GOALS = ("maximize", "minimize")
_LISTED = ("repo", "path", "commit", "metric", "goal", "kind")


@dataclass(frozen=True)
class Curve:
    """A collected curve.

    Args:
        about: what its file says of it, by name.
        records: (n, 3) steps, values and learning rates, NaN where unknown.
        folder: it lies in.
    """

    about: dict[str, str]
    records: NDArray[np.float64]
    folder: str

    @property
    def counted_from_one(self) -> NDArray[np.float64]:
        """The steps (n,); a record at step 0 counts as one interval after the start."""
        steps = self.records[:, 0]
        return steps + (steps[1] - steps[0]) if steps[0] <= 0 else steps

    @property
    def doubt(self) -> str | None:
        """Why it is of no use; None where it is."""
        steps, values = self.records[:, 0], self.records[:, 1]
        if self.about.get("goal") not in _GOALS:
            return f"its goal is {self.about.get('goal')!r}"
        if len(values) < _FEWEST:
            return f"there are {len(values)} records"
        if (np.diff(steps) <= 0).any():
            return "its steps do not increase"
        if np.abs(values).max() > LARGEST:
            return f"it passes {LARGEST:g}"
        if not np.quantile(values, 0.95) > np.quantile(values, 0.05):
            return "it never moves"
        return None


def main(
    collected: Annotated[Path, typer.Argument(help="folder of .csv files, in folders of any name")],
    out: Annotated[Path, typer.Argument(help="folder for the .npz files")],
    listed: Annotated[Path | None, typer.Option(help="write where each curve was found")] = None,
) -> None:
    """Packs collected curves, and lists them."""
    used = read_collected(collected)
    groups: dict[tuple[str, str], list[Curve]] = defaultdict(list)
    for curve in used:
        groups[curve.folder.rstrip("0123456789"), curve.about["goal"]].append(curve)
    out.mkdir(parents=True, exist_ok=True)
    for (kind, goal), curves in sorted(groups.items()):
        _write(out / f"{kind}__{goal}.npz", goal, curves)
    sources = {curve.about["repo"] for curve in used}
    print(f"{len(used)} curves of {len(sources)} repositories")
    if listed is not None:
        with listed.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow((*_LISTED, "records"))
            rows.writerows(
                [*(curve.about.get(name, "") for name in _LISTED), len(curve.records)]
                for curve in used
            )


def read_collected(collected: Path) -> list[Curve]:
    """The usable curves of all folders below one; says which are left out."""
    found = []
    for path in sorted(collected.rglob("*.csv")):
        curve = _read(path)
        if curve is None:
            continue
        if curve.doubt is None:
            found.append(curve)
        else:
            print(f"left out: {path.name}, {curve.doubt}")
    return found


def _read(path: Path) -> Curve | None:
    """A curve; None where the file is of something else."""
    about, records = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            name, _, content = line[1:].partition(":")
            about[name.strip()] = content.strip()
            continue
        cells = [cell.strip() for cell in line.split(",")]
        try:
            row = [float(cell) if cell else math.nan for cell in cells[:3]]
        except ValueError:
            continue
        if len(row) > 1:
            records.append([*row, math.nan][:3])
    if "repo" not in about:
        return None
    known = np.array(records).reshape(-1, 3)
    return Curve(about, known[np.isfinite(known[:, :2]).all(1)], path.parent.name)


def _write(path: Path, goal: str, curves: Sequence[Curve]) -> None:
    longest = max(len(curve.records) for curve in curves)
    arrays = np.full((3, len(curves), longest), np.nan)
    for row, curve in enumerate(curves):
        arrays[:, row, : len(curve.records)] = curve.records.T
    steps, values, rates = arrays
    repo = np.array([curve.about["repo"] for curve in curves])
    np.savez(path, steps=steps, values=values, rates=rates, repo=repo, goal=goal)


if __name__ == "__main__":
    typer.run(main)
