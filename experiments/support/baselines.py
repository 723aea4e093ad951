"""Forecasters of a run's final value, all with the face of `experiments.support.scores.Forecaster`.

The published prior lives on rising accuracies in [0, 1]. Losses are squashed for it as its authors
advise (Adriaensen et al. 2023, the normalisation of their released code): with a hard bound at 0
and soft bounds 0 and u, a loss x becomes sigmoid(1 - 2x / u) / sigmoid(1), which falls from 1 at
x = 0, nearly linearly up to u. u is the first record, what the network loses before training or
soon after. A metric with two bounds is stretched to [0, 1], and flipped where lower is better.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from experiments.support.scores import PROBABILITIES, Forecaster
from experiments.support.tasks import Array, Task
from lcpfn.mcmc import ConvergenceWarning

Predictor = Callable[..., Array]
"""(task, values (curves, n), goal=, bounds=) to quantiles (curves, 49) of the final value."""

_EXPONENTS = np.geomspace(0.01, 10.0, 600)
_SIGMOID_OF_ONE = 1 / (1 + math.exp(-1))
_EDGE = 1e-9


def last_value(task: Task, observed: Array) -> Array:
    """All mass on the last record."""
    return np.repeat(observed[:, -1:], len(PROBABILITIES), axis=1)


def best_value(task: Task, observed: Array) -> Array:
    """All mass on the best record so far."""
    best = observed.min(1) if task.goal == "minimize" else observed.max(1)
    return np.repeat(best[:, None], len(PROBABILITIES), axis=1)


def power_law(task: Task, observed: Array) -> Array:
    """Least squares fit of c - a t^(-alpha) (pow3), with a normal band of the residuals' deviation.

    For a given alpha the other two follow in closed form, so a fine grid of alphas finds the
    global optimum for all curves at once. Steps count in units of the first one.
    """
    count = observed.shape[1]
    steps = task.steps / task.steps[0]
    shapes = steps[None, :count] ** -_EXPONENTS[:, None]
    shapes_mean = shapes.mean(1, keepdims=True)
    centred_shapes = shapes - shapes_mean
    mean = observed.mean(1, keepdims=True)
    centred = observed - mean
    slope = centred @ centred_shapes.T / (centred_shapes**2).sum(1)
    residual = (centred**2).sum(1)[:, None] - slope**2 * (centred_shapes**2).sum(1)
    best = residual.argmin(1)
    rows = np.arange(len(observed))
    last = steps[-1] ** -_EXPONENTS[best]
    centre: Array = mean[:, 0] + slope[rows, best] * (last - shapes_mean[best, 0])
    deviation = np.sqrt(residual[rows, best].clip(0) / max(1, count - 3))
    quantiles = centre[:, None] + deviation[:, None] * _standard_normal_quantiles()
    low, high = task.bounds
    return np.asarray(
        np.clip(quantiles, -np.inf if low is None else low, np.inf if high is None else high)
    )


def _standard_normal_quantiles() -> Array:
    return np.array([NormalDist().inv_cdf(q) for q in PROBABILITIES])


def as_it_is(
    predict: Predictor,
    guess_bounds: bool = True,
    schedule: Callable[[float], Callable[[float], float]] | None = None,
) -> Forecaster:
    """Forecasts on the recorded values themselves.

    Args:
        predict: see `batched`.
        guess_bounds: let the model guess the metric's bounds instead of stating them.
        schedule: from the horizon to the learning rate as a function of the step; None where
            unknown.
    """

    def forecast(task: Task, observed: Array) -> Array:
        known = {} if schedule is None else {"schedule": schedule(task.horizon)}
        bounds = "auto" if guess_bounds else task.bounds
        return predict(task, observed, goal=task.goal, bounds=bounds, **known)

    return forecast


def squashed(predict: Predictor) -> Forecaster:
    """Forecasts of the published prior's posterior on values squashed into [0, 1]."""

    def forecast(task: Task, observed: Array) -> Array:
        low, high = task.bounds
        if low is not None and high is not None:
            first, last = (low, high) if task.goal == "maximize" else (high, low)
            unit = predict(
                task, (observed - first) / (last - first), goal="maximize", bounds=(None, None)
            )
            quantiles = first + (last - first) * unit.clip(0, 1)
        else:
            soft = np.where(observed[:, :1] > 0, observed[:, :1], 1.0)
            values = squash_loss(observed, soft)
            unit = predict(task, values, goal="maximize", bounds=(None, None))
            quantiles = unsquash_loss(unit, soft)
        return np.asarray(quantiles if task.goal == "maximize" else quantiles[:, ::-1])

    return forecast


def batched(model: Any) -> Predictor:
    """A network: all curves of a task at once."""

    def predict(task: Task, values: Array, **options: Any) -> Array:
        posts = model.extrapolate_batch(
            list(values),
            steps=[task.steps[: values.shape[1]]] * len(values),
            horizon=task.horizon,
            query=[task.horizon],
            **options,
        )
        return np.stack([post.quantile(PROBABILITIES)[:, 0] for post in posts])

    return predict


def sampled(engine: Any, seed: int) -> Predictor:
    """An engine of `lcpfn.mcmc`: curve by curve, each with its own seeded generator.

    Chains that have not converged count as they are: leaving them out would favour the easy curves.
    """

    def predict(task: Task, values: Array, **options: Any) -> Array:
        quantiles = []
        for index, curve in enumerate(values):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                post = engine.extrapolate(
                    curve,
                    steps=task.steps[: len(curve)],
                    horizon=task.horizon,
                    query=[task.horizon],
                    generator=np.random.default_rng([seed, index]),
                    **options,
                )
            quantiles.append(post.quantile(PROBABILITIES)[:, 0])
        return np.stack(quantiles)

    return predict


def cosine_to_zero(horizon: float) -> Callable[[float], float]:
    """The learning rate of a run that anneals along a cosine, as LCBench's do."""
    return lambda step: 0.5 * (1 + math.cos(math.pi * step / horizon))


def squash_loss(loss: Array, soft: Array) -> Array:
    """A loss from 0 as a value in [0, 1], higher is better; `soft` is a bad loss."""
    return np.asarray(1 / (1 + np.exp(np.minimum(2 * loss / soft - 1, 700.0))) / _SIGMOID_OF_ONE)


def unsquash_loss(value: Array, soft: Array) -> Array:
    """The inverse of `squash_loss`; values outside [0, 1] count as the nearest inside."""
    share = value.clip(_EDGE, 1) * _SIGMOID_OF_ONE
    return np.asarray(soft / 2 * (1 - np.log(share / (1 - share))))
