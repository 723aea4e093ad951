"""The LC-PFN network: a small transformer from observed prefixes to binned forecasts.

One sequence holds a curve's observations and its queries. Observations attend causally to
observations; a query (prefix t, step x) attends to the first t observations and to nothing else.
So one pass trains, or backtests, every prefix of a curve at once, and at inference a new epoch
costs one token against a cache of keys and values.

Each query's output is a histogram in its own coordinates: `location + scale * z` with fixed bins
in z. The location is a learned mix of the prefix's running averages plus an offset in noise
units, so a forecast is as sharp as the curve allows, whatever its level.

Sources: prior-data fitted networks, Müller et al. (ICLR 2022); LC-PFN, Adriaensen et al.
(NeurIPS 2023). The causal prefix masking and the moving coordinates are this project's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, cast, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcpfn.errors import InputError
from lcpfn.network.absolute import AbsoluteView
from lcpfn.network.arrays import AnyArray, array_module, clipped, constant_like
from lcpfn.network.features import AVERAGES, ContextFeatures, Coordinates
from lcpfn.network.histogram import BinnedDistribution, log_softmax, starting_log_masses
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.relative import RelativeView
from lcpfn.network.views import Frame, View

_MASKED = -1e4


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the network. Saved with the weights.

    Args:
        width: channels of a token.
        layers: transformer blocks.
        heads: attention heads; divides `width`.
        bins: bins of the forecast, both open tails included.
        unit_floor: smallest noise level that inputs and outputs resolve, in the prior's unit, or,
            in the relative frame, in units of the spread of the values so far.
        frame: "absolute" for values in the prior's own unit, "relative" for values of any unit:
            the network then sees ratios of differences only.
        schedule: the network is told learning rates where they are known; relative frame only.
        floor: the network is told the worst value that the metric can take where it is known, and
            so whether it is an accuracy or a loss; relative frame only.
        rates: the network is told the learning rates at the records where the log has them, though
            the rest of the schedule is unknown; relative frame only.
        best: the network also answers what the best value up to a step will be; relative frame
            only.
    """

    width: int = 128
    layers: int = 4
    heads: int = 4
    bins: int = 64
    unit_floor: float = 1e-3
    frame: Frame = "absolute"
    schedule: bool = False
    floor: bool = False
    rates: bool = False
    best: bool = False

    def __post_init__(self) -> None:
        if self.frame not in get_args(Frame):
            raise InputError(
                f"frame is {self.frame!r}, but must be one of {', '.join(get_args(Frame))}"
            )
        for name in ("schedule", "floor", "rates", "best"):
            if getattr(self, name) and self.frame != "relative":
                raise InputError(f"{name} is True, but needs frame 'relative'")

    @property
    def view(self) -> View:
        """What such a network sees."""
        if self.frame == "absolute":
            return AbsoluteView(self.unit_floor)
        return RelativeView(self.unit_floor, self.schedule, self.floor, self.rates, self.best)

    def as_dict(self) -> dict[str, float | int | str]:
        return asdict(self)


@dataclass(frozen=True)
class Cache:
    """Keys and values of the observations so far, each (curves, heads, n, head_width), by layer."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def length(self) -> int:
        """How many observations are cached."""
        return self.keys[0].shape[2]

    def first(self, observations: int) -> Cache:
        """The cache as it was after the first `observations`."""
        return Cache(
            tuple(key[:, :, :observations] for key in self.keys),
            tuple(value[:, :, :observations] for value in self.values),
        )

    def repeat(self, count: int) -> Cache:
        """The cache of one curve, shared by `count` copies of it."""
        return Cache(
            tuple(key.expand(count, -1, -1, -1) for key in self.keys),
            tuple(value.expand(count, -1, -1, -1) for value in self.values),
        )


class Block(nn.Module):
    """Pre-norm attention and feed-forward. Keys and values come from observations only."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.mix = nn.Linear(width, width, bias=False)
        self.norm_feed = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width, bias=False)
        self.contract = nn.Linear(4 * width, width, bias=False)

    def _split_heads(self, x: Tensor) -> Tensor:
        curves, tokens, width = x.shape
        return x.view(curves, tokens, self.heads, width // self.heads).transpose(1, 2)

    def keys_values(self, normed: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (curves, heads, n, head_width) of normed tokens (curves, n, width)."""
        key, value = self.key_value(normed).chunk(2, -1)
        return self._split_heads(key), self._split_heads(value)

    def update(
        self, x: Tensor, normed: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
    ) -> Tensor:
        """Tokens x (curves, tokens, width) after attention to `key`, `value` and feed-forward."""
        query = self._split_heads(self.query(normed))
        if torch.is_grad_enabled():
            # Written out, because the fused kernel's backward pass is ten times slower on CPUs.
            scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
            if mask is not None:
                scores = scores + mask.to(scores.dtype)
            attended = torch.softmax(scores, -1) @ value
        else:
            attended = F.scaled_dot_product_attention(query, key, value, mask)
        # Products of matrices are faster than the same products of batches of one.
        tokens = x.flatten(0, 1)
        tokens = _plus_product(tokens, attended.transpose(1, 2).flatten(-2).flatten(0, 1), self.mix)
        hidden = F.relu(self.expand(self.norm_feed(tokens)), inplace=True)
        # In place where no gradient needs what was there before: less to move through the caches.
        hidden = hidden.square() if torch.is_grad_enabled() else hidden.square_()
        return _plus_product(tokens, hidden, self.contract).view_as(x)


class Network(nn.Module):
    """The network. `forward` trains and forecasts whole batches, `extend` streams."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.view = config.view
        self.embed_context = nn.Linear(self.view.context_features, config.width)
        self.embed_prefix = nn.Linear(self.view.context_features, config.width, bias=False)
        self.embed_query = nn.Linear(self.view.query_features, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 2 + AVERAGES + config.bins)

    def initialise(self, generator: torch.Generator) -> Network:
        """Draws starting weights; an untrained network forecasts a wide normal everywhere."""
        residual = (2 * self.config.layers) ** -0.5
        for name, parameter in self.named_parameters():
            if name.startswith("head") or name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                damping = 0.3 * residual if "mix" in name or "contract" in name else 1.0
                std = damping * parameter.shape[1] ** -0.5
                nn.init.normal_(parameter, std=std, generator=generator)
        return self

    @torch.no_grad()
    def laid_out(self) -> Network:
        """The same network, its weights in the order in which products of few tokens are fast."""
        for parameter in self.parameters():
            if parameter.ndim == 2:
                parameter.data = parameter.data.T.contiguous().T
        return self

    @torch.no_grad()
    def take_over(self, start: Network) -> Network:
        """Copies the weights of a network of the same shape, to train on from there.

        A network that is told learning rates, or these and the worst possible value, may start
        from one that was not: it begins by ignoring them. A network with more layers may start
        from one with fewer: the new ones, which come last, begin by changing nothing.

        Raises:
            InputError: the shapes differ in anything else.
        """
        theirs: dict[str, Any] = start.config.as_dict()
        # What a network is told stands in this order, and new columns can only come last.
        may_grow = {"layers", "best"}
        for told in ("rates", "floor", "schedule"):
            may_grow.add(told)
            if theirs[told]:
                break
        wrong = [
            f"{name} is {own!r}, but theirs is {theirs[name]!r}"
            for name, own in self.config.as_dict().items()
            if own != theirs.get(name, False) and (name not in may_grow or own < theirs[name])
        ]
        if wrong:
            raise InputError(f"cannot start from these weights: {'; '.join(wrong)}")
        known = start.state_dict()
        for name, parameter in self.named_parameters():
            if name not in known:
                if "mix" in name or "contract" in name:
                    parameter.zero_()
            elif parameter.shape == known[name].shape:
                parameter.copy_(known[name])
            else:
                parameter.zero_()[:, : known[name].shape[1]] = known[name]
        return self

    def forward(
        self,
        context: ContextFeatures,
        observations: Observations,
        prefixes: Tensor,
        questions: Questions,
    ) -> BinnedDistribution:
        """Answers questions (curves, m), each after its own number of observations.

        Args:
            context: what the network's view sees of the observations: `view.observe`.
            observations: (curves, n); padding at the end is harmless as long as no question's
                prefix reaches it.
            prefixes: (curves, m) how many observations each question knows of, 1..n.
            questions: (curves, m).
        """
        last = prefixes - 1
        asked = self.view.ask(observations.at(last), questions)
        out = self.answer(context.tokens, asked, prefixes)
        return self.interpret(out, context.coordinates.at(last))

    def answer(self, tokens: Tensor, asked: Tensor, prefixes: Tensor | None = None) -> Tensor:
        """The head's outputs (curves, m, outputs) to queries after `prefixes` observations.

        Args:
            tokens: (curves, n, context_features) of all observations; padding as for `forward`.
            asked: (curves, m, query_features) of the queries.
            prefixes: (curves, m) how many observations each query sees, 1..n. None for one query
                after each of the first m observations, as a backtest asks.
        """
        curves, length, _ = tokens.shape
        if prefixes is None:
            seen, mask = tokens[:, : asked.shape[1]], _backtest_mask(length, asked.shape[1])
        else:
            rows = torch.arange(curves, device=tokens.device)[:, None]
            order = torch.arange(length, device=tokens.device)
            reach = torch.cat([(order + 1).expand(curves, -1), prefixes], 1)
            mask = (order >= reach[..., None]).to(tokens.dtype)[:, None] * _MASKED
            seen = tokens[rows, prefixes - 1]
        queries = self.embed_query(asked).add_(self.embed_prefix(seen))
        x = torch.cat([self.embed_context(tokens), queries], 1)
        answers, _ = self._run(x, length, mask, None)
        return self._read_out(answers)

    def extend(
        self, cache: Cache | None, observations: Observations, questions: Questions
    ) -> tuple[BinnedDistribution, Cache]:
        """Answers questions after all observations, encoding those that are not in `cache`.

        Args:
            cache: of the first observations, or None.
            observations: (curves, n) every one, cached ones included. For a single curve, features
                cost less in numpy.
            questions: (curves, m).

        Returns:
            the forecasts (curves, m), of the arguments' kind, and the cache of all n observations.
        """
        length = observations.length
        start = 0 if cache is None else cache.length
        context = self.view.observe(observations, start)
        asked = self.view.ask(observations.last(), questions)
        tokens, asked = torch.as_tensor(context.tokens), torch.as_tensor(asked)
        x = torch.cat(
            [
                self.embed_context(tokens),
                self.embed_query(asked) + self.embed_prefix(tokens[:, -1:]),
            ],
            1,
        )
        mask = None
        if length - start > 1:
            # Query rows lie below the diagonal: they see everything.
            mask = x.new_full((x.shape[1], length), _MASKED).triu(start + 1)
        answers, cache = self._run(x, length - start, mask, cache)
        out: AnyArray = self._read_out(answers)
        if isinstance(observations.values, np.ndarray):
            out = out.double().numpy()
        return self.interpret(out, context.coordinates.last_only()), cache

    def _run(
        self, x: Tensor, new: int, mask: Tensor | None, cache: Cache | None
    ) -> tuple[Tensor, Cache]:
        """Runs the blocks over tokens whose first `new` are observations; returns the others."""
        keys, values = [], []
        for layer, module in enumerate(self.blocks):
            block = cast(Block, module)
            normed = block.norm_attention(x)
            key, value = block.keys_values(normed[:, :new])
            if cache is not None:
                key = torch.cat([cache.keys[layer], key], 2)
                value = torch.cat([cache.values[layer], value], 2)
            keys.append(key)
            values.append(value)
            if layer == len(self.blocks) - 1:
                # Nobody reads the observations after the last keys and values.
                x, normed = x[:, new:], normed[:, new:]
                mask = None if mask is None else mask[..., new:, :]
            x = block.update(x, normed, key, value, mask)
        return x, Cache(tuple(keys), tuple(values))

    def _read_out(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x)).float()  # type: ignore[no-any-return]

    def interpret(self, out: AnyArray, coordinates: Coordinates) -> BinnedDistribution:
        """The forecast that the head's outputs (curves, m, outputs) stand for in their coordinates.

        Outputs and coordinates are both torch tensors or both numpy arrays.
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
        start = constant_like(starting_log_masses(self.config.bins), logits)
        return BinnedDistribution(location, scale, log_softmax(logits + start))


def _plus_product(x: Tensor, factor: Tensor, layer: nn.Linear) -> Tensor:
    """Adds layer(factor), of a layer without bias, to x; in place where no gradient needs x."""
    if torch.is_grad_enabled() or factor.dtype != x.dtype:
        added: Tensor = x + layer(factor)
        return added
    return x.addmm_(factor, layer.weight.T)


@lru_cache(maxsize=8)
def _backtest_mask(length: int, queries: int) -> Tensor:
    """(1, 1, length + queries, length) for observations and a query after each of the first."""
    hidden = torch.full((length, length), _MASKED).triu(1)
    return torch.cat([hidden, hidden[:queries]])[None, None]
