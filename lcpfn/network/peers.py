"""The second network: reads how other runs of a search went, and corrects a run's own forecast.

One token stands for the run at hand, one for each other run. A token says how that run compares
with the one at hand, at what probability of its own forecasts the values lay that came, and how
alike the two are made. Tokens attend to each other, and the run's answers a density over the
probabilities of its own forecast (`lcpfn.network.correction`). Every number is a ratio of
differences, so units cannot matter, and no token knows its place, so order cannot.

Sets without an order: Lee et al. 2019 (Set Transformer). Learning from draws of whole tasks: prior-
data fitted networks, Müller et al. 2022.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.arrays import AnyArray, ArrayModule, array_module, clipped
from lcpfn.network.correction import BINS, WIDTHS

_MASKED = -1e9
_MOST = 12.0
_LEAST_RATIO = 1e-9
_LEAST_SIZE = 1e-290
_FAR_AWAY = 1e200
_LEAST_CHANCE = 1e-5
_LOG_WIDTHS = np.log(WIDTHS).astype(np.float32)
FEATURES = 38
# By how much one peer is trusted less than many, and how fast that fades with their number.
_DOUBT, _DOUBT_FADES = 0.35, 0.4
# From where to where trust fades: distances from the middle of the peers, in widths of the forecast
# and their spread together; from the nearest, in widths; and from the middle in spreads alone.
_OFF, _ALONE, _OUTLYING = (1.0, 4.0), (1.0, 6.0), (10.0, 50.0)


class RunFacts(NamedTuple):
    """What is known of runs at a landmark, (...,) each; higher is better, NaN where unknown.

    Args:
        share: of the run that the newest record by the landmark had seen.
        first, quarter, half, value: the first record, and those a quarter as far, half as far and
            at the landmark.
        low, middle, high: quantiles of the forecast of the end that was made there.
        met: the probability, of a forecast made half as far, at which `value` came.
        reach: share of the run at which it is looked up what became of it, NaN where it has not
            gone on.
        became: what the run was worth there.
        became_low, became_middle, became_high: quantiles of the forecast of that from the landmark.
        became_met: the probability of that forecast at which `became` came.
    """

    share: AnyArray
    first: AnyArray
    quarter: AnyArray
    half: AnyArray
    value: AnyArray
    low: AnyArray
    middle: AnyArray
    high: AnyArray
    met: AnyArray
    reach: AnyArray
    became: AnyArray
    became_low: AnyArray
    became_middle: AnyArray
    became_high: AnyArray
    became_met: AnyArray


class Now(NamedTuple):
    """The newest of the run at hand, (...,) each; higher is better.

    Args:
        share: of the run that has been seen.
        value: the newest record.
        low, middle, high: quantiles of the forecast that is to be corrected.
    """

    share: AnyArray
    value: AnyArray
    low: AnyArray
    middle: AnyArray
    high: AnyArray


def features(now: Now, every: RunFacts, unlike: AnyArray, present: AnyArray) -> AnyArray:
    """What the network sees.

    Args:
        now: (...,) the newest of the run at hand.
        every: (..., 1 + n) the run at hand at its last landmark, and behind it its peers at the
            same, or at the last that they have reached.
        unlike: (..., n, 2) how differently they are made, see `lcpfn.network.likeness`; NaN where
            unknown.
        present: (..., n) which peers there are; True or False.

    Returns:
        (..., 1 + n, FEATURES), the run at hand first.
    """
    xp = array_module(every.middle)
    wide = _size(xp, now.high - now.low, now.middle)
    count = xp.sum(xp.astype(present, every.middle.dtype), axis=-1)
    middles = xp.where(present, every.middle[..., 1:], math.inf)
    middles = xp.concat([every.middle[..., :1], middles], axis=-1)
    distance = abs(middles - _median(xp, middles, count + 1)[..., None])
    spread = xp.maximum(_median(xp, distance, count + 1), 0.01 * wide)[..., None]
    wide = wide[..., None]
    middle, value = every.middle[..., :1], every.value[..., :1]
    newest, forecast = now.value[..., None], now.middle[..., None]
    none = 0 * middles[..., :1]
    # What is the same for all of them is said to all of them.
    zero = 0 * every.first
    in_wide = (
        every.middle - forecast,
        every.value - value,
        every.middle - every.value,
        every.became - forecast,
        every.became - every.value,
        zero + (newest - value),
        zero + (forecast - middle),
        zero + (forecast - newest),
    )
    in_spread = (
        every.middle - middle,
        every.value - value,
        every.half - every.half[..., :1],
        every.quarter - every.quarter[..., :1],
        every.first - every.first[..., :1],
        every.value - every.half,
        every.half - every.quarter,
        every.middle - every.value,
        every.became - every.value,
        every.became - every.became_middle,
    )
    distances = xp.concat(
        [
            xp.stack(in_wide, axis=-1) / wide[..., None],
            xp.stack(in_spread, axis=-1) / spread[..., None],
        ],
        axis=-1,
    )
    up, down = every.high - every.middle, every.middle - every.low
    own_up, own_down = now.high - now.middle, now.middle - now.low
    met, became_met = _inside(xp, every.met), _inside(xp, every.became_met)
    share = now.share[..., None]
    ratios = xp.stack(
        (
            (every.high - every.low) / wide,
            up / xp.clip(down, _LEAST_SIZE, None),
            met / (1 - met),
            became_met / (1 - became_met),
            (every.became_high - every.became_low) / wide,
            every.share / every.share[..., :1],
            zero + spread / wide,
            zero + share,
            zero + (own_up / xp.clip(own_down, _LEAST_SIZE, None))[..., None],
            zero + 1 + count[..., None],
        ),
        axis=-1,
    )
    alike = xp.concat([none[..., None] + xp.zeros_like(unlike[..., :1, :]), unlike], axis=-2)
    known = xp.stack((every.met, every.became_met, alike[..., 0]), axis=-1)
    known = xp.astype(~xp.isnan(known), ratios.dtype)
    own_flag = xp.concat([none + 1, xp.zeros_like(unlike[..., 0])], axis=-1)
    known = xp.concat([known[..., :2], known[..., 2:] * (1 - own_flag[..., None])], axis=-1)
    plain = xp.stack(
        (
            own_flag,
            every.reach,
            xp.astype(every.reach >= 1, ratios.dtype),
            2 * every.became_met - 1,
            zero + share,
        ),
        axis=-1,
    )
    table = xp.concat(
        [
            xp.asinh(distances),
            0.5 * xp.log(xp.clip(ratios, _LEAST_RATIO, 1 / _LEAST_RATIO)),
            known,
            plain,
            alike,
        ],
        axis=-1,
    )
    # What is not known is as if it were in the middle.
    return xp.clip(xp.where(xp.isnan(table), 0.0, table), -_MOST, _MOST)


def trust(now: Now, every: RunFacts, present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far what peers say may be trusted, in [0, 1]: a power of the density that is answered.

    The network was trained on a few dozen tasks, and is surer of what it says about others than it
    may be, the more so the fewer peers there are. And of a run that lies far from all of its peers
    they can say nothing: most often they are of another task.
    The constants were set on sources left out of training, see `experiments/peers.py`.

    Args:
        now: (...,) the newest of the run at hand.
        every: (..., 1 + n) the run and its peers, as for `features`.
        present: (..., n) which peers there are.
    """
    count = present.sum(-1)
    some = np.maximum(count, 1)
    peers = every.middle[..., 1:]
    middles = np.where(present, peers, np.inf)
    # Where there is nobody, the run is far from everybody.
    centre = np.where(count > 0, _median(np, middles, some), _FAR_AWAY)
    apart = np.where(present, np.abs(peers - centre[..., None]), np.inf)
    widths = np.where(present, every.high[..., 1:] - every.low[..., 1:], np.inf)
    spread = np.maximum(_median(np, apart, some), _median(np, widths, some))
    spread = np.where(count > 0, spread, 0.0)
    wide = np.maximum(now.high - now.low, _LEAST_SIZE)
    nearest = np.abs(middles - np.asarray(now.middle)[..., None]).min(-1) / wide
    distance = np.abs(now.middle - centre)
    off = distance / (spread + wide)
    outlying = distance / np.maximum(spread, _LEAST_RATIO * distance + _LEAST_SIZE)
    few = 1 - _DOUBT * np.maximum(count, 1.0) ** -_DOUBT_FADES
    near = _fading(off, *_OFF) * _fading(nearest, *_ALONE) * _fading(outlying, *_OUTLYING)
    return np.asarray(few * near)


def _fading(size: NDArray[np.float64], begin: float, end: float) -> NDArray[np.float64]:
    """One up to a size, falling to zero with its logarithm."""
    place = np.log(np.clip(size, begin, end) / begin) / math.log(end / begin)
    return np.asarray(1 - place)


def tempered(log_masses: AnyArray, power: AnyArray) -> NDArray[np.float64]:
    """Log-masses (..., BINS) whose density is raised to a power (...,)."""
    logits = np.asarray(power)[..., None] * (log_masses - _LOG_WIDTHS) + np.log(WIDTHS)
    masses = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(np.log(masses / masses.sum(-1, keepdims=True)))


def _inside(xp: ArrayModule, chance: AnyArray) -> AnyArray:
    """A probability whose logarithm is no extreme."""
    return xp.clip(chance, _LEAST_CHANCE, 1 - _LEAST_CHANCE)


def _size(xp: ArrayModule, width: AnyArray, level: AnyArray) -> AnyArray:
    """A width to divide by."""
    return xp.maximum(width, xp.clip(_LEAST_RATIO * abs(level), _LEAST_SIZE, None))


def _median(xp: ArrayModule, values: AnyArray, count: AnyArray) -> AnyArray:
    """The lower median of the finite of some values (..., n), the others infinite."""
    ordered = xp.sort(values, axis=-1)
    if values.ndim == 1:
        return ordered[(int(count) - 1) // 2]
    index = xp.astype((count - 1) // 2, xp.int64)
    return xp.take_along_axis(ordered, index[..., None], axis=-1)[..., 0]


@dataclass(frozen=True)
class PeerConfig:
    """Shape of the second network. Saved with the weights.

    Args:
        width: channels of a token.
        layers: of attention; in the last one the run at hand alone asks.
        heads: of attention; divides `width`.
    """

    width: int = 64
    layers: int = 3
    heads: int = 4

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters by name."""
        width = self.width
        found: dict[str, tuple[int, ...]] = {
            "embed.weight": (FEATURES, 2 * width),
            "embed.bias": (2 * width,),
            "embed.out": (2 * width, width),
        }
        for layer in range(self.layers):
            found |= {
                f"{layer}.norm": (width,),
                f"{layer}.query": (width, width),
                f"{layer}.key_value": (width, 2 * width),
                f"{layer}.mix": (width, width),
                f"{layer}.norm_feed": (width,),
                f"{layer}.expand": (width, 2 * width),
                f"{layer}.expand_bias": (2 * width,),
                f"{layer}.contract": (2 * width, width),
            }
        return found | {"norm": (width,), "head": (width, BINS), "head_bias": (BINS,)}

    def initialise(self, generator: np.random.Generator) -> dict[str, Any]:
        """Starting weights, float32: an untrained network corrects nothing."""
        found = {}
        for name, shape in self.shapes().items():
            if "norm" in name:
                drawn = np.ones(shape)
            elif "head" in name or "bias" in name:
                drawn = np.zeros(shape)
            else:
                damping = 0.4 if "mix" in name or "contract" in name else 1.0
                drawn = damping * shape[0] ** -0.5 * generator.normal(size=shape)
            found[name] = drawn.astype(np.float32)
        return found


@dataclass(frozen=True)
class PeerNetwork:
    """The second network.

    Args:
        config: its shape.
        weights: float32, numpy arrays or torch tensors, by the names of `PeerConfig.shapes`.
    """

    config: PeerConfig
    weights: Mapping[str, AnyArray]

    def __call__(self, table: AnyArray, present: AnyArray | None = None) -> AnyArray:
        """Log-masses (..., BINS) of the bins of a correction.

        Args:
            table: (..., tokens, FEATURES), see `features`; float32.
            present: (..., tokens) which tokens there are; None for all.
        """
        xp, weights = array_module(table), self.weights
        hidden = clipped(table @ weights["embed.weight"] + weights["embed.bias"], 0.0)
        x = hidden @ weights["embed.out"]
        mask = None
        if present is not None:
            mask = xp.where(present, 0.0, _MASKED)[..., None, None, :]
            mask = xp.astype(mask, x.dtype)
        for layer in range(self.config.layers):
            x = self._block(xp, layer, x, mask)
        x = _normed(xp, x, weights["norm"])
        logits = (x @ weights["head"])[..., 0, :] + weights["head_bias"]
        logits = logits + _constant(xp, _LOG_WIDTHS, logits)
        top = xp.max(logits, axis=-1)[..., None]
        return logits - top - xp.log(xp.sum(xp.exp(logits - top), axis=-1))[..., None]

    def _block(self, xp: ArrayModule, layer: int, x: AnyArray, mask: AnyArray | None) -> AnyArray:
        def weight(name: str) -> AnyArray:
            return self.weights[f"{layer}.{name}"]

        heads = self.config.heads
        normed = _normed(xp, x, weight("norm"))
        key, value = _heads(xp, normed @ weight("key_value"), 2, heads)
        if layer == self.config.layers - 1:
            # Nobody reads the others after the last keys and values.
            x, normed = x[..., :1, :], normed[..., :1, :]
        (query,) = _heads(xp, normed @ weight("query"), 1, heads)
        scores = (query * (self.config.width // heads) ** -0.5) @ xp.swapaxes(key, -1, -2)
        if mask is not None:
            scores = scores + mask
        scores = xp.exp(scores - xp.max(scores, axis=-1)[..., None])
        # The sums of weights divide what is read, of which there is less.
        mixed = scores @ value / xp.sum(scores, axis=-1)[..., None]
        x = x + xp.reshape(xp.swapaxes(mixed, -2, -3), x.shape) @ weight("mix")
        hidden = _normed(xp, x, weight("norm_feed")) @ weight("expand") + weight("expand_bias")
        return x + clipped(hidden, 0.0) @ weight("contract")


def _heads(xp: ArrayModule, x: AnyArray, parts: int, heads: int) -> list[AnyArray]:
    """The parts of tokens (..., n, parts width), each (..., heads, n, head width)."""
    width = x.shape[-1] // parts
    split = xp.reshape(x, (*x.shape[:-1], parts * heads, width // heads))
    split = xp.swapaxes(split, -2, -3)
    return [split[..., part * heads : (part + 1) * heads, :, :] for part in range(parts)]


def _normed(xp: ArrayModule, x: AnyArray, gain: AnyArray) -> AnyArray:
    """Tokens of unit mean square, times a gain for each channel."""
    # A product with a column is the fastest of sums.
    square = (x * x) @ _constant(xp, _averaging(x.shape[-1]), x)
    return x * (gain / xp.sqrt(square + 1e-5))


@lru_cache(maxsize=4)
def _averaging(width: int) -> NDArray[np.float32]:
    return np.full((width, 1), 1 / width, np.float32)


def _constant(xp: ArrayModule, table: NDArray[np.float32], like: AnyArray) -> AnyArray:
    return table if isinstance(like, np.ndarray) else xp.asarray(table, device=like.device)
