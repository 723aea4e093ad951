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

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lcpfn.network.arrays import AnyArray, ArrayModule, array_module, clipped
from lcpfn.network.comparison import OWN
from lcpfn.network.correction import BINS, EDGES, WIDTHS
from lcpfn.network.gate import GATE, gated, initial_gate
from lcpfn.network.outcomes import EXPECTED, REGRESSIONS
from lcpfn.network.peer_description import PEER

_MASKED = -1e9
# Scores of attention beyond this are as good as this, and their exponentials are numbers.
_MOST_SCORE = 60.0
_LEAST_SQUARE = 1e-5
_LOG_WIDTHS = np.log(WIDTHS).astype(np.float32)
_HELPFUL_AT_FIRST = 1.5
# Of a normal density over scores, less a constant: what its natural parameters are multiplied with.
_CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])
_SCORES = 0.5 * np.log(_CENTRES / (1 - _CENTRES))
_NATURAL = np.stack([_SCORES, -0.5 * _SCORES**2]).clip(-8, 8).astype(np.float32)
_ANSWERS = BINS + 1 + len(REGRESSIONS)
_HELPFUL = slice(BINS, BINS + 1)
_HEED = slice(BINS + 1, _ANSWERS)


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
        found |= {"norm": (width,), "head": (width, _ANSWERS), "head_bias": (_ANSWERS,)}
        return found | GATE

    def initialise(self, generator: np.random.Generator) -> dict[str, Any]:
        """Starting weights, float32: an untrained network corrects nothing."""
        found = {}
        for name, shape in self.shapes().items():
            if name in GATE:
                continue
            if "norm" in name:
                drawn = np.ones(shape)
            elif "head" in name or "bias" in name:
                drawn = np.zeros(shape)
            else:
                damping = 0.4 if "mix" in name or "contract" in name else 1.0
                drawn = damping * shape[0] ** -0.5 * generator.normal(size=shape)
            found[name] = drawn.astype(np.float32)
        found["head_bias"][_HELPFUL] = _HELPFUL_AT_FIRST
        return found | initial_gate(generator)


@dataclass(frozen=True)
class PeerNetwork:
    """The second network.

    Args:
        config: its shape.
        weights: float32, numpy arrays or torch tensors, by the names of `PeerConfig.shapes`.
    """

    config: PeerConfig
    weights: Mapping[str, AnyArray]

    def __call__(
        self,
        peers: AnyArray,
        own: AnyArray,
        present: AnyArray | None = None,
        consensus: AnyArray | None = None,
    ) -> AnyArray:
        """Log-masses (..., BINS) of the bins of a correction.

        Args:
            peers, own: (..., n, len(PEER)) and (..., len(OWN)), see
                `lcpfn.network.comparison.compared`; float32.
            present: (..., n) which peers there are; None for all.
            consensus: (..., 2) what the ends of all peers say, see `lcpfn.network.consensus`; None
                for nothing.
        """
        logits, helpful = self.heard(peers, own, present)
        if consensus is not None:
            logits = agreed(logits, consensus)
        corrected = normalised(logits)
        return mixed(corrected, gated(self.weights, own, helpful, claimed(corrected)))

    def heard(
        self, peers: AnyArray, own: AnyArray, present: AnyArray | None = None
    ) -> tuple[AnyArray, AnyArray]:
        """What is trained first, before the gate.

        A density (..., BINS), as logarithms at the bins up to a constant, and the log-odds (..., 1)
        that peers are of use.

        Args:
            peers, own, present: as above.
        """
        xp = array_module(peers)
        parts = self._numpy_parts if xp is np else self._parts(xp)
        hidden = clipped(peers @ self.weights["peers.in"] + self.weights["peers.bias"], 0.0)
        told = _even(xp, hidden @ self.weights["peers.out"])
        hidden = clipped(own @ self.weights["own.in"] + self.weights["own.bias"], 0.0)
        x = (hidden @ self.weights["own.out"])[..., None, :]
        mask = None
        if present is not None:
            mask = xp.astype(xp.where(present, 0.0, _MASKED)[..., None, :], x.dtype)
        for layer in parts.layers:
            x = self._block(xp, layer, x, told, mask)
        answer = _even(xp, x)[..., 0, :] @ parts.head + self.weights["head_bias"]
        natural, helpful = _heeded(xp, answer[..., _HEED], own), answer[..., _HELPFUL]
        return agreed(answer[..., :BINS], natural), helpful

    def _block(
        self, xp: ArrayModule, layer: _Layer, x: AnyArray, told: AnyArray, mask: AnyArray | None
    ) -> AnyArray:
        # Each head asks by what the peers are told, so that no key or value of theirs is needed.
        by_head = (*x.shape[:-2], self.config.heads, self.config.width)
        scores = xp.reshape(_even(xp, x) @ layer.ask, by_head) @ xp.swapaxes(told, -1, -2)
        if mask is not None:
            scores = scores + mask
        weights = xp.exp(clipped(scores, -_MOST_SCORE, _MOST_SCORE))
        # The sums of weights divide what is read, of which there is less.
        read = weights @ told / (weights @ _constant(xp, _summing(told.shape[-2]), told))
        x = x + xp.reshape(read, (*x.shape[:-1], -1)) @ layer.read
        hidden = _even(xp, x) @ layer.expand + layer.expand_bias
        return x + clipped(hidden, 0.0) @ layer.contract

    @cached_property
    def _numpy_parts(self) -> _Parts:
        return self._parts(np)

    def _parts(self, xp: ArrayModule) -> _Parts:
        """The weights as they are used: what is linear in a row of others becomes one of them."""
        weights, width, heads = self.weights, self.config.width, self.config.heads
        told_gain = weights["peers.norm"]

        def split(matrix: AnyArray) -> AnyArray:
            # Columns (width, width) by the heads, (heads, width, head width).
            return xp.swapaxes(xp.reshape(matrix, (width, heads, width // heads)), 0, 1)

        layers = []
        for layer in range(self.config.layers):
            begin = 2 * layer * width
            key, value = (
                split(told_gain[:, None] * weights["peers.key_value"][:, at : at + width])
                for at in (begin, begin + width)
            )
            query = split(weights[f"{layer}.norm"][:, None] * weights[f"{layer}.query"])
            ask = (query * (width // heads) ** -0.5) @ xp.swapaxes(key, -1, -2)
            mix = xp.reshape(weights[f"{layer}.mix"], (heads, width // heads, width))
            layers.append(
                _Layer(
                    xp.reshape(xp.swapaxes(ask, 0, 1), (width, heads * width)),
                    xp.reshape(value @ mix, (heads * width, width)),
                    weights[f"{layer}.norm_feed"][:, None] * weights[f"{layer}.expand"],
                    weights[f"{layer}.expand_bias"],
                    weights[f"{layer}.contract"],
                )
            )
        return _Parts(layers, weights["norm"][:, None] * weights["head"])


class _Layer(NamedTuple):
    """What the run asks its peers with once.

    Args:
        ask: (width, heads width) the run's to what each head looks for in what peers are told.
        read: (heads width, width) what each head found to what the run takes from it.
        expand, expand_bias, contract: what the run makes of it.
    """

    ask: AnyArray
    read: AnyArray
    expand: AnyArray
    expand_bias: AnyArray
    contract: AnyArray


class _Parts(NamedTuple):
    """Weights as they are used.

    Args:
        layers: of each time that the run asks.
        head: (width, answers).
    """

    layers: Sequence[_Layer]
    head: AnyArray


def _heeded(xp: ArrayModule, heed: AnyArray, own: AnyArray) -> AnyArray:
    """Natural parameters of what regressions expect, each to the power of its heed."""
    expected = own[..., OWN["expected"]]
    told = xp.reshape(expected, (*expected.shape[:-1], len(REGRESSIONS), len(EXPECTED)))
    return (heed[..., None, :] @ told)[..., 0, :2]


def agreed(logits: AnyArray, natural: AnyArray) -> AnyArray:
    """The product of a density (..., BINS) and a normal one, whose natural parameters add up.

    Args:
        logits: its logarithm at the bins.
        natural: (..., 2) of the normal density.
    """
    return logits + natural @ _constant(array_module(logits), _NATURAL, logits)


def normalised(logits: AnyArray) -> AnyArray:
    """Log-masses (..., BINS) of a density whose logarithm at the bins is known up to a constant."""
    xp = array_module(logits)
    logits = logits + _constant(xp, _LOG_WIDTHS, logits)
    logits = logits - xp.max(logits, axis=-1)[..., None]
    return logits - xp.log(xp.sum(xp.exp(logits), axis=-1))[..., None]


def claimed(corrected: AnyArray) -> AnyArray:
    """How many nats a correction claims to know of where a run ends in its forecast, (..., 1).

    Args:
        corrected: (..., BINS) its log-masses.
    """
    xp = array_module(corrected)
    gained = corrected - _constant(xp, _LOG_WIDTHS, corrected)
    return xp.sum(xp.exp(corrected) * gained, axis=-1)[..., None]


def mixed(corrected: AnyArray, helpful: AnyArray) -> AnyArray:
    """Log-masses of a correction and of none, mixed by the log-odds that peers are of use.

    Args:
        corrected: (..., BINS) log-masses of the correction.
        helpful: (..., 1) the log-odds.
    """
    xp = array_module(corrected)
    # Log-sigmoids of the odds and of their opposite.
    total = xp.logaddexp(helpful, 0 * helpful)
    nothing = _constant(xp, _LOG_WIDTHS, corrected)
    return xp.logaddexp(corrected + (helpful - total), nothing - total)


def _even(xp: ArrayModule, x: AnyArray) -> AnyArray:
    """Tokens of unit mean square."""
    if xp is np and x.size == x.shape[-1]:
        token = x.reshape(-1)
        return x * np.float32((float(token @ token) / x.size + _LEAST_SQUARE) ** -0.5)
    # A product with a column is the fastest of sums.
    square = (x * x) @ _constant(xp, _averaging(x.shape[-1]), x)
    return x / xp.sqrt(square + _LEAST_SQUARE)


@lru_cache(maxsize=128)
def _summing(count: int) -> NDArray[np.float32]:
    return np.ones((count, 1), np.float32)


@lru_cache(maxsize=4)
def _averaging(width: int) -> NDArray[np.float32]:
    return np.full((width, 1), 1 / width, np.float32)


def _constant(xp: ArrayModule, table: NDArray[np.float32], like: AnyArray) -> AnyArray:
    return table if isinstance(like, np.ndarray) else xp.asarray(table, device=like.device)
