"""What optional packages bring, and what to say where they are missing."""

from __future__ import annotations

from lcpfn.errors import MissingExtraError


def missing(error: ModuleNotFoundError, what: str, extra: str, *packages: str) -> ImportError:
    """The error to raise in place of one that an import raised.

    Args:
        error: as it was raised.
        what: needs the package, at the beginning of a sentence.
        extra: that brings it.
        packages: that the extra brings; an error about any other is returned as it is.
    """
    package = (error.name or "").partition(".")[0]
    if package not in packages:
        return error
    return MissingExtraError(f"{what} needs {package}: pip install 'lcpfn-stopping[{extra}]'")
