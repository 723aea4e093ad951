"""The README and the site: examples run as they stand, commands parse, pages are whole."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer.main

from lcpfn.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What these show takes longer than all other examples together, and has tests of its own in
# tests/integrations and tests/mcmc.
NOT_RUN = {"ray.md", "trainers.md", "validation.md"}


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language, "" for those that name none."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def named(pages: list[Path]) -> list:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


def test_no_page_is_missed():
    names = {page.name for page in WITH_PYTHON}
    assert {"README.md", "optuna.md", "python.md", "own_runs.md", "training_loop.md"} <= names


@pytest.mark.parametrize("page", named([page for page in WITH_PYTHON if page.name not in NOT_RUN]))
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks(page, "python"):
        # Training for real takes minutes; two steps show that the code runs.
        exec(re.sub(r"curves=[\d_]+", "curves=128", block), namespace)


@pytest.mark.parametrize("page", named([page for page in WITH_PYTHON if page.name in NOT_RUN]))
def test_other_python_examples_are_python(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


def commands(page: Path) -> list[list[str]]:
    """The command lines of `lcpfn` that a page shows, in words."""
    shown = "\n".join(blocks(page, "")).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in shown.splitlines() if line[:6] == "lcpfn "]


@pytest.mark.parametrize("page", named([page for page in PAGES if commands(page)]))
def test_commands_have_these_options(page):
    known = typer.main.get_command(app).commands
    for _, name, *arguments in commands(page):
        known[name].make_context(name, arguments)


def test_readme_is_short_and_begins_with_the_first_door():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 170
    places = [lines.index(next(line for line in lines if line.startswith(start)))
              for start in ("make demo", "make test", "## Optuna")]  # fmt: skip
    assert places == sorted(places)
    assert any("LCPFNPruner(max_steps=" in line for line in lines[places[-1] : 40])


def test_readme_links_to_files():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert targets
    assert not [target for target in targets if not (ROOT / target).is_file()]


class _Loaded(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        fetched = attributes.get("src") or (tag == "link" and attributes.get("href"))
        if fetched:
            self.addresses.append(fetched)


def test_site_builds_and_fetches_nothing_from_afar(tmp_path):
    site = tmp_path / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "optuna.html", "search.html"} <= {page.name for page in pages}
    for page in pages:
        parser = _Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        afar = [address for address in parser.addresses if re.match(r"(https?:)?//", address)]
        assert not afar, page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet
    # The API's pages hold what the docstrings say, examples as code.
    forecasts = (site / "api" / "forecasts.html").read_text(encoding="utf-8")
    assert 'id="lcpfn.LCPFN.extrapolate"' in forecasts
    assert '<span class="gp">&gt;&gt;&gt; </span>' in forecasts
    assert "<blockquote>" not in forecasts
