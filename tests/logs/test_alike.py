"""Lines that are alike, read by the places of their numbers, say the same as by themselves."""

from __future__ import annotations

import random
import re

import pytest

from lcpfn.logs.alike import Plans
from lcpfn.logs.lines import LineReader, plain
from tests.logs.sample_files import FOLDER

TEXTS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".log", ".txt", ".out"))


def many(text: str, seed: int) -> str:
    """Each line of a text many times, with other digits."""
    generator = random.Random(seed)
    lines = [
        re.sub(r"[0-9]", lambda found: str(generator.randrange(10)), line) if again else line
        for line in text.split("\n")
        for again in range(5)
    ]
    return "\n".join(lines) + "\n"


def read(text: str) -> LineReader:
    reader = LineReader(text)
    reader.feed(text)
    return reader


@pytest.mark.parametrize("name", TEXTS)
def test_lines_that_are_alike_say_what_each_says_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = many(plain((FOLDER / name).read_text(errors="replace")), seed=len(name))
    together = read(text)
    monkeypatch.setattr(Plans, "of", lambda self, line, make: None)
    alone = read(text)
    assert str(together.rows) == str(alone.rows)
    assert (together.totals, together._steps) == (alone.totals, alone._steps)


def test_names_that_differ_in_a_digit_are_told_apart() -> None:
    lines = "".join(f"step {step}: top{1 + step % 2} 0.{step}\n" for step in range(1, 9))
    names = [list(row.cells) for row in read(lines).rows]
    assert names == [["step", f"top{1 + step % 2}"] for step in range(1, 9)]


def test_what_loggers_write_in_front_is_passed_over() -> None:
    line = "[2026-01-02 03:04:{:02d},{:03d}][train.py:{}][INFO] - step {}/900 | loss 1,{:03d}.5\n"
    text = "".join(line.format(n % 60, n, n, n, n) for n in range(100, 900))
    reader = read(text)
    assert [row.cells for row in reader.rows] == [
        {"step": float(n), "loss": 1000.5 + n} for n in range(100, 900)
    ]
    assert reader.totals == {"step": 900.0}


def test_a_step_must_be_a_whole_number_in_each_line() -> None:
    reader = read("".join(f"iteration {n} loss 0.5\n" for n in ("1.0", "2.0", "3.0", "4.5", "5.0")))
    assert [row.cells.get("iteration") for row in reader.rows] == [1.0, 2.0, 3.0, 4.5, 5.0]
    assert reader._steps == {"iteration": 5.0}
