"""The bytes of a log as text, or what they are instead.

A pickle can run any code when it is read, so it is refused by its name and its first bytes.
"""

from __future__ import annotations

import os
import pickletools
import re
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from lcpfn.errors import InputError

STANDARD_INPUT = "-"

_GZIP = b"\x1f\x8b"
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".npz", ".npy", ".dill")
_SIGNATURES = (
    (b"\x89PNG", "a picture"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3", "an SQLite database"),
    (b":W&B", "a binary W&B file"),
    (b"\x93NUMPY", "a numpy array"),
    (b"%PDF", "a PDF file"),
    (b"ARROW1", "an Arrow file"),
)
_COMPRESSED = (
    (b"BZh", "bzip2", "bzcat"),
    (b"\xfd7zXZ", "xz", "xzcat"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstdcat"),
)
# What a file system fills a file with after a crash, or where a log was cut off under its writer.
_ZEROS = re.compile("\0{8,}")
_POINTER = "version https://git-lfs.github.com/spec/"
_EXPORT = "export its metrics as CSV or JSON instead"


@dataclass(frozen=True)
class Content:
    """A log as it lay there when it was read.

    Args:
        name: what messages call it.
        text: all of it, without a byte-order mark.
        ended: whether its last line has its end; one that has not may still be being written.
        notes: what was odd, each a sentence.
        stem: name of the file without folder and suffix, which some formats need; may be empty.
    """

    name: str
    text: str
    ended: bool
    notes: list[str] = field(default_factory=list)
    stem: str = ""

    def lines(self) -> list[str]:
        """The lines, without their ends; the last one is empty where the text has its end."""
        # str.splitlines would also break at characters that JSON allows inside a string.
        text = self.text
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text.split("\n")


def read_bytes(source: str | os.PathLike[str]) -> bytes:
    """The content of a file, or of standard input for "-".

    Raises:
        InputError: there is no such file, or it is one that can run code when it is read.
    """
    if source == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    path = Path(source)
    refuse_pickles(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: name a log, or a folder that holds one") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def refuse_pickles(path: Path) -> None:
    """Raises an error for the name of a file that may hold a pickle, before it is opened."""
    if path.suffix.lower() in _PICKLES:
        raise InputError(
            f"{path} may hold a pickle, which can run any code when it is read, so it was not "
            f"opened; {_EXPORT}"
        )


def name_of(source: str | os.PathLike[str]) -> str:
    """What messages call a log."""
    return "standard input" if source == STANDARD_INPUT else str(source)


def decompressed(content: bytes) -> tuple[bytes, bool]:
    """Content without gzip, as far as it was written, and whether that is all of it."""
    if not content.startswith(_GZIP):
        return content, True
    parts: list[bytes] = []
    while content.startswith(_GZIP):
        stream = zlib.decompressobj(wbits=31)
        try:
            parts.append(stream.decompress(content))
        except zlib.error:
            return b"".join(parts), False
        if not stream.eof:
            return b"".join(parts), False
        content = stream.unused_data
    return b"".join(parts), not content.strip(b"\0")


def decoded(data: bytes, name: str, stem: str = "") -> Content:
    """Content as text.

    Raises:
        InputError: it is empty or no text; the message says what it is, where that is known.
    """
    _refuse_binary(data, name)
    data, whole = decompressed(data)
    _refuse_binary(data, name)
    text, complete = _decode(data, name)
    notes = [] if whole else ["its gzip stream is cut off, and was read as far as it goes"]
    if "\0" in text:
        text, blocks = _ZEROS.subn("", text)
        if blocks:
            notes.append("zero bytes in it were passed over, as a crash or a rotation leaves them")
    if "\0" in text:
        raise InputError(f"{name} is not a text file: it holds zero bytes; {_EXPORT}")
    if not text.strip():
        raise InputError(f"{name} is empty, but must hold at least one record")
    if text.startswith(_POINTER):
        raise InputError(
            f"{name} is no log but a pointer of Git LFS to one: fetch the file with git lfs pull"
        )
    return Content(name, text, complete and text.endswith(("\n", "\r")), notes, stem)


def _refuse_binary(data: bytes, name: str) -> None:
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            raise InputError(f"{name} is not a text file but {kind}; {_EXPORT}")
    for signature, kind, command in _COMPRESSED:
        if data.startswith(signature):
            raise InputError(
                f"{name} is compressed by {kind}; unpack it, or read it from standard input: "
                f"{command} FILE | lcpfn ... -"
            )
    if _is_pickle(data):
        raise InputError(
            f"{name} is a pickle, which can run any code when it is read, so it was not; {_EXPORT}"
        )


def _is_pickle(data: bytes) -> bool:
    """Whether bytes are a pickle of any protocol; they are only looked at."""
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    # Protocols 0 and 1 begin with what they hold, and are told by their grammar.
    if data[:1] not in (b"(", b"}", b"]", b"c") or not data.rstrip().endswith(b"."):
        return False
    try:
        return sum(1 for _ in pickletools.genops(data)) > 1
    except (ValueError, IndexError, KeyError):
        return False


def _decode(data: bytes, name: str) -> tuple[str, bool]:
    """The text, and whether its last character is whole."""
    encoding = _encoding(data)
    try:
        return data.decode(encoding), True
    except UnicodeDecodeError as error:
        unit = 2 if encoding.startswith("utf-16") else 1
        if error.end >= len(data) - unit and len(data) - error.start < 4:
            # The last character was cut; what stands before it counts.
            start = error.start - error.start % unit
            return data[:start].decode(encoding, errors="ignore"), False
        if encoding == "utf-8-sig" and not any(byte < 9 for byte in data):
            # Windows writes its own letters where nobody asks for UTF-8; digits are the same.
            return data.decode("cp1252", errors="replace"), True
        raise InputError(
            f"{name} is not a text file: byte {error.start} is no {error.encoding}; {_EXPORT}"
        ) from None


def _encoding(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    # UTF-16 without its mark: every other byte of plain text is zero.
    head = data[:64]
    if len(head) >= 4 and not any(head[1::2]) and all(head[0::2][:-1]):
        return "utf-16-le"
    return "utf-8-sig"
