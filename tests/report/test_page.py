"""The page as a file: that it is whole, and that no name can break it."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import lcpfn
from lcpfn.report.charts import thinned
from lcpfn.report.content import Report, Settings, gather
from lcpfn.report.page import write_page
from lcpfn.watching import Asked, Watch
from tests.report.runs import HORIZON, NAMES, write_runs

MADE = datetime(2026, 11, 7, 9, 30, tzinfo=timezone.utc)
NASTY = "</script><img src=x onerror=alert(1)>&\"'\n\u202e"
VOID = {"meta", "path", "br", "img", "link"}


def report(folder: Path, settings: Settings | None = None) -> Report:
    model = lcpfn.load()
    return gather(
        Watch([folder], Asked("val_loss", None, None, HORIZON), model=model), model, settings
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_runs(tmp_path_factory.mktemp("page") / "runs")
    return write_page(report(folder), "My runs", MADE, "1.2.3")


class Reader(HTMLParser):
    """Reads a page strictly, and keeps what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} has {name}"
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src"):
                self.links.append(str(value))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_is_whole_and_asks_nobody_for_anything(page: str) -> None:
    read = Reader(page)
    assert len(set(read.ids)) == len(read.ids)
    assert all(link.startswith("#") and link[1:] in read.ids for link in read.links)
    assert read.tags["article"] == len(NAMES) and read.tags["h1"] == 1
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page and "url(" not in page and "@import" not in page


def test_says_what_matters(page: str) -> None:
    text = " ".join(" ".join(Reader(page).texts).split())
    for words in (
        "My runs",
        "val_loss, lower is better",
        "7 November 2026, 09:30",
        "9 runs 4 finished, 3 running, 1 stopped, 1 diverged",
        "2 runs ended before the last step",
        "15 of 40",
        "the run has diverged",
        "had the final value of the best other run been known",
        "of the 4 finished runs",
        "lcpfn-stopping 1.2.3",
    ):
        assert words in text, words


def test_numbers_that_a_script_tells_are_those_that_are_drawn(page: str) -> None:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page)
    told = [json.loads(each) for each in found]
    (overview,) = (each for each in told if "runs" in each)
    assert [each["rank"] for each in overview["runs"]] == list(range(len(NAMES), 0, -1))
    charts = [each for each in told if "fans" in each]
    assert len(charts) == len(NAMES)
    for chart in charts:
        assert len(chart["steps"]) == len(chart["values"])
        for fan in chart["fans"]:
            rows = zip(fan["low"], fan["median"], fan["high"], strict=True)
            assert all(low <= median <= high for low, median, high in rows)


def test_no_name_can_break_the_page(tmp_path: Path) -> None:
    folder = write_runs(tmp_path / "runs", ("good", "going"))
    (folder / "going").rename(folder / NASTY.replace("/", "\u2215"))
    made = report(folder)
    page = write_page(made, NASTY, MADE, "1")
    read = Reader(page)
    assert read.tags["img"] == 0
    assert read.tags["script"] == 1 + 2 + 1
    assert "\u202e" not in page


def test_a_page_without_forecasts_or_ends(tmp_path: Path) -> None:
    folder = write_runs(tmp_path / "runs", ("new",))
    page = write_page(report(folder, Settings(best=0.2)), "x", MADE, "1")
    Reader(page)
    assert "No run with at least four records has come to its end" in page
    assert "No run has ended before its last step." in page
    model = lcpfn.load()
    unknown = gather(Watch([folder], Asked("val_loss"), model=model), model)
    Reader(write_page(unknown, "x", MADE, "1"))


def test_many_records_are_thinned_and_keep_their_extremes() -> None:
    steps = np.arange(1.0, 5001)
    values = 1 / steps
    values[1234], values[4000], values[7] = 9.0, -9.0, np.nan
    kept_steps, kept = thinned(steps, values, 240)
    assert len(kept) <= 242 and (np.diff(kept_steps) > 0).all()
    assert kept.max() == 9 and kept.min() == -9
    assert kept_steps[0] == 1 and kept_steps[-1] == 5000
    assert thinned(steps[:9], values[:9], 240)[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 9]
