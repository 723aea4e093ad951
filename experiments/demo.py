"""A real training run, forecast from its first fifth: accuracy and loss, beside what happened.

Trains a small network on scikit-learn's digits (100 epochs, a few seconds), shows the model the
first 20 epochs, prints the forecast beside what then happened, and draws both.

    python experiments/demo.py [--seed 0] [--folder .]

writes `demo_forecast.png` and the run's log, `demo_run.csv`, into the folder.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import nn

import lcpfn
from lcpfn.forecast.plotting import new_figure, write_picture

EPOCHS = 100
OBSERVED = 20
SHOWN_EPOCHS = (21, 40, 60, 80, 100)
TRAINING_IMAGES = 1000
WRONG_LABELS = 0.1


@dataclass(frozen=True)
class Epoch:
    """What the run logs after an epoch; accuracies are shares, losses are in nats."""

    epoch: int
    train_loss: float
    val_accuracy: float
    val_loss: float


def train_on_digits(seed: int) -> list[Epoch]:
    """Trains a network of two hidden layers on 1,000 digits, validated on the other 797.

    The settings are ordinary ones. One training label in ten is drawn anew, because clean digits
    are too easy to leave much to forecast.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels, digits = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32) / 16
    labels = torch.tensor(digits)
    order = torch.randperm(len(images), generator=generator)
    training, validation = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    redrawn = torch.rand(len(labels), generator=generator) < WRONG_LABELS
    anything = torch.randint(0, 10, labels.shape, generator=generator)
    taught = torch.where(redrawn, anything, labels)
    # Dropout and the layers' starting weights know no generator of their own.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(64, 10),
        )  # fmt: skip
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
        log = []
        for epoch in range(1, EPOCHS + 1):
            network.train()
            total = 0.0
            shuffled = training[torch.randperm(TRAINING_IMAGES, generator=generator)]
            for batch in shuffled.split(64):
                loss = nn.functional.cross_entropy(network(images[batch]), taught[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(batch)
            network.eval()
            with torch.no_grad():
                scores = network(images[validation])
                val_loss = nn.functional.cross_entropy(scores, labels[validation])
                hits = scores.argmax(1) == labels[validation]
            log.append(
                Epoch(epoch, total / TRAINING_IMAGES, float(hits.float().mean()), float(val_loss))
            )
    return log


def write_log(log: list[Epoch], path: Path) -> None:
    """Writes the run as the CSV file that a trainer would have written."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "train_loss", "val_accuracy", "val_loss"])
        for one in log:
            losses = f"{one.train_loss:.5f}", f"{one.val_accuracy:.5f}", f"{one.val_loss:.5f}"
            writer.writerow([one.epoch, *losses])


def forecast(model: lcpfn.LCPFN, values: list[float], goal: str) -> lcpfn.Extrapolation:
    """The forecast of epochs 21 to 100 from the first 20."""
    return model.extrapolate(values[:OBSERVED], horizon=EPOCHS, goal=goal)


def add_rows(table: Table, name: str, post: lcpfn.Extrapolation, values: list[float]) -> int:
    """Adds forecast against truth to the table; counts later epochs inside the 88 % intervals."""
    low, median, high = post.quantile([0.06, 0.5, 0.94])
    inside = [
        bool(low[row] <= values[int(step) - 1] <= high[row]) for row, step in enumerate(post.steps)
    ]
    for epoch in SHOWN_EPOCHS:
        row = int((post.steps == epoch).argmax())
        table.add_row(
            name,
            str(epoch),
            f"{median[row]:.3f}",
            f"{low[row]:.3f} to {high[row]:.3f}",
            f"{values[epoch - 1]:.3f}",
            "yes" if inside[row] else "no",
        )
    table.add_section()
    return sum(inside)


def main() -> None:
    """Trains, forecasts, compares, draws."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the training run")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the files go")
    arguments = parser.parse_args()
    # The network is so small that threads would only wait for each other.
    torch.set_num_threads(1)
    console = Console(highlight=False)

    started = time.monotonic()
    console.print(f"Training a small network on scikit-learn's digits for {EPOCHS} epochs ...")
    log = train_on_digits(arguments.seed)
    console.print(f"... done in {time.monotonic() - started:.1f} s.")
    log_path = arguments.folder / "demo_run.csv"
    write_log(log, log_path)

    model = lcpfn.load()
    accuracies = [one.val_accuracy for one in log]
    losses = [one.val_loss for one in log]
    started = time.monotonic()
    accuracy = forecast(model, accuracies, "maximize")
    loss = forecast(model, losses, "minimize")
    table = Table(
        title=f"Forecast from the first {OBSERVED} epochs (model {model.name})",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("metric")
    for heading in ("epoch", "median", "88 % interval", "happened", "inside"):
        table.add_column(heading, justify="right")
    inside = {
        "accuracy": add_rows(table, "validation accuracy", accuracy, accuracies),
        "loss": add_rows(table, "validation loss", loss, losses),
    }
    console.print(f"Both forecasts took {1000 * (time.monotonic() - started):.0f} ms.")
    console.print(table)
    later = EPOCHS - OBSERVED
    console.print(
        f"Of the {later} later epochs, {inside['accuracy']} accuracies and {inside['loss']} losses "
        "fell inside their 88 % intervals."
    )
    for name, post, values in (("accuracy", accuracy, accuracies), ("loss", loss, losses)):
        last = values[OBSERVED - 1]
        console.print(
            f"P(final {name} better than epoch {OBSERVED}'s {last:.3f}) was "
            f"{post.prob_better(last):.2f}; it became {values[-1]:.3f}."
        )

    figure = new_figure(columns=2, size=(11.0, 4.0))
    epochs = [one.epoch for one in log]
    for axes, post, values, name in zip(
        figure.axes,
        (accuracy, loss),
        (accuracies, losses),
        ("validation accuracy", "validation loss"),
        strict=True,
    ):
        later_run = epochs[OBSERVED:], values[OBSERVED:]
        post.plot(axes, metric=name, step_name="epoch", truth=later_run)
    picture = arguments.folder / "demo_forecast.png"
    write_picture(figure.axes[0], picture)
    console.print(f"\nPicture: {picture.resolve()}\nLog of the run: {log_path.resolve()}")
    console.print("The same from the command line:")
    console.print(
        f"  lcpfn extrapolate {log_path} --metric val_loss --goal minimize --horizon {EPOCHS} "
        f"--observe {OBSERVED}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
