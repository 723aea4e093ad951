"""Searches of a pool of recorded runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest

import lcpfn
from experiments import sampler_functions, sampler_seeds, search_anytime
from experiments.anytime import search_pool
from experiments.pool_forecasts import LEVELS, PoolForecasts
from experiments.pool_space import PoolSpace
from experiments.pools import Pool, read_pools
from experiments.searchers import ASHA, RandomSearch
from experiments.searchers_hyperband import JobSearch
from experiments.searchers_lcpfn import Proposals
from experiments.searchers_optuna import OptunaSearch
from experiments.workers_floor import Watched, best_by, known_at, watch

RECORDS = 12


def new_pool(count: int = 60, other: float = 0.0) -> Pool:
    """Losses of runs whose first setting says how they end, and as far as told the second."""
    generator = np.random.default_rng(0)
    settings = np.stack([10 ** generator.uniform(-5, 0, count), generator.random(count)], axis=1)
    ends = 0.1 + 0.1 * (np.log10(settings[:, 0]) + 2) ** 2
    ends += other * np.abs(settings[:, 1] - 0.3)
    steps = np.arange(1, RECORDS + 1)
    curves = ends[:, None] + 0.6**steps + 0.002 * generator.normal(size=(count, RECORDS))
    return Pool("made/up", curves, "minimize", ("rate", "other"), settings)


POOL = new_pool()


def test_regret_is_in_units_of_the_middle_runs_distance():
    best, middle = POOL.curves.min(), np.median(POOL.curves[:, -1])
    assert POOL.regret(np.array([best, middle])).tolist() == pytest.approx([0.0, 1.0])


def test_random_search_trains_to_the_end():
    found = search_pool(POOL, RandomSearch(POOL, 0), 1, 5 * RECORDS)
    first = POOL.order(0)[:5]
    assert (found.begun, found.finished) == (5, 5)
    assert found.seen[-1] == POOL.curves[first].min()
    assert np.all(np.diff(found.seen) <= 0)


@pytest.mark.parametrize("workers", [1, 4])
def test_asha_promotes_a_third(workers: int):
    found = search_pool(POOL, ASHA(POOL, 0), workers, 120)
    assert found.begun > 20 and found.finished >= 1
    whole = search_pool(POOL, RandomSearch(POOL, 0), workers, 120)
    assert found.begun > whole.begun


def test_a_pool_that_is_used_up_ends_the_search():
    small = Pool(POOL.name, POOL.curves[:3], POOL.goal, POOL.names, POOL.settings[:3])
    found = search_pool(small, RandomSearch(small, 0), 2, 100)
    assert found.finished == 3 and len(found.seen) == 100


@pytest.mark.parametrize("workers", [1, 3])
def test_proposals_find_the_best_sooner(workers: int, tmp_path: Path):
    pool = new_pool(200, other=1.0)
    forecasts = PoolForecasts(pool, lcpfn.load(), tmp_path)
    found = search_pool(pool, Proposals(pool, forecasts, 0, startup=6), workers, 120)
    whole = search_pool(pool, RandomSearch(pool, 0), workers, 120)
    assert pool.regret(found.seen)[-1] < 0.1
    assert pool.regret(found.seen)[-1] < pool.regret(whole.seen)[-1]
    forecasts.keep()
    again = PoolForecasts(pool, lcpfn.load(), tmp_path)
    same = search_pool(pool, Proposals(pool, again, 0, startup=6), workers, 120)
    assert same.seen.tolist() == found.seen.tolist()


def test_workers_who_know_everything_lack_what_no_run_has_shown_yet():
    watched = Watched(RandomSearch(POOL, 0))
    search_pool(POOL, watched, 1, 3 * RECORDS)
    first = POOL.order(0)[:3].tolist()
    assert watched.begun == {run: RECORDS * number for number, run in enumerate(first)}
    regrets, everything = best_by(POOL), dict.fromkeys(range(len(POOL.curves)), 0)
    assert known_at(regrets, everything, 1, RECORDS) == 0
    by_three = POOL.regret(np.array([POOL.curves[:, :3].min()]))
    assert known_at(regrets, everything, 4, RECORDS) == pytest.approx(by_three[0])
    late = known_at(regrets, watched.begun, 4, 2 * RECORDS)
    assert late == pytest.approx(min(regrets[first[0], 5], regrets[first[1], 2]))


def test_a_search_lacks_at_least_what_its_own_runs_lack_when_all_are_known_at_once():
    watched, reached = watch(POOL, PoolForecasts(POOL, lcpfn.load()), 0, 3, [60, 120])
    floors = [known_at(best_by(POOL), watched.begun, 3, budget) for budget in (60, 120)]
    assert 10 < len(watched.begun) < 60
    assert floors[0] <= reached[0] and floors[1] <= reached[1] < reached[0]


def test_kept_forecasts_are_those_of_the_model(tmp_path: Path):
    forecasts = PoolForecasts(POOL, lcpfn.load(), tmp_path)
    values = POOL.curves[0, :5]
    low, high = float(POOL.curves.min()), float(POOL.curves.max())
    assert 0 < low < high
    post = lcpfn.load().extrapolate(
        values, horizon=RECORDS, goal="minimize", bounds=(0, None), of="best"
    )
    kept = forecasts.quantiles(0, 5)
    assert kept == pytest.approx(post.at_horizon().quantile(LEVELS)[:, 0], rel=0.02)


def test_optuna_is_told_what_was_run_in_place_of_its_proposal():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searcher = OptunaSearch(POOL, optuna.samplers.TPESampler(seed=0), optuna.pruners.MedianPruner())
    found = search_pool(POOL, searcher, 2, 150)
    told = [tuple(trial.params.values()) for trial in searcher._study.trials]
    assert set(told) <= set(map(tuple, POOL.settings.tolist())) and len(set(told)) == len(told)
    assert found.begun == len(told)


class _Halving:
    """Two configurations to one record, the better one to all."""

    def __init__(self) -> None:
        self.left = [(0, {"rate": 1e-5, "other": 0.5}), (1, {"rate": 1e-2, "other": 0.5})]
        self.losses: dict[int, float] = {}

    def ask(self) -> tuple[int, dict[str, float], float] | None:
        if self.left:
            return *self.left.pop(), 1.4
        best = min(self.losses, key=self.losses.__getitem__, default=None)
        if best is None or 2 in self.losses:
            return None
        return 2, ({"rate": 1e-5, "other": 0.5}, {"rate": 1e-2, "other": 0.5})[best], RECORDS

    def tell(self, job: int, loss: float) -> None:
        self.losses[job] = loss


def test_what_is_asked_for_again_goes_on_where_it_stopped():
    jobs = _Halving()
    found = search_pool(POOL, JobSearch(POOL, jobs), 1, 100)
    assert (found.begun, found.finished) == (2, 1)
    assert jobs.losses[1] < jobs.losses[0]
    begun = np.abs(np.log10(POOL.settings[:, 0]) + 2).argsort()[:5]
    assert jobs.losses[2] in POOL.curves[begun, -1]


def test_a_run_that_was_begun_is_not_the_nearest_again():
    space = PoolSpace(POOL)
    assert (space.ranges["rate"].log, space.ranges["other"].log) == (True, False)
    runs = [space.take({"rate": 1e-2, "other": 0.5}) for _ in range(len(POOL.curves) + 1)]
    assert sorted(runs[:-1]) == list(range(len(POOL.curves))) and runs[-1] is None


def test_the_script_compares_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    np.savez(
        tmp_path / "made.npz",
        val_loss=POOL.curves,
        config=POOL.settings,
        config_names=np.array(POOL.names),
    )
    (pool,) = read_pools(tmp_path, 40)
    assert pool.names == POOL.names and len(pool.curves) == 40
    search_anytime.main(
        [tmp_path],
        orders=1,
        workers=[1],
        epochs=120,
        only=["ASHA", "Search.propose"],
        save=tmp_path / "kept",
        figure=tmp_path / "figure.png",
        markdown=tmp_path / "it.md",
    )
    assert "Search.propose" in capsys.readouterr().out
    assert (tmp_path / "figure.png").exists() and "ASHA" in (tmp_path / "it.md").read_text()


def test_more_workers_are_compared_with_the_fewest_over_data_sets():
    one = {"a": {"ASHA": [[0.2, 5.0], [0.4, 5.0]]}, "b": {"ASHA": [[0.1, 5.0], [0.1, 5.0]]}}
    eight = {"a": {"ASHA": [[0.4, 9.0], [0.4, 9.0]]}, "b": {"ASHA": [[0.1, 9.0], [0.2, 9.0]]}}
    told = search_anytime.widths_table("more", {8: eight, 1: one}, [120])
    cells = [list(column.cells) for column in told.columns]
    # .4 and .15 for .3 and .1.
    assert cells == [["ASHA"], ["8 for 1"], ["+38%, 0.075 ± 0.025"]]


def test_a_study_ends_with_its_epochs():
    make = sampler_seeds.methods()["TPE, Median"]
    value, best, trials, _ = sampler_seeds.search("wine", make, 0, 60)
    assert 0 < best <= value and trials >= 3


@pytest.mark.parametrize("kind", sampler_functions.KINDS)
def test_made_up_objectives_are_at_best_zero(kind: str):
    sought = sampler_functions.objective(kind, 3)
    sampler = sampler_functions.samplers(3)["random"]
    values = sampler_functions.best_so_far(sampler, sought)
    assert values == sorted(values, reverse=True) and values[-1] >= 0
    other = sampler_functions.best_so_far(sampler_functions.samplers(3)["random"], sought)
    assert values == other
