"""`lcpfn report`, as people use it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lcpfn.cli import app
from tests.report.runs import HORIZON, write_runs


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", ("good", "going"))


def test_writes_a_page(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    result = call(runs, "--horizon", HORIZON, "-o", path, "--title", "Search 7")
    assert result.exit_code == 0 and result.stdout.startswith(f"{path}: 2 runs, ")
    text = path.read_text(encoding="utf-8")
    assert "<h1>Search 7</h1>" in text and "1 finished, 1 running" in text
    again = call(runs, "--horizon", HORIZON, "-o", path, "--ended", "--of", "best", "--best", 0.1)
    assert again.exit_code == 0
    text = path.read_text(encoding="utf-8")
    assert "<h1>runs</h1>" in text and "1 finished, 1 stopped" in text


def test_the_page_goes_here_unless_said_otherwise(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.parent)
    assert call("runs", "--horizon", HORIZON).exit_code == 0
    assert Path("report.html").stat().st_size > 20_000


def test_what_was_not_read_is_told(runs: Path, tmp_path: Path) -> None:
    for number in range(9):
        (runs / f"odd{number}.csv").write_text("epoch,other_loss\n1,2\n")
    arguments = ["--metric", "val_loss", "--horizon", str(HORIZON)]
    result = call(runs, *arguments, "-o", tmp_path / "page.html")
    assert result.exit_code == 0
    assert result.stderr.count("lcpfn: not read: ") == 6
    assert result.stderr.splitlines()[-1] == "lcpfn: 3 more were not read: the page says why"
    assert "9 logs could not be read" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere does not exist: name a folder of runs, or a log"),
        (["runs", "-o", "runs"], "--output is runs, a folder: name a file, such as runs/report"),
        (["runs", "-o", "gone/page.html"], "there is no folder gone: make it first"),
        (["runs", "--metric", "val_los"], "did you mean 'val_loss'?"),
        (["runs", "--horizon", "-3"], "horizon is -3, but must be positive and finite"),
        (["runs", "--threshold", "1"], "threshold is 1"),
        (["runs", "--idle", "0"], "idle is 0"),
        (["runs", "--bounds", "0"], "--bounds is '0', but must be auto, open or LOW,HIGH"),
        (["runs", "--model", "defualt"], "defualt"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: list[str], words: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.parent)
    result = call(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr and len(result.stderr.splitlines()) == 1
    assert not Path("report.html").exists()
