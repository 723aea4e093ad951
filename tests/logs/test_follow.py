"""Logs read while they are being written."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcpfn.errors import InputError
from lcpfn.logs import follow
from lcpfn.logs.events import EventReader
from lcpfn.logs.follow import Follower
from lcpfn.logs.formats import read_tables
from lcpfn.logs.run import RunLog, read_run
from tests.logs.sample_files import FOLDER, SAMPLES, Sample

EVENTS = "events.out.tfevents.1718000000"


def same(one: RunLog, other: RunLog) -> bool:
    return (
        (one.metric, one.steps_column, one.stated_horizon, one.stated_goal)
        == (other.metric, other.steps_column, other.stated_horizon, other.stated_goal)
        and np.array_equal(one.values, other.values, equal_nan=True)
        and np.array_equal(one.model_steps, other.model_steps)
        and (one.rates is None) == (other.rates is None)
        and (one.rates is None or np.array_equal(one.rates, np.asarray(other.rates)))
    )


def append(path: Path, text: str) -> None:
    with path.open("a", newline="") as file:
        file.write(text)


def values(follower: Follower, metric: str | None = None) -> list[float]:
    (run,) = follower.runs(metric)
    return run.values.tolist()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.file)
@pytest.mark.parametrize("settled", [400, 10**9])
def test_growing_says_what_reading_the_whole_says(
    sample: Sample, settled: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_SETTLED", settled)
    content = sample.path.read_bytes()
    path = tmp_path / sample.file
    follower = Follower(path)
    generator = np.random.default_rng(len(content))
    length = 0
    while length < len(content):
        step = int(generator.integers(1, 150))
        with path.open("ab") as file:
            file.write(content[length : length + step])
        length = min(length + step, len(content))
        follower.update()
        try:
            expected = read_run(path, sample.metric)
        except InputError:
            continue
        assert same(follower.runs(sample.metric)[0], expected), f"after {length} bytes"
    assert len(follower.runs(sample.metric)[0].values) == 6


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.randoms())
@settings(max_examples=25)
def test_any_pieces_of_a_csv(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], random: object
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow, "_SETTLED", 60)
        text = "epoch,loss\n" + "".join(f"{i},{1 / (i + 1):.3f}\n" for i in range(40))
        path = tmp_path_factory.mktemp("pieces") / "run.csv"
        path.touch()
        follower = Follower(path)
        for size in sizes:
            start = path.stat().st_size
            append(path, text[start : start + size])
            follower.update()
        try:
            expected = read_run(path)
        except InputError:
            return
        assert same(follower.runs()[0], expected)


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "logs.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    exec(block, namespace)
    run = namespace["run"]
    assert isinstance(run, RunLog) and run.values.tolist() == [0.71, 0.64]


class TestWhatIsRead:
    def test_only_what_is_new(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "run.jsonl"
        lines = [json.dumps({"step": i, "loss": 1 / (i + 1)}) + "\n" for i in range(2000)]
        path.write_text("".join(lines[:1000]))
        follower = Follower(path)
        assert follower.update()
        taken: list[int] = []
        reader = follow._opened

        def counted(source: Path, position: int) -> tuple[follow._State, bytes]:
            state, data = reader(source, position)
            taken.append(len(data))
            return state, data

        monkeypatch.setattr(follow, "_opened", counted)
        for line in lines[1000:]:
            append(path, line)
            assert follower.update()
        assert len(values(follower)) == 2000
        assert max(taken) < 400

    def test_nothing_where_nothing_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "run.csv"
        path.write_text("epoch,loss\n1,3\n")
        follower = Follower(path)
        assert follower.update()
        assert not follower.update()

    def test_a_file_that_comes_later(self, tmp_path: Path) -> None:
        follower = Follower(tmp_path / "run.csv")
        assert not follower.update()
        with pytest.raises(InputError, match="does not exist"):
            follower.runs()
        follower.path.write_text("epoch,loss\n")
        assert not follower.update()
        with pytest.raises(InputError, match="holds no records"):
            follower.runs()
        append(follower.path, "1,3\n")
        assert follower.update() and values(follower) == [3]

    def test_a_folder(self, tmp_path: Path) -> None:
        follower = Follower(tmp_path)
        assert not follower.update()
        state = {"log_history": [{"step": 1, "loss": 2.5}], "max_steps": 10}
        (tmp_path / "checkpoint-1").mkdir()
        (tmp_path / "checkpoint-1" / "trainer_state.json").write_text(json.dumps(state))
        assert follower.update() and values(follower) == [2.5]
        state["log_history"] = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0}]
        (tmp_path / "checkpoint-2").mkdir()
        (tmp_path / "checkpoint-2" / "trainer_state.json").write_text(json.dumps(state))
        assert follower.update() and values(follower) == [2.5, 2.0]
        assert not follower.update()


@pytest.mark.parametrize("settled", [20, 10**9])
class TestNothingIsLost:
    @pytest.fixture(autouse=True)
    def limit(self, settled: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(follow, "_SETTLED", settled)

    @staticmethod
    def line(step: int) -> str:
        return f"step {step} loss {100 - step}\n"

    def test_rotation(self, tmp_path: Path) -> None:
        path = tmp_path / "run.log"
        follower = Follower(path)
        count = 0
        for turn in range(3):
            for _ in range(4):
                count += 1
                append(path, self.line(count))
                follower.update()
                assert values(follower) == [100.0 - i for i in range(1, count + 1)]
            # One more record is written just before the file is moved.
            count += 1
            append(path, self.line(count))
            for number in range(turn, 0, -1):
                os.replace(f"{path}.{number}", f"{path}.{number + 1}")
            os.replace(path, f"{path}.1")
            assert not follower.update()
        append(path, self.line(count + 1))
        follower.update()
        assert values(follower) == [100.0 - i for i in range(1, count + 2)]
        again = Follower(path)
        assert again.update() and values(again) == values(follower)

    def test_several_rotations_between_two_looks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow, "_SETTLED", 60)
        path = tmp_path / "run.log"
        follower = Follower(path)
        logged: list[float] = []

        def log(count: int) -> None:
            with path.open("a") as file:
                for _ in range(count):
                    logged.append(round(1 / (len(logged) + 1), 4))
                    print(f"epoch {len(logged)} loss {logged[-1]}", file=file)

        def rotate() -> None:
            for number in range(8, 0, -1):
                older = tmp_path / f"run.log.{number}"
                if older.exists():
                    older.rename(tmp_path / f"run.log.{number + 1}")
            path.rename(tmp_path / "run.log.1")

        log(9)
        follower.update()
        for rotations in (1, 2, 3):
            for _ in range(rotations):
                log(4)
                rotate()
                log(3)
            follower.update()
            assert values(follower, "loss") == logged

    def test_what_was_forgotten_is_read_again_once_it_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "run.csv"
        path.write_text("epoch,loss\n1,0.9\n2,0.8\n")
        follower = Follower(path)
        assert follower.update()
        follower.forget()
        assert not follower.update() and not follower.tables
        append(path, "3,0.7\n")
        assert follower.update()
        assert values(follower) == [0.9, 0.8, 0.7]

    def test_rotation_by_copy(self, tmp_path: Path) -> None:
        path = tmp_path / "run.log"
        path.write_text("".join(self.line(i) for i in range(1, 6)))
        follower = Follower(path)
        follower.update()
        (tmp_path / "run.log.1").write_bytes(path.read_bytes())
        os.truncate(path, 0)
        append(path, self.line(6))
        follower.update()
        assert values(follower) == [100.0 - i for i in range(1, 7)]

    def test_atomic_rewrite(self, tmp_path: Path) -> None:
        path, other = tmp_path / "run.csv", tmp_path / "run.csv.tmp"
        follower = Follower(path)
        for count in range(1, 12):
            other.write_text("epoch,loss\n" + "".join(f"{i},{9 - i}\n" for i in range(count)))
            os.replace(other, path)
            assert follower.update()
            assert values(follower) == [9.0 - i for i in range(count)]

    def test_rewritten_in_place_and_seen_half_way(self, tmp_path: Path) -> None:
        path = tmp_path / "history.json"
        follower = Follower(path)
        shown: list[int] = []
        for count in range(1, 8):
            text = json.dumps({"val_loss": [9.5 - i for i in range(count)]})
            for length in (0, len(text) // 2, len(text)):
                path.write_text(text[:length])
                follower.update()
                try:
                    shown.append(len(values(follower)))
                except InputError:
                    assert not shown
        assert shown == sorted(shown) and shown[-1] == 7

    def test_truncated_and_begun_again(self, tmp_path: Path) -> None:
        path = tmp_path / "run.log"
        path.write_text("".join(self.line(i) for i in range(1, 6)))
        follower = Follower(path)
        follower.update()
        path.write_text("step 1 loss 7\n")
        assert not follower.update()
        assert len(values(follower)) == 5
        # It stays as it is: a new run.
        assert follower.update()
        assert values(follower) == [7]

    def test_rewritten_with_other_numbers_of_the_same_length(self, tmp_path: Path) -> None:
        path = tmp_path / "run.csv"
        path.write_text("epoch,loss\n1,3.5\n2,2.5\n")
        follower = Follower(path)
        follower.update()
        path.write_text("epoch,loss\n1,8.5\n2,7.5\n3,6.5\n")
        follower.update()
        assert values(follower) == [8.5, 7.5, 6.5]

    def test_gone_for_a_moment(self, tmp_path: Path) -> None:
        path = tmp_path / "run.csv"
        path.write_text("epoch,loss\n1,3.5\n")
        follower = Follower(path)
        follower.update()
        path.unlink()
        assert not follower.update()
        assert values(follower) == [3.5]

    def test_gzip_is_read_as_a_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "run.csv.gz"
        follower = Follower(path)
        for count in range(2, 5):
            text = "epoch,loss\n" + "".join(f"{i},{9 - i}\n" for i in range(count))
            path.write_bytes(gzip.compress(text.encode()))
            follower.update()
            assert len(values(follower)) == count

    def test_pickles_are_not_opened(self, tmp_path: Path) -> None:
        (tmp_path / "run.pkl").write_bytes(b"\x80\x04.")
        follower = Follower(tmp_path / "run.pkl")
        assert not follower.update()
        with pytest.raises(InputError, match="was not opened"):
            follower.runs()


def test_event_files_of_a_folder_are_read_from_where_they_had_been_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = EventReader.feed

    def feed(reader: EventReader, data: bytes) -> None:
        sizes.append(len(data))
        original(reader, data)

    monkeypatch.setattr(EventReader, "feed", feed)
    whole = (FOLDER / EVENTS).read_bytes()
    for part in ("train", "validation"):
        (tmp_path / part).mkdir()
        (tmp_path / part / EVENTS).write_bytes(b"")
    follower = Follower(tmp_path)
    for size in range(0, len(whole), 97):
        for part in ("validation", "train"):
            with (tmp_path / part / EVENTS).open("ab") as file:
                file.write(whole[size : size + 97])
            follower.update()
    assert sum(sizes) == 2 * len(whole)
    assert [table.rows for table in follower.tables] == [
        table.rows for table in read_tables(tmp_path)
    ]
    assert follower.tables[0].columns == read_tables(tmp_path)[0].columns
    (tmp_path / "train" / EVENTS).unlink()
    (tmp_path / "train" / EVENTS).write_bytes(whole[: len(whole) // 2])
    follower.update()
    assert [table.rows for table in follower.tables] == [
        table.rows for table in read_tables(tmp_path)
    ]
