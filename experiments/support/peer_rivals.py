"""What else could be learned from the other runs of a search: rivals, by what is published.

Each forecasts the final value of a run from its first records and from finished peers, as quantiles
at `PROBABILITIES`; higher is better.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.support.peer_scores import PROBABILITIES, Case
from experiments.support.searches import RecordedSearch
from lcpfn.network.correction import EDGES

Array = NDArray[Any]
Rival = Callable[[Case, RecordedSearch, int], Array]
"""Forecasts the run at a place among those of the case."""

SCORES = np.array([NormalDist().inv_cdf(level) for level in PROBABILITIES])
_EXPONENTS = np.exp(np.linspace(np.log(0.05), np.log(3.0), 25))
_LEAST = 1e-9


def residual_process(case: Case, search: RecordedSearch, place: int) -> Array:
    """A Gaussian process on the normal scores at which peers ended in their own forecasts.

    It reads the medians and widths of the forecasts, the newest values, and hyperparameters.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    table, at = case.table, case.landmark
    run, peers = case.runs[place], _numbers(case, place)
    seen = np.column_stack(
        [
            table.ends[:, at, 1],
            np.log(np.maximum(table.ends[:, at, 2] - table.ends[:, at, 0], _LEAST)),
            table.values[:, at],
            table.settings,
        ]
    )
    met = np.clip(table.ends[:, at, 3], 1e-3, 1 - 1e-3)
    target = np.array([NormalDist().inv_cdf(u) if u == u else np.nan for u in met])
    known = peers[np.isfinite(seen[peers]).all(1) & np.isfinite(target[peers])]
    if len(known) < 2 or not np.isfinite(seen[run]).all():
        return _moved(case, place, SCORES)
    centre, size = seen[known].mean(0), seen[known].std(0) + _LEAST
    process = GaussianProcessRegressor(
        ConstantKernel(0.5) * RBF(2.0) + WhiteKernel(0.5), random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit((seen[known] - centre) / size, target[known])
        mean, deviation = process.predict([(seen[run] - centre) / size], return_std=True)
    return _moved(case, place, mean[0] + deviation[0] * SCORES)


def affine_map(case: Case, search: RecordedSearch, place: int) -> Array:
    """Finished curves, each mapped onto the run's records by the best affine map.

    Extrapolation from previous builds (Chandrashekaran and Lane 2017): each peer's mapped end is a
    forecast, weighted by how well its curve fits, with the error of the fit as its noise.
    """
    sign = 1.0 if search.goal == "maximize" else -1.0
    shares, values = _records(case, search, int(case.runs[place]), sign)
    ends, weights, noises = [], [], []
    for peer in _numbers(case, place):
        whole_at, whole = _whole(search, int(peer), sign)
        there = np.interp(shares, whole_at, whole)
        spread = there - there.mean()
        power = float(spread @ spread)
        slope = float(spread @ (values - values.mean())) / power if power > 0 else 1.0
        slope = slope if slope > 0 else 1.0
        offset = values.mean() - slope * there.mean()
        noise = float(np.sqrt(np.mean((values - offset - slope * there) ** 2)))
        ends.append(offset + slope * whole[-1])
        noises.append(noise)
        weights.append(1 / (noise**2 + _LEAST))
    return _mixture(np.array(ends), np.array(noises), np.array(weights))


def pooled_power_law(case: Case, search: RecordedSearch, place: int) -> Array:
    """Power laws c - a t^-k: the exponent and the errors at the end are the peers', c and a own."""
    sign = 1.0 if search.goal == "maximize" else -1.0
    shares, values = _records(case, search, int(case.runs[place]), sign)
    peers = [_whole(search, int(peer), sign) for peer in _numbers(case, place)]
    best, misses = (np.inf, 1.0), np.zeros(1)
    for exponent in _EXPONENTS:
        errors = []
        for at, whole in peers:
            seen = at <= shares[-1] + 1e-6
            if seen.sum() >= 2:
                errors.append(whole[-1] - _law_at_end(at[seen], whole[seen], float(exponent)))
        if errors and (size := float(np.median(np.abs(errors)))) < best[0]:
            best, misses = (size, float(exponent)), np.array(errors)
    end = _law_at_end(shares, values, best[1])
    return np.asarray(end + np.quantile(misses, PROBABILITIES))


def latent_kronecker(case: Case, search: RecordedSearch, place: int) -> Array:
    """A Gaussian process over hyperparameters and steps on all curves (Lin et al. 2025).

    Its covariance is a Kronecker product with rows left out: BoTorch's `LatentKroneckerGP`, fitted
    in at most 50 iterations; 256 draws of the end.
    """
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models.latent_kronecker_gp import LatentKroneckerGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    sign = 1.0 if search.goal == "maximize" else -1.0
    rows = np.append(case.runs[place], _numbers(case, place))
    curves = np.array([sign * search.values[row] for row in rows])
    curves = np.where(np.isfinite(curves), curves, np.nan)
    shares, _ = _whole(search, int(rows[0]), sign)
    curves[0, (shares > case.table.shares[rows[0], case.landmark] + 1e-6)] = np.nan
    order = search.settings[rows].argsort(0).argsort(0) / max(1, len(rows) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LatentKroneckerGP(
            train_X=torch.tensor(order),
            train_T=torch.tensor(shares)[:, None],
            train_Y=torch.tensor(curves),
        )
        likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
        fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": 50}})
        with torch.no_grad():
            end = torch.ones(1, 1, dtype=torch.float64)
            drawn = model.posterior(torch.tensor(order[:1]), end).rsample(torch.Size([256]))
    return np.quantile(drawn.numpy().ravel(), PROBABILITIES)


def _law_at_end(shares: Array, values: Array, exponent: float) -> float:
    table = np.column_stack([np.ones(len(shares)), -(shares**-exponent)])
    (level, gain), *_ = np.linalg.lstsq(table, values, rcond=None)
    return float(level - max(gain, 0.0)) if gain > 0 else float(values.mean())


def _records(case: Case, search: RecordedSearch, run: int, sign: float) -> tuple[Array, Array]:
    """Shares and values of the run's records by the cutoff."""
    at, values = _whole(search, run, sign)
    seen = at <= case.table.shares[run, case.landmark] + 1e-6
    return at[seen], values[seen]


def _whole(search: RecordedSearch, run: int, sign: float) -> tuple[Array, Array]:
    steps = search.steps[run]
    shift = steps[1] if steps[0] == 0 else 0.0
    values = sign * search.values[run]
    kept = np.isfinite(values)
    return (steps[kept] + shift) / (steps[-1] + shift), values[kept]


def _numbers(case: Case, place: int) -> Array:
    """The peers by their numbers in the search, which all are of."""
    return np.asarray(case.peers[place] - case.begin)


def _moved(case: Case, place: int, scores: Array) -> Array:
    """Quantiles of the run's forecast at other normal scores than its own."""
    levels = [NormalDist().cdf(score) for score in scores]
    return np.interp(levels, EDGES, case.edges[place])


def _mixture(centres: Array, noises: Array, weights: Array) -> Array:
    """Quantiles of a weighted mixture of normals."""
    weights = weights / weights.sum()
    grid = np.linspace((centres - 4 * noises).min(), (centres + 4 * noises).max() + _LEAST, 400)
    scores = (grid[:, None] - centres) / np.maximum(noises, _LEAST)
    below = np.vectorize(NormalDist().cdf)(np.clip(scores, -9, 9)) @ weights
    return np.interp(PROBABILITIES, below, grid)
