"""Where things stand in a picture."""

from __future__ import annotations

import numpy as np
import pytest

from lcpfn.report.axes import SIZE, Axes, fit_axes


def axes(values: list[float], bands: list[float] | None = None, last: float = 100) -> Axes:
    steps = np.linspace(1, last, len(values))
    return fit_axes(0, last, [(steps, np.array(values))], [np.array(bands or [])])


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([0.3, 0.9, 0.2], ["0.2", "0.4", "0.6", "0.8"]),
        ([0.312, 0.335, 0.32], ["0.315", "0.320", "0.325", "0.330", "0.335"]),
        ([400, 2, 3], ["3", "10", "30", "100", "300"]),
        ([98_000, 1200, 2000], ["3,000", "10,000", "30,000", "100,000"]),
        ([0, -5, 20], ["-5", "0", "5", "10", "15", "20"]),
        ([1e-6, 2e-6, 1e-7], ["5e-07", "1e-06", "1.5e-06", "2e-06"]),
    ],
)
def test_marks_are_round_and_few(values: list[float], marks: list[str]) -> None:
    assert [text for _, text in axes(values).values] == marks


def test_places_are_on_the_picture() -> None:
    made = axes([0.9, 0.2, 0.3], [0.1, 0.4])
    for place, _ in made.values + made.steps:
        assert 0 <= place <= SIZE
    x, y = made.x(np.array([0.0, 100.0])), made.y(np.array([made.high, made.low]))
    assert x.tolist() == y.tolist() == [0, SIZE]


def test_a_wide_band_leaves_room_for_the_records() -> None:
    assert axes([0.9, 0.2], [-50, 80]).high < 2
    assert axes([400, 2], [1e-9, 1e9]).low > 0.5


def test_a_high_start_does_not_hide_the_end() -> None:
    made = axes([40.0, 1.2, 1.1, 1.0, 0.99], last=1000)
    assert not made.logarithmic and made.high < 2
    # Nor is it lost where there is nothing else.
    assert axes([40.0]).high > 40


def test_nothing_to_measure_by_is_no_error() -> None:
    for values in ([], [np.nan], [0.0], [5.0, 5.0]):
        made = axes(values)
        assert made.high > made.low and made.values
    assert np.isfinite(axes([1.0, 2.0]).y(np.array([-1e300, 1e300]))).all()
