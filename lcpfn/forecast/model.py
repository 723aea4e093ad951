"""A trained model: forecasts of single runs, batches, every prefix, and running streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array, read_goal
from lcpfn.forecast.axis import StepAxis
from lcpfn.forecast.bounds import Bounds, BoundsLike, read_bounds
from lcpfn.forecast.curve import Curve, read_curve, read_horizon, read_query, recovered
from lcpfn.forecast.encoding import Encoded
from lcpfn.forecast.extrapolation import Extrapolation, LazyForecast
from lcpfn.forecast.scaling import (
    Frame,
    MetricMap,
    metric_map,
    same_map_throughout,
    to_metric,
)
from lcpfn.forecast.schedule import Schedule, check_told, read_schedule
from lcpfn.forecast.stream import Stream
from lcpfn.network.features import Frame as CoordinateFrame
from lcpfn.network.histogram import BinnedDistribution, starting_log_masses
from lcpfn.network.single_token import SingleToken
from lcpfn.network.transformer import Cache, Network

# Curves that go through the network together: enough to fill two cores, small enough for caches.
_CHUNK = 64
# The forecast of a step already observed: its value, this sharp in relation to it.
_KNOWN_SHARPNESS = 1e-9
_LEAST_SCALE = 1e-290


class LCPFN:
    """A model with its weights. Stateless: safe to share between threads.

    Get one with `lcpfn.load()`.

    Attributes:
        card: the model card: prior, training, scores, checksum.
    """

    def __init__(self, network: Network, card: dict[str, Any]):
        self.network = network.eval()
        self.card = card

    @property
    def name(self) -> str:
        """The model's name, "default" or "reference" for the bundled ones."""
        return str(self.card["name"])

    def extrapolate(
        self,
        values: ArrayLike,
        steps: ArrayLike | None = None,
        horizon: float = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        query: ArrayLike | None = None,
        schedule: Schedule | None = None,
    ) -> Extrapolation:
        """Forecasts the rest of a run from its first records.

        >>> import lcpfn
        >>> post = lcpfn.load().extrapolate([0.31, 0.52, 0.58, 0.63], horizon=50)
        >>> float(post.steps[0]), float(post.steps[-1])
        (5.0, 50.0)
        >>> low, high = post.quantile([0.06, 0.94])[:, -1]
        >>> bool(0.5 < low < high < 1)
        True

        Args:
            values: (n,) observed metric, oldest first; NaN where a record is missing, infinite (in
                the worse direction) where the run had diverged.
            steps: (n,) strictly increasing positive numbers (epochs, iterations, seconds);
                default 1..n.
            horizon: last step of the full run, in the unit of `steps`. Only steps / horizon
                matters. A log denser than the model's resolution (see `StepAxis`) is thinned.
            goal: "maximize" or "minimize".
            bounds: (low, high) that the metric can never pass, None where open; "auto" guesses
                from goal and values: [0, 1] or [0, 100] for a metric to maximize whose values
                all lie there, above 0 for a never negative one to minimize. No mass is forecast
                outside.
            query: (m,) increasing steps to forecast; default the steps after the last observed
                one through the horizon (at most 200 of them).
            schedule: learning rate over the whole run where known, in any unit: "constant";
                "linear" or "cosine", falling from the start to zero at the horizon; a callable of
                the step, asked between 0 and the horizon; or a pair (steps, rates), linear in
                between, whose last step reaches the horizon. Only for models trained with it:
                `default` was, `reference` was not.

        Raises:
            InputError: naming the value and the rule it breaks.
        """
        self._check_schedule(schedule)
        curve = read_curve(values, steps, horizon, goal, bounds, schedule)
        return Extrapolation(curve, None if query is None else read_query(query, curve), self)

    def extrapolate_batch(
        self,
        curves: Iterable[ArrayLike],
        steps: Sequence[ArrayLike | None] | None = None,
        horizon: float | Sequence[float] = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        query: ArrayLike | None = None,
        schedule: Schedule | None = None,
    ) -> list[Extrapolation]:
        """Forecasts many runs at once; lengths may differ.

        The horizon of every run is forecast in one go. Other steps are computed when they are
        first asked for. Each result equals that of `extrapolate`.

        Args:
            curves: one sequence of values per run.
            steps: one sequence of steps per run, or None for 1..n everywhere.
            horizon: one for all, or one per run.
            goal, bounds, query, schedule: as for `extrapolate`, shared by all runs.
        """
        self._check_schedule(schedule)
        listed = list(curves)
        all_steps = [None] * len(listed) if steps is None else list(steps)
        horizons = [horizon] * len(listed) if np.ndim(horizon) == 0 else list(horizon)  # type: ignore[arg-type]
        for name, entries in (("steps", all_steps), ("horizon", horizons)):
            if len(entries) != len(listed):
                raise InputError(
                    f"{name} has {len(entries)} entries, but must have one for each of the "
                    f"{len(listed)} curves"
                )
        checked = []
        for index, (values, at, last) in enumerate(zip(listed, all_steps, horizons, strict=True)):
            try:
                curve = read_curve(values, at, last, goal, bounds, schedule)  # type: ignore[arg-type]
                checked.append(curve)
            except InputError as error:
                raise InputError(f"curve {index}: {error}") from None
        finals = self._final_forecasts(checked)
        return [
            Extrapolation(curve, None if query is None else read_query(query, curve), self, final)
            for curve, final in zip(checked, finals, strict=True)
        ]

    def backtest(
        self,
        values: ArrayLike,
        steps: ArrayLike | None = None,
        horizon: float = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        schedule: Schedule | None = None,
    ) -> list[Extrapolation]:
        """The forecast of the horizon from every prefix of a run, as it would have been made.

        One forward pass serves all prefixes, except where prefixes look different to the model:
        a log that is thinned, or one whose scaling changes along the way.

        Args:
            values, steps, horizon, goal, bounds, schedule: as for `extrapolate`. A missing record
                repeats the forecast before it; the first record must not be missing.

        Returns:
            n forecasts; the first has seen one record, the last all of them.
        """
        self._check_schedule(schedule)
        curve = read_curve(values, steps, horizon, goal, bounds, schedule)
        logged = np.asarray(values, dtype=np.float64)
        present = ~np.isnan(logged)
        if not present[0]:
            missing = int(np.argmax(present))
            raise InputError(
                f"values starts with {missing} NaN, but a backtest needs a first record; leave "
                "them out and pass the steps of the rest"
            )
        prefixes: Sequence[Curve | Callable[[], Curve]]
        if recovered(logged).any():
            # At the time, nobody knew that the run would recover.
            at = np.arange(1.0, len(logged) + 1) if steps is None else np.asarray(steps)
            rest = (curve.horizon, goal, bounds, curve.schedule)
            known = np.flatnonzero(present) + 1
            prefixes = curves = [read_curve(logged[:end], at[:end], *rest) for end in known]
            finals = self._final_forecasts(curves)
        else:
            finals = self._prefix_forecasts(curve)
            prefixes = [partial(curve.first, records) for records in range(1, len(finals) + 1)]
        asked = np.array([curve.horizon])
        posts = [
            Extrapolation(prefix, asked, self, final)
            for prefix, final in zip(prefixes, finals, strict=True)
        ]
        return [posts[count - 1] for count in np.cumsum(present).tolist()]

    def stream(
        self,
        horizon: float = 100,
        goal: str = "maximize",
        bounds: BoundsLike = "auto",
        schedule: Schedule | None = None,
    ) -> Stream:
        """A forecast that is updated record by record, at the cost of one token each.

        >>> import lcpfn
        >>> stream = lcpfn.load().stream(horizon=50, goal="minimize")
        >>> for loss in [2.3, 1.7, 1.4]:
        ...     post = stream.update(loss)
        >>> bool(0 < post.prob_better(than=1.0) < 1)
        True

        Args:
            horizon, goal, bounds, schedule: as for `extrapolate`.
        """
        self._check_schedule(schedule)
        checked = bounds if isinstance(bounds, str) and bounds == "auto" else read_bounds(bounds)
        last = read_horizon(horizon)
        return Stream(self, last, read_goal(goal), checked, read_schedule(schedule, last))

    def forecast(self, curve: Curve, steps: Array) -> BinnedDistribution:
        """Marginal forecasts of a checked curve at `steps` (m,); see `Predictor`."""
        if curve.finished:
            return _known(curve, self.network.config.bins).expand(len(steps))
        encoded = self.encode(curve)
        queries = encoded.queries(steps, curve.steps[-1])
        unit, _ = self.extend(None, encoded, queries, encoded.query_schedule(steps))
        return to_metric(unit[0], encoded.metric, curve.bounds)

    @torch.inference_mode()
    def trajectories(
        self, curve: Curve, steps: Array, count: int, generator: torch.Generator | None
    ) -> Array:
        """Joint draws by predictive resampling: draw a step, append it, go on; see `Predictor`.

        Steps that fall into one cell of the model's step axis are drawn given the same context.
        """
        if curve.finished:
            return np.full((count, len(steps)), curve.values[-1])
        encoded = self.encode(curve)
        cells = encoded.axis.cells(np.append(curve.steps[-1], steps))
        fractions, values, limits = encoded.tensors
        fractions, values = fractions.expand(count, -1), values.expand(count, -1)
        limits = limits.expand(count, -1)
        schedule = _repeated(encoded.observed_schedule, count)
        cache: Cache | None = None
        last = curve.steps[-1]
        drawn = np.empty((count, len(steps)))
        for index, step in enumerate(steps):
            query = encoded.queries(np.array([step]), last).expand(count, 1)
            asked = encoded.query_schedule(np.array([step]))
            rates = _repeated(asked, count)
            if cache is None:
                first, cache = self.extend(None, encoded, query[0], asked)
                forecast, cache = first.expand(count, 1), cache.repeat(count)
            else:
                known = cache.first(min(cache.length, fractions.shape[1] - 1))
                forecast, cache = self.network.extend(
                    known, fractions, values, query, limits, schedule, rates
                )
            margin = to_metric(forecast[:, 0], encoded.metric, curve.bounds)
            draw = margin.sample(generator=generator)
            drawn[:, index] = draw
            if cells[index + 1] > cells[index]:
                last = step
                unit = torch.as_tensor(encoded.metric.to_unit(draw), dtype=torch.float32)
                fractions = torch.cat([fractions, encoded.observe(step).expand(count, 1)], 1)
                values = torch.cat([values, unit[:, None]], 1)
                if schedule is not None and rates is not None:
                    schedule = torch.cat([schedule, rates], 1)
        return drawn

    def encode(self, curve: Curve, before: Encoded | None = None) -> Encoded:
        """A checked curve as the network sees it: thinned, scaled, in float32.

        Args:
            curve: to encode.
            before: the encoding of the same curve without its last record, where there is one.
        """
        if before is not None:
            extended = before.extended(curve, metric_map(curve, self._frame))
            if extended is not None:
                return extended
        axis = StepAxis(curve.horizon, int(self.card["resolution"]))
        kept = axis.kept(curve.steps)
        metric = metric_map(curve, self._frame)
        return Encoded(
            axis.fractions(curve.steps[kept]).astype(np.float32),
            metric.to_unit(curve.values[kept]).astype(np.float32),
            np.array([metric.limits(curve.bounds)], np.float32),
            metric,
            axis,
            None if curve.schedule is None else curve.schedule.at(curve.steps[kept]),
            curve.schedule,
        )

    @torch.inference_mode()
    def extend(
        self,
        cache: Cache | None,
        encoded: Encoded,
        queries: Tensor | None = None,
        query_schedule: NDArray[np.float32] | None = None,
    ) -> tuple[BinnedDistribution, Cache]:
        """Runs the network on one curve, in its own units.

        Args:
            cache: of the curve's first kept records, or None.
            encoded: the whole curve.
            queries: (m,) asked fractions; default the horizon.
            query_schedule: (1, m, 2) learning rates there.

        Returns:
            forecasts of batch shape (1, m) and the cache of all kept records.
        """
        asked = np.ones((1, 1), np.float32) if queries is None else queries.numpy()[None]
        rates = encoded.horizon_schedule if query_schedule is None else query_schedule
        return self.network.extend(
            cache,
            encoded.fractions[None],
            encoded.values[None],
            asked,
            encoded.limits,
            encoded.observed_schedule,
            rates,
        )

    @cached_property
    def single_token(self) -> SingleToken:
        """The network laid out for streams."""
        return SingleToken(self.network)

    @property
    def _frame(self) -> Frame:
        return self.network.config.frame

    @torch.inference_mode()
    def _final_forecasts(self, curves: Sequence[Curve]) -> list[LazyForecast]:
        """Forecasts of the horizon of many curves, batched by length."""
        encoded = [self.encode(curve) for curve in curves]
        finals: list[LazyForecast] = [
            partial(_known, curve, self.network.config.bins) for curve in curves
        ]
        running = [index for index, curve in enumerate(curves) if not curve.finished]
        running.sort(key=lambda index: len(encoded[index].values))
        for begin in range(0, len(running), _CHUNK):
            chosen = running[begin : begin + _CHUNK]
            fractions = pad_sequence([torch.from_numpy(encoded[i].fractions) for i in chosen], True)
            values = pad_sequence([torch.from_numpy(encoded[i].values) for i in chosen], True)
            prefixes = torch.tensor([[len(encoded[i].values)] for i in chosen])
            # Padding goes on increasing, as features expect of steps.
            after = torch.arange(1.0, fractions.shape[1] + 1)
            fractions = torch.where(fractions > 0, fractions, after)
            limits = torch.from_numpy(np.concatenate([encoded[i].limits for i in chosen]))
            schedule, asked = _batched_schedules([encoded[i] for i in chosen])
            context = self.network.features(fractions, values, limits=limits, schedule=schedule)
            unit = self.network(
                context, fractions, prefixes, torch.ones(len(chosen), 1), schedule, asked
            )
            unit = unit.numpy().double()
            for row, i in enumerate(chosen):
                metric, bounds = encoded[i].metric, curves[i].bounds
                finals[i] = partial(to_metric, unit[row, 0], metric, bounds)
        return finals

    @torch.inference_mode()
    def _prefix_forecasts(self, curve: Curve) -> list[LazyForecast]:
        """Forecasts of the horizon from every prefix, in one pass where they share a view."""
        encoded, records = self.encode(curve), len(curve.values)
        count = records - curve.finished
        # Guesses only ever widen, so what is guessed first and last is guessed in between.
        shared = curve.first(1).bounds == curve.bounds and same_map_throughout(curve, self._frame)
        if len(encoded.values) < records or not shared or not count:
            return self._final_forecasts([curve.first(seen) for seen in range(1, records + 1)])
        fractions, schedule = encoded.fractions[None], encoded.observed_schedule
        asked = encoded.horizon_schedule
        context = self.network.features(
            fractions, encoded.values[None], limits=encoded.limits, schedule=schedule
        )
        queries = self.network.query_features(
            fractions[:, :count],
            np.ones((1, count), np.float32),
            None if schedule is None else schedule[:, :count],
            None if asked is None else asked.repeat(count, axis=1),
        )
        out = self.network.answer(torch.from_numpy(context.tokens), torch.from_numpy(queries))
        answers = _Answers(
            self.network, out, context.frame.first(count), encoded.metric, curve.bounds
        )
        finals: list[LazyForecast] = [partial(answers.forecast, row) for row in range(count)]
        if curve.finished:
            finals.append(partial(_known, curve, self.network.config.bins))
        return finals

    def _check_schedule(self, schedule: Schedule | None) -> None:
        check_told(schedule, self.network.config.schedule, self.name)


def _batched_schedules(encoded: Sequence[Encoded]) -> tuple[Tensor | None, Tensor | None]:
    """Learning rates at the records (curves, n, 2), padded, and at the horizon (curves, 1, 2).

    The schedule is one for all curves of a call: known for all of them, or for none.
    """
    observed = [curve.schedule for curve in encoded if curve.schedule is not None]
    asked = [curve.horizon_schedule for curve in encoded if curve.horizon_schedule is not None]
    if not observed:
        return None, None
    padded = pad_sequence([torch.from_numpy(rates) for rates in observed], True)
    return padded, torch.from_numpy(np.concatenate(asked))


def _repeated(rates: NDArray[np.float32] | None, count: int) -> Tensor | None:
    """(1, m, 2) as (count, m, 2)."""
    return None if rates is None else torch.from_numpy(rates).expand(count, -1, -1)


def _known(curve: Curve, bins: int) -> BinnedDistribution:
    """The forecast of a horizon that has been observed: its value, next to exact."""
    value = np.float64(curve.values[-1])
    scale = np.maximum(abs(value) * _KNOWN_SHARPNESS, _LEAST_SCALE)
    known = BinnedDistribution(value, scale, starting_log_masses(bins).numpy())
    return known.truncate(*curve.bounds)


@dataclass(frozen=True)
class _Answers:
    """The network's outputs (1, m, outputs) on one curve, interpreted when first asked for."""

    network: Network
    out: Tensor
    frame: CoordinateFrame
    metric: MetricMap
    bounds: Bounds

    def forecast(self, query: int) -> BinnedDistribution:
        """The forecast of one query."""
        return self._margins[query]

    @cached_property
    def _margins(self) -> BinnedDistribution:
        unit = self.network.interpret(self.out.double().numpy(), self.frame)
        return to_metric(unit[0], self.metric, self.bounds)
