"""How much a simulated curve resembles the curves that people really log.

Independent draws of level, speed, noise and schedule make curves whose every marginal is right and
whose combinations never happen. No change of a rate or a range mends that. What does is the
density ratio of real to simulated curves, as a function of summary statistics without units: a
small classifier between the two, trained with both kinds equally frequent, has that ratio as its
odds (Sugiyama, Suzuki and Kanamori 2012, section 4). `lcpfn.priors.RealisticPrior` keeps draws in
proportion to it, `experiments/fit_prior.py` fits it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Metric = Literal["loss", "accuracy"]

RECORDS = 49
"""Records of the curves that are described; denser ones are thinned to about this many first."""

_SHARES = (
    *(0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25),
    *(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.96),
)
_LATE = 7
_LEAST_NOISE = 1e-5
_LEAST_CHANGE = 1e-6
_ROOM = 1e3
_NORMAL_ROOT_MEAN = 0.822
_CLIP = 5.0


def describe(values: Tensor, ceiling: Tensor) -> Tensor:
    """Summary statistics that do not change under y -> a y + b with a > 0.

    The distance of the curve from its last record at shares of the run, at three magnifications;
    noise and worsening by part of the run; the largest bend; ties and the smallest change (what a
    metric that counts shows); the room left below the best possible value; how far above its best
    the curve ends. All in units of the curve's range.

    Args:
        values: (curves, n) whole curves of about `RECORDS` records, higher is better.
        ceiling: (curves,) the best value there can be.

    Returns:
        (curves, statistics); not finite for a curve without any change.
    """
    best = values.max(1, keepdim=True).values
    unit = best - values.min(1, keepdim=True).values
    unit = torch.where(unit > 0, unit, torch.nan)
    shares = torch.tensor(_SHARES, device=values.device)
    places = torch.round(shares * (values.shape[1] - 1)).long()
    path = ((values - values[:, -1:]) / unit)[:, places]
    change = torch.diff(values, dim=1) / unit
    bends = torch.diff(values, 2, dim=1).abs() / unit / 6**0.5
    quarters = [slice(1, None), *[slice(None)] * 3]
    noise = [_noise(bend[:, part]) for bend, part in zip(bends.chunk(4, 1), quarters, strict=True)]
    worse = (change < 0).to(values.dtype)
    half = worse.shape[1] // 2
    worsening = [worse[:, : half // 2], worse[:, half // 2 : half], worse[:, half:]]
    still = change == 0
    smallest = torch.where(still, torch.inf, change.abs()).min(1).values
    room = (ceiling - best[:, 0]) / unit[:, 0]
    return torch.cat(
        [
            torch.asinh(3 * path),
            torch.asinh(100 * path),
            torch.asinh(3000 * path[:, _LATE:]),
            torch.stack(noise, 1),
            torch.log10(bends.max(1, keepdim=True).values + _LEAST_NOISE),
            torch.stack([part.mean(1) for part in worsening], 1),
            still.to(values.dtype).mean(1, keepdim=True),
            torch.log10(smallest + _LEAST_CHANGE).clamp(-6, 0)[:, None],
            torch.log10(room.clamp(1 / _ROOM, _ROOM))[:, None],
            torch.asinh(100 * (best - values[:, -1:]) / unit),
        ],
        1,
    )


def _noise(bends: Tensor) -> Tensor:
    """Decimal logarithm of a robust noise level from second differences."""
    return torch.log10((bends.sqrt().mean(1) / _NORMAL_ROOT_MEAN) ** 2 + _LEAST_NOISE)


@dataclass(frozen=True)
class Resemblance:
    """A classifier between real and simulated curves; its log odds are the log density ratio.

    Args:
        centre, spread: (statistics,) to standardise with.
        weights, biases: of the layers, weights (inputs, outputs).
    """

    centre: Tensor
    spread: Tensor
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def log_ratio(self, statistics: Tensor) -> Tensor:
        """Log of the density of real over that of simulated curves, (curves,).

        -inf where a statistic is not finite.
        """
        device = statistics.device
        finite = torch.isfinite(statistics).all(1)
        hidden = (statistics - self.centre.to(device)) / self.spread.to(device)
        hidden = torch.where(finite[:, None], hidden, 0.0).clamp(-_CLIP, _CLIP)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight.to(device) + bias.to(device)
            if layer < len(self.weights) - 1:
                hidden = torch.nn.functional.silu(hidden)
        return torch.where(finite, hidden[:, 0], -torch.inf)

    def save(self, path: Path) -> None:
        """Writes the classifier as plain arrays."""
        arrays = {"centre": self.centre, "spread": self.spread}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays |= {f"weight{layer}": weight, f"bias{layer}": bias}
        plain: dict[str, Any] = {name: array.numpy() for name, array in arrays.items()}
        np.savez_compressed(path, **plain)

    @staticmethod
    def load(path: Path) -> Resemblance:
        """Reads a classifier."""
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: torch.from_numpy(stored[name]) for name in stored.files}
        layers = range(sum(name.startswith("weight") for name in arrays))
        return Resemblance(
            arrays["centre"],
            arrays["spread"],
            tuple(arrays[f"weight{layer}"] for layer in layers),
            tuple(arrays[f"bias{layer}"] for layer in layers),
        )

    @staticmethod
    def bundled(metric: Metric) -> Resemblance:
        """The classifier of losses or of accuracies, see `experiments/fit_prior.py`."""
        stored = resources.files("lcpfn.priors").joinpath(file_name(metric))
        with resources.as_file(stored) as path:
            return Resemblance.load(path)


def file_name(metric: Metric) -> str:
    """What the bundled classifier's file is called."""
    return f"resemblance_{metric}.npz"
