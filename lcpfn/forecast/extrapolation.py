"""The forecast of one run, in its own metric and direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from lcpfn.errors import InputError
from lcpfn.forecast.arguments import Array, Goal, read_array, read_count, read_number
from lcpfn.forecast.best import Of, best_of, best_so_far
from lcpfn.forecast.bounds import Bounds
from lcpfn.forecast.curve import Curve, read_query
from lcpfn.forecast.distribution import Distribution
from lcpfn.network.randomness import Generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUMBERS = "one or several numbers"

LazyForecast = Callable[[], Distribution]
"""Gives the forecast of one step, batch shape (), when it is first needed."""


class Predictor(Protocol):
    """What computes a forecast: a network, or any other posterior over the same curve."""

    def forecast(self, curve: Curve, steps: Array, of: Of = "last") -> Distribution:
        """The marginal forecasts at `steps` (m,), in the metric's own unit: batch shape (m,).

        Of the value at a step, or of the best one up to it.
        """
        ...

    def trajectories(
        self, curve: Curve, steps: Array, count: int, generator: Generator | None
    ) -> Array:
        """`count` joint draws at increasing `steps` (m,): (count, m)."""
        ...


class Companion(Predictor, Protocol):
    """A predictor that corrects the forecasts of another."""

    def end(self, forecast: Distribution, curve: Curve) -> Distribution:
        """The other's forecast of the horizon, batch shape (), corrected."""
        ...


class Extrapolation:
    """The posterior predictive of a run's future, given what was observed.

    Everything is in the metric's own unit and direction, as numpy float64. Forecasts are of what
    a log would show, noise included.
    """

    def __init__(
        self,
        curve: Curve | Callable[[], Curve],
        steps: Array | None,
        predictor: Predictor,
        final: LazyForecast | None = None,
        of: Of = "last",
        alone: Extrapolation | None = None,
    ):
        """Made by a model; see `LCPFN.extrapolate`.

        Args:
            curve: what was observed, or what gives it when it is first asked for: of the hundred
                forecasts of a backtest, few are asked.
            steps: (m,) what to forecast; None for the default, see `read_query`.
            predictor: computes the forecasts when they are first asked for.
            final: gives the forecast of the horizon, where it has been computed already.
            of: "last" for the value at a step, "best" for the best one up to it.
            alone: the forecast without peers, where this one has heard some.
        """
        self.of = of
        self._without_peers = alone
        self._curve = curve
        self._asked = steps
        self._predictor = predictor
        self._known_final = final

    @cached_property
    def curve(self) -> Curve:
        """The observed records, missing ones dropped."""
        return self._curve if isinstance(self._curve, Curve) else self._curve()

    @cached_property
    def steps(self) -> Array:
        """(m,) the forecast steps."""
        return read_query(None, self.curve) if self._asked is None else self._asked

    @property
    def goal(self) -> Goal:
        """What counts as better: "maximize" or "minimize"."""
        return self.curve.goal

    @property
    def horizon(self) -> float:
        """Last step of the full run."""
        return self.curve.horizon

    @property
    def bounds(self) -> Bounds:
        """What the metric can never pass, as stated or guessed; None where open."""
        return self.curve.bounds

    @property
    def observed_steps(self) -> Array:
        """(n,) steps of the observed records."""
        return self.curve.steps

    @property
    def observed_values(self) -> Array:
        """(n,) observed values, infinite where the run had diverged."""
        return self.curve.recorded

    @property
    def mean(self) -> Array:
        """(m,) expected value at every step."""
        return np.asarray(self._margins.mean)

    @property
    def median(self) -> Array:
        """(m,) median at every step."""
        return self.quantile(0.5)

    @property
    def std(self) -> Array:
        """(m,) standard deviation at every step."""
        return np.asarray(self._margins.std)

    def quantile(self, q: float | Sequence[float] | Array) -> Array:
        """Quantiles at every step.

        Args:
            q: probability in [0, 1], or several.

        Returns:
            (m,) for a scalar, (len(q), m) for a sequence. They never cross.
        """
        probabilities = read_array("q", q, _NUMBERS)
        if probabilities.ndim > 1 or not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise InputError(f"q is {q!r}, but must be one or several numbers within [0, 1]")
        result = np.asarray(self._margins.quantile(probabilities[..., None]))
        return result if probabilities.ndim else result.reshape(-1)

    def cdf(self, y: ArrayLike) -> Array:
        """P(value <= y) at every step, (m,). `y` is a number or (m,)."""
        return np.asarray(self._margins.cdf(self._at_steps("y", y)))

    def log_prob(self, y: ArrayLike) -> Array:
        """Log-density of y at every step, (m,), in nats per unit of the metric.

        `y` is a number or (m,). The Jacobian of all internal scaling is included; outside the
        bounds it is -inf.
        """
        return np.asarray(self._margins.log_prob(self._at_steps("y", y)))

    def prob_better(self, than: float, at: float | None = None) -> float:
        """P(the value at a step beats `than`): above it to maximize, below it to minimize.

        Args:
            than: the value to beat, such as the incumbent's final one.
            at: a step after the last observed one; default the horizon.
        """
        threshold = read_number("than", than)
        if np.isnan(threshold):
            raise InputError("than is nan, but must be a number to compare with")
        step = None if at is None else read_query([at], self.curve)
        if self.curve.finished:
            values = self.curve.values
            final = best_of(values, self.goal) if self.of == "best" else float(values[-1])
            return float(final > threshold if self.goal == "maximize" else final < threshold)
        forecast = self.final if step is None else self._forecast(step)[0]
        if self.goal == "maximize":
            return 1.0 - float(forecast.cdf(threshold))
        # To equal the value to beat is not to beat it, and a best record may keep its place.
        return float(forecast.cdf(np.nextafter(threshold, -np.inf)))

    @property
    def alone(self) -> Extrapolation:
        """The forecast that hears no other runs of the search; itself where there were none."""
        return self if self._without_peers is None else self._without_peers

    def allowing(self, value: float) -> Extrapolation:
        """The forecast, of bounds that hold a value of the metric which is known from elsewhere.

        Bounds that were guessed are guessed again, as if the run had shown the value; stated ones
        stay as they are.

        >>> import lcpfn
        >>> post = lcpfn.load().extrapolate([3.0, 2.3, 1.8, 1.3], horizon=50, goal="minimize")
        >>> post.bounds, post.allowing(-1.0).bounds, post.allowing(1.0) is post
        ((0.0, None), (None, None), True)

        Args:
            value: such as the final one of another run; one that is not finite changes nothing.

        Returns:
            This forecast itself where its bounds do not change, else one that is made anew.
        """
        curve = self.curve.allowing(value)
        if curve is self.curve:
            return self
        alone = None if self._without_peers is None else self._without_peers.allowing(value)
        return Extrapolation(curve, self._asked, self._predictor, None, self.of, alone)

    def in_company(self, company: Callable[[Predictor], Companion]) -> Extrapolation:
        """The same forecast, corrected by what other runs of the search show.

        Args:
            company: gives what corrects the forecasts of a predictor.
        """
        corrected = company(self._predictor)
        return Extrapolation(
            self._curve,
            self._asked,
            corrected,
            lambda: corrected.end(self.final, self.curve),
            self.of,
            self,
        )

    def at_horizon(self) -> Extrapolation:
        """The same forecast of the horizon alone: its arrays have one entry, cheap to compute."""
        alone = None if self._without_peers is None else self._without_peers.at_horizon()
        at = np.array([self.horizon])
        return Extrapolation(self.curve, at, self._predictor, lambda: self.final, self.of, alone)

    def at_steps(self, query: ArrayLike) -> Extrapolation:
        """The same forecast at other steps, (m,) increasing ones after the last observed step."""
        alone = None if self._without_peers is None else self._without_peers.at_steps(query)
        at = read_query(query, self.curve)
        return Extrapolation(self.curve, at, self._predictor, None, self.of, alone)

    def sample(self, n: int, generator: Generator | None = None) -> Array:
        """Joint trajectories through all steps, (n, m).

        Each step is drawn from its forecast given the observations and the steps drawn before it
        (predictive resampling), so a trajectory has the run's own noise and a plausible shape. Of
        `of="best"` the best value so far of such a trajectory is given: between two of the steps
        nothing better is drawn.

        Args:
            n: how many, at least 1.
            generator: numpy's or torch's source of randomness; None draws a fresh one.
        """
        read_count("n", n)
        drawn = self._predictor.trajectories(self.curve, self.steps, n, generator)
        return drawn if self.of == "last" else best_so_far(drawn, self.curve)

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draws a fan chart and returns its axes; see `lcpfn.forecast.plotting.plot_forecast`."""
        from lcpfn.forecast.plotting import plot_forecast

        return plot_forecast(self, ax, **options)

    def __repr__(self) -> str:
        final = self.final
        quantiles = final.quantile(np.array([0.06, 0.5, 0.94]))
        low, middle, high = (f"{float(value):.4g}" for value in quantiles)
        return (
            f"Extrapolation({len(self.curve.values)} records to step {self.curve.steps[-1]:g}; "
            f"at {self.horizon:g}: median {middle}, 88 % within [{low}, {high}])"
        )

    @cached_property
    def _margins(self) -> Distribution:
        if len(self.steps) == 1 and self.steps[0] == self.horizon:
            return self.final.expand(1)
        return self._forecast(self.steps)

    @cached_property
    def final(self) -> Distribution:
        """The forecast of the horizon, batch shape (): what it computes once is kept."""
        if self._known_final is not None:
            return self._known_final()
        # One step costs a fraction of all of them: only reuse what has been asked for.
        if "_margins" in vars(self) and self.steps[-1] == self.horizon:
            return self._margins[-1]
        return self._forecast(np.array([self.horizon]))[0]

    def _forecast(self, steps: Array) -> Distribution:
        return self._predictor.forecast(self.curve, steps, self.of)

    def _at_steps(self, name: str, y: ArrayLike) -> Array:
        values = read_array(name, y, _NUMBERS)
        if np.isnan(values).any():
            raise InputError(f"{name} holds nan, but must be a number to compare with")
        if values.shape not in ((), self.steps.shape):
            raise InputError(
                f"{name} has shape {values.shape}, but must be a number or have one entry for "
                f"each of the {len(self.steps)} steps"
            )
        return values
