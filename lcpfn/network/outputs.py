"""What the numbers mean that the network's head puts out."""

from __future__ import annotations

from lcpfn.network.arrays import AnyArray, array_module, clipped
from lcpfn.network.features import AVERAGES, Coordinates
from lcpfn.network.histogram import BinnedDistribution, log_softmax


def outputs_of(bins: int) -> int:
    """How many numbers stand for one forecast: offset, scale, a mix of averages, and the bins."""
    return 2 + AVERAGES + bins


def interpret(out: AnyArray, coordinates: Coordinates, start: AnyArray) -> BinnedDistribution:
    """The forecasts that a network's outputs stand for.

    All arguments are torch tensors or all are numpy arrays.

    Args:
        out: (curves, m, outputs).
        coordinates: that the forecasts are in, (curves, m) or (curves, 1).
        start: (bins,) the logarithms of the masses that training started from.
    """
    xp = array_module(out)
    offset, log_scale = out[..., 0], out[..., 1]
    mix, logits = out[..., 2 : 2 + AVERAGES], out[..., 2 + AVERAGES :]
    location = (
        coordinates.last
        + (mix * coordinates.averages).sum(-1)
        + coordinates.unit * xp.sinh(clipped(offset, -12, 12))
    )
    scale = coordinates.unit * xp.exp(clipped(log_scale + 1, -8, 12))
    return BinnedDistribution(location, scale, log_softmax(logits + start))
