"""What the site needs beside its pages: the package as installed, and numbers in one piece."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

ROOT = Path(__file__).resolve().parents[1]
LAID_OUT = ROOT / ".make" / "api" / "lcpfn"


# Before mkdocstrings, which looks at once whether the folder is there.
@event_priority(100)
def on_config(config: Any) -> Any:
    """Copies the sources: griffe, which reads them, knows no mapping of folders to packages."""
    shutil.rmtree(LAID_OUT, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "bundled", "optunahub")
    shutil.copytree(ROOT / "lcpfn", LAID_OUT, ignore=ignored)
    for folder in ("priors", "integrations"):
        shutil.copytree(ROOT / folder, LAID_OUT / folder, ignore=ignored)
    return config


def on_page_content(html: str, **_: Any) -> str:
    """Keeps a mean and its error, and a number and its percent sign, in one line."""
    return re.sub(r"(?<=\d) (?=%)| (?=± )|(?<=±) ", "\N{NO-BREAK SPACE}", html)
