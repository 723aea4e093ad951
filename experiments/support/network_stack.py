"""Several networks of one shape that learn from one stream, all in one step.

On a GPU a step of one small network waits for Python most of the time. Here the networks' weights
lie one above the other, so every operation serves all of them, and the whole step, up to the change
of the weights, is recorded once for each shape of batch and replayed (CUDA graphs). Each network
leaves out the curves that it may not hear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from experiments.support.taught_quantiles import taught_quantiles
from lcpfn.network.config import NetworkConfig
from lcpfn.network.features import Coordinates
from lcpfn.network.histogram import BinnedDistribution, starting_log_masses
from lcpfn.network.outputs import interpret
from lcpfn.network.transformer import Network
from lcpfn.training.config import TrainingConfig
from lcpfn.training.objective import FAR_MISS, logarithmic_beyond

# A teacher's forecast is shown by so many of its quantiles.
TAUGHT_QUANTILES = 2
# A teacher that is wrong by far knows less of its own forecast than a pupil does.
_FURTHEST_HIT = 20.0
# Of Muon (Jordan et al. 2024) and of AdamW.
_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
_BETAS = (0.9, 0.98)
_EPSILON = 1e-8
_WARM_UPS = 3

Arrays = Mapping[str, NDArray[np.generic]]


def forecasts(
    weights: Mapping[str, Tensor], config: NetworkConfig, batch: Mapping[str, Tensor]
) -> BinnedDistribution:
    """What stacked networks answer, (networks, curves, m); see `Network.forward`.

    Args:
        weights: by their names in `Network`, each (networks, ...).
        config: the shape of each.
        batch: `tokens` (curves, n, features), `asked` (curves, m, features), `last` (curves, m) the
            number of the last known observation, and the coordinates there: `value`, `unit`
            (curves, m) and `averages`.
    """
    tokens, last = batch["tokens"], batch["last"]
    curves, observed, _ = tokens.shape
    rows = torch.arange(curves, device=tokens.device)[:, None]
    order = torch.arange(observed, device=tokens.device)
    reach = torch.cat([order.expand(curves, -1), last], 1)
    seen = (order <= reach[..., None])[:, None]
    known = _product(tokens, weights["embed_context.weight"]) + _row(
        weights["embed_context.bias"], 2
    )
    queries = _product(batch["asked"], weights["embed_query.weight"])
    queries = queries + _product(tokens[rows, last], weights["embed_prefix.weight"])
    queries = queries + _row(weights["embed_query.bias"], 2)
    x = torch.cat([known, queries], 2)
    for layer in range(config.layers):
        of = {
            name.removeprefix(f"blocks.{layer}."): weight
            for name, weight in weights.items()
            if name.startswith(f"blocks.{layer}.")
        }
        normed = _normed(x, of["norm_attention.weight"], of["norm_attention.bias"])
        key, value = _product(normed[:, :, :observed], of["key_value.weight"]).chunk(2, -1)
        if layer == config.layers - 1:
            # Nobody reads the observations after the last keys and values.
            x, normed, seen = x[:, :, observed:], normed[:, :, observed:], seen[:, :, observed:]
        query = _product(normed, of["query.weight"])
        found = F.scaled_dot_product_attention(
            *(_by_heads(part, config.heads) for part in (query, key, value)), attn_mask=seen
        )
        x = x + _product(_together(found, len(x)), of["mix.weight"])
        hidden = _product(
            _normed(x, of["norm_feed.weight"], of["norm_feed.bias"]), of["expand.weight"]
        )
        hidden = F.relu(hidden)
        x = x + _product(hidden * hidden, of["contract.weight"])
    out = _product(_normed(x, weights["norm.weight"], weights["norm.bias"]), weights["head.weight"])
    out = out.float() + _row(weights["head.bias"], 2)
    coordinates = Coordinates(batch["value"], batch["averages"], batch["unit"])
    return interpret(out, coordinates, weights["start"])


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """Tokens (curves, t, width), or (networks, ...), times the matrices (networks, out, width)."""
    flat = x.flatten(-3, -2)
    if flat.dim() == 2:
        flat = flat.expand(len(weight), -1, -1)
    return torch.bmm(flat, weight.transpose(1, 2)).unflatten(1, x.shape[-3:-1])


def _row(vector: Tensor, dimensions: int) -> Tensor:
    """(networks, width) as (networks, 1, ..., width)."""
    return vector.view(len(vector), *(1,) * dimensions, -1)


def _normed(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:]) * _row(gain, 2) + _row(offset, 2)


def _by_heads(x: Tensor, heads: int) -> Tensor:
    """(networks, curves, t, width) as (curves, networks * heads, t, head_width)."""
    return x.unflatten(-1, (heads, -1)).permute(1, 0, 3, 2, 4).flatten(1, 2)


def _together(x: Tensor, networks: int) -> Tensor:
    """(curves, networks * heads, t, head_width) as (networks, curves, t, width)."""
    return x.unflatten(1, (networks, -1)).permute(1, 0, 3, 2, 4).flatten(-2)


@dataclass
class NetworkStack:
    """Networks of one shape, trained together.

    Args:
        networks: where they begin.
        teacher: a network of the same shape, whose forecasts are learned where the batch says so.
        config: learning rate, weight decay and clipping; Muon for the blocks' matrices, AdamW for
            the rest.
        device: where.
    """

    networks: Sequence[Network]
    teacher: Network
    config: TrainingConfig
    device: torch.device
    weights: dict[str, Tensor] = field(init=False)
    losses: Tensor = field(init=False)

    def __post_init__(self) -> None:
        states = [network.state_dict() for network in self.networks]
        self.weights = {
            name: torch.stack([state[name] for state in states]).to(self.device).requires_grad_()
            for name in states[0]
        }
        known = self.teacher.state_dict()
        start = torch.from_numpy(starting_log_masses(self.shape.bins)).float().to(self.device)
        self._start = start
        self._teacher = {name: known[name][None].to(self.device) for name in known}
        self._moments = {
            name: [torch.zeros_like(weight, requires_grad=False) for _ in range(2)]
            for name, weight in self.weights.items()
        }
        self._rate = torch.zeros((), device=self.device)
        self._steps = torch.zeros((), device=self.device)
        self.losses = torch.zeros(len(states), device=self.device)
        self._recorded: dict[tuple[int, bool], tuple[dict[str, Tensor], torch.cuda.CUDAGraph]] = {}
        self._pool: tuple[int, int] | None = None

    @property
    def shape(self) -> NetworkConfig:
        return self.teacher.config

    def unstacked(self) -> list[Network]:
        """The networks as they are now."""
        found = []
        for index in range(len(self.networks)):
            network = Network(self.shape)
            state = {name: w[index].detach().cpu() for name, w in self.weights.items()}
            network.load_state_dict(state)
            found.append(network.eval())
        return found

    def step(self, batch: Arrays, rate: float, half: bool) -> None:
        """Makes one step of all networks; adds their mean losses to `losses`.

        Args:
            batch: see `forecasts`, and the answers: `clean`, `noise`, and `outcome`, `taught`
                (curves, m), how much the outcome and the teacher weigh; `levels`
                (TAUGHT_QUANTILES, curves, m) uniform numbers; `heard` (networks, curves) 1 where a
                network hears a curve. `crossed` (curves,) is how much of what its outcome would
                teach the first network is taught instead by the network of the number `crossing`
                (curves,), which has not heard the source of the curve: so the first forecasts what
                it has heard as if it had not.
            rate: learning rate.
            half: products of matrices in bfloat16.
        """
        self._rate.fill_(rate)
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        if self.device.type != "cuda":
            self._change(tensors, half)
            return
        key = (batch["tokens"].shape[1], half)
        if key not in self._recorded:
            self._recorded[key] = self._record(tensors, half)
        places, graph = self._recorded[key]
        for name, place in places.items():
            place.copy_(tensors[name], non_blocking=True)
        graph.replay()

    def _record(
        self, tensors: Mapping[str, Tensor], half: bool
    ) -> tuple[dict[str, Tensor], torch.cuda.CUDAGraph]:
        places = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        kept = [
            self._rate,
            self._steps,
            self.losses,
            *(m for pair in self._moments.values() for m in pair),
        ]
        before = [tensor.clone() for tensor in kept]
        self._rate.fill_(0.0)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._change(places, half)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self._change(places, half)
        self._pool = graph.pool()
        for tensor, old in zip(kept, before, strict=True):
            tensor.copy_(old)
        return places, graph

    def _change(self, batch: Mapping[str, Tensor], half: bool) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            ours = forecasts({**self.weights, "start": self._start}, self.shape, batch)
            with torch.no_grad():
                theirs = forecasts({**self._teacher, "start": self._start}, self.shape, batch)
        losses = _losses(ours, theirs, batch)
        names = list(self.weights)
        found = torch.autograd.grad(losses.sum(), [self.weights[name] for name in names])
        with torch.no_grad():
            self.losses += losses
            gradients = dict(zip(names, _clipped(found, self.config.clip), strict=True))
            self._steps += 1
            for name, gradient in gradients.items():
                if name.startswith("blocks.") and gradient.dim() == 3:
                    self._muon(name, gradient)
                else:
                    self._adam(name, gradient)

    def _muon(self, name: str, gradient: Tensor) -> None:
        weight, momentum = self.weights[name], self._moments[name][0]
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        change = _orthogonal(gradient.lerp(momentum, _MOMENTUM))
        size = 0.2 * max(weight.shape[1:]) ** 0.5
        weight.mul_(1 - self._rate * self.config.weight_decay)
        weight.sub_(change * (self._rate * size))

    def _adam(self, name: str, gradient: Tensor) -> None:
        weight, (mean, square) = self.weights[name], self._moments[name]
        mean.lerp_(gradient, 1 - _BETAS[0])
        square.lerp_(gradient * gradient, 1 - _BETAS[1])
        unbiased = (1 - _BETAS[1] ** self._steps).sqrt() / (1 - _BETAS[0] ** self._steps)
        if weight.dim() == 3:
            weight.mul_(1 - self._rate * self.config.weight_decay)
        weight.sub_(self._rate * unbiased * mean / (square.sqrt() + _EPSILON))


def _losses(
    ours: BinnedDistribution, theirs: BinnedDistribution, batch: Mapping[str, Tensor]
) -> Tensor:
    """(networks,) mean over the questions about curves that each hears."""
    outcome, taught, heard = batch["outcome"], batch["taught"], batch["heard"]
    missed = logarithmic_beyond(-ours.expected_log_prob(batch["clean"], batch["noise"]), FAR_MISS)
    total = outcome * missed + taught * _differences(ours, theirs, batch["levels"])
    crossing = batch["crossing"]
    first = ours[:1]
    other = ours[crossing, torch.arange(len(crossing), device=crossing.device)][None]
    instead = _differences(first, other, batch["levels"]) - missed[:1]
    share = batch["crossed"][:, None] * outcome
    total = torch.cat([total[:1] + share * instead, total[1:]])
    counted = heard[..., None] * (outcome + taught)
    sums = (torch.where(counted > 0, total, 0.0)).sum((1, 2))
    return sums / counted.sum((1, 2)).clamp_min(1.0)


def _differences(ours: BinnedDistribution, theirs: BinnedDistribution, levels: Tensor) -> Tensor:
    """(networks, curves, m) how much less ours gave to some quantiles of theirs than they did."""
    with torch.no_grad():
        drawn, widths = taught_quantiles(theirs, levels)
        certain = theirs.expected_log_prob(drawn, widths)
    total = torch.zeros_like(ours.location)
    for values, width, known in zip(drawn, widths, certain, strict=True):
        missed = known - ours.expected_log_prob(values, width)
        missed = torch.where(torch.isfinite(missed), missed, 0.0).clamp_min(-_FURTHEST_HIT)
        total = total + logarithmic_beyond(missed, FAR_MISS) / TAUGHT_QUANTILES
    return total


def _clipped(gradients: Sequence[Tensor], longest: float) -> list[Tensor]:
    """Gradients (networks, ...) of no more than this norm; none where it is no finite number."""
    squares = [gradient.flatten(1).pow(2).sum(1) for gradient in gradients]
    norm = torch.stack(squares).sum(0).sqrt()
    factor = torch.where(torch.isfinite(norm), (longest / (norm + 1e-6)).clamp_max(1.0), 0.0)
    return [
        torch.nan_to_num(gradient, 0.0, 0.0, 0.0) * factor.view(-1, *(1,) * (gradient.dim() - 1))
        for gradient in gradients
    ]


def _orthogonal(matrices: Tensor) -> Tensor:
    """The nearest orthogonal ones, nearly, of matrices (networks, rows, columns)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.transpose(1, 2) if tall else x
    x = x / x.flatten(1).norm(dim=1).clamp_min(1e-7)[:, None, None]
    first, second, third = _NEWTON_SCHULZ
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.transpose(1, 2)
        x = first * x + (second * gram + third * gram @ gram) @ x
    return (x.transpose(1, 2) if tall else x).float()
