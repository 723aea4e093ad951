"""How runs end by their hyperparameters: a Gaussian process, taught by forecasts of their ends.

After freeze-thaw Bayesian optimisation (Swersky et al. 2014), with forecasts in the place of its
curve model. The end of a run is a smooth function of its hyperparameters (Matérn 5/2, a length for
each) plus what is the run's own. What is known of it is a forecast, which errs by about its own
spread; and forecasts of one search err together, the more so the nearer their shares of the run. A
configuration next to that of a run would hardly end elsewhere: what is its own is the run's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lcpfn.forecast.arguments import Array

# Runs that the process's own parameters are fitted to: the cost grows with the cube.
_FITTED = 72
_ITERATIONS = 20
_RATE = 0.15
# Adam's own.
_MEMORY = (0.9, 0.99)
_JITTER = 1e-6
# How near two shares of the run are, in powers of e, for forecasts to err together.
_ERRS_ALIKE = 0.7
# How near its settings are to those of a run, for what is its own to be the run's. Without this, to
# make the best run again promises as much luck as anything, and a search stays where it is.
_NEXT_TO = 0.1
_ROOT = math.sqrt(5.0)

# Means and spreads of what is believed of the parameters before any run: logarithms of lengths
# (settings lie within 0 and 1), of the spread of the function and of what is each run's own (in
# the distance of the middle run to the best), of how much more than said forecasts err, and the
# log odds of the share of their errors that they have in common.
_LENGTH = (math.log(0.5), 1.0)
_OTHERS = ((0.0, 1.0), (math.log(0.15), 0.3), (math.log(0.5), 0.3), (-2.0, 0.3))


@dataclass(frozen=True)
class Evidence:
    """What is known of runs.

    Args:
        settings: (n, d) hyperparameters, each within 0 and 1.
        ends: (n,) their ends as forecast, higher is better, of about unit scale.
        spreads: (n,) standard deviations of the forecasts.
        progress: (n,) shares of the runs that these rest on, above 0.
    """

    settings: Array
    ends: Array
    spreads: Array
    progress: Array

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: Array) -> Evidence:
        return Evidence(
            self.settings[index], self.ends[index], self.spreads[index], self.progress[index]
        )

    def with_believed(self, settings: Array, ends: Array) -> Evidence:
        """With runs that nothing is heard of yet, as if they had ended where they are expected to.

        So nobody else tries what is next to them before they are heard of.

        Args:
            settings: (m, d) of their hyperparameters.
            ends: (m,) what is expected of them.
        """
        return Evidence(
            np.concatenate([self.settings, settings]),
            np.concatenate([self.ends, ends]),
            np.concatenate([self.spreads, np.zeros_like(ends)]),
            np.concatenate([self.progress, np.ones_like(ends)]),
        )


class Surrogate:
    """What is believed of the ends of runs, and of what configurations not yet tried would reach.

    Args:
        evidence: what it is taught.
        parameters: as `fit` returns them.
    """

    def __init__(self, evidence: Evidence, parameters: Array) -> None:
        parts = _Parts.of(evidence, parameters)
        self._evidence, self._parameters = evidence, parameters
        inverse = np.linalg.inv(parts.covariance).astype(np.float64, copy=False)
        self._inverse = inverse
        self._level, self._weights = _level_and_weights(inverse, evidence.ends)
        self._own = parts.function + parts.own * np.eye(len(evidence))

    def runs(self) -> tuple[Array, Array]:
        """Means and standard deviations of the ends of the runs, (n,) each."""
        own = self._own
        mean = self._level + own @ self._weights
        variance = own.diagonal() - np.einsum("ij,ji->i", own @ self._inverse, own)
        return mean, np.sqrt(np.maximum(variance, _JITTER))

    def heard(self) -> Array:
        """How far what is believed of a run follows its own forecast, (n,) from 0 to 1."""
        followed: Array = np.einsum("ij,ji->i", self._own, self._inverse).clip(0.0, 1.0)
        return followed

    def at(self, settings: Array) -> tuple[Array, Array]:
        """Means and standard deviations of configurations not yet tried, (m, d)."""
        lengths, spread, own, *_ = _read(self._parameters, settings.shape[1])
        known = self._evidence.settings
        distance = _ROOT * np.sqrt(_squares(settings / lengths, known / lengths))
        near = np.exp(-0.5 * _squares(settings, known) / _NEXT_TO**2)
        # A mean over the runs that are near, and what is new.
        near /= np.maximum(1.0, near.sum(1, keepdims=True))
        shared = spread * _matern(distance) + own * near
        mean = self._level + shared @ self._weights
        variance = spread + own - np.einsum("ij,ij->i", shared @ self._inverse, shared)
        return mean, np.sqrt(np.maximum(variance, _JITTER))


def fit(evidence: Evidence) -> Array:
    """The parameters of the process that explain the evidence best, given what is usual.

    Of many runs, those that promise most are looked at and as many of the others, evenly.

    Returns:
        (d + 4,) for `Surrogate`.
    """
    if len(evidence) > _FITTED:
        order = np.argsort(-evidence.ends, kind="stable")
        best, others = order[: _FITTED // 2], order[_FITTED // 2 :]
        evenly = np.linspace(0, len(others) - 1, _FITTED - len(best)).astype(np.int64)
        evidence = evidence[np.concatenate([best, others[evenly]])]
    dimensions = evidence.settings.shape[1]
    usual = np.array([_LENGTH[0]] * dimensions + [middle for middle, _ in _OTHERS])
    width = np.array([_LENGTH[1]] * dimensions + [spread for _, spread in _OTHERS])
    differences = (evidence.settings[:, None] - evidence.settings[None]) ** 2
    apart = differences.reshape(len(evidence) ** 2, dimensions).T.copy()
    parameters: Array = usual.copy()
    first, second = np.zeros_like(usual), np.zeros_like(usual)
    for count in range(1, _ITERATIONS + 1):
        gradient = _slope(evidence, parameters, apart) + (parameters - usual) / width**2
        first = _MEMORY[0] * first + (1 - _MEMORY[0]) * gradient
        second = _MEMORY[1] * second + (1 - _MEMORY[1]) * gradient**2
        size = np.sqrt(second / (1 - _MEMORY[1] ** count)) + _JITTER
        parameters = parameters - _RATE * first / (1 - _MEMORY[0] ** count) / size
    return parameters


@dataclass(frozen=True)
class _Parts:
    """The covariance of forecasts, and what it is made of; (n, n) each but `own`.

    Args:
        distance: of settings, times the root of five.
        function: covariance of the function of the hyperparameters.
        own: variance of what is each run's own.
        errors: covariance of the forecasts' errors.
        alike: how far the errors of two forecasts are the same, were all of them in common.
    """

    distance: Array
    function: Array
    own: float
    errors: Array
    alike: Array

    @staticmethod
    def of(evidence: Evidence, parameters: Array, apart: Array | None = None) -> _Parts:
        count, dimensions = evidence.settings.shape
        lengths, spread, own, more, common = _read(parameters, dimensions)
        if apart is None:
            squares = _squares(evidence.settings / lengths, evidence.settings / lengths)
        else:
            squares = (apart.T @ lengths**-2).reshape(count, count)
        distance = _ROOT * np.sqrt(squares)
        share = np.log(evidence.progress)
        alike = np.exp(-0.5 * ((share[:, None] - share) / _ERRS_ALIKE) ** 2)
        alike *= evidence.spreads[:, None] * evidence.spreads
        errors = (1 + more) * common * alike
        errors[np.diag_indices(count)] = (1 + more) * evidence.spreads**2
        return _Parts(distance, spread * _matern(distance), own, errors, alike)

    @property
    def covariance(self) -> Array:
        return self.function + self.errors + (self.own + _JITTER) * np.eye(len(self.function))


def _slope(evidence: Evidence, parameters: Array, apart: Array) -> Array:
    """Gradient of the negative log marginal likelihood."""
    count, dimensions = evidence.settings.shape
    lengths, spread, own, more, common = _read(parameters, dimensions)
    parts = _Parts.of(evidence, parameters, apart)
    inverse = np.linalg.inv(parts.covariance).astype(np.float64, copy=False)
    _, weights = _level_and_weights(inverse, evidence.ends)
    wrong = 0.5 * (inverse - np.outer(weights, weights))
    distance = parts.distance
    bend = wrong * (spread * 5 / 3 * (1 + distance) * np.exp(-distance))
    off = wrong * parts.alike
    off[np.diag_indices(count)] = 0.0
    return np.concatenate(
        [
            apart @ bend.ravel() / lengths**2,
            [
                2 * (wrong * parts.function).sum(),
                2 * own * wrong.trace(),
                more / (1 + more) * (wrong * parts.errors).sum(),
                (1 + more) * common * (1 - common) * off.sum(),
            ],
        ]
    )


def _read(parameters: Array, dimensions: int) -> tuple[Array, float, float, float, float]:
    """Lengths, the variances of the function and of what is a run's own, and of the errors."""
    spread, own, more, odds = parameters[dimensions:].tolist()
    common = 1 / (1 + math.exp(-odds))
    return (
        np.exp(parameters[:dimensions]),
        math.exp(2 * spread),
        math.exp(2 * own),
        math.exp(more),
        common,
    )


def _level_and_weights(inverse: Array, ends: Array) -> tuple[float, Array]:
    """The level that all runs have in common, and the weights of what they differ from it by."""
    level = float(inverse.sum(0) @ ends / (inverse.sum() + _JITTER))
    return level, inverse @ (ends - level)


def _squares(some: Array, others: Array) -> Array:
    """Squared distances, (n, m), of points (n, d) and (m, d)."""
    squares = (some**2).sum(1)[:, None] + (others**2).sum(1) - 2 * some @ others.T
    positive: Array = np.maximum(squares, 0.0)
    return positive


def _matern(distance: Array) -> Array:
    correlation: Array = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return correlation
