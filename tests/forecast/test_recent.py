from __future__ import annotations

import copy

from lcpfn.forecast.recent import Recent


def test_what_was_made_is_kept_until_newer_ones_came():
    made: list[int] = []

    def ask(key: int) -> str:
        return recent.get(key, lambda: made.append(key) or str(key))

    recent: Recent[str] = Recent(2)
    assert [ask(key) for key in (1, 2, 1, 2)] == ["1", "2", "1", "2"]
    assert made == [1, 2]
    ask(3)
    assert [ask(key) for key in (2, 3)] == ["2", "3"]
    assert made == [1, 2, 3]
    ask(1)
    assert made == [1, 2, 3, 1]


def test_what_could_not_be_made_is_tried_again():
    recent: Recent[float] = Recent(2)
    for divisor in (0, 0, 2):
        try:
            found = recent.get("half", lambda divisor=divisor: 1 / divisor)
        except ZeroDivisionError:
            continue
    assert found == 0.5


def test_copies_begin_with_nothing():
    recent: Recent[str] = Recent(2)
    recent.get("a", lambda: "one")
    assert copy.deepcopy(recent).get("a", lambda: "other") == "other"
    assert recent.get("a", lambda: "other") == "one"
