"""The log in a folder that a trainer wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lcpfn.errors import InputError
from lcpfn.logs import events, hugging_face, mlflow
from lcpfn.logs.content import read_bytes
from lcpfn.logs.table import Table

# What trainers call their logs, the more telling ones first.
TELLING_NAMES = (
    "metrics.csv",
    "results.csv",
    "progress.csv",
    "result.json",
    "summary.csv",
    "metrics.json",
    "metrics.jsonl",
    "scalars.json",
    "catboost_training.json",
    "lcurve.out",
    "history.csv",
    "history.json",
    "log.csv",
    "log.txt",
    "train.log",
    "monitor.csv",
)
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".log", ".txt", ".out", ".gz")
_SHOWN = 5


def read_folder(
    folder: Path,
    parse: Callable[[bytes, str, str], Table],
    known: events.EventFolder | None = None,
) -> Table:
    """The log that a folder holds.

    In this order: the state of a Hugging Face trainer or of its newest checkpoint, metrics of
    MLflow, a file that is called as trainers call their logs, TensorBoard's event files, or the
    only file that could be a log.

    Args:
        folder: where to look.
        parse: reads the bytes of one file, given its name and stem.
        known: what has been read of TensorBoard's event files; None reads them from the start.

    Raises:
        InputError: there is none, or no telling which one.
    """
    state = hugging_face.newest_state(folder)
    if state is not None:
        return _file(state, parse)
    inner = folder / mlflow.FOLDER
    table = mlflow.read_metrics(inner if inner.is_dir() else folder)
    if table is not None:
        return table
    for name in TELLING_NAMES:
        if (folder / name).is_file():
            return _file(folder / name, parse)
    table = (known or events.EventFolder()).read(folder)
    if table is not None:
        return table
    found = sorted(
        path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in SUFFIXES
    )
    if len(found) == 1:
        return _file(found[0], parse)
    if not found:
        raise InputError(f"{folder} is a folder that holds no log; name the file to read")
    names = ", ".join(path.name for path in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise InputError(
        f"{folder} is a folder of {len(found)} files ({names}{more}); name the one to read, as in "
        f"{found[0]}"
    )


def _file(path: Path, parse: Callable[[bytes, str, str], Table]) -> Table:
    return parse(read_bytes(path), str(path), path.stem)
