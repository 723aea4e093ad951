"""The search algorithm, told what Tune tells; `test_ray` has a whole search with it."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle, tune

from lcpfn.errors import InputError
from lcpfn.integrations.ray import LCPFNScheduler, LCPFNSearch, LCPFNStopper
from lcpfn.search.search import Search

# Ray warns of much that is its own affair.
pytestmark = pytest.mark.filterwarnings("ignore")

EPOCHS = 12
SPACE = {
    "rate": tune.loguniform(1e-5, 1.0),
    "inner": {"layers": tune.randint(1, 7), "kind": tune.choice(["sgd", "adam"]), "fixed": 3},
    "dropout": tune.quniform(0.0, 0.5, 0.1),
    "weight": tune.randn(0, 1),
    "twice": tune.sample_from(lambda spec: 2 * spec.config["inner"]["layers"]),
}


def level(config: dict[str, Any]) -> float:
    """What trials reach: best at a rate of 1e-2 and three layers."""
    return (
        0.9
        - 0.08 * (math.log10(config["rate"]) + 2) ** 2
        - 0.05 * abs(config["inner"]["layers"] - 3)
    )


def new_search(space: dict[str, Any] = SPACE, **arguments: Any) -> LCPFNSearch:
    search = LCPFNSearch(**{"max_t": EPOCHS, "seed": 0, "startup": 5, **arguments})
    assert search.set_search_properties("accuracy", "max", space)
    return search


def play(search: LCPFNSearch, trials: range, epochs: int = 4) -> list[dict[str, Any]]:
    """Trials that Tune would have stopped early."""
    configs = []
    for trial in trials:
        config = search.suggest(str(trial))
        assert config is not None
        configs.append(config)
        for epoch in range(1, epochs + 1):
            value = level(config) * (1 - 0.6**epoch)
            search.on_trial_result(str(trial), {"training_iteration": epoch, "accuracy": value})
        search.on_trial_complete(str(trial), None)
    return configs


def distance(config: dict[str, Any]) -> float:
    return abs(math.log10(config["rate"]) + 2)


def test_suggests_what_the_curves_of_stopped_trials_promise():
    searches = [play(new_search(seed=seed), range(20)) for seed in range(3)]
    early, late = (
        sum(distance(config) for configs in searches for config in configs[part]) / count
        for part, count in ((slice(5), 15), (slice(8, None), 36))
    )
    assert late < 0.7 * early


def test_suggestions_are_what_the_space_allows():
    for config in play(new_search(startup=3), range(10)):
        inner = config["inner"]
        assert 1e-5 <= config["rate"] <= 1 and inner["layers"] in range(1, 7)
        assert inner["kind"] in ("sgd", "adam") and inner["fixed"] == 3
        assert min(abs(config["dropout"] - 0.1 * k) for k in range(6)) < 1e-9
        assert isinstance(config["weight"], float)
        assert config["twice"] == 2 * inner["layers"]


def test_trials_side_by_side_get_different_configurations():
    search = new_search()
    play(search, range(8))
    rates = [search.suggest(f"next {number}")["rate"] for number in range(4)]  # type: ignore[index]
    assert len(set(rates)) == 4


def test_a_search_that_is_restored_suggests_as_before(tmp_path: Path):
    search = new_search()
    play(search, range(8))
    search.save(str(tmp_path / "state.pkl"))
    restored = LCPFNSearch()
    restored.restore(str(tmp_path / "state.pkl"))
    assert play(restored, range(8, 11)) == play(search, range(8, 11))


@pytest.mark.parametrize(
    ("metric", "settings", "is_open"),
    [
        ("env_runners/episode_return_mean", {}, True),
        ("episode_reward", {"bounds": (0, 1)}, False),
        ("eval/accuracy", {}, False),
    ],
)
def test_a_reward_has_no_ceiling_also_after_a_restart(
    tmp_path: Path, metric: str, settings: dict[str, Any], is_open: bool
):
    def expected(search: Search) -> bool:
        for step in range(1, 9):
            search.observe("run", step, 0.1 * step)
        post = search.forecast("run")
        assert post is not None
        return bool(post.quantile(0.94)[..., -1].max() > 1)

    suggesting = LCPFNSearch(50, **settings)
    assert suggesting.set_search_properties(metric, "max", SPACE)
    scheduler = LCPFNScheduler(50, **settings)
    assert scheduler.set_search_properties(metric, "max")
    stopper = LCPFNStopper(metric, "max", 50, **settings)
    for door in (suggesting, scheduler, stopper):
        assert expected(door._search) is is_open
    suggesting.save(str(tmp_path / "search"))
    scheduler.save(str(tmp_path / "scheduler"))
    restored = LCPFNSearch(), LCPFNScheduler(), pickle.loads(cloudpickle.dumps(stopper))
    restored[0].restore(str(tmp_path / "search"))
    restored[1].restore(str(tmp_path / "scheduler"))
    for door in restored:
        assert expected(door._search) is is_open


def test_trials_that_failed_are_forgotten_and_unknown_ones_are_heard_of():
    search = new_search(startup=1)
    play(search, range(3))
    search.on_trial_complete("1", None, error=True)
    search.on_trial_complete("never", None)
    config = search.suggest("3")
    result = {"training_iteration": 1, "accuracy": 0.5, "config": config}
    search.on_trial_result("from before", result)
    search.on_trial_complete("from before", {"training_iteration": EPOCHS, "accuracy": 0.99})
    assert search.suggest("4") is not None


def test_points_come_first():
    points = [{"rate": 0.5, "inner": {"layers": 2}}, {"rate": 0.1}]
    configs = play(new_search(points_to_evaluate=points), range(3))
    assert [config["rate"] for config in configs[:2]] == [0.5, 0.1]
    assert configs[0]["inner"]["layers"] == 2 and configs[0]["twice"] == 4


def test_what_is_no_search_is_told():
    search = LCPFNSearch(seed=0)
    with pytest.raises(InputError, match="metric is not given"):
        search.suggest("a")
    with pytest.raises(InputError, match="grid search at rate"):
        new_search({"rate": tune.grid_search([1, 2])})
    with pytest.raises(InputError, match="startup"):
        LCPFNSearch(startup=0)
    with pytest.raises(InputError, match="mode"):
        LCPFNSearch(mode="best")
    assert not LCPFNSearch(metric="loss", mode="min").set_search_properties("loss", "max", {})
