"""Docstrings as Markdown wants them: examples as blocks of code."""

from __future__ import annotations

import re
from typing import Any

import griffe

# An example: a prompt, and all lines until a blank one.
_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n *\S.*)*", re.MULTILINE)


class Examples(griffe.Extension):
    """Fences the examples of every docstring, and drops the second colon before a block."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites one docstring."""
        if obj.docstring is not None:
            fenced = _EXAMPLE.sub(r"\1```pycon\n\g<0>\n\1```", obj.docstring.value)
            obj.docstring.value = re.sub(r"::$", ":", fenced, flags=re.MULTILINE)
