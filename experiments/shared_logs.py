"""Does the forecast of a log that is still being written hold the truth, in every format?

    python experiments/shared_logs.py ../shared/logs [--metric val_loss] [--commands 1]

The folder holds logs of one training in many formats and `truth.json`, the last value of each of
its metrics. Every log that has the metric is cut wherever its writer may have paused. For each
number of records that a cut holds, from 60 % of the run on, the end of the run is forecast as
`lcpfn extrapolate FILE --metric METRIC` does it; where the log does not say how long the run will
be, the forecast is told. Counted is how often the central 96 % hold the last value. No cut may hold
a value that the whole log has not.

A log named `half_written_...` stops in the middle of a record. Its forecast has to be that of the
log of the same format that is whole, after as many records, number by number. The first cuts of
each log are asked through the command as well, which has to answer the same.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Also when run by its path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lcpfn
from lcpfn.cli.common import forecast
from lcpfn.cli.question import read_question
from lcpfn.errors import InputError
from lcpfn.logs.run import RunLog, read_run

_FROM = 0.6
_QUANTILES = (0.02, 0.5, 0.98)
# Where a writer may pause in a text; a compressed log may be cut anywhere.
_PAUSES = b"\n,]}"
_HALF_WRITTEN = "half_written_"
_TRUTH = "truth.json"
_CLOSE = 1e-9


@dataclass(frozen=True)
class Asked:
    """What is asked of a log.

    Args:
        metric: as a person calls it.
        horizon: length of the run, as a person says it; None where the log says it.
    """

    metric: str
    horizon: float | None

    def read(self, path: Path) -> RunLog:
        """The log as it stands."""
        return read_run(path, self.metric, None, self.horizon)

    def answer(self, model: lcpfn.LCPFN, path: Path, records: int | None = None) -> list[float]:
        """Quantiles of the end of the run, after its first `records`."""
        asked = read_question(str(path), self.metric, None, None, self.horizon)
        log = asked.log if records is None else asked.log.first(records)
        post = forecast(model, log, asked.horizon, asked.goal, "auto")
        quantiles: list[float] = post.quantile(_QUANTILES)[:, -1].tolist()
        return quantiles

    def answer_of_command(self, path: Path) -> list[float]:
        """The same through the command line."""
        words = [sys.executable, "-m", "lcpfn.cli", "extrapolate", str(path), "--json"]
        told = [] if self.horizon is None else ["--horizon", f"{self.horizon:g}"]
        done = subprocess.run(
            [*words, "--metric", self.metric, *told], capture_output=True, text=True, check=True
        )
        quantiles = json.loads(done.stdout)["quantiles"]
        return [quantiles[f"{q:g}"][-1] for q in _QUANTILES]


def length_to_tell(log: RunLog) -> float | None:
    """The length of a run that is complete, as a person says it; None where its log says it."""
    if log.stated_horizon is not None:
        return None
    last = float(log.logged_steps[-1])
    return last + 1 if log.consecutive else last


def cuts(path: Path) -> list[bytes]:
    """The beginnings of a log, without the first quarter, the longest last."""
    data = path.read_bytes()
    anywhere = path.suffix == ".gz"
    ends = [place + 1 for place, byte in enumerate(data) if anywhere or byte in _PAUSES]
    return [data[:end] for end in ends if end > len(data) // 4]


def answers(
    model: lcpfn.LCPFN, path: Path, asked: Asked, by_command: int
) -> tuple[dict[int, list[float]], int]:
    """Answers by the number of records from 60 % of the run on; how many the command repeated.

    Raises:
        RuntimeError: a cut holds what the whole log does not, or the command answers otherwise.
    """
    whole = asked.read(path).values
    found: dict[int, list[float]] = {}
    repeated = 0
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / path.name
        for written in cuts(path):
            cut.write_bytes(written)
            try:
                values = asked.read(cut).values
            except InputError:
                continue
            count = len(values)
            if not np.array_equal(values, whole[:count]):
                raise RuntimeError(f"{path} cut at byte {len(written)} holds other values")
            if count < math.ceil(_FROM * len(whole)) or count in found:
                continue
            found[count] = asked.answer(model, cut)
            if repeated < by_command:
                repeated += 1
                if not alike(asked.answer_of_command(cut), found[count]):
                    raise RuntimeError(f"{path} cut at byte {len(written)}: the command differs")
    return found, repeated


def alike(some: Sequence[float], others: Sequence[float]) -> bool:
    """Whether two answers are the same, number by number."""
    return bool(np.allclose(some, others, rtol=_CLOSE, atol=0.0))


def whole_log_of(path: Path) -> Path:
    """The log in its folder that begins as a half-written one does, for longest."""
    data = path.read_bytes()
    others = [
        other
        for other in sorted(path.parent.iterdir())
        if other.is_file() and not other.name.startswith(_HALF_WRITTEN)
    ]
    return max(others, key=lambda other: _alike_for(other.read_bytes(), data))


def _alike_for(some: bytes, others: bytes) -> int:
    """How many bytes two contents begin with alike."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((n for n, (one, other) in pairs if one != other), min(len(some), len(others)))


def report_whole(model: lcpfn.LCPFN, path: Path, metric: str, by_command: int) -> tuple[int, int]:
    """Prints how often a log's cuts held its last value; returns how often, and of how many."""
    whole = read_run(path, metric)
    asked = Asked(metric, length_to_tell(whole))
    found, repeated = answers(model, path, asked, by_command)
    truth = float(whole.values[-1])
    inside = {
        count: low <= truth <= high
        for count, (low, _, high) in found.items()
        if count < len(whole.values)
    }
    missed = [count for count, holds in inside.items() if not holds]
    notes = [whole.metric]
    if missed:
        notes.append(f"outside after {', '.join(map(str, missed))} records")
    print(
        f"{path.name:26} {len(whole.values):7} {len(inside):5} {sum(inside.values()):6} "
        f"{repeated:7}  {'; '.join(notes)}",
        flush=True,
    )
    return sum(inside.values()), len(inside)


def report_half_written(model: lcpfn.LCPFN, path: Path, metric: str, truth: float) -> bool:
    """Prints whether a half-written log answers as the whole one did then; returns it."""
    other = whole_log_of(path)
    asked = Asked(metric, length_to_tell(read_run(other, metric)))
    count = len(asked.read(path).values)
    low, middle, high = asked.answer(model, path)
    same = alike((low, middle, high), asked.answer(model, other, count))
    verdict = "as" if same else "NOT as"
    band = f"{low:.4g} to {high:.4g} {'hold' if low <= truth <= high else 'do not hold'} the truth"
    print(f"{path.name:26} {count:7} answers {verdict} {other.name} after {count} records: {band}")
    return same


def main() -> None:
    """Counts, log by log."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help=f"logs of one training, and {_TRUTH}")
    parser.add_argument("--metric", default="val_loss")
    parser.add_argument("--commands", type=int, default=1, help="cuts of each log for the command")
    options = parser.parse_args()
    model = lcpfn.load()
    truths: dict[str, float] = json.loads((options.folder / _TRUTH).read_text("utf-8"))
    print(f"{'log':26} records  cuts inside command")
    inside = asked = 0
    same = True
    for path in sorted(options.folder.iterdir()):
        try:
            read_run(path, options.metric)
        except InputError:
            continue
        if path.name.startswith(_HALF_WRITTEN):
            truth = truths[options.metric]
            same = report_half_written(model, path, options.metric, truth) and same
        elif path.name != _TRUTH:
            held, of = report_whole(model, path, options.metric, options.commands)
            inside, asked = inside + held, asked + of
    print(f"the central 96 % held the last value after {inside} of {asked} cuts")
    if not same:
        raise SystemExit("a half-written log answers otherwise")


if __name__ == "__main__":
    main()
