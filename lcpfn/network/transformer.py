"""The LC-PFN network: a small transformer from observed prefixes to binned forecasts.

One sequence holds a curve's observations and its queries. Observations attend causally to
observations; a query (prefix t, step x) attends to the first t observations and to nothing else.
So one pass trains, or backtests, every prefix of a curve at once, and in a forecast a new epoch
costs one token against a cache of keys and values (`lcpfn.network.engine`).

Each query's output is a histogram in its own coordinates: `location + scale * z` with fixed bins
in z. The location is a learned mix of the prefix's running averages plus an offset in noise
units, so a forecast is as sharp as the curve allows, whatever its level.

Sources: prior-data fitted networks, Müller et al. (ICLR 2022); LC-PFN, Adriaensen et al.
(NeurIPS 2023). The causal prefix masking and the moving coordinates are this project's.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lcpfn.errors import InputError
from lcpfn.network.config import NetworkConfig
from lcpfn.network.engine import Engine, Weights
from lcpfn.network.features import ContextFeatures
from lcpfn.network.histogram import BinnedDistribution, starting_log_masses
from lcpfn.network.inputs import Observations, Questions
from lcpfn.network.outputs import interpret, outputs_of

_MASKED = -1e4


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

    def update(self, x: Tensor, normed: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """Tokens x (curves, tokens, width) after attention to `key`, `value` and feed-forward."""
        query = self._split_heads(self.query(normed))
        if torch.is_grad_enabled():
            # Written out, because the fused kernel's backward pass is ten times slower on CPUs.
            scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
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
    """The network in torch, for training; `Engine` forecasts with its weights."""

    start: Tensor

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.view = config.view
        self.embed_context = nn.Linear(self.view.context_features, config.width)
        self.embed_prefix = nn.Linear(self.view.context_features, config.width, bias=False)
        self.embed_query = nn.Linear(self.view.query_features, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, outputs_of(config.bins))
        # No parameter: it is the same for all networks of so many bins.
        start = torch.from_numpy(starting_log_masses(config.bins))
        self.register_buffer("start", start, persistent=False)

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

    @classmethod
    def of(cls, engine: Engine) -> Network:
        """The network that an engine was laid out from, to train or to differentiate."""
        network = cls(engine.config)
        network.load_state_dict(
            {name: torch.from_numpy(weight.copy()) for name, weight in engine.weights.items()}
        )
        return network.eval()

    @property
    def weights(self) -> Weights:
        """A copy of its parameters as they are now, by name, in numpy."""
        state = self.state_dict()
        return {name: weight.cpu().float().numpy().copy() for name, weight in state.items()}

    def engine(self) -> Engine:
        """The network as it is now, laid out for forecasts without torch."""
        return Engine(self.config, self.weights)

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
        tokens = context.tokens
        rows = torch.arange(len(tokens), device=tokens.device)[:, None]
        order = torch.arange(tokens.shape[1], device=tokens.device)
        reach = torch.cat([(order + 1).expand(len(tokens), -1), prefixes], 1)
        mask = (order >= reach[..., None]).to(tokens.dtype)[:, None] * _MASKED
        queries = self.embed_query(asked).add_(self.embed_prefix(tokens[rows, last]))
        x = torch.cat([self.embed_context(tokens), queries], 1)
        out = self.head(self.norm(self._run(x, tokens.shape[1], mask))).float()
        return interpret(out, context.coordinates.at(last), self.start.to(out))

    def _run(self, x: Tensor, observed: int, mask: Tensor) -> Tensor:
        """Runs the blocks over tokens whose first `observed` are observations; gives the others."""
        for layer, module in enumerate(self.blocks):
            block = cast(Block, module)
            normed = block.norm_attention(x)
            key, value = block.keys_values(normed[:, :observed])
            if layer == len(self.blocks) - 1:
                # Nobody reads the observations after the last keys and values.
                x, normed, mask = x[:, observed:], normed[:, observed:], mask[..., observed:, :]
            x = block.update(x, normed, key, value, mask)
        return x


def _plus_product(x: Tensor, factor: Tensor, layer: nn.Linear) -> Tensor:
    """Adds layer(factor), of a layer without bias, to x; in place where no gradient needs x."""
    if torch.is_grad_enabled() or factor.dtype != x.dtype:
        added: Tensor = x + layer(factor)
        return added
    return x.addmm_(factor, layer.weight.T)
