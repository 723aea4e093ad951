"""What the numpy engine costs beside the torch engine before it: times, start-up, memory, size.

    python -m experiments.engine_comparison [--before 1e6e154] [--model default]
        [--rounds 15] [--size]

`speed.py --engine` runs the same. Both versions are timed in turn, in processes of their own, each
through the public interface: the working tree, and the last commit whose forecasts were torch's
(`--before`), from a copy that git makes. So a busy machine slows both, and the ratio is a median
over rounds. Start-up is that of fresh processes, beside `python -c "import numpy"` in the same run.
`--size` installs what forecasts need into an empty folder (`pip install --target`, which asks the
package index) and adds up its files.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import lcpfn
from experiments.support.engine_times import measurements

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "1e6e154"
BATCH = 512
# Calls of a measurement in one round: about as long for each.
_REPEATS = (20, 20, 2, 1, 10)
_RUN = "epoch,val_loss\n1,2.3\n2,1.7\n3,1.4\n4,1.25\n5,1.2\n"


class Version:
    """One version of the library in a process of its own."""

    def __init__(self, checkout: Path, weights: Path, curves: Path, threads: int):
        worker = ROOT / "experiments" / "support" / "engine_times.py"
        self._process = subprocess.Popen(
            [sys.executable, worker, checkout, weights, curves, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        imported = Path(self._read())
        if imported.parents[1] != checkout:
            raise RuntimeError(f"the library of {checkout} was to be timed, but {imported} was")

    def times(self, name: str, repeats: int) -> list[float]:
        """Seconds of each of some calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} x {repeats}\n")
        self._process.stdin.flush()
        return [float(text) for text in self._read().split()]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process that was to be timed has ended")
        return line.strip()


def copy_of(commit: str, folder: Path) -> Path:
    """The files of a commit, in a folder."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", commit, "lcpfn"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def compared(before: Path, weights: Path, curves: Path, threads: int, rounds: int) -> Table:
    """Both versions in turn."""
    table = Table(title=f"threads that are asked for: {threads}", title_justify="left")
    for heading in ("what", "torch before, ms", "numpy now, ms", "ratio", "quartiles of rounds"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    versions = [Version(checkout, weights, curves, threads) for checkout in (before, ROOT)]
    names = measurements(None, np.load(curves))
    taken: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, repeats in zip(names, _REPEATS, strict=True):
            taken[name].append([float(np.median(v.times(name, repeats))) for v in versions])
    for version in versions:
        version.close()
    for name, pairs in taken.items():
        times = np.array(pairs)
        ratios = times[:, 1] / times[:, 0]
        low, high = np.quantile(ratios, [0.25, 0.75])
        then, now = 1e3 * np.median(times, axis=0)
        table.add_row(
            name, f"{then:.2f}", f"{now:.2f}", f"{np.median(ratios):.2f}", f"{low:.2f}-{high:.2f}"
        )
    return table


def start_up(rounds: int, folder: Path) -> Table:
    """Seconds of fresh processes, the best of some rounds, and their peak memory."""
    log = folder / "run.csv"
    log.write_text(_RUN, encoding="utf-8")
    asked = [str(log), "--metric", "val_loss", "--goal", "minimize", "--horizon", "100"]
    command = [sys.executable, "-m", "lcpfn.cli"]
    forecast = "import lcpfn; lcpfn.load().extrapolate([.3, .5, .6], horizon=50).quantile(.5)"
    commands: dict[str, Sequence[str]] = {
        'python -c "import numpy"': [sys.executable, "-c", "import numpy"],
        "import lcpfn; lcpfn.load()": [sys.executable, "-c", "import lcpfn; lcpfn.load()"],
        "a forecast": [sys.executable, "-c", forecast],
        "lcpfn should-stop": [*command, "should-stop", *asked, "--best", "0.31"],
        "lcpfn extrapolate --json": [*command, "extrapolate", *asked, "--json"],
    }
    wall = {name: np.inf for name in commands}
    processor = {name: np.inf for name in commands}
    for _ in range(rounds):
        for name, words in commands.items():
            used = _children()
            start = time.perf_counter()
            subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
            wall[name] = min(wall[name], time.perf_counter() - start)
            processor[name] = min(processor[name], _children() - used)
    table = Table(title="start-up", title_justify="left")
    for heading in ("what", "seconds", "processor", "ratio to numpy", "peak memory, MiB"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    reference = next(iter(wall.values()))
    for name, words in commands.items():
        table.add_row(
            name,
            f"{wall[name]:.3f}",
            f"{processor[name]:.3f}",
            f"{wall[name] / reference:.2f}",
            f"{_peak_memory(words):.0f}",
        )
    return table


def _children() -> float:
    """Processor seconds of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _peak_memory(words: Sequence[str]) -> float:
    """MiB that a process holds at most."""
    # The largest of all children counts, so that a fresh process looks at this one alone.
    code = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(shown.stdout)


def installed_size(folder: Path) -> Table:
    """MiB of each package that forecasts need, as installed."""
    target = folder / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    subprocess.run(
        [*command, "--constraint", ROOT / "constraints.txt", "--target", target, ROOT], check=True
    )
    sizes = {
        entry.name: sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
        for entry in target.iterdir()
        if entry.is_dir()
    }
    table = Table(title="installed, without byte code", title_justify="left")
    table.add_column("package")
    table.add_column("MiB", justify="right")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if size >= 0.5e6:
            table.add_row(name, f"{size / 2**20:.1f}")
    table.add_row("all of it", f"{sum(sizes.values()) / 2**20:.1f}")
    return table


def compare(model: str, before: str, rounds: int, size: bool) -> None:
    """Prints the tables."""
    import torch

    from lcpfn.priors import ReferencePrior

    console = Console(width=110)
    weights = ROOT / "lcpfn" / "bundled" / f"{model}.safetensors"
    drawn = ReferencePrior().sample(BATCH, torch.Generator().manual_seed(0)).values
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "curves.npy", np.asarray(drawn.double()))
        checkout = copy_of(before, folder / "before")
        console.print(f"{lcpfn.load(weights).name}, before: {before}", highlight=False)
        for threads in (1, 2):
            console.print(compared(checkout, weights, folder / "curves.npy", threads, rounds))
        console.print(start_up(rounds, folder))
        if size:
            console.print(installed_size(folder))


def main(
    model: Annotated[str, typer.Option(help="bundled name")] = "default",
    before: Annotated[str, typer.Option(help="commit whose forecasts were torch's")] = BEFORE,
    rounds: Annotated[int, typer.Option(help="in which both versions are timed")] = 15,
    size: Annotated[bool, typer.Option(help="also install what forecasts need, and weigh it")] = (
        False
    ),
) -> None:
    """Prints the tables."""
    compare(model, before, rounds, size)


if __name__ == "__main__":
    typer.run(main)
