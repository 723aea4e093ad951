"""What comes from logs and names of files, in a form that cannot break a page."""

from __future__ import annotations

import html
import json


def safe_text(words: str) -> str:
    """Text as HTML, without what a file's name may hold but no page should get.

    >>> safe_text("<b>" + chr(7))
    '&lt;b&gt;�'
    """
    shown = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words
    )
    return html.escape(shown)


def safe_json(content: object) -> str:
    """JSON that may stand in a page: no name can end the element that holds it.

    >>> "</script>" in safe_json(["</script>"])
    False

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
