"""A real search with Ray Tune, with the scheduler and without: epochs, seconds, best accuracy.

    python -m experiments.ray_example [--trials 20] [--seed 0] [--freeze]

Each trial trains the network of `experiments.support.digits` for 40 epochs, on one of two CPUs, and
reports its validation accuracy after every epoch. Both searches try the same random settings, so
the full search tells what stopping may have missed. Seconds are of the search, after the start of
Ray. With --freeze there is a third search that pauses doubtful trials.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from rich.console import Console
from rich.table import Table

from experiments.support.digits import EPOCHS, Digits, Settings, random_settings, read_digits, train
from lcpfn.integrations.ray import LCPFNScheduler

CPUS = 2


def run_trial(config: dict[str, Any], data: Digits, seed: int, checkpoints: bool) -> None:
    """Trains with one trial's settings; goes on from a checkpoint where there is one."""
    torch.set_num_threads(1)
    settings = Settings(**config["settings"])
    known = 0
    if (checkpoint := tune.get_checkpoint()) is not None:
        with checkpoint.as_directory() as folder:
            known = int(Path(folder, "epoch").read_text())
    # Training takes a second here: a checkpoint is the epoch to train up to again.
    for epoch, accuracy in enumerate(train(settings, data, seed), 1):
        if epoch <= known:
            continue
        result = {"accuracy": accuracy, "epoch": epoch}
        if not checkpoints:
            tune.report(result)
            continue
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "epoch").write_text(str(epoch))
            tune.report(result, checkpoint=tune.Checkpoint.from_directory(folder))


def search(
    data: Digits,
    trials: int,
    seed: int,
    scheduler: LCPFNScheduler | None,
    folder: str,
    freeze: bool,
) -> tune.ResultGrid:
    """A random search, two trials at a time."""
    settings = [asdict(drawn) for drawn in random_settings(trials, seed)]
    trainable = tune.with_parameters(run_trial, data=data, seed=seed, checkpoints=freeze)
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"settings": tune.grid_search(settings)},
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", scheduler=scheduler, reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    ).fit()


def main() -> None:
    """Runs the searches and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--freeze", action="store_true")
    options = parser.parse_args()
    ray.init(
        num_cpus=CPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="WARNING",
        object_store_memory=100 * 2**20,
    )
    data = read_digits(options.seed)
    schedulers = {"none": None, "LCPFNScheduler": LCPFNScheduler(max_t=EPOCHS)}
    if options.freeze:
        schedulers["with freeze"] = LCPFNScheduler(max_t=EPOCHS, time_attr="epoch", freeze=True)
    table = Table(title=f"{options.trials} settings, {EPOCHS} epochs each, {CPUS} at a time")
    for column in ("scheduler", "epochs", "seconds", "trials stopped", "best accuracy"):
        table.add_column(column, justify="right")
    spent = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, scheduler in schedulers.items():
            begin = time.perf_counter()
            freeze = name == "with freeze"
            results = search(data, options.trials, options.seed, scheduler, folder, freeze)
            seconds = time.perf_counter() - begin
            epochs = [result.metrics["epoch"] for result in results]
            spent[name] = sum(epochs), seconds
            best = results.get_best_result().metrics["accuracy"]
            stopped = sum(epoch < EPOCHS for epoch in epochs)
            table.add_row(name, f"{sum(epochs)}", f"{seconds:.1f}", f"{stopped}", f"{best:.4f}")
    ray.shutdown()
    console = Console()
    console.print(table)
    full_epochs, full_seconds = spent.pop("none")
    for name, (used, seconds) in spent.items():
        console.print(
            f"{name} saved {1 - used / full_epochs:.0%} of the epochs, "
            f"{full_seconds - seconds:.1f} of {full_seconds:.1f} seconds"
        )


if __name__ == "__main__":
    # Tune's newer status display, more than a table of this size needs.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    main()
