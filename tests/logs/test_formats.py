"""Every format: what the samples say, whole and cut off anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lcpfn.errors import InputError
from lcpfn.logs.run import RunLog, read_run
from tests.logs.sample_files import FOLDER, SAMPLES, Sample

by_file = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.file)


def test_every_sample_is_listed() -> None:
    assert sorted(sample.file for sample in SAMPLES) == sorted(
        path.name for path in FOLDER.iterdir()
    )


@by_file
def test_what_it_says(sample: Sample) -> None:
    log = read_run(sample.path, sample.metric)
    assert (log.metric, log.steps_column) == (sample.column, sample.steps_column)
    # Event files hold single precision.
    np.testing.assert_allclose(log.values, sample.values, rtol=1e-7)
    np.testing.assert_allclose(log.logged_steps, sample.steps)
    assert (log.stated_horizon, log.stated_goal) == (sample.horizon, sample.goal)
    assert (log.rates is not None) == sample.rates
    if log.rates is not None:
        assert log.rates.shape == log.values.shape
        assert ((np.diff(log.rates) <= 0).all() and log.rates[0] > 0.09) or "ray" in sample.file
    # Nothing is taken that a person might not have meant without a word on it.
    if sample.metric is not None and log.metric.lower() != sample.metric:
        assert f"{sample.metric} is read from column {log.metric!r}" in log.notes
    assert bool(log.notes_on_steps) == (log.steps_column is None)


def is_beginning(part: RunLog, whole: RunLog) -> bool:
    """Whether a log is another one's first records, in the same metric and steps."""
    count = len(part.values)
    rates = part.rates is None or (
        whole.rates is not None and np.array_equal(part.rates, whole.rates[:count])
    )
    return (
        rates
        and (part.metric, part.steps_column) == (whole.metric, whole.steps_column)
        and np.array_equal(part.values, whole.values[:count])
        and np.array_equal(part.logged_steps, whole.logged_steps[:count])
        and part.stated_horizon in (None, whole.stated_horizon)
    )


def cuts(content: bytes) -> list[int]:
    """Where to cut a file: beside and at every line's end, and at fifty bytes in between."""
    ends = [index for index, byte in enumerate(content) if byte in b"\r\n"]
    chosen = {end + shift for end in [*ends, len(content) - 1] for shift in (-1, 0, 1)}
    chosen |= set(np.random.default_rng(len(content)).integers(len(content), size=50).tolist())
    return sorted(length for length in chosen if 0 <= length < len(content))


@by_file
def test_cut_anywhere(sample: Sample, tmp_path: Path) -> None:
    """Never a value that is not in the file, and never fewer records than were whole before."""
    content = sample.path.read_bytes()
    whole = read_run(sample.path, sample.metric)
    path = tmp_path / sample.file
    most = 0
    for length in cuts(content):
        path.write_bytes(content[:length])
        try:
            part = read_run(path, sample.metric)
        except InputError as error:
            assert "\n" not in str(error)
            assert most == 0, f"nothing is read from {length} bytes, and {most} records before"
            continue
        if sample.late and part.metric != whole.metric:
            continue
        assert is_beginning(part, whole), f"other records in the first {length} bytes"
        assert len(part.values) >= most, f"fewer records in {length} bytes than in fewer bytes"
        most = len(part.values)
    # What is missing is at most the record that was being written.
    assert most >= len(whole.values) - 1


@by_file
def test_a_half_written_record_changes_nothing(sample: Sample, tmp_path: Path) -> None:
    """Cut within the last record, a log says what it said before that record."""
    content = sample.path.read_bytes()
    whole = read_run(sample.path, sample.metric)
    path = tmp_path / sample.file
    for length in range(len(content) - 1, 0, -1):
        path.write_bytes(content[:length])
        part = read_run(path, sample.metric)
        if len(part.values) < len(whole.values):
            assert is_beginning(part, whole)
            assert len(part.values) == len(whole.values) - 1
            break


alphabet = st.sampled_from(
    [
        *"0123456789.,;:=|+-_/\\ \t\n\r\"'{}[]()<>%#eE",
        "epoch",
        "loss",
        "nan",
        "null",
        "\x1b[1m",
        "\b",
    ]
)


@given(st.lists(alphabet, max_size=60).map("".join) | st.text(max_size=60))
@example("[[]]")
@example('{"0":{},"1":{"loss":1}}')
@example("epoch 1 loss 1e999\n")
@example("[1,[2],{}]")
@example('{"log_history": [1, {}]}')
@example('{"meta": {"learn_metrics": null}, "iterations": [{"learn": 1}]}')
def test_arbitrary_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(text.encode(errors="surrogatepass"))
    check_arbitrary(path)


@given(st.binary(max_size=80))
def test_arbitrary_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(content)
    check_arbitrary(path)


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(b'\x00\n\r ,"{}[]:0.-x\xff')), max_size=4),
)
def test_damaged_samples(
    tmp_path_factory: pytest.TempPathFactory, sample: Sample, damage: list[tuple[float, int]]
) -> None:
    content = bytearray(sample.path.read_bytes())
    for place, byte in damage:
        content[int(place * (len(content) - 1))] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    check_arbitrary(path, sample.metric)


def check_arbitrary(path: Path, metric: str | None = None) -> None:
    try:
        log = read_run(path, metric)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert len(log.values) == len(log.model_steps) >= 1
    assert (np.diff(log.model_steps) > 0).all()
    assert log.rates is None or len(log.rates) == len(log.values)
