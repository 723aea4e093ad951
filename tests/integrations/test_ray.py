"""The scheduler and the stopper, with real Tune: one small local Ray for all tests."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune import ResultGrid

import lcpfn
from lcpfn.integrations.ray import LCPFNScheduler, LCPFNSearch, LCPFNStopper
from lcpfn.integrations.ray.results import read_record, recorded_results
from lcpfn.search.rule import StoppingRule
from lcpfn.search.search import Search
from lcpfn.search.standing import Peer, standing

# Ray warns of much that is its own affair.
pytestmark = pytest.mark.filterwarnings("ignore")

EPOCHS = 30


def accuracy(level: float, epoch: float) -> float:
    """A run that rises to `level`, its noise as of small validation sets."""
    return level * (1 - 0.7**epoch) + 0.004 * math.sin(12.9 * epoch + 40 * level)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray that fits a small machine; its address."""
    context = ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level="WARNING",
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()


def search(
    train: Callable[[dict[str, Any]], None],
    trials: list[dict[str, Any]],
    folder: Path,
    scheduler: LCPFNScheduler | None = None,
    cpus: float = 2,
    metric: str | None = "accuracy",
    mode: str | None = "max",
    **run: Any,
) -> ResultGrid:
    """Runs trials in their order; with 2 CPUs each, one after the other."""
    return tune.Tuner(
        tune.with_resources(train, {"cpu": cpus}),
        param_space={"trial": tune.grid_search(trials)},
        tune_config=tune.TuneConfig(
            metric=metric, mode=mode, scheduler=scheduler, reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=str(folder), name="search", verbose=0, **run),
    ).fit()


def by_level(results: ResultGrid) -> dict[float, tune.Result]:
    return {result.config["trial"]["level"]: result for result in results}


def expected_end(
    level: float, incumbent: float, rule: StoppingRule, peers: Sequence[Peer] = ()
) -> int:
    """The epoch at which the rule stops a run, by itself."""
    model = lcpfn.load()
    for epoch in range(1, EPOCHS):
        values = [accuracy(level, past) for past in range(1, epoch + 1)]
        place = standing(epoch, values[-1], peers, "maximize")
        if rule.decide(model.extrapolate(values, horizon=EPOCHS), incumbent, (), place).stop:
            return epoch
    return EPOCHS


def peer(level: float, last: int) -> Peer:
    """An earlier run, stopped unless it was seen to its end."""
    epochs = range(1, last + 1)
    return Peer(epochs, [accuracy(level, epoch) for epoch in epochs], last < EPOCHS)


# Trainables are made inside functions, so that Ray sends their code to its workers, who then need
# not import this file.
def make_train() -> Callable[[dict[str, Any]], None]:
    def train(config: dict[str, Any]) -> None:
        import math
        import sys

        trial = config["trial"]
        level, kind = trial["level"], trial.get("kind")
        if kind == "silent":
            return
        for epoch in range(30):
            value = level * (1 - 0.7 ** (epoch + 1)) + 0.004 * math.sin(
                12.9 * (epoch + 1) + 40 * level
            )
            if kind == "broken" and epoch == 6:
                raise RuntimeError("out of memory")
            if kind == "nan" and epoch == 3:
                value = math.nan
            if kind == "twice":
                tune.report({"accuracy": value - 1e-4, "epoch": epoch})
            tune.report(
                {
                    "accuracy": value,
                    "epoch": epoch,
                    "nested": {"loss": 1 - value},
                    "imported": int("lcpfn" in sys.modules),
                }
            )

    return train


@pytest.fixture(scope="module")
def plain(
    cluster: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LCPFNScheduler, ResultGrid]:
    """One search with trials of all kinds, by an `epoch` that starts at 0."""
    trials = [
        {"level": 0.1, "kind": "silent"},
        {"level": 0.7, "kind": "nan"},
        {"level": 0.85},
        {"level": 0.3},
        {"level": 0.93, "kind": "broken"},
        {"level": 0.95},
        {"level": 0.4, "kind": "twice"},
    ]
    scheduler = LCPFNScheduler(EPOCHS, "epoch", min_steps=4, early_caution=0)
    with pytest.MonkeyPatch.context() as patch:
        # Or Tune itself ends the search when a trial reports nothing.
        patch.setenv("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
        folder = tmp_path_factory.mktemp("plain")
        return scheduler, search(make_train(), trials, folder, scheduler)


def test_stops_losers_and_keeps_the_best(plain: Any) -> None:
    _, grid = plain
    results = by_level(grid)
    rule = StoppingRule(min_steps=4, early_caution=0)
    ends = {level: result.metrics.get("epoch") for level, result in results.items()}
    assert ends[0.85] == ends[0.95] == EPOCHS - 1
    assert ends[0.3] == expected_end(0.3, accuracy(0.85, EPOCHS), rule) - 1
    peers = [peer(0.7, 3), peer(0.85, EPOCHS), peer(0.3, ends[0.3] + 1), peer(0.95, EPOCHS)]
    assert ends[0.4] == expected_end(0.4, accuracy(0.95, EPOCHS), rule, peers) - 1, (
        "repeats change nothing"
    )
    assert ends[0.3] < 8 and ends[0.4] < 8


def test_decisions_are_in_the_results(plain: Any) -> None:
    _, grid = plain
    results = by_level(grid)
    last = results[0.3].metrics
    assert last["lcpfn/action"] == "stop"
    assert last["lcpfn/prob_better"] < 0.05
    assert last["lcpfn/low"] < last["lcpfn/median"] < last["lcpfn/high"]
    assert last["lcpfn/to_beat"] == pytest.approx(accuracy(0.85, EPOCHS))
    assert "P(final value beats" in last["lcpfn/reason"]
    recorded = [
        json.loads(line) for line in Path(results[0.3].path, "result.json").read_text().splitlines()
    ]
    assert [row["lcpfn/action"] for row in recorded] == ["continue"] * (len(recorded) - 1) + [
        "stop"
    ]
    table = results[0.3].metrics_dataframe
    assert table["lcpfn/prob_better"].iloc[-1] == pytest.approx(last["lcpfn/prob_better"])
    assert results[0.95].metrics["lcpfn/action"] == "finish"


def test_special_trials(plain: Any) -> None:
    scheduler, grid = plain
    results = by_level(grid)
    assert results[0.7].metrics["epoch"] == 3
    assert "the newest record is nan: the run has diverged" in results[0.7].metrics["lcpfn/reason"]
    assert results[0.1].error is None and "accuracy" not in results[0.1].metrics
    assert "out of memory" in str(results[0.93].error)
    assert results[0.93].metrics["epoch"] == 5
    text = scheduler.debug_string()
    assert "LCPFNScheduler(max_t=30): 3 finished, 3 stopped, 1 failed" in text
    assert f"the best ended at {accuracy(0.95, EPOCHS):g}" in text


def test_workers_do_not_load_lcpfn(plain: Any) -> None:
    _, grid = plain
    results = by_level(grid)
    assert results[0.95].metrics["imported"] == 0


def test_a_scheduler_is_pickled_saved_and_restored(plain: Any, tmp_path: Path) -> None:
    scheduler, _ = plain
    content = pickle.dumps(scheduler)
    assert len(content) < 20_000, "weights are not in it"
    assert len(pickle.dumps(LCPFNScheduler())) < 1000
    scheduler.save(str(tmp_path / "state"))
    restored = LCPFNScheduler()
    restored.restore(str(tmp_path / "state"))
    for other in (pickle.loads(content), restored):
        assert other.debug_string() == scheduler.debug_string()
        assert other.metric == "accuracy"
        again: Search = other._search
        again.observe("new", 0, 0.1)
        again.observe("new", 1, 0.1)
        for epoch in (2, 3, 4):
            again.observe("new", epoch, 0.1)
        assert again.judge("new").action == "stop"


def test_a_scheduler_with_a_local_schedule_is_saved(tmp_path: Path) -> None:
    rate = 0.97
    scheduler = LCPFNScheduler(EPOCHS, metric="accuracy", mode="max", schedule=lambda s: rate**s)
    scheduler.save(str(tmp_path / "state"))
    restored = LCPFNScheduler()
    restored.restore(str(tmp_path / "state"))
    schedule = restored._door.search("max").settings.schedule
    assert callable(schedule) and schedule(2) == rate**2
    assert len(ray.cloudpickle.dumps(LCPFNStopper("a", "max", schedule=lambda s: rate))) < 5000


def test_side_by_side_nested_metric_and_buffered_results(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_RESULT_BUFFER_LENGTH", "3")
    trials = [{"level": level} for level in (0.9, 0.8, 0.7, 0.2, 0.25, 0.3)]
    scheduler = LCPFNScheduler(
        EPOCHS, metric="nested/loss", mode="min", min_steps=4, early_caution=0
    )
    results = by_level(
        search(make_train(), trials, tmp_path, scheduler, cpus=0.9, metric=None, mode=None)
    )
    ends = {level: result.metrics["training_iteration"] for level, result in results.items()}
    assert ends[0.9] == EPOCHS
    assert ends[0.25] < EPOCHS or ends[0.3] < EPOCHS
    assert max(ends.values()) == EPOCHS
    assert results[0.9].metrics["lcpfn/action"] == "finish"
    assert scheduler.metric == "nested/loss"


def test_the_stopper_decides_as_the_scheduler(cluster: str, tmp_path: Path, plain: Any) -> None:
    _, grid = plain
    before = by_level(grid)
    trials = [{"level": 0.85}, {"level": 0.3}]
    stopper = LCPFNStopper("accuracy", "max", EPOCHS, "epoch", min_steps=4, early_caution=0)
    results = by_level(search(make_train(), trials, tmp_path, stop=stopper))
    assert results[0.85].metrics["epoch"] == EPOCHS - 1
    assert results[0.3].metrics["epoch"] == before[0.3].metrics["epoch"]
    assert results[0.3].metrics["lcpfn/action"] == "stop"
    assert results[0.3].metrics["lcpfn/prob_better"] == pytest.approx(
        before[0.3].metrics["lcpfn/prob_better"]
    )
    assert len(pickle.dumps(stopper)) < 20_000
    assert not stopper.stop_all()


def test_a_scheduler_or_stopper_that_is_used_twice_begins_anew(
    cluster: str, tmp_path: Path
) -> None:
    """By the best of the first search, all of the second would be stopped."""
    scheduler = LCPFNScheduler(EPOCHS, early_caution=0)
    stopper = LCPFNStopper("accuracy", "max", EPOCHS, early_caution=0)
    for number, levels in enumerate(((0.95, 0.3), (0.2, 0.05))):
        trials = [{"level": level} for level in levels]
        for kind, arguments in (("scheduler", {"scheduler": scheduler}), ("stopper", {})):
            run = {"stop": stopper} if kind == "stopper" else {}
            folder = tmp_path / f"{kind}{number}"
            results = by_level(search(make_train(), trials, folder, **arguments, **run))
            ends = [results[level].metrics["training_iteration"] for level in levels]
            assert ends[0] == EPOCHS and ends[1] < EPOCHS, (kind, number)
            assert results[levels[0]].metrics["lcpfn/action"] == "finish"


def make_waiting(folder: Path) -> Callable[[dict[str, Any]], None]:
    def train(config: dict[str, Any]) -> None:
        import math
        import time

        level = config["trial"]["level"]
        for epoch in range(1, 31):
            if level == 0.35 and epoch == 3:
                (folder / "reached").touch()
                while not (folder / "go").exists():
                    time.sleep(0.05)
            value = level * (1 - 0.7**epoch) + 0.004 * math.sin(12.9 * epoch + 40 * level)
            tune.report({"accuracy": value})

    return train


def start_search(pickled: str) -> None:
    """Runs in a process of its own, to be killed."""
    address, folder, train, levels, scheduler, cpus = ray.cloudpickle.loads(bytes.fromhex(pickled))
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "0.2"
    ray.init(address, log_to_driver=False, logging_level="WARNING")
    search(train, levels, folder, scheduler, cpus)


def state_is_whole(folder: Path) -> bool:
    """Whether what Tune has saved of a search, its trials and its searcher, can be read."""
    try:
        trials = max(folder.glob("experiment_state-*.json"), default=None)
        searcher = max(folder.glob("basic-variant-state-*.json"), default=None)
        if trials is None or searcher is None:
            return False
        json.loads(trials.read_text(encoding="utf-8"))
        # It is a pickle, whatever its name.
        ray.cloudpickle.loads(searcher.read_bytes())
    except (ValueError, EOFError, pickle.UnpicklingError):
        return False
    return True


def kill_and_restore(
    cluster: str,
    folder: Path,
    train: Callable[[dict[str, Any]], None],
    levels: tuple[float, ...],
    scheduler: LCPFNScheduler,
    cpus: float = 2,
) -> dict[float, tune.Result]:
    """Kills the driver of a search once a trial waits, and restores the search."""
    trials = [{"level": level} for level in levels]
    job = ray.cloudpickle.dumps((cluster, folder, train, trials, scheduler, cpus))
    code = f"from tests.integrations.test_ray import start_search; start_search({job.hex()!r})"
    root = Path(__file__).resolve().parents[2]
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    try:
        deadline = time.monotonic() + 400
        while not (folder / "reached").exists():
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        # The state that Tune has saved by now tells of the first two trials.
        time.sleep(1)
        driver.send_signal(signal.SIGSTOP)
        # Tune copies it in place: a kill in between leaves half a file, which nobody can restore.
        while not state_is_whole(folder / "search"):
            assert time.monotonic() < deadline
            driver.send_signal(signal.SIGCONT)
            time.sleep(0.1)
            driver.send_signal(signal.SIGSTOP)
    finally:
        driver.kill()
        driver.wait()
    (folder / "go").touch()
    tuner = tune.Tuner.restore(
        str(folder / "search"), tune.with_resources(train, {"cpu": cpus}), resume_unfinished=True
    )
    return by_level(tuner.fit())


def test_a_driver_killed_and_restored_goes_on_deciding_the_same(
    cluster: str, tmp_path: Path
) -> None:
    levels = (0.9, 0.3, 0.35, 0.4)
    scheduler = LCPFNScheduler(EPOCHS, min_steps=4, early_caution=0)
    results = kill_and_restore(cluster, tmp_path, make_waiting(tmp_path), levels, scheduler)
    ends = {level: result.metrics["training_iteration"] for level, result in results.items()}
    rule, incumbent = StoppingRule(min_steps=4, early_caution=0), accuracy(0.9, EPOCHS)
    assert ends == {
        0.9: EPOCHS,
        **{level: expected_end(level, incumbent, rule) for level in levels[1:]},
    }
    assert ends[0.4] < 10
    assert results[0.4].metrics["lcpfn/to_beat"] == pytest.approx(incumbent)
    assert results[0.35].metrics_dataframe["training_iteration"].iloc[0] == 1, "it began again"


def make_side_by_side(folder: Path) -> Callable[[dict[str, Any]], None]:
    """All wait at their second epoch, before any is decided on, for the driver to be killed."""

    def train(config: dict[str, Any]) -> None:
        import math
        import time

        level = config["trial"]["level"]
        for epoch in range(1, 31):
            if epoch == 2:
                (folder / f"reached{level}").touch()
                if len(list(folder.glob("reached0*"))) == 16:
                    (folder / "reached").touch()
                while not (folder / "go").exists():
                    time.sleep(0.1)
            value = level * (1 - 0.7**epoch) + 0.004 * math.sin(12.9 * epoch + 40 * level)
            tune.report({"accuracy": value})

    return train


def test_a_driver_killed_with_16_trials_under_way(cluster: str, tmp_path: Path) -> None:
    levels = tuple(round(0.3 + 0.04 * index, 2) for index in range(16))
    results = kill_and_restore(
        cluster, tmp_path, make_side_by_side(tmp_path), levels, LCPFNScheduler(EPOCHS), cpus=0.1
    )
    assert {level: result.error for level, result in results.items()} == dict.fromkeys(levels)
    ends = {level: result.metrics["training_iteration"] for level, result in results.items()}
    assert ends[max(levels)] == EPOCHS and ends[min(levels)] < EPOCHS
    # They were stopped side by side, by what the best of them would reach.
    assert sum(ends.values()) < 0.75 * EPOCHS * len(levels)
    assert all(result.metrics["lcpfn/action"] in ("stop", "finish") for result in results.values())


def make_resumable(
    report_every: int, waiting: Path | None = None
) -> Callable[[dict[str, Any]], None]:
    """A function that goes on from its checkpoints; the best trial waits for a file in a folder."""

    def train(config: dict[str, Any]) -> None:
        import json
        import math
        import tempfile
        import time
        from pathlib import Path

        level, first = config["trial"]["level"], 1
        checkpoint = tune.get_checkpoint()
        if checkpoint:
            with checkpoint.as_directory() as folder:
                first = json.loads(Path(folder, "state.json").read_text())["epoch"] + 1
        for epoch in range(first, 31):
            if waiting is not None and level == 0.9 and epoch == 3:
                (waiting / "reached").touch()
                while not (waiting / "go").exists():
                    time.sleep(0.05)
            value = level * (1 - 0.7**epoch) + 0.004 * math.sin(12.9 * epoch + 40 * level)
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "state.json").write_text(json.dumps({"epoch": epoch}))
                saved = (
                    tune.Checkpoint.from_directory(folder) if epoch % report_every == 0 else None
                )
                tune.report({"accuracy": value, "epoch": epoch, "first": first}, checkpoint=saved)

    return train


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the scheduler logs at debug level."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ray.tune.schedulers.lcpfn")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield messages
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("report_every", [1, 3])
def test_freeze_and_thaw(cluster: str, tmp_path: Path, told: list[str], report_every: int) -> None:
    levels = (0.5, 0.6, 0.68, 0.9, 0.62, 0.55, 0.2)
    scheduler = LCPFNScheduler(EPOCHS, "epoch", first_records=4, early_caution=0, freeze=True)
    trials = [{"level": level} for level in levels]
    results = by_level(search(make_resumable(report_every), trials, tmp_path, scheduler))
    assert all(result.error is None for result in results.values())
    assert results[0.9].metrics["epoch"] == EPOCHS
    assert sum(": pause: " in message for message in told) >= 2
    assert any(": stop while frozen: " in message for message in told)
    thawed = [result.metrics["first"] for result in results.values() if result.metrics["first"] > 1]
    assert thawed and all((first - 1) % report_every == 0 for first in thawed)
    used = sum(result.metrics["epoch"] for result in results.values())
    assert used < 0.75 * EPOCHS * len(levels)


def test_trials_that_were_frozen_when_the_driver_was_killed_go_on(
    cluster: str, tmp_path: Path
) -> None:
    levels = (0.5, 0.6, 0.68, 0.9, 0.62, 0.2)
    scheduler = LCPFNScheduler(EPOCHS, "epoch", first_records=4, early_caution=0, freeze=True)
    train = make_resumable(1, tmp_path)
    results = kill_and_restore(cluster, tmp_path, train, levels, scheduler)
    assert {level: result.error for level, result in results.items()} == dict.fromkeys(levels)
    frozen = {
        level: result
        for level, result in results.items()
        if "pause" in list(result.metrics_dataframe["lcpfn/action"])
    }
    assert len(frozen) >= 2 and results[0.9].metrics["epoch"] == EPOCHS
    # What was frozen went on from its checkpoint, and nothing was reported twice.
    assert any(result.metrics["first"] > 1 for result in frozen.values())
    for result in frozen.values():
        epochs = list(result.metrics_dataframe["epoch"])
        assert epochs == list(range(1, len(epochs) + 1))
    assert all(result.metrics["epoch"] < EPOCHS for level, result in results.items() if level < 0.5)


def test_a_function_without_checkpoints_is_not_frozen(
    cluster: str, tmp_path: Path, told: list[str]
) -> None:
    scheduler = LCPFNScheduler(EPOCHS, "epoch", threshold=0, freeze=True)
    trials = [{"level": 0.9}, {"level": 0.3}, {"level": 0.4}]
    results = by_level(search(make_train(), trials, tmp_path, scheduler))
    assert all(result.metrics["epoch"] == EPOCHS - 1 for result in results.values())
    assert sum("no checkpoint to go on from" in message for message in told) == 1


def test_recorded_results_are_read_from_wherever_they_are(plain: Any) -> None:
    _, grid = plain
    (trial,) = (
        trial for trial in grid._experiment_analysis.trials if trial.config["trial"]["level"] == 0.3
    )
    local, stored = Path(trial.local_path), Path(trial.path)
    assert local != stored
    expected = [row["accuracy"] for row in recorded_results(trial)]
    assert expected == pytest.approx([accuracy(0.3, e) for e in range(1, len(expected) + 1)])
    assert recorded_results(trial)[-1]["lcpfn/action"] == "stop"
    (local / "result.json").unlink()
    assert [row["accuracy"] for row in recorded_results(trial)] == expected
    with (stored / "result.json").open("a") as file:
        file.write('{"accuracy": 0.')
    assert len(recorded_results(trial)) == len(expected), "a torn line is left out"
    (stored / "result.json").unlink()
    table = recorded_results(trial)
    assert [read_record(row, "epoch", "accuracy") for row in table] == [
        (epoch, pytest.approx(value)) for epoch, value in enumerate(expected)
    ]
    assert table[-1]["lcpfn/action"] == "stop"
    for folder in (local, stored):
        (folder / "progress.csv").unlink(missing_ok=True)
    (only,) = recorded_results(trial)
    assert only["accuracy"] == expected[-1]


def test_the_documented_search(cluster: str, tmp_path: Path, capsys: Any) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "ray.md").read_text(encoding="utf-8")
    code = text.partition("```python\n")[2].partition("```")[0]
    # A Ray is running already, and nothing is to be left in the user's folder.
    lines = [line for line in code.splitlines() if not line.startswith("ray.init(")]
    storage = f"run_config=tune.RunConfig(storage_path={str(tmp_path)!r}),\n).fit()"
    exec("\n".join(lines).replace(").fit()", storage), {"__name__": "snippet"})
    reasons = capsys.readouterr().out.splitlines()[-10:]
    assert any("50 the run is complete: it has reached its last step" in line for line in reasons)
    assert any("; below 0." in line for line in reasons)


def test_a_search_algorithm_suggests_what_the_curves_promise(cluster: str, tmp_path: Path):
    def make_search() -> Callable[[dict[str, Any]], None]:
        def train(config: dict[str, Any]) -> None:
            import math

            for epoch in range(1, 13):
                end = 0.9 - 0.08 * (math.log10(config["rate"]) + 2) ** 2
                tune.report({"accuracy": end * (1 - 0.6**epoch)})

        return train

    results = tune.Tuner(
        tune.with_resources(make_search(), {"cpu": 2}),
        param_space={"rate": tune.loguniform(1e-5, 1.0)},
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=8,
            search_alg=LCPFNSearch(12, seed=0, startup=4),
            scheduler=LCPFNScheduler(12),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="search", verbose=0),
    ).fit()
    assert len(results) == 8 and not results.errors
    assert abs(math.log10(results.get_best_result().config["rate"]) + 2) < 1
    restored = tune.Tuner.restore(str(tmp_path / "search"), make_search())
    assert len(restored.fit()) == 8
