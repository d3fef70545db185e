"""Serialised values on their way between processes: in memory while small, in a file else.

A block is ``bytes``, or a :class:`FileBlock` that every process of this machine can read. Files live in the directory
of a context, which ends with it. Who keeps blocks (a shuffle, a cached RDD) drops them by :func:`drop`.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import marshal
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from pyspark import cloudpickle

INLINE_BYTES = 128 * 1024
"""Blocks of up to this size travel in messages and stay in the memory of the driver."""

PIECE_BYTES = 4 * 1024 * 1024
"""A partition is serialised in pieces of about this size, whatever the size of its elements."""

_FIRST_PIECE = 16
"""Elements of the first piece, before anything is known of their size."""

_MOST_IN_A_PIECE = 200_000

_numbers = itertools.count()


class FileBlock(NamedTuple):
    """A range of bytes of a file."""

    path: str
    offset: int
    length: int


Block = bytes | FileBlock


def dumps(value: Any) -> bytes:
    """Serialise data: as PySpark does, also instances of classes of the program's main module."""
    return cloudpickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def dumps_of_program(value: Any, what: str = "object") -> bytes:
    """Serialise something of the program; raises ``PicklingError`` if that cannot be."""
    try:
        return dumps(value)
    except pickle.PickleError:
        raise
    except Exception as error:
        message = f"Could not serialize {what}: {type(error).__name__}: {error}"
        raise pickle.PicklingError(message) from error


def dumps_of_broadcast(value: Any) -> bytes:
    """Serialise the value of a broadcast variable.

    As in PySpark by plain pickle, which refuses functions without a name; classes of the program's main module, which
    workers do not have, go by value.
    """
    try:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except pickle.PickleError:
        raise
    except Exception as error:
        raise pickle.PicklingError(f"Could not serialize broadcast: {type(error).__name__}: {error}") from error
    return dumps_of_program(value, "broadcast") if b"__main__" in data else data


def read(block: Block) -> bytes:
    """Return the bytes of a block."""
    if isinstance(block, FileBlock):
        with open(block.path, "rb") as file:
            file.seek(block.offset)
            return file.read(block.length)
    return block


def load(block: Block) -> Any:
    """Deserialise a block."""
    return pickle.loads(read(block))


def elements(blocks: Iterable[Block]) -> Iterator[Any]:
    """Return the elements of blocks that each hold a list, one list in memory at a time."""
    return itertools.chain.from_iterable(map(load, blocks))


_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))
_OF_PICKLE = 0x80
"""The first byte of a pickle, with which nothing that `marshal` writes of a tuple begins."""


def dump_pairs(keys: list[Any], values: list[Any]) -> bytes:
    """Serialise pairs that stay within the processes of this context; quickly, where they are plain data."""
    if (
        type(keys[0]) in _PLAIN
        and type(values[0]) in _PLAIN
        and _PLAIN.issuperset(map(type, keys))
        and _PLAIN.issuperset(map(type, values))
    ):
        # Without references, which take longer to look for than such data takes to write.
        return marshal.dumps((keys, values), 2)
    return dumps_of_program((keys, values))


def _load_pairs(block: Block) -> Iterator[tuple[Any, Any]]:
    data = read(block)
    keys, values = pickle.loads(data) if data[0] == _OF_PICKLE else marshal.loads(data)
    return zip(keys, values, strict=True)


def pairs(blocks: Iterable[Block]) -> Iterator[tuple[Any, Any]]:
    """Return the pairs of blocks that :func:`dump_pairs` has made, those of one block in memory at a time."""
    return itertools.chain.from_iterable(map(_load_pairs, blocks))


class Pace:
    """Says how many elements make a piece of about so many bytes, by those that were serialised before."""

    def __init__(self, piece_bytes: int = PIECE_BYTES) -> None:
        self._piece_bytes = piece_bytes
        self.elements = _FIRST_PIECE

    def took(self, elements: int, size: int) -> None:
        """Take note of the bytes of so many elements."""
        fitting = self._piece_bytes * elements // max(size, 1)
        self.elements = max(1, min(fitting, self.elements * 4, _MOST_IN_A_PIECE))


def owner_of_files(process: int, attempt: int) -> str:
    """Return what the names of files that an attempt of a task writes have in the middle."""
    return f"{process}-of-{attempt}"


def remove_files_of(directory: str, process: int, attempt: int) -> None:
    """Remove what an attempt of a task has written whose process has ended."""
    part = f"-{owner_of_files(process, attempt)}-"
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if part in name:
                os.unlink(os.path.join(directory, name))


class _NamedFile(io.FileIO):
    """A file that is named by the errors of writing it: a full disk alone says nothing."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.name) from None


def named_writer(path: str) -> io.BufferedWriter:
    """Open a file for writing whose errors name it."""
    return io.BufferedWriter(_NamedFile(path, "w"))


class Store:
    """Makes blocks; the large ones in files of one directory."""

    def __init__(self, directory: str, prepare: Callable[[], None] = lambda: None) -> None:
        """``prepare`` is called before a file is written."""
        self.directory = directory
        self._prepare = prepare
        self._owner = str(os.getpid())
        self._written: list[str] | None = None
        """Files of the task that runs; nothing where there are no tasks."""

    def begin(self, attempt: int) -> None:
        """Begin a task: what is written from now on is its."""
        self._owner = owner_of_files(os.getpid(), attempt)
        self._written = []

    def abandon(self) -> None:
        """Remove what the task has written."""
        written, self._written = self._written, []
        for path in written or ():
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _new_path(self, kind: str) -> str:
        path = os.path.join(self.directory, f"{kind}-{self._owner}-{next(_numbers)}")
        if self._written is not None:
            self._written.append(path)
        return path

    def put(self, data: bytes) -> Block:
        """Keep bytes as a block."""
        if len(data) <= INLINE_BYTES:
            return data
        return self.put_together([data], "block")[0]

    def put_together(self, datas: list[bytes], kind: str) -> list[Block]:
        """Keep several pieces as blocks of one file, or all of them in memory."""
        if sum(map(len, datas)) <= INLINE_BYTES:
            return list(datas)
        self._prepare()
        path, offset, blocks = self._new_path(kind), 0, []
        with named_writer(path) as file:
            for data in datas:
                file.write(data)
                blocks.append(FileBlock(path, offset, len(data)))
                offset += len(data)
        return blocks


def drop(blocks: Iterable[Block | None]) -> None:
    """Remove the files of blocks; those of one file are removed together."""
    for path in {block.path for block in blocks if isinstance(block, FileBlock)}:
        # The directory of the context may have gone before.
        with contextlib.suppress(OSError):
            os.unlink(path)
