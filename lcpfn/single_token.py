"""The network, one new observation at a time, in numpy.

A streamed update sends two tokens through the network. For arrays this small, torch spends more
time dispatching operations than computing them, so the same arithmetic is written out in numpy
here. Norms are folded into the matrices around them: their gains and offsets into those behind,
their centring into those before, as nobody reads a token but through a norm. The results equal
`Network.extend` to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from lcpfn.binned import BinnedDistribution
from lcpfn.features import Frame
from lcpfn.network import Block, Cache, Network

Array = NDArray[np.float32]

_NORM_EPSILON = 1e-5


class TokenCache:
    """Keys and values of one curve, layer by layer, in buffers that leave room to grow."""

    def __init__(self, layers: int, heads: int, capacity: int, head_width: int):
        self.pairs = np.empty((layers, 2, heads, capacity, head_width), np.float32)

    def fill(self, cache: Cache) -> None:
        """Takes over the observations of a torch cache of one curve."""
        for layer, (key, value) in enumerate(zip(cache.keys, cache.values, strict=True)):
            self.pairs[layer, 0, :, : cache.length] = key[0].numpy()
            self.pairs[layer, 1, :, : cache.length] = value[0].numpy()


@dataclass(frozen=True)
class _Affine:
    """x @ matrix + bias."""

    matrix: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        result: Array = x @ self.matrix
        result += self.bias
        return result


class SingleToken:
    """A network's weights, laid out for single tokens. Stateless."""

    def __init__(self, network: Network):
        self._network = network
        # What an observation adds to the token of its own and to that of the query.
        self._embed_context = _Affine(
            np.concatenate(
                [_centred(network.embed_context.weight), _centred(network.embed_prefix.weight)], 1
            ),
            np.concatenate(
                [_centred(network.embed_context.bias), _centred(network.embed_query.bias)]
            ),
        )
        self._embed_query = _centred(network.embed_query.weight)
        self._blocks = [
            _BlockWeights.of(cast(Block, block), network.config.heads) for block in network.blocks
        ]
        self._head = _behind_norm(network.norm, network.head.weight, network.head.bias)

    def cache(self, capacity: int) -> TokenCache:
        """An empty cache with room for `capacity` observations."""
        config = self._network.config
        return TokenCache(config.layers, config.heads, capacity, config.width // config.heads)

    def extend(
        self,
        cache: TokenCache,
        fractions: Array,
        values: Array,
        query: float = 1.0,
        limits: Array | None = None,
        schedule: Array | None = None,
        query_schedule: Array | None = None,
    ) -> Callable[[], BinnedDistribution]:
        """Encodes the last observation into the cache and forecasts one query after it.

        Args:
            cache: holds all observations but the last; is updated in place.
            fractions: (1, n) every observed step over the horizon.
            values: (1, n) every observed value.
            query: step to forecast, over the horizon.
            limits: (1, 2) best and worst value the metric can take; see `Network.features`.
            schedule: (1, n, 2) learning rates at every observed step; see `Network.features`.
            query_schedule: (1, 1, 2) at the query.

        Returns:
            gives the forecast, batch shape (1, 1), when it is first needed.
        """
        length = fractions.shape[1]
        context = self._network.features(fractions, values, length - 1, limits, schedule)
        token = context.tokens[0]
        last = fractions[:, -1:]
        last_schedule = None if schedule is None else schedule[:, -1:]
        asked = self._network.query_features(
            last, np.full_like(last, query), last_schedule, query_schedule
        )[0]
        x = self._embed_context(token).reshape(2, -1)
        x[1:] += asked @ self._embed_query
        last_block = len(self._blocks) - 1
        for layer, block in enumerate(self._blocks):
            pairs = cache.pairs[layer, :, :, :length]
            x = block.update(x, pairs, final=layer == last_block)
        out = self._head(_normalise(x))[None]
        return partial(self._interpret, out, context.frame)

    def _interpret(self, out: Array, frame: Frame) -> BinnedDistribution:
        return self._network.interpret(torch.from_numpy(out), frame.as_torch())


@dataclass(frozen=True)
class _BlockWeights:
    """A block: attention input for query, key and value at once, and the rest."""

    attention: _Affine
    mix: Array
    expand: _Affine
    contract: Array

    @staticmethod
    def of(block: Block, heads: int) -> _BlockWeights:
        width = block.query.weight.shape[0]
        damped = block.query.weight * (width // heads) ** -0.5
        attention = torch.cat([damped, block.key_value.weight])
        return _BlockWeights(
            _behind_norm(block.norm_attention, attention, None),
            _centred(block.mix.weight),
            _behind_norm(block.norm_feed, block.expand.weight, None),
            _centred(block.contract.weight),
        )

    def update(self, x: Array, pairs: Array, final: bool) -> Array:
        """Tokens x (2, width), observation and query, after this block.

        Args:
            x: the two tokens; overwritten.
            pairs: (2, heads, n, head_width) view of the cache, keys and values; the last entry
                is written.
            final: return the query only; nobody reads the observation any more.
        """
        _, heads, _, head_width = pairs.shape
        width = heads * head_width
        mixed = self.attention(_normalise(x))
        pairs[:, :, -1] = mixed[0, width:].reshape(2, heads, head_width)
        if final:
            x, mixed = x[1:], mixed[1:]
        queries = mixed[:, :width].reshape(-1, heads, head_width).transpose(1, 0, 2)
        scores = queries @ pairs[0].transpose(0, 2, 1)
        scores -= np.maximum.reduce(scores, -1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= np.add.reduce(scores, -1, keepdims=True)
        attended = (scores @ pairs[1]).transpose(1, 0, 2).reshape(-1, width)
        x += attended @ self.mix
        hidden = self.expand(_normalise(x))
        np.maximum(hidden, 0, out=hidden)
        hidden *= hidden
        x += hidden @ self.contract
        return x


def _normalise(x: Array) -> Array:
    """A layer norm without gain and offset, of tokens that are centred already."""
    variance = np.einsum("tw,tw->t", x, x) / x.shape[1]
    normed: Array = x / np.sqrt(variance + _NORM_EPSILON)[:, None]
    return normed


def _matrix(weight: torch.Tensor) -> Array:
    return np.ascontiguousarray(weight.detach().numpy().T)


def _centred(weight: torch.Tensor) -> Array:
    """A bias (width,), or the matrix of a weight, less its mean over the outputs."""
    return _matrix(weight - weight.mean(0))


def _behind_norm(
    norm: torch.nn.LayerNorm, weight: torch.Tensor, bias: torch.Tensor | None
) -> _Affine:
    """A layer norm's gain and offset together with the linear layer that follows it."""
    offset = weight @ norm.bias
    if bias is not None:
        offset = offset + bias
    return _Affine(_matrix(weight * norm.weight), offset.detach().numpy())
