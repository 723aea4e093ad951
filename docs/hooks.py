"""Before the site is built: the package laid out as it is installed, for the API's pages."""

from __future__ import annotations

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
