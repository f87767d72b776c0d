"""The bytes of a file → its text: compression, byte-order marks, and the code pages of Windows.

UTF-8 is what a file should be. Another encoding is read only if the bytes allow one reading, and a note reports it.
"""

import gzip
import re
import zlib
from pathlib import Path

from spillover.errors import SpilloverError

MARKS = {
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe\x00\x00": "utf-32-le",
    b"\x00\x00\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
"""Byte-order mark → encoding; UTF-32's come first, since UTF-16's begin like one of them."""

GZIP = b"\x1f\x8b"
"""The first bytes of gzip."""

LFS = b"version https://git-lfs.github.com/spec/"
"""The first bytes of what Git leaves in place of a large file."""

NO_TEXT = {
    b"PK\x03\x04": "a zip archive, such as an Excel workbook is",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of the old kind",
    b"PAR1": "a Parquet file; call it .parquet",
}
"""First bytes of other formats that are often saved under a text file's name → the format."""

LINE_END_OF_UTF_16 = re.compile(rb"\n\0|\0\n")
"""In UTF-16 a zero byte stands beside each line feed."""

WORD = re.compile(r"\w*[^\W\0-\x7f]\w*")
"""A word with a letter beyond ASCII: a wrong code page shows in such words."""

ADVICE = "save the file as UTF-8 (in Excel: `CSV UTF-8`)"


def unpacked(path: Path) -> bytes:
    """Return a file's bytes, decompressed if they are gzip, whatever the file's name says.

    Raises:
        SpilloverError: the file is cut off, or Git has a pointer in its place.
    """
    data = path.read_bytes()
    if data.startswith(LFS):
        raise SpilloverError(f"{path}: found a pointer of Git LFS, expected the file itself; `git lfs pull` gets it")
    if not data.startswith(GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise SpilloverError(f"{path}: cut off or not gzip: {error}") from error


def decoded(path: Path, code_page: str) -> tuple[str, str, str]:
    """Return a file's text, a note on its encoding, and a word for the reader to check it by; both empty for UTF-8.

    Args:
        path: the file.
        code_page: the encoding that Windows uses for the file's language, tried where UTF-8 fails; empty: none.

    Raises:
        SpilloverError: the file is in none of these encodings; the sentence names the byte.
    """
    data = unpacked(path)
    for beginning, kind in NO_TEXT.items():
        if data.startswith(beginning):
            raise SpilloverError(f"{path}: found {kind}, expected a text file; {ADVICE}")
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            text = _strictly(path, data[len(mark) :], encoding)
            return text, "" if encoding == "utf-8" else f"read as {encoding.upper()}, as the byte-order mark says", ""
    if b"\0" in data[:2] or LINE_END_OF_UTF_16.search(data):
        encoding = _wide(data)
        return _strictly(path, data, encoding), f"read as {encoding.upper()}, without a byte-order mark", ""
    if b"\0" in data:
        raise SpilloverError(f"{path}: found a zero byte at byte {data.index(0)}, expected text; delete it there")
    try:
        return data.decode("utf-8"), "", ""
    except UnicodeDecodeError as error:
        if code_page and not _is_damaged_utf8(data, code_page):
            text = _strictly(path, data, code_page)
            note = f"read as {code_page}, since no UTF-8 stands at byte {error.start}"
            return text, note, next(iter(WORD.findall(text)), "")
        raise SpilloverError(f"{path}: found no UTF-8 at byte {error.start}, expected UTF-8; {ADVICE}") from error


def _strictly(path: Path, data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise SpilloverError(f"{path}: found neither UTF-8 nor {encoding} at byte {error.start}; {ADVICE}") from error
    if "\0" in text:
        raise SpilloverError(f"{path}: found zero bytes, as in UTF-16 or in a file that is no text; {ADVICE}")
    return text


def _wide(data: bytes) -> str:
    """Return in which order UTF-16 without a mark has its bytes: in ASCII characters the high one is zero."""
    return "utf-16-le" if data[1::2].count(0) >= data[::2].count(0) else "utf-16-be"


def _is_damaged_utf8(data: bytes, code_page: str) -> bool:
    """Return whether bytes that are no UTF-8 as a whole were UTF-8 once.

    They were if more than a few characters that the language writes stand there in UTF-8. Text in a code page holds
    sequences that happen to be UTF-8, but these are characters of other scripts.
    """
    text = data.decode("utf-8", errors="replace")
    usual = re.sub("[\0-\x7f\ufffd]", "", text).encode(code_page, errors="ignore").decode(code_page)
    return 4 * len(usual) >= text.count("\ufffd")
