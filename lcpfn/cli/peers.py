"""Logs of the other runs of a search, as the commands take them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from lcpfn.cli.common import show_notes
from lcpfn.cli.options import Option
from lcpfn.errors import InputError

if TYPE_CHECKING:
    from lcpfn.forecast.peer import Peer
    from lcpfn.logs.run import RunLog

# Steps of one unit are at most so many times as far apart as others.
_ALIKE = 2.0

PeerOption = Annotated[
    list[str] | None,
    Option(
        metavar="FILE",
        help="Log of another run of the search, finished or not: what became of the forecasts of "
        "it corrects this one. Repeatable; the latest last.",
        show_default=False,
    ),
]


def read_peers(paths: Iterable[str], run: RunLog, horizon: float) -> list[RunLog]:
    """Logs of other runs of the search, in the columns of the one that is asked about.

    One that begins with the records of the run is the run itself, and left out. Where a log does
    not have the run's step column, as exports of Weights & Biases do not, its own counts if it goes
    on in steps as large, which is said on standard error.

    Raises:
        InputError: one cannot be read, or goes on beyond the horizon.
    """
    return [other for path in paths for other in _read(path, run, horizon)]


def _read(path: str, run: RunLog, horizon: float) -> list[RunLog]:
    try:
        logs = _in_steps_of(run, path)
        # An export may hold the run itself beside its peers, and `--peer *.csv` its log.
        others = [log for log in logs if not _is_itself(log, run)]
        for log in others:
            log.model_horizon(horizon)
    except InputError as error:
        raise InputError(f"--peer {path}: {error}") from None
    return others


def _in_steps_of(run: RunLog, path: str) -> list[RunLog]:
    """The runs in a log, in the step column of a run or in one that goes on as it does."""
    from lcpfn.logs.run import read_runs

    try:
        return read_runs(path, run.metric, run.steps_column)
    except InputError as error:
        try:
            logs = read_runs(path, run.metric)
        except InputError:
            raise error from None
        if not all(_as_large(log, run) for log in logs):
            own = logs[0]
            raise InputError(
                f"its steps are counted in {own.step_name}, {_spacing(own):g} at a time, but those "
                f"of the run in {run.step_name}, {_spacing(run):g} at a time: give it a column "
                f"{run.step_name!r}, or name one that both have with --step"
            ) from None
        said = f"steps are counted in {logs[0].step_name}, for want of {run.step_name}"
        show_notes([f"--peer {path}: {said}"])
        return logs


def _as_large(log: RunLog, run: RunLog) -> bool:
    """Whether the steps of a log are about as large as those of the run."""
    return _spacing(run) <= _ALIKE * _spacing(log) <= _ALIKE**2 * _spacing(run)


def _spacing(log: RunLog) -> float:
    """The usual distance between two records; 1 of a single one."""
    import numpy as np

    gaps = np.diff(log.model_steps)
    return float(np.median(gaps)) if len(gaps) else 1.0


def _is_itself(log: RunLog, run: RunLog) -> bool:
    """Whether a log is of the run at hand: it is called so, or begins with the same records.

    Of those that are called so, too, the first record must be the same: every search has a seed 0.
    """
    import numpy as np

    if log.run is not None and run.run is not None:
        return log.run == run.run and np.array_equal(log.values[:1], run.values[:1], equal_nan=True)
    count = len(run.values)
    return (
        count > 1
        and np.array_equal(log.values[:count], run.values, equal_nan=True)
        and np.array_equal(log.own_steps(log.model_steps)[:count], run.own_steps(run.model_steps))
    )


def as_peer(log: RunLog, run: RunLog, horizon: float) -> Peer:
    """A log as a peer of a run, in the steps of a model.

    Args:
        log: of the peer.
        run: the run at hand.
        horizon: of both, as a person states it.
    """
    from lcpfn.forecast.peer import Peer

    records = peer_records(log, run.shift)
    last = records[-1][0] if records else -math.inf
    return Peer.of(records, stopped=last < run.model_horizon(horizon))


def peer_records(log: RunLog, shift: float) -> list[tuple[float, float]]:
    """The (step, value) records of a peer that are not missing, in the steps of the run."""
    steps = log.own_steps(log.model_steps) + shift
    listed = zip(steps.tolist(), log.values.tolist(), strict=True)
    return [(step, value) for step, value in listed if not math.isnan(value)]
