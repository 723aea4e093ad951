"""A page about a real search that is still under way: `lcpfn report`, and a picture of it.

    python -m experiments.report_example [--settings 20] [--folder FOLDER] [--picture report.png]

Random settings of the network of `experiments.support.digits`, with learning rates that are not
hopeless from the start, are trained side by side, four at a time, and stopped where `lcpfn.Search`
says so. The search is left after 50 rounds, so that some runs have ended and others have not. Each
run writes a CSV, as trainers do; of those that were stopped it is an hour old. The page is made of
these files alone. The picture needs Chromium and Pillow.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

import lcpfn
from experiments.support.chromium import Chromium, find_chromium
from experiments.support.digits import EPOCHS, random_settings, read_digits, train

WORKERS = 4
_ROUNDS = 50
_LEAST_RATE, _MOST_RATE = 0.003, 0.3
_HOUR = 3600.0
_WIDTH, _TOP, _BELOW = 1280, 925, 760
_COLORS = 64


@dataclass
class Run:
    """A training, and the file that it writes.

    Args:
        name: of the run.
        path: of its log.
        values: validation accuracies, one an epoch.
        epoch: the latest.
    """

    name: str
    path: Path
    values: Iterator[float]
    epoch: int = 0

    def go_on(self) -> float:
        """Trains for an epoch and logs it."""
        accuracy = next(self.values)
        self.epoch += 1
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{self.epoch},{accuracy:.4f}\n")
        return accuracy


def search(folder: Path, count: int, seed: int) -> None:
    """Trains settings side by side, until some have come to their end and others have not."""
    data = read_digits(seed)
    waiting = []
    drawn = [
        settings
        for settings in random_settings(4 * count, seed)
        if _LEAST_RATE < settings.learning_rate < _MOST_RATE
    ]
    for number, settings in enumerate(drawn[:count], start=1):
        name = f"{number:02d}-width{settings.width}-rate{settings.learning_rate:.2g}"
        path = folder / name / "log.csv"
        path.parent.mkdir(parents=True)
        path.write_text("epoch,val_accuracy\n", encoding="utf-8")
        waiting.append(Run(name, path, train(settings, data, seed)))
    runs = lcpfn.Search("maximize", EPOCHS)
    live: list[Run] = []
    for _ in range(_ROUNDS):
        while waiting and len(live) < WORKERS:
            live.append(waiting.pop(0))
        for run in list(live):
            runs.observe(run.name, run.epoch + 1, run.go_on())
            if runs.judge(run.name).stop:
                runs.end(run.name, "stopped")
                os.utime(run.path, (time.time() - _HOUR,) * 2)
                live.remove(run)
            elif run.epoch == EPOCHS:
                runs.end(run.name, "finished")
                live.remove(run)
    for run in [*waiting, *(run for run in live if not run.epoch)]:
        run.path.unlink()
        run.path.parent.rmdir()


def picture(page: Path, path: Path) -> None:
    """A picture of the top of a page and of its first runs, in few colours to stay small."""
    from PIL import Image

    with Chromium(_WIDTH, _TOP) as browser:
        browser.open(page)
        parts = [browser.picture()]
        browser.look(_WIDTH, _BELOW)
        browser.run("document.querySelector('#runs').scrollIntoView({behavior: 'instant'})")
        browser.run("window.scrollBy({top: -20, behavior: 'instant'})")
        parts.append(browser.picture())
    shots = [Image.open(io.BytesIO(part)).convert("RGB") for part in parts]
    together = Image.new("RGB", (_WIDTH, _TOP + _BELOW))
    together.paste(shots[0], (0, 0))
    together.paste(shots[1], (0, _TOP))
    together.quantize(_COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Searches, writes the page, and takes the picture where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--settings", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    if options.picture is not None and find_chromium() is None:
        parser.error("--picture needs Chromium, and there is none here")
    torch.set_num_threads(1)
    folder = options.folder or Path(tempfile.mkdtemp())
    runs, page = folder / "digits", folder / "report.html"
    search(runs, options.settings, options.seed)
    command = [sys.executable, "-m", "lcpfn.cli", "report", str(runs), "--horizon", str(EPOCHS)]
    subprocess.run([*command, "-o", str(page)], check=True)
    if options.picture is not None:
        picture(page, options.picture)


if __name__ == "__main__":
    main()
