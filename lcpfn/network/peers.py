"""The second network: reads how other runs of a search went, and corrects a run's own forecast.

Each other run is a token, which says how it compares with the run at hand, at what probability of
its own forecasts the values lay that came, and how alike the two are made. The run at hand asks
them several times over, and answers a density over the probabilities of its own forecast
(`lcpfn.network.correction`), mixed with that of no correction by how far it takes its peers to be
of any use. No token knows its place, so the order of peers cannot matter; and no peer asks the
others, so that many cost little: what they are as a whole, the run is told
(`lcpfn.network.comparison`).

Sets without an order, asked by few: Lee et al. 2019 (Set Transformer), Jaegle et al. 2021
(Perceiver). Learning from draws of whole tasks: prior-data fitted networks, Müller et al. 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.arrays import AnyArray, ArrayModule, array_module, clipped
from lcpfn.network.comparison import OWN
from lcpfn.network.correction import BINS, EDGES, WIDTHS
from lcpfn.network.outcomes import EXPECTED, REGRESSIONS
from lcpfn.network.peer_description import PEER

_MASKED = -1e9
_LOG_WIDTHS = np.log(WIDTHS).astype(np.float32)
_HELPFUL_AT_FIRST = 1.5
# Of a normal density over scores, less a constant: what its natural parameters are multiplied with.
_CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])
_SCORES = 0.5 * np.log(_CENTRES / (1 - _CENTRES))
_NATURAL = np.stack([_SCORES, -0.5 * _SCORES**2]).clip(-8, 8).astype(np.float32)
_ANSWERS = BINS + 1 + len(REGRESSIONS)
_HELPFUL = slice(BINS, BINS + 1)


@dataclass(frozen=True)
class PeerConfig:
    """Shape of the second network. Saved with the weights.

    Args:
        width: channels of a token.
        layers: how often the run asks its peers.
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
            "peers.in": (len(PEER), 2 * width),
            "peers.bias": (2 * width,),
            "peers.out": (2 * width, width),
            "peers.norm": (width,),
            "peers.key_value": (width, self.layers * 2 * width),
            "own.in": (len(OWN), 2 * width),
            "own.bias": (2 * width,),
            "own.out": (2 * width, width),
        }
        for layer in range(self.layers):
            found |= {
                f"{layer}.norm": (width,),
                f"{layer}.query": (width, width),
                f"{layer}.mix": (width, width),
                f"{layer}.norm_feed": (width,),
                f"{layer}.expand": (width, 2 * width),
                f"{layer}.expand_bias": (2 * width,),
                f"{layer}.contract": (2 * width, width),
            }
        return found | {"norm": (width,), "head": (width, _ANSWERS), "head_bias": (_ANSWERS,)}

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
        found["head_bias"][BINS] = _HELPFUL_AT_FIRST
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

    def __call__(self, peers: AnyArray, own: AnyArray, present: AnyArray | None = None) -> AnyArray:
        """Log-masses (..., BINS) of the bins of a correction.

        Args:
            peers, own: (..., n, len(PEER)) and (..., len(OWN)), see
                `lcpfn.network.comparison.compared`; float32.
            present: (..., n) which peers there are; None for all.
        """
        xp, weights = array_module(peers), self.weights
        hidden = clipped(peers @ weights["peers.in"] + weights["peers.bias"], 0.0)
        told = _normed(xp, hidden @ weights["peers.out"], weights["peers.norm"])
        told = _heads(xp, told @ weights["peers.key_value"], 2 * self.config.layers, self.config)
        hidden = clipped(own @ weights["own.in"] + weights["own.bias"], 0.0)
        x = (hidden @ weights["own.out"])[..., None, :]
        mask = None
        if present is not None:
            mask = xp.where(present, 0.0, _MASKED)[..., None, None, :]
            mask = xp.astype(mask, x.dtype)
        heads = self.config.heads
        for layer in range(self.config.layers):
            begin = 2 * layer * heads
            key = told[..., begin : begin + heads, :, :]
            value = told[..., begin + heads : begin + 2 * heads, :, :]
            x = self._block(xp, layer, x, key, value, mask)
        answer = _normed(xp, x, weights["norm"])[..., 0, :] @ weights["head"] + weights["head_bias"]
        logits = answer[..., :BINS] + _heeded(xp, answer[..., BINS + 1 :], own)
        return _mixed(xp, logits, answer[..., _HELPFUL])

    def _block(
        self,
        xp: ArrayModule,
        layer: int,
        x: AnyArray,
        key: AnyArray,
        value: AnyArray,
        mask: AnyArray | None,
    ) -> AnyArray:
        def weight(name: str) -> AnyArray:
            return self.weights[f"{layer}.{name}"]

        query = _heads(xp, _normed(xp, x, weight("norm")) @ weight("query"), 1, self.config)
        scores = (query * (self.config.width // self.config.heads) ** -0.5) @ xp.swapaxes(
            key, -1, -2
        )
        if mask is not None:
            scores = scores + mask
        scores = xp.exp(scores - xp.max(scores, axis=-1)[..., None])
        # The sums of weights divide what is read, of which there is less.
        mixed = scores @ value / xp.sum(scores, axis=-1)[..., None]
        x = x + xp.reshape(xp.swapaxes(mixed, -2, -3), x.shape) @ weight("mix")
        hidden = _normed(xp, x, weight("norm_feed")) @ weight("expand") + weight("expand_bias")
        return x + clipped(hidden, 0.0) @ weight("contract")


def _heeded(xp: ArrayModule, heed: AnyArray, own: AnyArray) -> AnyArray:
    """Logarithms of the densities that regressions expect, each to the power of its heed."""
    expected = own[..., OWN["expected"]]
    told = xp.reshape(expected, (*expected.shape[:-1], len(REGRESSIONS), len(EXPECTED)))
    # Products of densities: their natural parameters add up.
    natural = (heed[..., None, :] @ told)[..., 0, :2]
    return natural @ _constant(xp, _NATURAL, own)


def _mixed(xp: ArrayModule, logits: AnyArray, helpful: AnyArray) -> AnyArray:
    """Log-masses of a correction and of none, mixed by the log-odds that peers help."""
    log_widths = _constant(xp, _LOG_WIDTHS, logits)
    logits = logits + log_widths
    top = xp.max(logits, axis=-1)[..., None]
    corrected = logits - top - xp.log(xp.sum(xp.exp(logits - top), axis=-1))[..., None]
    # Log-sigmoids of the odds and of their opposite.
    most = clipped(helpful, 0.0)
    total = most + xp.log(xp.exp(helpful - most) + xp.exp(-most))
    corrected, nothing = corrected + helpful - total, log_widths - total
    top = xp.where(corrected > nothing, corrected, nothing)
    return top + xp.log(xp.exp(corrected - top) + xp.exp(nothing - top))


def _heads(xp: ArrayModule, x: AnyArray, parts: int, config: PeerConfig) -> AnyArray:
    """Tokens (..., n, parts width) as (..., parts heads, n, head width)."""
    split = (*x.shape[:-1], parts * config.heads, config.width // config.heads)
    return xp.swapaxes(xp.reshape(x, split), -2, -3)


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
