"""The trained network, laid out for forecasts in numpy: single ones, batches, backtests, streams.

The same arithmetic as `lcpfn.network.transformer`, in another order. Norms are folded into the
matrices around them: their gains and offsets into those behind, their centring into those before,
as nobody reads a token but through a norm. In the last block only what answers questions is
computed. Results equal the transformer's to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from lcpfn.errors import WeightsError
from lcpfn.network.blas import BlasThreads
from lcpfn.network.config import NetworkConfig
from lcpfn.network.features import Coordinates
from lcpfn.network.histogram import BinnedDistribution, starting_log_masses
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.outputs import interpret, outputs_of

Float32Array = NDArray[np.float32]
Weights = Mapping[str, Float32Array]
"""The parameters of a network by their names in `lcpfn.network.transformer`."""

_NORM_EPSILON = np.float32(1e-5)
_MASKED = np.float32(-1e4)
_MOST_QUESTIONS = 4096
_SHORTEST_TABLE = 128
# Tokens that go through the blocks together: their intermediate results stay in a core's cache.
_TOKENS_AT_ONCE = 400
# From so many questions on, it pays to leave out the keys and values that nobody reads of them.
_MANY_QUESTIONS = 8


class Cache:
    """Keys and values of the observations of curves, layer by layer, with room to grow.

    Attributes:
        length: how many observations of each curve are known.
    """

    def __init__(self, keys: Float32Array, values: Float32Array, length: int = 0):
        """Made by `Engine.cache`.

        Args:
            keys: (layers, curves, heads, head_width, capacity), as products with queries take them.
            values: (layers, curves, heads, capacity, head_width).
            length: of what is known.
        """
        self.keys = keys
        self.values = values
        self.length = length

    def first(self, observations: int) -> Cache:
        """The cache as it was after the first `observations`, on the same memory."""
        return Cache(self.keys, self.values, observations)

    def repeat(self, count: int) -> Cache:
        """The cache of one curve for `count` copies of it, each of which may go on by itself."""
        return Cache(np.repeat(self.keys, count, 1), np.repeat(self.values, count, 1), self.length)

    def with_room(self, observations: int) -> Cache:
        """The cache with room for so many more; the same one where it has that already."""
        capacity = self.keys.shape[-1]
        if self.length + observations <= capacity:
            return self
        grown = max(self.length + observations, 2 * capacity)
        keys = np.empty((*self.keys.shape[:-1], grown), np.float32)
        values = np.empty((*self.values.shape[:-2], grown, self.values.shape[-1]), np.float32)
        keys[..., : self.length] = self.keys[..., : self.length]
        values[..., : self.length, :] = self.values[..., : self.length, :]
        return Cache(keys, values, self.length)


class Engine:
    """A network's weights and what they answer. Safe to share between threads.

    Attributes:
        config: shape of the network.
        view: what it sees of curves.
        weights: its parameters, as they were trained.
        threads: that forecasts may use.
    """

    def __init__(self, config: NetworkConfig, weights: Weights, threads: int = 1):
        """Lays out the weights.

        Raises:
            WeightsError: they are not those of such a network.
        """
        _check_shapes(config, weights)
        self.config = config
        self.view = config.view
        self.weights = weights
        self.threads = threads
        # What an observation adds to the token of its own and to that of a question.
        self._embed_context = _Affine(
            np.concatenate(
                [
                    _centred(weights["embed_context.weight"]),
                    _centred(weights["embed_prefix.weight"]),
                ],
                1,
            ),
            np.concatenate(
                [_centred(weights["embed_context.bias"]), _centred(weights["embed_query.bias"])]
            ),
        )
        self._embed_query = _centred(weights["embed_query.weight"])
        self._questions: dict[tuple[bytes, ...], Float32Array] = {}
        self._blocks = [
            _BlockWeights.of(weights, f"blocks.{layer}.", config.heads)
            for layer in range(config.layers)
        ]
        self._start = starting_log_masses(config.bins)
        self._head = _behind_norm(weights, "norm", weights["head.weight"], weights["head.bias"])

    def cache(self, capacity: int, curves: int = 1) -> Cache:
        """An empty cache with room for `capacity` observations of each curve."""
        layers, heads = self.config.layers, self.config.heads
        head_width = self.config.width // heads
        return Cache(
            np.empty((layers, curves, heads, head_width, capacity), np.float32),
            np.empty((layers, curves, heads, capacity, head_width), np.float32),
        )

    def extend(
        self, cache: Cache | None, observations: Observations, questions: Questions
    ) -> BinnedDistribution:
        """Answers questions after all observations, encoding those that are not in `cache`.

        Args:
            cache: of the first observations, with room for the others, which are added; or None.
            observations: (curves, n) every one, cached ones included.
            questions: (curves, m).

        Returns:
            the forecasts (curves, m), in float64.
        """
        length = observations.length
        start = 0 if cache is None else cache.length
        with BlasThreads(self.threads):
            context = self.view.observe(observations, start)
            asked = self.view.ask(observations.last(), questions)
            curves, new = context.tokens.shape[:2]
            mask = None if new == 1 else _seen_by_all(start, length, asked.shape[1])
            embedded = self._embed_context(context.tokens.reshape(curves * new, -1))
            embedded = embedded.reshape(curves, new, 2, -1)
            queries = asked @ self._embed_query
            queries += embedded[:, -1:, 1]
            x = np.concatenate([embedded[:, :, 0], queries], 1)
            out = self._head(_normalise(self._run(x, new, mask, cache))).astype(np.float64)
        return self._interpret(
            out.reshape(curves, asked.shape[1], -1), context.coordinates.last_only()
        )

    def forecast_batch(
        self, observations: Observations, lengths: NDArray[np.int64], questions: Questions
    ) -> BinnedDistribution:
        """Answers one question after the last observation of each of many curves.

        Args:
            observations: (curves, n), padded at the end.
            lengths: (curves,) how many observations each curve has, 1..n.
            questions: (curves, 1).

        Returns:
            the forecasts (curves, 1), in float64.
        """
        last = lengths[:, None] - 1
        with BlasThreads(1):
            context = self.view.observe(observations)
            asked = self.view.ask(observations.at(last), questions)
            queries = asked[:, 0] @ self._embed_query
            curves, length = context.tokens.shape[:2]
            size = max(1, _TOKENS_AT_ONCE // (length + 1))
            parts = [slice(begin, begin + size) for begin in range(0, curves, size)]

            def answer(part: slice) -> Float32Array:
                return self._answer_part(context.tokens[part], queries[part], lengths[part])

            out = np.concatenate(_mapped(answer, parts, self.threads)).astype(np.float64)
        return self._interpret(out[:, None], context.coordinates.at(last))

    def _answer_part(
        self, tokens: Float32Array, queries: Float32Array, lengths: NDArray[np.int64]
    ) -> Float32Array:
        """The head's outputs (curves, outputs) for a few curves of a batch."""
        # What all of them leave empty is left out.
        length = int(lengths.max())
        curves = len(tokens)
        embedded = self._embed_context(tokens[:, :length].reshape(curves * length, -1))
        embedded = embedded.reshape(curves, length, 2, -1)
        x = np.empty((curves, length + 1, self.config.width), np.float32)
        x[:, :-1] = embedded[:, :, 0]
        np.add(queries, embedded[np.arange(curves), lengths - 1, 1], out=x[:, -1])
        mask: Float32Array = _seen_by_all(0, length, 1)
        if int(lengths.min()) < length:
            mask = np.repeat(mask[None, None], curves, 0)
            mask[:, 0, -1] = (np.arange(length) >= lengths[:, None]) * _MASKED
        return self._head(_normalise(self._run(x, length, mask, None)))

    def answer_after(
        self, observations: Observations, prefixes: NDArray[np.int64], questions: Questions
    ) -> BinnedDistribution:
        """Answers questions about many curves, each after its own number of observations.

        Args:
            observations: (curves, n), padded at the end.
            prefixes: (curves, m) how many observations each question knows of, 1..n.
            questions: (curves, m).

        Returns:
            the forecasts (curves, m), in float64.
        """
        last = prefixes - 1
        context = self.view.observe(observations)
        asked = self.view.ask(observations.at(last), questions)
        (curves, length), count = context.tokens.shape[:2], asked.shape[1]
        queries = asked @ self._embed_query
        size = max(1, _TOKENS_AT_ONCE // (length + count))
        outs = []
        with BlasThreads(self.threads):
            for begin in range(0, curves, size):
                part = slice(begin, begin + size)
                tokens = context.tokens[part]
                rows = np.arange(len(tokens))[:, None]
                embedded = self._embed_context(tokens.reshape(-1, tokens.shape[-1]))
                embedded = embedded.reshape(len(tokens), length, 2, -1)
                asking = queries[part] + embedded[rows, last[part], 1]
                x = np.concatenate([embedded[:, :, 0], asking], 1)
                mask = np.empty((len(tokens), 1, length + count, length), np.float32)
                mask[:, :, :length] = _causal(length)
                mask[:, 0, length:] = (np.arange(length) > last[part][..., None]) * _MASKED
                out = self._head(_normalise(self._run(x, length, mask, None)))
                outs.append(out.reshape(len(tokens), count, -1))
        joined = np.concatenate(outs).astype(np.float64)
        return self._interpret(joined, context.coordinates.at(last))

    def backtest(
        self, observations: Observations, question: Questions, count: int
    ) -> Callable[[], BinnedDistribution]:
        """Answers one question after each of the first observations of one curve.

        Args:
            observations: (1, n).
            question: (1, 1), asked after each of the first `count` observations.
            count: of questions, 1..n.

        Returns:
            gives the forecasts (1, count), in float64, when they are first needed.
        """
        length = observations.length
        with BlasThreads(self.threads):
            context = self.view.observe(observations)
            asked = self.view.ask(observations.first(count), question.repeated(count))
            embedded = self._embed_context(context.tokens[0]).reshape(length, 2, -1)
            x = np.empty((1, length + count, self.config.width), np.float32)
            x[0, :length] = embedded[:, 0]
            np.add(asked[0] @ self._embed_query, embedded[:count, 1], out=x[0, length:])
            hidden = _causal(length)
            mask = np.concatenate([hidden, hidden[:count]])
            out = self._head(_normalise(self._run(x, length, mask, None)))[None]
        return partial(self._interpret, out.astype(np.float64), context.coordinates.first(count))

    def advance(
        self, cache: Cache, observations: Observations, question: Questions
    ) -> Callable[[], BinnedDistribution]:
        """Encodes the last observation of one curve into the cache, answers one question after it.

        Args:
            cache: of all observations but the last, with room for it; is updated in place.
            observations: (1, n) every one.
            question: (1, 1).

        Returns:
            gives the forecast (1, 1) when it is first needed.
        """
        with BlasThreads(self.threads):
            context = self.view.observe(observations, observations.length - 1)
            x = self._embed_context(context.tokens[0]).reshape(1, 2, -1)
            x[0, 1] += self._asked(observations.last(), question)
            out = self._head(_normalise(self._run(x, 1, None, cache)))[None]
        return partial(self._interpret, out.astype(np.float64), context.coordinates)

    def remember(self, cache: Cache, observations: Observations) -> None:
        """Adds all observations of one curve, (1, n), that are not in the cache to it."""
        with BlasThreads(self.threads):
            context = self.view.observe(observations, cache.length)
            new = context.tokens.shape[1]
            mask = None if new == 1 else _seen_by_all(cache.length, observations.length, 0)
            x = self._embed_context(context.tokens[0])[:, : self.config.width]
            self._run(np.ascontiguousarray(x)[None], new, mask, cache)

    def _interpret(self, out: NDArray[np.float64], coordinates: Coordinates) -> BinnedDistribution:
        return interpret(out, coordinates, self._start)

    def _run(
        self, x: Float32Array, new: int, mask: Float32Array | None, cache: Cache | None
    ) -> Float32Array:
        """Runs the blocks over tokens (curves, tokens, width), whose first `new` are observations.

        Returns:
            (curves * questions, width) the others.
        """
        start = 0
        if cache is not None:
            start, cache.length = cache.length, cache.length + new
        last_block = len(self._blocks) - 1
        for layer, block in enumerate(self._blocks):
            room = None
            if cache is not None:
                known = start + new
                room = cache.keys[layer, ..., :known], cache.values[layer, ..., :known, :]
            x = block.update(x, new, mask, room, layer == last_block)
        return x.reshape(-1, x.shape[-1])

    def _asked(self, since: Observations, question: Questions) -> Float32Array:
        """What a question, (1, 1), adds to its token, (width,)."""
        # The runs of a search are recorded at the same steps, so most of these are known.
        known = (since.fractions, since.schedule, question.fractions, question.schedule)
        key = tuple(b"" if part is None else part.tobytes() for part in (*known, question.best))
        embedded = self._questions.get(key)
        if embedded is None:
            embedded = self.view.ask(since, question)[0, 0] @ self._embed_query
            if len(self._questions) >= _MOST_QUESTIONS:
                self._questions.clear()
            self._questions[key] = embedded
        return embedded


def _mapped(
    answer: Callable[[slice], Float32Array], parts: list[slice], threads: int
) -> list[Float32Array]:
    if threads == 1:
        return [answer(part) for part in parts]
    # Its import takes as long as a forecast, which one thread need not wait for.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(answer, parts))


@dataclass(frozen=True)
class _Affine:
    """x @ matrix + bias."""

    matrix: Float32Array
    bias: Float32Array

    def __call__(self, x: Float32Array) -> Float32Array:
        result: Float32Array = x @ self.matrix
        result += self.bias
        return result

    def part(self, columns: slice) -> _Affine:
        """Some of the outputs, on the same memory."""
        return _Affine(self.matrix[:, columns], self.bias[columns])


@dataclass(frozen=True)
class _BlockWeights:
    """A block: attention input for query, key and value at once, and the rest.

    Args:
        heads: of the attention.
        attention: gives query, key and value of a token.
        query: the first of these alone.
        key_value: the others.
    """

    heads: int
    attention: _Affine
    query: _Affine
    key_value: _Affine
    mix: Float32Array
    expand: _Affine
    contract: Float32Array

    @staticmethod
    def of(weights: Weights, prefix: str, heads: int) -> _BlockWeights:
        def weight(name: str) -> Float32Array:
            return weights[f"{prefix}{name}.weight"]

        width = len(weight("query"))
        damped = weight("query") * np.float32((width // heads) ** -0.5)
        joined = np.concatenate([damped, weight("key_value")])
        attention = _behind_norm(weights, f"{prefix}norm_attention", joined, None)
        return _BlockWeights(
            heads,
            attention,
            attention.part(slice(0, width)),
            attention.part(slice(width, None)),
            _centred(weight("mix")),
            _behind_norm(weights, f"{prefix}norm_feed", weight("expand"), None),
            _centred(weight("contract")),
        )

    def update(
        self,
        x: Float32Array,
        new: int,
        mask: Float32Array | None,
        room: tuple[Float32Array, Float32Array] | None,
        final: bool,
    ) -> Float32Array:
        """Tokens (curves, tokens, width), observations before questions, after this block.

        Args:
            x: the tokens; may be overwritten.
            new: how many of them are observations.
            mask: (..., tokens, observations) what to add to the scores; None for nothing.
            room: keys (curves, heads, head_width, n) and values (curves, heads, n, head_width) of
                all observations, of which the last `new` are written here; None where all are new
                and need not be kept.
            final: return the questions only; nobody reads the observations any more.
        """
        curves, tokens, width = x.shape
        flat = x.reshape(-1, width)
        normed = _normalise(flat)
        if final or (curves == 1 and tokens - new > _MANY_QUESTIONS):
            normed = normed.reshape(x.shape)
            observed = np.ascontiguousarray(normed[:, :new]).reshape(-1, width)
            key_value = self.key_value(observed).reshape(curves, new, 2, self.heads, -1)
            key, value = key_value[:, :, 0], key_value[:, :, 1]
            if final:
                normed = normed[:, new:]
                tokens -= new
                flat = np.ascontiguousarray(x[:, new:]).reshape(-1, width)
                mask = None if mask is None else mask[..., new:, :]
            query = self.query(np.ascontiguousarray(normed).reshape(-1, width))
            query = query.reshape(curves, tokens, self.heads, width // self.heads)
        else:
            mixed = self.attention(normed).reshape(curves, tokens, 3, self.heads, -1)
            query, key, value = mixed[:, :, 0], mixed[:, :new, 1], mixed[:, :new, 2]
        keys, values = key.transpose(0, 2, 3, 1), value.transpose(0, 2, 1, 3)
        if room is not None:
            room[0][..., -new:], room[1][..., -new:, :] = keys, values
            keys, values = room
        if not tokens:
            return flat.reshape(curves, 0, width)
        attended = _attend(query, keys, values, mask)
        flat += attended.reshape(-1, width) @ self.mix
        hidden = self.expand(_normalise(flat))
        np.maximum(hidden, 0, out=hidden)
        hidden *= hidden
        flat += hidden @ self.contract
        return flat.reshape(curves, tokens, width)


def _attend(
    query: Float32Array, keys: Float32Array, values: Float32Array, mask: Float32Array | None
) -> Float32Array:
    """What queries (curves, tokens, heads, head_width) read, in the same shape.

    Args:
        keys: (curves, heads, head_width, n).
        values: (curves, heads, n, head_width).
        mask: (..., tokens, n) what to add to the scores; None for nothing.
    """
    scores = query.transpose(0, 2, 1, 3) @ keys
    if mask is not None:
        scores += mask
    scores -= np.maximum.reduce(scores, -1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, -1, keepdims=True)
    attended = np.empty(query.shape, np.float32)
    np.matmul(scores, values, out=attended.transpose(0, 2, 1, 3))
    return attended


def _normalise(x: Float32Array) -> Float32Array:
    """A layer norm without gain and offset, of tokens (tokens, width) that are centred already."""
    variance: Float32Array = np.square(x) @ _averaging(x.shape[1])
    np.add(variance, _NORM_EPSILON, out=variance)
    np.sqrt(variance, out=variance)
    normed: Float32Array = x / variance
    return normed


@lru_cache(maxsize=16)
def _averaging(width: int) -> Float32Array:
    """(width, 1) to multiply with: for arrays this small, faster than a reduction."""
    return np.full((width, 1), 1 / width, np.float32)


def _causal(length: int) -> Float32Array:
    """(length, length) what hides later observations from earlier ones."""
    return _causal_table(max(_SHORTEST_TABLE, 1 << (length - 1).bit_length()))[:length, :length]


@lru_cache(maxsize=8)
def _causal_table(length: int) -> Float32Array:
    return np.triu(np.full((length, length), _MASKED), 1)


def _seen_by_all(start: int, length: int, questions: int) -> Float32Array:
    """The mask of the observations from `start` on, and of questions that see all of them."""
    mask = np.zeros((length - start + questions, length), np.float32)
    mask[: length - start] = _causal(length)[start:]
    return mask


def _check_shapes(config: NetworkConfig, weights: Weights) -> None:
    expected = _shapes(config)
    wrong = [name for name in expected if name not in weights]
    wrong += [name for name in weights if name not in expected]
    if wrong:
        raise WeightsError(f"tensors are missing or unknown: {', '.join(sorted(wrong)[:4])}")
    for name, shape in expected.items():
        if weights[name].shape != shape or weights[name].dtype != np.float32:
            raise WeightsError(
                f"{name} is {weights[name].dtype} of shape {weights[name].shape}, but must be "
                f"float32 of shape {shape}"
            )


def _shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """The parameters of a network of this shape, by name."""
    width, view = config.width, config.view
    shapes: dict[str, tuple[int, ...]] = {
        "embed_context.weight": (width, view.context_features),
        "embed_context.bias": (width,),
        "embed_prefix.weight": (width, view.context_features),
        "embed_query.weight": (width, view.query_features),
        "embed_query.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (outputs_of(config.bins), width),
        "head.bias": (outputs_of(config.bins),),
    }
    for layer in range(config.layers):
        block = f"blocks.{layer}"
        for norm in ("norm_attention", "norm_feed"):
            shapes[f"{block}.{norm}.weight"] = shapes[f"{block}.{norm}.bias"] = (width,)
        shapes[f"{block}.query.weight"] = shapes[f"{block}.mix.weight"] = (width, width)
        shapes[f"{block}.key_value.weight"] = (2 * width, width)
        shapes[f"{block}.expand.weight"] = (4 * width, width)
        shapes[f"{block}.contract.weight"] = (width, 4 * width)
    return shapes


def _centred(weight: Float32Array) -> Float32Array:
    """A bias (width,), or the matrix of a weight, less its mean over the outputs."""
    return np.ascontiguousarray((weight - weight.mean(0)).T)


def _behind_norm(
    weights: Weights, norm: str, weight: Float32Array, bias: Float32Array | None
) -> _Affine:
    """A layer norm's gain and offset together with the linear layer that follows it."""
    offset = weight @ weights[f"{norm}.bias"]
    if bias is not None:
        offset = offset + bias
    return _Affine(np.ascontiguousarray((weight * weights[f"{norm}.weight"]).T), offset)
