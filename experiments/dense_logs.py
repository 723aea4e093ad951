"""Of a log that is denser than a model can tell apart: the last record of each cell, or their mean?

    python experiments/dense_logs.py ../shared/data/world ../shared/data/wild

Folders hold recorded runs as for `experiments/real_runs.py`; of them those are taken that have half
as many records again as the model's resolution. Before a forecast the records of each cell of the
step axis are put together: as the model does it, by the last of them; by their mean; by what lies
half way between; and by the mean but for the newest cell, of which the last counts. Printed are the
CRPS over that of repeating the last value, how often the central 88 % held the truth, in brackets
how often the truth was better, and what each way gains over the model's own, paired.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from experiments.real_runs import by_source, table
from experiments.support.recorded_runs import read_ragged
from experiments.support.run_scores import CUTOFFS, paired_gain, pool, score_runs
from lcpfn.forecast.axis import StepAxis

Array = NDArray[np.float64]

_DENSE = 1.5


def _mean_but_newest(mean: Array, last: Array) -> Array:
    return np.append(mean[:-1], last[-1])


WAYS: dict[str, Callable[[Array, Array], Array]] = {
    "last": lambda mean, last: last,
    "mean": lambda mean, last: mean,
    "half way": lambda mean, last: (mean + last) / 2,
    "mean, newest last": _mean_but_newest,
}
"""Values of cells, given the means of their records and the last of them."""


class PutTogether:
    """A model that is shown one value of each cell.

    Args:
        model: forecasts.
        way: gives the values.
    """

    def __init__(self, model: lcpfn.LCPFN, way: Callable[[Array, Array], Array]) -> None:
        self._model = model
        self._way = way

    def extrapolate(self, values: Array, steps: Array, horizon: float, **asked: Any) -> Any:
        """The model's forecast, from one record a cell."""
        cells = StepAxis(horizon, int(self._model.card["resolution"])).cells(steps)
        first = np.unique(cells, return_index=True)[1]
        last = np.append(first[1:], len(cells)) - 1
        mean = np.add.reduceat(values, first) / (last - first + 1)
        shown = self._way(mean, values[last])
        return self._model.extrapolate(shown, steps=steps[last], horizon=horizon, **asked)


def main(
    folders: Annotated[list[Path], typer.Argument(help="folders of recorded runs")],
    model: Annotated[str, typer.Option(help="name or path of a model")] = "default",
    per_source: Annotated[int, typer.Option(help="most runs of each source")] = 10,
) -> None:
    """Scores forecasts of dense runs."""
    torch.set_num_threads(1)
    loaded = lcpfn.load(model)
    fewest = _DENSE * int(loaded.card["resolution"])
    runs = [run for folder in folders for run in read_ragged(folder) if len(run.values) > fewest]
    sources = by_source(runs, per_source)
    scores = {
        name: [
            score_runs(cast(lcpfn.LCPFN, PutTogether(loaded, way)), members)
            for members in sources.values()
        ]
        for name, way in WAYS.items()
    }
    rows = [
        [
            name,
            *(
                f"{pool(found, cutoff)}; {paired_gain(found, scores['last'], cutoff)}"
                for cutoff in CUTOFFS
            ),
        ]
        for name, found in scores.items()
    ]
    title = f"{len(runs)} runs of {len(sources)} sources with more than {fewest:g} records"
    table(title, ["of a cell", *(f"{cutoff:.0%}" for cutoff in CUTOFFS)], rows)


if __name__ == "__main__":
    typer.run(main)
