"""The fan chart: what is drawn where, and what is left alone."""

from __future__ import annotations

import builtins
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

import lcpfn
from lcpfn.errors import InputError, MissingExtraError
from lcpfn.forecast.plotting import new_figure, plot_forecast, write_picture

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NormalForecast:
    """A forecast of the same normal everywhere, with known quantiles."""

    observed_steps: Array
    observed_values: Array
    steps: Array
    horizon: float
    centre: float = 0.5
    spread: float = 0.1

    def quantile(self, q: float, /) -> Array:
        return np.full(len(self.steps), NormalDist(self.centre, self.spread).inv_cdf(q))


def forecast(**changes: Any) -> NormalForecast:
    parts: dict[str, Any] = {
        "observed_steps": np.arange(1.0, 11.0),
        "observed_values": np.linspace(0.1, 0.5, 10),
        "steps": np.arange(11.0, 51.0),
        "horizon": 50.0,
    }
    return NormalForecast(**(parts | changes))


def bands(ax: Axes) -> dict[str, Array]:
    """Vertices of every filled band by its label."""
    return {
        str(artist.get_label()): np.asarray(artist.get_paths()[0].vertices)
        for artist in ax.collections
        if isinstance(artist, PolyCollection)
    }


def line(ax: Axes, label: str) -> Array:
    (found,) = [line for line in ax.lines if line.get_label() == label]
    return np.asarray(found.get_xydata(), dtype=np.float64)


def test_bands_are_the_central_intervals() -> None:
    ax = plot_forecast(forecast())
    drawn = bands(ax)
    assert set(drawn) == {"50 %", "88 %", "96 %"}
    for label, low in (("50 %", 0.25), ("88 %", 0.06), ("96 %", 0.02)):
        heights = drawn[label][:, 1]
        assert heights.min() == pytest.approx(NormalDist(0.5, 0.1).inv_cdf(low))
        assert heights.max() == pytest.approx(NormalDist(0.5, 0.1).inv_cdf(1 - low))
        # The fan opens at the last observation.
        assert drawn[label][:, 0].min() == 10
        assert drawn[label][:, 0].max() == 50


def test_one_hue_from_light_to_dark() -> None:
    import colorsys

    ax = plot_forecast(forecast())
    colours = {
        str(artist.get_label()): artist.get_facecolor()[0][:3]  # type: ignore[index]
        for artist in ax.collections
    }
    hls = [colorsys.rgb_to_hls(*colours[label]) for label in ("96 %", "88 %", "50 %")]
    hues = [hue for hue, _, _ in hls]
    lightnesses = [lightness for _, lightness, _ in hls]
    assert max(hues) - min(hues) < 0.02
    assert lightnesses == sorted(lightnesses, reverse=True)


def test_every_part_is_drawn_where_it_belongs() -> None:
    truth = (np.arange(11.0, 14.0), np.array([0.5, np.nan, 0.6]))
    ax = plot_forecast(
        forecast(), metric="val_acc", step_name="epoch", shift=1, incumbent=0.62, truth=truth
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "val_acc")
    assert line(ax, "observed")[0].tolist() == [0, 0.1]
    assert line(ax, "what happened").tolist() == [[10, 0.5], [12, 0.6]]
    assert line(ax, "median")[-1] == pytest.approx([49, 0.5])
    assert line(ax, "to beat: 0.62")[:, 1].tolist() == [0.62, 0.62]
    assert line(ax, "horizon")[:, 0].tolist() == [49, 49]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][:6] == [
        "observed", "what happened", "median", "50 %", "88 %", "96 %",
    ]  # fmt: skip


def test_legend_can_be_left_out() -> None:
    assert plot_forecast(forecast(), legend=False).get_legend() is None


def test_fan_does_not_bridge_a_gap_that_was_not_forecast() -> None:
    ax = plot_forecast(forecast(steps=np.arange(30.0, 51.0)))
    assert bands(ax)["50 %"][:, 0].min() == 30


def test_one_forecast_step_is_drawn_as_nested_bars() -> None:
    ax = plot_forecast(forecast(steps=np.array([50.0])))
    bars = [artist for artist in ax.collections if isinstance(artist, LineCollection)]
    spans = [float(np.ptp(np.asarray(bar.get_segments()[0])[:, 1])) for bar in bars]
    assert len(spans) == 3
    assert spans == sorted(spans, reverse=True)


def test_single_observation_of_a_short_run() -> None:
    post = forecast(
        observed_steps=np.array([1.0]), observed_values=np.array([0.3]), steps=np.arange(2.0, 6.0),
        horizon=5.0,
    )  # fmt: skip
    ax = plot_forecast(post)
    assert all(tick == round(tick) for tick in ax.get_xticks())
    low, high = ax.get_xlim()
    assert low < 1 < 5 < high


def test_long_runs_have_readable_ticks() -> None:
    post = forecast(
        observed_steps=np.arange(500.0, 50_001.0, 500.0),
        observed_values=np.linspace(3, 2, 100),
        steps=np.arange(51_000.0, 200_001.0, 1000.0),
        horizon=200_000.0,
        centre=1.8,
    )
    ax = plot_forecast(post)
    assert ax.figure is not None
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert "100,000" in labels
    assert not any("e" in label for label in labels)


def test_values_over_decades_get_a_logarithmic_axis() -> None:
    falling = np.geomspace(100, 0.6, 10)
    ax = plot_forecast(forecast(observed_values=falling, centre=0.4, spread=0.02))
    assert ax.get_yscale() == "log"
    assert plot_forecast(forecast()).get_yscale() == "linear"


def test_wide_tails_do_not_flatten_the_rest() -> None:
    class HeavyTails(NormalForecast):
        def quantile(self, q: float, /) -> Array:
            wild = 1e6 * (q > 0.97) - 1e6 * (q < 0.03)
            return super().quantile(q) + wild

    post = HeavyTails(**vars(forecast()))
    low, high = plot_forecast(post).get_ylim()
    assert -1 < low < 0.1
    assert 0.6 < high < 2


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0])
def test_constant_curve_has_some_height(value: float) -> None:
    post = forecast(observed_values=np.full(10, value), centre=value, spread=1e-12)
    low, high = plot_forecast(post).get_ylim()
    assert low < value < high


def test_given_axes_are_used() -> None:
    ax = Figure().subplots()
    assert plot_forecast(forecast(), ax) is ax


def test_extrapolation_plots_itself_without_pyplot(tmp_path: Path) -> None:
    # In a fresh process, because other tests may have imported pyplot.
    script = (
        "import sys, lcpfn\n"
        "ax = lcpfn.load().extrapolate([0.3, 0.4, 0.5], horizon=10).plot(incumbent=0.6)\n"
        "ax.figure.savefig(sys.argv[1])\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    path = tmp_path / "fan.png"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    )
    assert done.stdout == "False\n"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_finished_run(tmp_path: Path) -> None:
    post = lcpfn.load().extrapolate([0.3, 0.4, 0.5], horizon=3)
    path = tmp_path / "finished.svg"
    write_picture(post.plot(), path)
    assert path.read_text().startswith("<?xml")


def test_picture_in_a_missing_folder_or_unknown_format(tmp_path: Path) -> None:
    ax = plot_forecast(forecast())
    for path in (tmp_path / "no" / "fan.png", tmp_path / "fan.docx", tmp_path / "fan"):
        with pytest.raises(InputError, match=path.name):
            write_picture(ax, path)
        assert not path.exists()


def test_truth_needs_as_many_steps_as_values() -> None:
    with pytest.raises(InputError, match=r"shape \(2,\) and values of shape \(3,\)"):
        plot_forecast(forecast(), truth=([1, 2], [1, 2, 3]))


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_matplotlib(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(MissingExtraError, match=r"lcpfn-stopping\[plot\]"):
        new_figure()
