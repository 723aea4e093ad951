"""The first configurations of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lcpfn.search.beginnings import far_from
from lcpfn.search.spaces import Choice, Number, draw

SPACE = {"rate": Number(1e-5, 1.0, log=True), "width": Number(8, 512, log=True, step=None)}


def begun(count: int, seed: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(seed)
    runs: list[Any] = []
    for _ in range(count):
        runs.append(far_from(runs, draw(SPACE, 400, generator), generator, SPACE))
    return runs


def apart(runs: Sequence[dict[str, Any]]) -> float:
    """The least distance of two of them."""
    places = np.array([[SPACE[name].place(run[name]) for name in SPACE] for run in runs])
    distances = np.sqrt(((places[:, None] - places) ** 2).sum(2))
    return float(distances[np.triu_indices(len(runs), 1)].min())


def test_the_first_is_any_and_the_second_far_from_it():
    generator = np.random.default_rng(0)
    rates = [{"rate": rate} for rate in np.geomspace(1e-5, 1.0, 30).tolist()]
    assert len({far_from([], rates, generator)["rate"] for _ in range(40)}) > 15
    # All of so few candidates are looked at.
    assert far_from(rates[:1], rates, generator) in rates[14:17]
    assert far_from([rates[0], rates[15]], rates, generator) in rates[6:9] + rates[21:24]


def test_runs_begin_further_from_one_another_than_at_random():
    for seed in range(5):
        drawn = draw(SPACE, 12, np.random.default_rng(seed))
        assert apart(begun(12, seed)) > max(0.1, 2 * apart(drawn))


def test_every_category_is_begun_before_one_comes_again():
    kinds = Choice(("adam", "sgd", "lion"))
    candidates = draw({"kind": kinds}, 100, np.random.default_rng(0))
    runs: list[Any] = []
    for _ in range(3):
        runs.append(far_from(runs, candidates, np.random.default_rng(1), {"kind": kinds}))
    assert {run["kind"] for run in runs} == set(kinds.options)


def test_the_same_generator_begins_the_same():
    assert begun(6, 3) == begun(6, 3)
