"""A JSON document that may be cut off anywhere: what it holds so far.

Python's own words and quotes are read as well, for people print dictionaries.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<mark>[{}\[\],:])
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.+-])
      | (?P<word>-?[A-Za-z]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: dict[str, Any] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
    "NaN": float("nan"),
    "nan": float("nan"),
    "Infinity": float("inf"),
    "inf": float("inf"),
    "-Infinity": float("-inf"),
    "-inf": float("-inf"),
}
# What a token may look like before its last character is written.
_CUT = re.compile(r"""\s*(?:["'].*|-?[\d.]*(?:[eE][-+]?\d*)?|-?[A-Za-z]+)?$""", re.DOTALL)


class Document(NamedTuple):
    """What a JSON document holds so far, and whether it goes on."""

    value: Any
    cut: bool


class NotJSONError(ValueError):
    """The text is no JSON document, and no beginning of one."""


def read_document(text: str) -> Document:
    """Reads a document, or as much of one as there is.

    Of one that is cut off, an entry of a list that has not ended is left out, and so is a number
    or a word at the very end, for more of it may have been to come.

    Raises:
        NotJSONError: it is no JSON, or more than one document.
    """
    try:
        return Document(json.loads(text), False)
    except RecursionError:
        raise NotJSONError("it is nested too deeply") from None
    except ValueError:
        return _Prefix(text).read()


class _Prefix:
    """One pass over a text, with the containers that are open."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[Any] = []
        self._keys: list[str | None] = []
        self._root: Any = None
        self._done = False

    def read(self) -> Document:
        position, expected = 0, "value"
        while True:
            found = _TOKEN.match(self._text, position)
            if found is None or self._may_go_on(found):
                if not _CUT.fullmatch(self._text, position):
                    raise NotJSONError(f"at character {position} there is no JSON")
                return self._as_cut()
            position = found.end()
            if self._done:
                raise NotJSONError("more follows after its end")
            expected = self._take(found, expected)

    def _may_go_on(self, found: re.Match[str]) -> bool:
        at_end = found.end() == len(self._text)
        return at_end and found.lastgroup in ("number", "word")

    def _take(self, found: re.Match[str], expected: str) -> str:
        kind, token = str(found.lastgroup), found.group().strip()
        if kind == "mark" and token in ",:":
            return self._separate(token, expected)
        if kind == "mark" and token in "}]":
            return self._close(token, expected)
        if expected == "key":
            if kind != "text":
                raise NotJSONError(f"{token} is no key")
            self._keys[-1] = str(self._text_of(token))
            return ":"
        if expected not in ("value", "value or end"):
            raise NotJSONError(f"{token} stands where {expected} should")
        return self._add(self._value_of(kind, token))

    def _separate(self, token: str, expected: str) -> str:
        if token == ":" and expected == ":":
            return "value"
        if token == "," and expected == "separator" and self._open:
            return "key" if isinstance(self._open[-1], dict) else "value or end"
        raise NotJSONError(f"{token} stands where {expected} should")

    def _close(self, token: str, expected: str) -> str:
        closes = bool(self._open) and isinstance(self._open[-1], dict if token == "}" else list)
        if not closes or expected not in ("separator", "key", "value or end"):
            raise NotJSONError(f"{token} closes nothing")
        self._open.pop()
        self._keys.pop()
        self._done = not self._open
        return "separator"

    def _value_of(self, kind: str, token: str) -> Any:
        if kind == "mark":
            return {} if token == "{" else []
        if kind == "text":
            return self._text_of(token)
        if kind == "number":
            return float(token) if any(mark in token for mark in ".eE") else int(token)
        if token not in _WORDS:
            raise NotJSONError(f"{token} is no value")
        return _WORDS[token]

    def _text_of(self, token: str) -> str:
        if token.startswith("'"):
            return token[1:-1]
        try:
            return str(json.loads(token, strict=False))
        except ValueError:
            raise NotJSONError(f"{token} is no text") from None

    def _add(self, value: Any) -> str:
        if not self._open:
            self._root = value
            self._done = not isinstance(value, dict | list)
        elif isinstance(self._open[-1], dict):
            self._open[-1][self._keys[-1]] = value
        else:
            self._open[-1].append(value)
        if isinstance(value, dict | list):
            self._open.append(value)
            self._keys.append(None)
            return "key" if isinstance(value, dict) else "value or end"
        return "separator"

    def _as_cut(self) -> Document:
        if self._done:
            return Document(self._root, False)
        if not self._open:
            raise NotJSONError("it holds nothing")
        for outer, inner in zip(self._open, self._open[1:], strict=False):
            if isinstance(outer, list):
                outer.pop()
                break
            # Only columns may end early: one that is a record is told by who reads it.
            del inner
        return Document(self._root, True)
