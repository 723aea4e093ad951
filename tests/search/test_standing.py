import math

import pytest

from lcpfn import InputError
from lcpfn.forecast.arguments import Goal
from lcpfn.search.standing import Peer, standing


def level(value: float, last: int = 10, stopped: bool = False) -> Peer:
    return Peer(range(1, last + 1), [value] * last, stopped)


def test_the_share_of_peers_that_were_better() -> None:
    peers = [level(value) for value in (0.1, 0.2, 0.3, 0.4)]
    for goal, expected in (("maximize", 0.25), ("minimize", 0.75)):
        assert standing(5, 0.35, peers, goal) == expected  # type: ignore[arg-type]
    assert standing(5, 0.3, peers, "maximize") == 0.375, "a tie counts half"
    assert standing(5, 0.9, peers, "maximize") == 0
    assert standing(5, 0.0, peers, "maximize") == 1


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_a_peer_that_had_been_stopped_is_worse(goal: Goal) -> None:
    best = 0.9 if goal == "maximize" else 0.1
    peers = [level(best, last=3, stopped=True) for _ in range(4)]
    assert standing(3, 0.5, peers, goal) == 1
    assert standing(4, 0.5, peers, goal) == 0


def test_peers_are_seen_at_the_run_s_own_step() -> None:
    sparse = Peer([2, 4, 8], [0.1, 0.2, 0.9], stopped=False)
    assert sparse.at(1) is None
    assert [sparse.at(step) for step in (2, 3.5, 4, 7, 8, 99)] == [0.1, 0.1, 0.2, 0.2, 0.9, 0.9]
    assert math.isnan(Peer([], [], stopped=True).at(1) or 0)
    peers = [sparse] * 3 + [Peer([5], [0.0], stopped=False)]
    assert standing(4, 0.15, peers, "maximize") is None, "the last begins later"
    assert standing(5, 0.15, peers, "maximize") == 0.75


def test_missing_and_infinite_values() -> None:
    peers = [level(math.nan), level(-math.inf), level(math.inf), level(0.5)]
    assert standing(1, 0.4, peers, "maximize") == 0.25
    assert standing(1, 0.4, peers, "minimize") == 0


def test_what_is_no_number_is_worse_than_any() -> None:
    peers = [Peer([1], [level], stopped=False) for level in (0.1, 0.2, 0.3, math.inf, -math.inf)]
    for goal in ("maximize", "minimize"):
        assert standing(1, math.nan, peers, goal) == 0.8  # type: ignore[arg-type]
    assert standing(1, 0.2, peers, "maximize") == standing(1, 0.2, peers, "minimize") == 0.3
    with pytest.raises(InputError, match="goal is 'max'"):
        standing(1, 0.2, peers, "max")  # type: ignore[arg-type]


def test_few_peers_say_nothing() -> None:
    assert standing(1, 0.5, [], "maximize") is None
    assert standing(1, 0.5, [level(0.4)] * 3, "maximize") is None
    assert standing(1, 0.5, [level(0.4)] * 4, "maximize") == 0


def test_steps_and_values_belong_together() -> None:
    with pytest.raises(InputError, match="2 steps, but 1 values"):
        Peer([1, 2], [0.5], stopped=False)
    for steps in ([2, 1], [1, 1], [1, math.nan]):
        with pytest.raises(InputError, match="they must strictly increase"):
            Peer(steps, [0.1, 0.2], stopped=False)
