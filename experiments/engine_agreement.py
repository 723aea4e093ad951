"""How far forecasts of recorded runs are from those of the torch engine before.

    python -m experiments.engine_agreement ../shared/data [--runs 2000] [--before 1e6e154]

Each run is observed to 10, 20, 40 or 80 % of its records, in turn, and its last one forecast by
both versions with the same weights. Quantiles, mean and standard deviation are compared in units of
the value or of the standard deviation, whichever is larger; chances to beat the last value as they
are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from experiments.benchmarks import folder
from experiments.engine_comparison import BEFORE, ROOT, copy_of

SHARES = (0.1, 0.2, 0.4, 0.8)
_ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import lcpfn
model = lcpfn.load(sys.argv[2])
said = []
for values, steps, horizon, goal in json.load(open(sys.argv[3])):
    post = model.extrapolate(values, steps, horizon=horizon, goal=goal, query=[horizon])
    quantiles = post.quantile([0.02, 0.06, 0.25, 0.5, 0.75, 0.94, 0.98])[:, 0].tolist()
    said.append([*quantiles, post.mean[0], post.std[0], post.prob_better(values[-1])])
json.dump(said, sys.stdout)
"""


def questions(data: Path, count: int) -> list[tuple[list[float], list[float], float, str]]:
    """Records, steps, horizon and goal of runs from all data sets in turn."""
    sets = list(folder.load(data))
    asked: list[tuple[list[float], list[float], float, str]] = []
    for row in range(max(len(each.values) for each in sets)):
        for each in sets:
            if row >= len(each.values) or len(asked) == count:
                continue
            values, steps = each.values[row], each.steps[row]
            seen = max(2, round(SHARES[len(asked) % len(SHARES)] * len(values)))
            if seen < len(values) and np.isfinite(values[:seen]).all():
                known = values[:seen].tolist(), steps[:seen].tolist()
                asked.append((*known, float(steps[-1]), each.goal))
    return asked


def answers(checkout: Path, weights: Path, asked: Path) -> np.ndarray:
    """What one version says, (runs, numbers)."""
    said = subprocess.run(
        [sys.executable, "-c", _ASK, checkout, weights, asked],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return np.array(json.loads(said))


def main(
    data: Annotated[Path, typer.Argument(help="folder of recorded curves")],
    runs: Annotated[int, typer.Option(help="how many")] = 2000,
    model: Annotated[str, typer.Option(help="bundled name")] = "default",
    before: Annotated[str, typer.Option(help="commit whose forecasts were torch's")] = BEFORE,
) -> None:
    """Prints the differences."""
    weights = ROOT / "lcpfn" / "bundled" / f"{model}.safetensors"
    with tempfile.TemporaryDirectory() as name:
        asked = questions(data, runs)
        file = Path(name) / "asked.json"
        file.write_text(json.dumps(asked), encoding="utf-8")
        checkout = copy_of(before, Path(name) / "before")
        then, now = (answers(version, weights, file) for version in (checkout, ROOT))
    size = np.maximum(np.abs(then[:, :-1]), then[:, -2:-1])
    moved = np.abs(now[:, :-1] - then[:, :-1]) / size
    relative = np.abs(now[:, :-1] - then[:, :-1]) / np.abs(then[:, :-1]).clip(1e-300)
    chances = np.abs(now[:, -1] - then[:, -1])
    Console().print(
        f"{model}, {len(asked):,} recorded runs: quantiles, mean and standard deviation of the "
        f"final value moved by {moved.max():.1e} at most (of the value or of the spread, "
        f"whichever is larger; {relative.max():.1e} of the value alone, 99.9 % of all numbers "
        f"by less than {np.quantile(relative, 0.999):.1e}), chances by {chances.max():.1e}.",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(main)
