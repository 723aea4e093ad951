"""Which runs have their logs below a folder.

A file whose name says what was run, such as `lr_0.1.csv`, is a run of its own. One whose name does
not, such as `metrics.csv` or `train.log`, is the log of the run whose folder it lies in; where
there are several of them, they tell of the same run, and the most telling one is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Protocol

from lcpfn.errors import InputError
from lcpfn.logs import events, mlflow
from lcpfn.logs.folders import SUFFIXES, TELLING_NAMES
from lcpfn.logs.follow import Follower
from lcpfn.logs.follow_files import CHECKPOINT, follow_events, follow_metrics, follow_state
from lcpfn.logs.hugging_face import STATE_FILE
from lcpfn.logs.names import PHASES
from lcpfn.logs.run import RunLog
from lcpfn.logs.table import Table

# Their names say nothing of the run.
_GENERIC = {Path(name).stem for name in TELLING_NAMES} | set(
    [
        "evals_result",
        "learn_error",
        "log",
        "logs",
        "out",
        "output",
        "run",
        "stderr",
        "stdout",
        "test_error",
        "train",
        "train_log",
        "trainer_log",
        "training",
        "training_log",
    ]
)
_NO_LOGS = set(
    [
        "added_tokens.json",
        "adapter_config.json",
        "all_results.json",
        "args.json",
        "config.json",
        "debug-core.log",
        "debug-internal.log",
        "eval_results.json",
        "generation_config.json",
        "hparams.json",
        "hyperparameters.json",
        "merges.txt",
        "model.safetensors.index.json",
        "params.json",
        "preprocessor_config.json",
        "package.json",
        "pytorch_model.bin.index.json",
        "requirements.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "train_results.json",
        "vocab.json",
        "vocab.txt",
        "wandb-metadata.json",
        "wandb-summary.json",
    ]
)
_NO_RUNS = {"__pycache__", "node_modules", "site-packages"}
_MLFLOW_RUN = "meta.yaml"


class Log(Protocol):
    """A log that is read again and again; see `lcpfn.logs.follow.Follower`."""

    @property
    def tables(self) -> list[Table]: ...

    @property
    def changed(self) -> float: ...

    def update(self) -> bool: ...

    def forget(self) -> None: ...

    def runs(
        self,
        metric: str | None = None,
        steps_column: str | None = None,
        horizon: float | None = None,
    ) -> list[RunLog]: ...


@dataclass(frozen=True)
class Place:
    """Where the log of a run lies.

    Args:
        path: of the run: its log, or the folder that is its own.
        name: what to call it, from where was looked.
        sources: paths of what may be its log, the most telling first, by which they are known.
        follow: for each, what begins to follow it.
    """

    path: Path
    name: str
    sources: tuple[Path, ...]
    follow: tuple[Callable[[], Log], ...]


def find_runs(source: str | os.PathLike[str]) -> list[Place]:
    """The runs below a folder, by name; a file is the one run that it is.

    Hidden files and folders are passed over, and files that no trainer would log to.

    Raises:
        InputError: there is no such file or folder.
    """
    root = Path(source)
    if not root.exists():
        raise InputError(f"{root} does not exist")
    if not root.is_dir():
        return [Place(root, str(root), (root,), (partial(Follower, root),))]
    homes: dict[Path, list[tuple[int, Path, Callable[[], Log]]]] = {}
    found: list[Place] = []
    for folder, names in _folders(root):
        for rank, home, path, follow in _logs(folder, names, root):
            if rank is None:
                name = path.relative_to(root).as_posix()
                found.append(Place(path, name, (path,), (follow,)))
            else:
                homes.setdefault(home, []).append((rank, path, follow))
    for home, logs in homes.items():
        ordered = sorted(logs, key=lambda log: log[:2])
        unique = {path: follow for _, path, follow in ordered}
        name = home.relative_to(root).as_posix() if home != root else root.resolve().name
        found.append(Place(home, name, tuple(unique), tuple(unique.values())))
    return sorted(found, key=lambda place: place.name)


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """All folders below one, with the names of the files in each."""
    for path, inner, names in os.walk(root):
        folder = Path(path)
        own = _MLFLOW_RUN in names and mlflow.FOLDER in inner
        inner[:] = sorted(
            name
            for name in inner
            if not (name.startswith(".") or name in _NO_RUNS or own or CHECKPOINT.match(name))
        )
        yield folder, sorted(name for name in names if not name.startswith("."))


def _logs(
    folder: Path, names: list[str], root: Path
) -> Iterator[tuple[int | None, Path, Path, Callable[[], Log]]]:
    """Rank, folder of the run, path and follower of each log in a folder.

    Those without a rank are runs of their own.
    """
    if _MLFLOW_RUN in names and (folder / mlflow.FOLDER).is_dir():
        yield 0, folder, folder / mlflow.FOLDER, partial(follow_metrics, folder)
        return
    if STATE_FILE in names or any(folder.glob(f"checkpoint-*/{STATE_FILE}")):
        yield 0, folder, folder / STATE_FILE, partial(follow_state, folder)
    if any(fnmatch(name, events.PATTERN) for name in names):
        home = folder.parent if folder.name.lower() in PHASES and folder != root else folder
        yield len(TELLING_NAMES) + 1, home, home / events.PATTERN, partial(follow_events, home)
    for name in names:
        path = folder / name
        if name == STATE_FILE or name in _NO_LOGS or fnmatch(name, events.PATTERN):
            continue
        stem = name.split(".")[0].lower()
        generic = stem in _GENERIC or name.endswith(".monitor.csv")
        if path.suffix.lower() not in SUFFIXES and not (generic and not path.suffix):
            continue
        rank = None
        if name in TELLING_NAMES:
            rank = TELLING_NAMES.index(name) + 1
        elif generic:
            rank = len(TELLING_NAMES) + 2
        yield rank, folder, path, partial(Follower, path)
