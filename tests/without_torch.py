"""A pytest plugin that hides torch: what forecasts and searches must not need.

python -m pytest -p tests.without_torch tests/integrations
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType


class Hidden(importlib.abc.MetaPathFinder):
    """Finds no torch, as where it is not installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


assert "torch" not in sys.modules, "torch is imported already"
sys.meta_path.insert(0, Hidden())
