"""Spaces of hyperparameters."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcpfn.errors import InputError
from lcpfn.search.spaces import Choice, Number, candidates, draw

SPACE = {
    "rate": Number(1e-5, 1e-1, log=True),
    "layers": Number(1, 5, step=1),
    "width": Number(16, 1024, log=True, step=1),
    "dropout": Number(0.0, 0.5, step=0.1),
    "kind": Choice(("a", None, 3)),
}


def allowed(config: dict[str, object]) -> bool:
    rate, layers, width, dropout = (config[name] for name in ("rate", "layers", "width", "dropout"))
    return (
        1e-5 <= rate <= 1e-1
        and layers in (1, 2, 3, 4, 5)
        and isinstance(layers, int)
        and 16 <= width <= 1024
        and isinstance(width, int)
        and min(abs(dropout - 0.1 * k) for k in range(6)) < 1e-9
        and config["kind"] in ("a", None, 3)
    )


def test_all_that_is_drawn_is_allowed():
    generator = np.random.default_rng(0)
    good = draw(SPACE, 3, generator)
    drawn = candidates(SPACE, good, 300, generator)
    assert len(drawn) == 300 and all(map(allowed, drawn))


def test_half_is_drawn_near_good_ones():
    generator = np.random.default_rng(0)
    good = {"rate": 1e-2, "layers": 2, "width": 64, "dropout": 0.1, "kind": "a"}
    drawn = candidates(SPACE, [good], 200, generator)
    alike = [sum(config[name] == good[name] for name in SPACE) for config in drawn]
    assert sum(same >= 2 for same in alike[:100]) > 60
    assert sum(same >= 2 for same in alike[100:]) < 40
    assert all(config != good for config in drawn[:100] if config["rate"] != good["rate"])


def test_without_good_ones_all_are_random():
    assert len(candidates(SPACE, [], 50, np.random.default_rng(0))) == 50


def test_every_whole_number_is_drawn_alike():
    generator = np.random.default_rng(0)
    counts = Counter(Number(1, 5, step=1).draw(generator) for _ in range(5000))
    assert sorted(counts) == [1, 2, 3, 4, 5] and min(counts.values()) > 850


@given(
    low=st.floats(1e-3, 10),
    size=st.floats(0, 10),
    log=st.booleans(),
    place=st.floats(0, 1),
)
def test_a_number_has_its_place(low: float, size: float, log: bool, place: float):
    number = Number(low, low + size, log)
    value = number.at(place)
    assert low <= value <= low + size
    assert number.at(number.place(value)) == pytest.approx(value)


def test_steps_that_do_not_meet_the_end_stay_below_it():
    assert {Number(0, 10, step=4).at(place) for place in np.linspace(0, 1, 50)} == {0, 4, 8}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Number(2, 1),
        lambda: Number(0, 1, log=True),
        lambda: Number(0, 1, step=0),
        lambda: Number(0, float("inf")),
        lambda: Choice(()),
    ],
)
def test_spaces_that_are_none(make):
    with pytest.raises(InputError):
        make()
