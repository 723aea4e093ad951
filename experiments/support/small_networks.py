"""Small networks for comparing priors: trained alike, scored on the same real curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from experiments.support.baselines import as_it_is, batched, last_value
from experiments.support.scores import Scores, score
from experiments.support.tasks import Task
from lcpfn.forecast.model import LCPFN
from lcpfn.network.config import NetworkConfig
from lcpfn.priors import Prior
from lcpfn.training import Execution, TrainingConfig, train

SHAPE = NetworkConfig(frame="relative", unit_floor=3e-5, schedule=True, floor=True)
_RESOLUTION = 192


def small_network(prior: Prior, folder: Path, curves: int, seed: int) -> LCPFN:
    """Trains a network of four layers on few curves of a prior, told what `default` is told.

    Args:
        prior: to train on.
        folder: for the checkpoint; a finished one is not trained again.
        curves: how many.
        seed: of weights, curves and questions: the same for all priors that are compared.
    """
    config = TrainingConfig(curves=curves, seed=seed, network=SHAPE)
    result = train(
        prior, config, folder, execution=Execution(compile=False, validate_every=config.steps)
    )
    return LCPFN(result.network.engine(), {"name": folder.name, "resolution": _RESOLUTION})


def scores(model: LCPFN, tasks: Mapping[str, Task]) -> dict[str, Scores]:
    """Scores of a model on every data set, bounds guessed."""
    forecaster = as_it_is(batched(model))
    return {name: score(task, forecaster) for name, task in tasks.items()}


def last_value_scores(tasks: Mapping[str, Task]) -> dict[str, Scores]:
    """Scores of repeating the last value."""
    return {name: score(task, last_value) for name, task in tasks.items()}
