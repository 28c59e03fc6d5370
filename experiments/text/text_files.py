"""Files of text that people give: opened, known by their content, and read line by line.

Lines end at a line feed alone. Text is UTF-8, plain or compressed by gzip; anything else is named.
"""

import gzip
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import file_digest
from pathlib import Path
from stat import S_ISDIR, S_ISFIFO, S_ISREG
from typing import IO, NamedTuple, cast

from experiments.runner.errors import UserError

CACHE = Path(os.environ.get("MOE_CACHE", "cache"), "translation")


class Passage(NamedTuple):
    """A piece of text in both languages.

    Attributes:
        document: what the split keeps together.
        domain: the kind of text.
        english: text.
        french: text, or another target language's.
        language: of the target, as a code; empty where there is one.
    """

    document: str
    domain: str
    english: str
    french: str
    language: str = ""


_GZIP = b"\x1f\x8b"
_OTHER_COMPRESSIONS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7-zip",
}
_BOM = b"\xef\xbb\xbf"
# The marks of UTF-32 first: that of its little end begins with that of UTF-16.
_OTHER_BOMS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# Controls that no text has.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# A file that was changed so recently may change again without a new time.
_SECONDS_OF_DOUBT = 2.0


def digest(path: Path, name: str) -> str:
    """SHA-256 of a file's bytes.

    Args:
        path: of the file.
        name: what people know it by, for errors.

    Raises:
        UserError: it is no ordinary file that can be read.
    """
    found = _status(path, name)
    # As long as these are the same, so is the content: a large file is read once per process.
    signature = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    is_settled = time.time() - found.st_ctime > _SECONDS_OF_DOUBT
    try:
        return _kept_digest(path, signature) if is_settled else _digest(path)
    except OSError as error:
        raise _unreadable(path, name, error) from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@cache
def _kept_digest(path: Path, signature: tuple[int, ...]) -> str:
    return _digest(path)


def lines(path: Path, name: str, is_read_once: bool = False) -> Iterator[bytes]:
    """A file's lines without their ends, from its beginning.

    Args:
        path: of the file, compressed by gzip or not.
        name: what people know it by, for errors.
        is_read_once: so that it may be a pipe.

    Raises:
        UserError: it is no ordinary file that can be read, is damaged, or holds no UTF-8.
    """
    _status(path, name, is_read_once)
    try:
        with _opened(path, name) as stream:
            yield from lines_of(stream, f"{name}: {path}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        what = "is cut short" if isinstance(error, EOFError) else f"is damaged ({error})"
        raise UserError(
            f"{name}: the gzip file {path} {what}.",
            f"Fetch or make the file again; gzip -t {path} must be silent.",
        ) from error
    except OSError as error:
        raise _unreadable(path, name, error) from error


def lines_of(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """A stream's lines as they come, without their ends and the mark of UTF-8 before the first.

    Raises:
        UserError: the first line shows another encoding, or that this is no text.
    """
    for number, line in enumerate(stream, start=1):
        if number == 1:
            line = line.removeprefix(_BOM)
            encoding = next((each for bom, each in _OTHER_BOMS.items() if line.startswith(bom)), "")
            # Of text in UTF-16 about every second byte, unless it is Chinese, say.
            if encoding or line.count(0) > len(line) / 5:
                raise not_utf8(name, 1, line, encoding)
        # At line feeds alone: str.splitlines would also break at marks that stand within sentences.
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def not_utf8(name: str, number: int, line: bytes, encoding: str = "") -> UserError:
    """The error for a line that is no UTF-8, with what it looks like.

    Args:
        name: what people know the text by.
        number: of the line, from 1.
        line: its bytes.
        encoding: what it is, if that is known.
    """
    looks_like, command = (encoding, f"iconv -f {encoding}") if encoding else _guessed(line)
    return UserError(
        f"{name} is not UTF-8: line {number:,} looks like {looks_like}.",
        f"Convert it: {command} -t UTF-8 FILE > NEW_FILE." if command else "Give plain text.",
    )


def _guessed(line: bytes) -> tuple[str, str]:
    """The likely encoding of a line that is not UTF-8, and the beginning of what converts it."""
    if _NO_TEXT.search(line):
        encoding = _utf_16(line)
        return (encoding or "binary data", f"iconv -f {encoding}" if encoding else "")
    text = line.decode("utf-8", errors="replace")
    # More letters beyond ASCII that can be read than damaged ones.
    if sum(each > "\x7f" and each.isalpha() for each in text) > text.count("\ufffd"):
        return "UTF-8 with damaged characters", "iconv -c -f UTF-8"
    if sum(byte > 0x7F for byte in line) > len(line.replace(b" ", b"")) / 2:
        return "GB18030, Shift-JIS, Windows-1251 or another such encoding", "iconv -f ITS_NAME"
    return "Windows-1252 or Latin-1", "iconv -f WINDOWS-1252"


def _utf_16(line: bytes) -> str:
    """The kind of UTF-16 that a file's first line is in, or nothing.

    Lines are cut at the byte of a line feed, which in UTF-16 is half a character.
    """
    # Of Latin letters in UTF-16 every second byte is zero, and which one tells the order of bytes.
    places = {place % 2 for place, byte in enumerate(line) if not byte}
    encoding = "UTF-16LE" if places == {1} else "UTF-16BE"
    text = line[: len(line) // 2 * 2].decode(encoding, errors="replace")
    is_text = all(each.isprintable() or each.isspace() for each in text)
    return encoding if len(places) == 1 and is_text else ""


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    with path.open("rb") as stream:
        # A look that takes nothing away, so that pipes work too.
        head = stream.peek(8)
        for mark, compression in _OTHER_COMPRESSIONS.items():
            if head.startswith(mark):
                raise UserError(
                    f"{name}: {path} is compressed by {compression}, which is not read here.",
                    "Unpack it, or compress it by gzip.",
                )
        if head.startswith(_GZIP):
            with gzip.open(stream, "rb") as unpacked:
                yield cast(IO[bytes], unpacked)
            return
        if path.suffix == ".gz" and head:
            raise UserError(
                f"{name}: {path} is not compressed by gzip, although its name ends in .gz.",
                "Fetch it again if a download failed; if it is plain text, rename it.",
            )
        yield stream


def _status(path: Path, name: str, is_read_once: bool = False) -> os.stat_result:
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise UserError(f"{name}: there is no file {path}.", "Correct the path.") from error
    except OSError as error:
        raise _unreadable(path, name, error) from error
    if S_ISREG(found.st_mode) or (is_read_once and S_ISFIFO(found.st_mode)):
        return found
    if S_ISFIFO(found.st_mode):
        raise UserError(
            f"{name}: {path} is a pipe, and the text is read more than once.",
            "Write it to a file first, and name that.",
        )
    what = "a folder" if S_ISDIR(found.st_mode) else "a device or socket"
    raise UserError(f"{name}: {path} is {what} and not a regular file.", "Name a file of text.")


def _unreadable(path: Path, name: str, error: OSError) -> UserError:
    return UserError(
        f"{name}: {path} cannot be read: {error.strerror or error}.",
        "Correct the path or the permissions of the file.",
    )
