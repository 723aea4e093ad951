"""The page as a person sees it, in headless Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments.support.chromium import Chromium, find_chromium
from lcpfn.cli import app
from tests.report.runs import HORIZON, NAMES, write_runs

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium here")

_TRIES = 40
# What a person cannot read for its colour, by the rule of WCAG 2: 4.5 to 1.
PALE = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (color) => {
    const parts = [...color.slice(0, 3)].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return rgb("white");
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.closest("script, .skip") || !element.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push([element.textContent.slice(0, 40), ratio]);
  }
  return found;
})()
"""
# What sticks out of the window, or out of the panel that it stands in.
SPILLED = """
(() => {
  const found = [];
  const width = document.documentElement.clientWidth;
  for (const element of document.querySelectorAll("main *, header *, footer *")) {
    if (element.closest(".skip, svg, thead, script") || !element.getClientRects().length) continue;
    const box = element.getBoundingClientRect();
    const panel = element.parentElement.closest(".panel");
    const right = panel ? panel.getBoundingClientRect().right : width;
    if (box.right > right + 1 || box.left < -1) found.push([element.className, box.right, right]);
  }
  return found;
})()
"""
BOX = """
(() => {
  const plot = document.querySelector(%r);
  plot.scrollIntoView({behavior: "instant", block: "center"});
  const box = plot.getBoundingClientRect();
  return [box.x, box.y, box.width, box.height];
})()
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    runs = write_runs(folder / "runs")
    long = "a name that is very long " * 4
    (runs / "fair").rename(runs / long.strip().replace(" ", "_"))
    path = folder / "report.html"
    command = ["report", str(runs), "--horizon", str(HORIZON), "-o", str(path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def opened(page: Path) -> Iterator[Chromium]:
    with Chromium(1600, 900) as browser:
        browser.open(page)
        yield browser


@pytest.fixture
def browser(opened: Chromium) -> Chromium:
    opened.look(1600, 900)
    return opened


def tip(browser: Chromium, plot: str) -> list[str] | None:
    """The lines that are shown beside the pointer; None where there are none."""
    lines: Any = browser.run(
        f"(() => {{ const tip = document.querySelector({plot + ' .tip'!r});"
        " return tip.hidden ? null : [...tip.children].map((line) => line.textContent); })()"
    )
    return None if lines is None else [str(line) for line in lines]


def point(browser: Chromium, plot: str, across: float, down: float) -> list[str] | None:
    x, y, width, height = browser.run(BOX % plot)
    for attempt in range(_TRIES):
        # A pointer that stands still moves nothing.
        browser.point(x + across * width + attempt / 100, y + down * height)
        lines = tip(browser, plot)
        if lines is not None:
            return lines
        time.sleep(0.05)
    return None


def card_of(browser: Chromium, name: str) -> str:
    names = browser.run("[...document.querySelectorAll('.card h3')].map((h) => h.textContent)")
    rank = next(place for place, text in enumerate(names, start=1) if text.endswith(f" {name}"))
    return f"#run-{rank}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_looks_right(browser: Chromium, width: int, scheme: str) -> None:
    browser.look(width, 900, scheme)
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run(SPILLED) == []
    assert browser.run(PALE) == []
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(16, 20, 26)") == (scheme == "dark")
    # Every picture is drawn, and in a size to be looked at.
    heights = browser.run(
        "[...document.querySelectorAll('.plot svg')].map((svg) => {"
        " const box = svg.getBoundingClientRect(); return [box.width, box.height]; })"
    )
    assert len(heights) == len(NAMES) + 2
    assert all(wide > 200 and high > 140 for wide, high in heights)


def test_loads_nothing_and_complains_of_nothing(browser: Chromium, page: Path) -> None:
    assert browser.requested == [page.resolve().as_uri()]
    assert browser.complaints == []


def test_pointing_at_a_record_and_at_the_forecast_tells_the_numbers(browser: Chromium) -> None:
    plot = f"{card_of(browser, 'going')} .plot"
    seen = point(browser, plot, 10 / HORIZON, 0.5)
    assert seen is not None and seen[0] == "epoch 10" and len(seen) == 2
    ahead = point(browser, plot, 30 / HORIZON, 0.5)
    assert ahead is not None and ahead[0] == "epoch 30"
    assert ahead[1].startswith("forecast 0.") and ahead[2].startswith("88 % within 0.")
    browser.point(1, 1)
    assert tip(browser, plot) is None


@pytest.mark.parametrize("across", [0.01, 0.5, 0.99])
def test_the_numbers_stay_on_the_screen(browser: Chromium, across: float) -> None:
    browser.look(400, 900)
    plot = f"{card_of(browser, 'going')} .plot"
    assert point(browser, plot, across, 0.9)
    left, right = browser.run(
        f"(() => {{ const box = document.querySelector({plot + ' .tip'!r}).getBoundingClientRect();"
        " return [box.left, box.right]; })()"
    )
    assert left >= 0 and right <= 400


def test_keys_do_what_pointing_does(browser: Chromium) -> None:
    plot = f"{card_of(browser, 'going')} .plot"
    browser.run(f"document.querySelector({plot!r}).focus()")
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    lines = tip(browser, plot)
    assert lines is not None and lines[0] == "epoch 2"
    assert browser.run("document.getElementById('live').textContent") == ", ".join(lines)
    browser.press("Escape")
    assert tip(browser, plot) is None


def test_another_forecast_of_a_run_that_has_ended(browser: Chromium) -> None:
    card = card_of(browser, "good")
    shown = (
        f"[...document.querySelectorAll({card + ' [data-fan]'!r})]"
        ".filter((fan) => fan.getBoundingClientRect().width).map((fan) => fan.dataset.fan)"
    )
    assert browser.run(shown) == ["40"]
    wanted = f"{card} button[value='10']"
    browser.run(f"document.querySelector({wanted!r}).click()")
    assert browser.run(shown) == ["10"]
    pressed = f"document.querySelector({card + ' [aria-pressed=true]'!r}).value"
    assert browser.run(pressed) == "10"
    beyond = point(browser, f"{card} .plot", 0.5, 0.5)
    assert beyond is not None and len(beyond) == 4 and beyond[2].startswith("forecast")


def test_the_picture_of_all_runs_tells_which_is_which(browser: Chromium) -> None:
    lines = point(browser, ".overview", 0.5, 0.2)
    assert lines is not None and any(lines[0].endswith(name) for name in NAMES)
    assert browser.run("document.querySelectorAll('.curve.near').length") == 1


def test_light_and_dark_at_will(browser: Chromium) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    before = browser.run(ground)
    browser.run("document.getElementById('theme').click()")
    assert browser.run(ground) != before
    assert browser.run(PALE) == []
    browser.run("document.getElementById('theme').click()")
    assert browser.run(ground) == before


def test_prints_on_white(browser: Chromium) -> None:
    browser.look(800, 900, "dark")
    browser.print_view(True)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run(PALE) == []
    browser.print_view(False)
