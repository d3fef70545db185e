"""Files as partitions: which files a path names, how they are cut, how a piece is read.

Cut and read as Hadoop's input formats do: a piece of a text file begins with the first line that starts after its first
byte and ends with the line that starts at or before its last; a line ends with LF, CR or CR LF; compressed files are
one piece. Files whose name begins with ``_`` or ``.`` are left out. Only files of this machine are read.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import itertools
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from millstream.errors import java_error
from millstream.jobs.blocks import Block, read

LOCAL_BLOCK_BYTES = 32 * 1024 * 1024
"""A file is cut at least so often; the block size of Hadoop's local file system."""

_SLOP = 1.1
_READ_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_NOT_READ = {".snappy": "Snappy", ".lz4": "LZ4", ".zst": "Zstandard", ".lzo": "LZO"}


class Piece(NamedTuple):
    """A range of bytes of a file."""

    path: str
    start: int
    length: int


# ------------------------------------------------------------------------------------------------ names of files


def local_path(path: str) -> str:
    """Return the plain path of a path or URI; raises for a file system that is not this machine's."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(//[^/]*)?(/.*)?$", path)
    if match is None:
        return os.path.abspath(path)
    if match[1].lower() != "file":
        message = f'No FileSystem for scheme "{match[1]}"'
        raise java_error("org.apache.hadoop.fs.UnsupportedFileSystemException", message)
    return os.path.abspath(match[3] or "/")


def uri(path: str) -> str:
    """Return a path as Hadoop shows it."""
    return "file:" + path


def make_directory(path: str, call: str) -> None:
    """Make a directory and those above it; raises what Hadoop raises if that cannot be."""
    try:
        os.makedirs(path, exist_ok=True)
    except (NotADirectoryError, FileExistsError):
        above = path
        while not os.path.lexists(above):
            above = os.path.dirname(above)
        message = f"Parent path is not a directory: {uri(above)}"
        raise java_error("org.apache.hadoop.fs.ParentNotDirectoryException", message, call) from None
    except OSError as error:
        message = f"Mkdirs failed to create {uri(path)}: {error.strerror}"
        raise java_error("java.io.IOException", message, call) from None


OLD_FORMATS = "org.apache.hadoop.mapred"
NEW_FORMATS = "org.apache.hadoop.mapreduce.lib.input"
"""Hadoop's two families of input formats, which differ in the class of their errors: ``textFile`` uses the old one."""


def _bad_input(formats: str, message: str) -> Exception:
    return java_error(f"{formats}.InvalidInputException", message)


def _braces(pattern: str) -> list[str]:
    """Expand ``{a,b}``, which Python's glob does not know."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    ways = (pattern[: match.start()] + way + pattern[match.end() :] for way in match[1].split(","))
    return [expanded for way in ways for expanded in _braces(way)]


def _split_list(paths: str) -> list[str]:
    """Split at commas that do not stand in braces."""
    found = re.split(r",(?![^{]*\})", paths)
    if not all(found):
        raise java_error("java.lang.IllegalArgumentException", "Can not create a Path from an empty string")
    return found


def _visible(name: str) -> bool:
    return not name.startswith(("_", "."))


def list_files(paths: str, formats: str = OLD_FORMATS) -> list[str]:
    """Return the files that a comma-separated list of files, directories and globs names."""
    found: list[str] = []
    for path in _split_list(paths):
        local = local_path(path)
        if os.path.exists(local) and _visible(os.path.basename(local)):
            matches = [local]
        elif os.path.exists(local) or not re.search(r"[*?\[{]", path):
            raise _bad_input(formats, f"Input path does not exist: {uri(local)}")
        else:
            ways = [sorted(glob.glob(way)) for way in _braces(local)]
            matches = [match for way in ways for match in way if _visible(os.path.basename(match))]
            if not matches:
                raise _bad_input(formats, f"Input Pattern {uri(local)} matches 0 files")
        for match in matches:
            found += _files_of(match)
    return found


def _files_of(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    files = [os.path.join(path, name) for name in sorted(os.listdir(path)) if _visible(name)]
    for file in files:
        if os.path.isdir(file):
            message = (
                f"Path: {file} is a directory, which is not supported by the record reader when "
                "`mapreduce.input.fileinputformat.input.dir.recursive` is false."
            )
            raise java_error("java.io.IOException", message)
    return files


# ------------------------------------------------------------------------------------------------ pieces


def _compressed(path: str) -> bool:
    return path.endswith((".gz", ".bz2", ".deflate"))


def text_pieces(paths: str, least: int) -> list[Piece]:
    """Cut text files into at least so many pieces, where they are long enough."""
    files = list_files(paths)
    sizes = [os.path.getsize(file) for file in files]
    goal = sum(sizes) // max(least, 1)
    pieces = []
    for file, size in zip(files, sizes, strict=True):
        for ending, name in _NOT_READ.items():
            if file.endswith(ending):
                message = f"{uri(file)}: {name} compression is not supported"
                raise java_error("org.apache.spark.SparkUnsupportedOperationException", message)
        one = max(1, size) if _compressed(file) else max(1, min(goal, LOCAL_BLOCK_BYTES))
        start = 0
        while (size - start) / one > _SLOP:
            pieces.append(Piece(file, start, one))
            start += one
        if size > start:
            pieces.append(Piece(file, start, size - start))
    return pieces


OPEN_COST_BYTES = 4 * 1024 * 1024
"""What opening a file of binary data counts for when such files are distributed."""

_MOST_BYTES = 128 * 1024 * 1024


def whole_files(paths: str, least: int, cost: int) -> list[list[str]]:
    """Distribute files over about so many partitions, each of them whole.

    Where files have a ``cost``, partitions of less than that are not worth it.
    """
    files = list_files(paths, NEW_FORMATS)
    sizes = [os.path.getsize(file) for file in files]
    if cost:
        most = min(_MOST_BYTES, max(cost, sum(size + cost for size in sizes) // max(least, 1)))
    else:
        most = -(-sum(sizes) // max(least, 1))
    groups: list[list[str]] = []
    filled = most + 1
    for file, size in zip(files, sizes, strict=True):
        if filled >= most and (filled or not groups):
            groups.append([])
            filled = 0
        groups[-1].append(file)
        filled += size
    return groups


def record_pieces(paths: str, record_bytes: int) -> list[Piece]:
    """Cut files of records of equal length at records."""
    one = max(record_bytes, LOCAL_BLOCK_BYTES // record_bytes * record_bytes)
    pieces = []
    for file in list_files(paths, NEW_FORMATS):
        size = os.path.getsize(file)
        starts = range(0, size, one) if size else [0]
        pieces += [Piece(file, start, min(one, size - start)) for start in starts]
    return pieces


# ------------------------------------------------------------------------------------------------ reading


def split_lines(data: Any, decode: bool) -> list[Any]:
    """Return the lines of bytes that hold whole lines, without their ends."""
    if isinstance(data, memoryview | bytearray):
        data = bytes(data)
    if not decode and not data.isascii():
        # Bytes that are no UTF-8 do not pass Java's texts.
        data = data.decode("utf-8", "replace").encode()
    if b"\r" in data:
        lines = data.splitlines()
        return [line.decode("utf-8", "replace") for line in lines] if decode else lines
    lines = data.decode("utf-8", "replace").split("\n") if decode else data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _open(path: str) -> BinaryIO:
    if path.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.endswith(".bz2"):
        return bz2.open(path, "rb")  # type: ignore[return-value]
    return open(path, "rb")


class Lines:
    """Lines of text, which can also be had as the bytes they are made of."""

    def __init__(self, read: Callable[[], Iterable[Any]]) -> None:
        """Take what gives the bytes, in pieces of whole lines, each time it is called."""
        self._read = read

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(split_lines(data, True) for data in self._read())

    def data(self) -> bytes:
        """Return all the bytes."""
        return b"".join(self._read())


def read_text(piece: Piece, decode: bool) -> Iterable[Any]:
    """Return the lines of a piece of a text file."""
    if decode:
        return Lines(lambda: _whole_lines(piece))
    return itertools.chain.from_iterable(split_lines(data, False) for data in _whole_lines(piece))


def read_lines(parts: Iterable[Block], decode: bool) -> Iterable[Any]:
    """Return the lines of blocks of bytes that hold whole lines each."""
    if decode:
        return Lines(lambda: map(read, parts))
    return itertools.chain.from_iterable(split_lines(read(part), False) for part in parts)


def _reads(piece: Piece) -> Iterator[bytes]:
    try:
        yield from _decompressed(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"java.io.EOFException: {uri(piece.path)} cannot be decompressed: {error}") from None


def _decompressed(piece: Piece) -> Iterator[bytes]:
    if piece.path.endswith(".deflate"):
        inflate = zlib.decompressobj()
        with open(piece.path, "rb") as file:
            while data := file.read(_READ_BYTES):
                yield inflate.decompress(data)
            yield inflate.flush()
        return
    with _open(piece.path) as file:
        file.seek(piece.start)
        while data := file.read(_READ_BYTES):
            yield data


def _whole_lines(piece: Piece) -> Iterator[bytes]:
    """Return the bytes of a piece, cut at lines."""
    end = float("inf") if _compressed(piece.path) else piece.start + piece.length
    position, carry, first = piece.start, b"", True
    for data in itertools.chain(_reads(piece), [b""]):
        at_end = not data
        data = carry + data
        # A CR in the last place may be followed by its LF.
        cut = len(data) if at_end else max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1
        whole, carry = data[:cut], data[cut:]
        if not whole:
            continue
        if first:
            first = False
            if piece.start:
                # The line that a piece begins in belongs to the piece before.
                skipped = _line_end(whole, 0)
                whole, position = whole[skipped:], position + skipped
            elif whole.startswith(_BOM):
                # Not part of the text, but of the length of the piece.
                whole, position, end = whole[len(_BOM) :], 0, max(end - len(_BOM), 0)
        if position > end:
            return
        if position + len(whole) <= end:
            position += len(whole)
            if whole:
                yield whole
            continue
        yield whole[: _up_to(whole, int(end) - position)]
        return


def _line_end(data: bytes, start: int) -> int:
    """Return where the next line begins after the first end of a line at or after ``start``."""
    lf, cr = data.find(b"\n", start), data.find(b"\r", start)
    if cr >= 0 and (lf < 0 or cr < lf):
        return cr + (2 if data[cr + 1 : cr + 2] == b"\n" else 1)
    return lf + 1 if lf >= 0 else len(data)


def _up_to(data: bytes, offset: int) -> int:
    """Return where the first line begins that begins after ``offset``."""
    begins = _line_end(data, offset - 1) if offset else 0
    return begins if begins > offset else _line_end(data, begins)


class InputError(OSError):
    """A file is not what it should be; the text begins with the class that this has in Hadoop."""


def read_records(piece: Piece, record_bytes: int) -> Iterator[bytes]:
    """Return the records of a piece; raises :class:`InputError` if the last one is not whole."""
    with open(piece.path, "rb") as file:
        file.seek(piece.start)
        left = piece.length
        while left > 0:
            record = file.read(record_bytes)
            if len(record) < record_bytes:
                text = f"{uri(piece.path)} ends in the middle of a record of {record_bytes} bytes"
                raise InputError(f"java.io.EOFException: {text}")
            left -= record_bytes
            yield record


def read_whole(paths: Iterable[str], decode: bool | None) -> Iterator[tuple[str, Any]]:
    """Return names and contents of files; as text (decoded or not), or as plain bytes for ``None``."""
    for path in paths:
        with open(path, "rb") as plain:
            data = plain.read()
        if decode is not None:
            if _compressed(path):
                data = b"".join(_reads(Piece(path, 0, len(data))))
            # Bytes that are no UTF-8 do not pass Java's texts.
            text = data.decode("utf-8", "replace")
            yield uri(path), text if decode else text.encode()
        else:
            yield uri(path), data
