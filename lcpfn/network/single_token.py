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
from functools import lru_cache, partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from lcpfn.network.histogram import BinnedDistribution
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.transformer import Block, Cache, Network

Float32Array = NDArray[np.float32]

_NORM_EPSILON = np.float32(1e-5)
_MOST_QUESTIONS = 4096


class TokenCache:
    """Keys and values of one curve, layer by layer, in buffers that leave room to grow."""

    def __init__(self, layers: int, heads: int, capacity: int, head_width: int):
        # Keys are stored as the product with queries takes them.
        self.keys = np.empty((layers, heads, head_width, capacity), np.float32)
        self.values = np.empty((layers, heads, capacity, head_width), np.float32)

    def fill(self, cache: Cache) -> None:
        """Takes over the observations of a torch cache of one curve."""
        for layer, (key, value) in enumerate(zip(cache.keys, cache.values, strict=True)):
            self.keys[layer, :, :, : cache.length] = key[0].transpose(1, 2).numpy()
            self.values[layer, :, : cache.length] = value[0].numpy()


@dataclass(frozen=True)
class _Affine:
    """x @ matrix + bias."""

    matrix: Float32Array
    bias: Float32Array

    def __call__(self, x: Float32Array) -> Float32Array:
        result: Float32Array = x @ self.matrix
        result += self.bias
        return result


class SingleToken:
    """A network's weights, laid out for single tokens. Safe to share between threads."""

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
        self._questions: dict[tuple[bytes, ...], Float32Array] = {}
        self._blocks = [
            _BlockWeights.of(cast(Block, block), network.config.heads) for block in network.blocks
        ]
        self._head = _behind_norm(network.norm, network.head.weight, network.head.bias)

    def cache(self, capacity: int) -> TokenCache:
        """An empty cache with room for `capacity` observations."""
        config = self._network.config
        return TokenCache(config.layers, config.heads, capacity, config.width // config.heads)

    def advance(
        self,
        cache: TokenCache,
        observations: Observations,
        question: Questions,
    ) -> Callable[[], BinnedDistribution]:
        """Encodes the last observation into the cache and answers one question after it.

        Args:
            cache: holds all observations but the last; is updated in place.
            observations: (1, n) every one, in numpy.
            question: (1, 1), in numpy.

        Returns:
            gives the forecast, batch shape (1, 1), when it is first needed.
        """
        length = observations.length
        context = self._network.view.observe(observations, length - 1)
        x = self._embed_context(context.tokens[0]).reshape(2, -1)
        x[1] += self._asked(observations.last(), question)
        last_block = len(self._blocks) - 1
        for layer, block in enumerate(self._blocks):
            keys, earlier = cache.keys[layer, :, :, :length], cache.values[layer, :, :length]
            x = block.update(x, keys, earlier, final=layer == last_block)
        out = self._head(_normalise(x))[None].astype(np.float64)
        return partial(self._network.interpret, out, context.coordinates)

    def _asked(self, since: Observations, question: Questions) -> Float32Array:
        """What a question, (1, 1), adds to its token, (width,)."""
        # The runs of a search are recorded at the same steps, so most of these are known.
        known = (since.fractions, since.schedule, question.fractions, question.schedule)
        key = tuple(b"" if part is None else part.tobytes() for part in (*known, question.best))
        embedded = self._questions.get(key)
        if embedded is None:
            embedded = self._network.view.ask(since, question)[0, 0] @ self._embed_query
            if len(self._questions) >= _MOST_QUESTIONS:
                self._questions.clear()
            self._questions[key] = embedded
        return embedded


@dataclass(frozen=True)
class _BlockWeights:
    """A block: attention input for query, key and value at once, and the rest."""

    attention: _Affine
    mix: Float32Array
    expand: _Affine
    contract: Float32Array

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

    def update(
        self, x: Float32Array, keys: Float32Array, values: Float32Array, final: bool
    ) -> Float32Array:
        """Tokens x (2, width), observation and query, after this block.

        Args:
            x: the two tokens; overwritten.
            keys: (heads, head_width, n) view of the cache; the last entry is written.
            values: (heads, n, head_width) likewise.
            final: return the query only; nobody reads the observation any more.
        """
        heads, head_width, _ = keys.shape
        mixed = self.attention(_normalise(x)).reshape(2, 3, heads, head_width)
        keys[:, :, -1], values[:, -1] = mixed[0, 1], mixed[0, 2]
        if final:
            x, mixed = x[1:], mixed[1:]
        scores = mixed[:, 0].transpose(1, 0, 2) @ keys
        scores -= np.maximum.reduce(scores, -1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= np.add.reduce(scores, -1, keepdims=True)
        attended = (scores @ values).transpose(1, 0, 2).reshape(x.shape)
        x += attended @ self.mix
        hidden = self.expand(_normalise(x))
        np.maximum(hidden, 0, out=hidden)
        hidden *= hidden
        x += hidden @ self.contract
        return x


def _normalise(x: Float32Array) -> Float32Array:
    """A layer norm without gain and offset, of tokens that are centred already."""
    variance: Float32Array = np.square(x) @ _averaging(x.shape[1])
    np.add(variance, _NORM_EPSILON, out=variance)
    np.sqrt(variance, out=variance)
    normed: Float32Array = x / variance
    return normed


@lru_cache(maxsize=16)
def _averaging(width: int) -> Float32Array:
    """(width, 1) to multiply with: for arrays this small, faster than a reduction."""
    return np.full((width, 1), 1 / width, np.float32)


def _matrix(weight: torch.Tensor) -> Float32Array:
    return np.ascontiguousarray(weight.detach().numpy().T)


def _centred(weight: torch.Tensor) -> Float32Array:
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
