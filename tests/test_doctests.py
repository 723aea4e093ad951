"""The examples in docstrings, run under the names that users import."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import lcpfn
import lcpfn.priors

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules() -> list[str]:
    """Every module of the core and the priors; integrations need their framework."""
    found = []
    for package in (lcpfn, lcpfn.priors):
        folder = Path(package.__file__ or "").parent
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            inner = [part for part in parts if part != "__init__"]
            found.append(".".join([package.__name__, *inner]))
    return sorted(found)


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name: str):
    outcome = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert outcome.failed == 0
