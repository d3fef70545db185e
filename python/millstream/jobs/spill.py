"""Combining, grouping and sorting a partition that does not fit into a worker's memory.

What is too much is written to a scratch file as a *run*: items in order, serialised in pieces. Runs are merged at the
end, a piece of each in memory. Runs of keys are ordered by the hash of the key, which costs no more than to find the
place of a key in a table, and needs keys that can be ordered no more than a dictionary does. Scratch files lie in the
directory of the context and have no names: the system removes them with the process, however that ends.

Nothing here changes the order of what fits into memory; keys that were spilled come out in another order, as in Spark.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from millstream.jobs import blocks
from millstream.jobs.blocks import Pace
from millstream.jobs.memory import Budget

PIECE_BYTES = 256 * 1024
"""About so much of each run is in memory while runs are merged, in serialised form."""

MOST_RUNS = 64
"""So many runs are merged at a time; each is an open file."""

_directory: str | None = None


def use_directory(directory: str) -> None:
    """Say where scratch files lie."""
    global _directory
    _directory = directory


def _scratch() -> BinaryIO:
    directory = _directory if _directory is not None and os.path.isdir(_directory) else None
    return tempfile.TemporaryFile(dir=directory)  # type: ignore[return-value]


class Run:
    """Items in a scratch file, to be read once, in order."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._file = _scratch()
        iterator, pace = iter(items), Pace(PIECE_BYTES)
        while piece := list(itertools.islice(iterator, pace.elements)):
            data = blocks.dumps(piece)
            pace.took(len(piece), len(data))
            self._file.write(data)
        self._file.seek(0)

    def __iter__(self) -> Iterator[Any]:
        with self._file as file, contextlib.suppress(EOFError):
            while True:
                yield from pickle.load(file)


def _hash_of_key(item: tuple[Any, Any]) -> int:
    return hash(item[0])


class _Merger:
    """Items by key in a dictionary, and runs of those for which there was no room."""

    def __init__(self) -> None:
        self._budget = Budget()
        self._runs: list[Run] = []

    def begin(self) -> int:
        """Return how many elements may be taken before :meth:`look` is to be called."""
        return self._budget.begin()

    def look(self, items: dict[Any, Any]) -> int:
        """Spill the items if there are too many; return how many elements may be taken before the next call."""
        room = self._budget.look()
        if room >= 0:
            return room
        if items:
            if len(self._runs) >= MOST_RUNS:
                self._runs = [Run(self._merged())]
            ordered = sorted(items.items(), key=_hash_of_key)
            items.clear()
            self._runs.append(Run(self._parts(ordered)))
        return self._budget.spilled()

    def finish(self, items: dict[Any, Any]) -> Iterator[Any]:
        """Return each key with what has become of its values."""
        if not self._runs:
            return iter(items.items())
        ordered = sorted(items.items(), key=_hash_of_key)
        items.clear()
        self._runs.append(self._parts(ordered))  # type: ignore[arg-type]
        return self._combined(self._merged())

    def _merged(self) -> Iterator[Any]:
        return heapq.merge(*self._runs, key=_hash_of_key)

    def _parts(self, items: list[Any]) -> Iterable[Any]:
        """Return items as they are to be written; may take them out of the list."""
        return _taken(items)

    def _combined(self, merged: Iterator[Any]) -> Iterator[Any]:
        raise NotImplementedError


def _taken(items: list[Any]) -> Iterator[Any]:
    """Return items and let go of each."""
    items.reverse()
    while items:
        yield items.pop()


class CombinedByKey(_Merger):
    """Combines values of equal keys by a function."""

    def __init__(self, merge: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self._merge = merge

    def _combined(self, merged: Iterator[Any]) -> Iterator[Any]:
        merge = self._merge
        for _, alike in itertools.groupby(merged, _hash_of_key):
            found: dict[Any, Any] = {}
            for key, value in alike:
                found[key] = merge(found[key], value) if key in found else value
            yield from found.items()


class GroupedByKey(_Merger):
    """Gathers lists of values of equal keys; a group that is large itself becomes :class:`Values`."""

    def _parts(self, items: list[Any]) -> Iterable[Any]:
        for key, values in _taken(items):
            yield from _cut(key, values)

    def _combined(self, merged: Iterator[Any]) -> Iterator[Any]:
        for _, alike in itertools.groupby(merged, _hash_of_key):
            found: dict[Any, Values] = {}
            for key, values in alike:
                if key not in found:
                    found[key] = Values()
                found[key].extend(values)
            while found:
                key = next(iter(found))
                yield key, found.pop(key).settled()


_VALUES_TO_SPILL = 16
"""Values of a group that are written to a run as one item: few, as nothing is known of their size."""

_VALUES_TO_SEND = 128
"""Values of a group that go through a shuffle as one."""


def _cut(key: Any, values: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    for start in range(0, len(values), _VALUES_TO_SPILL):
        yield key, values[start : start + _VALUES_TO_SPILL]


def groups_taken(groups: dict[Any, list[Any]]) -> Iterator[tuple[Any, list[Any]]]:
    """Take groups out of a dictionary, in parts that can be written one by one."""
    for key in list(groups):
        values = groups.pop(key)
        if len(values) <= _VALUES_TO_SEND:
            yield key, values
        else:
            for start in range(0, len(values), _VALUES_TO_SEND):
                yield key, values[start : start + _VALUES_TO_SEND]


class Values:
    """A list that only grows; what of it does not fit into memory lies in a scratch file. May be read many times."""

    def __init__(self) -> None:
        self._budget: Budget | None = None
        """Made when there are many values."""
        self._room = _VALUES_TO_SEND
        self._file: BinaryIO | None = None
        self._pieces: list[tuple[int, int]] = []
        """Offset and length of each piece of the file."""
        self._last: list[Any] = []
        self._count = 0

    def append(self, value: Any) -> None:
        """Add a value."""
        self.extend((value,))

    def extend(self, values: Iterable[Any]) -> None:
        """Add values."""
        before = len(self._last)
        self._last.extend(values)
        added = len(self._last) - before
        self._count += added
        self._room -= added
        if self._room < 0:
            self._look()

    def _look(self) -> None:
        if self._budget is None:
            self._budget = Budget()
            self._budget.begin()
        self._room = self._budget.look()
        if self._room < 0:
            self._spill()
            self._room = self._budget.spilled()

    def _spill(self) -> None:
        if self._file is None:
            self._file = _scratch()
        pace, start = Pace(PIECE_BYTES), 0
        offset = self._file.seek(0, os.SEEK_END)
        while start < len(self._last):
            piece = self._last[start : start + pace.elements]
            start += len(piece)
            data = blocks.dumps(piece)
            pace.took(len(piece), len(data))
            self._file.write(data)
            self._pieces.append((offset, len(data)))
            offset += len(data)
        self._file.flush()
        self._last = []

    def settled(self) -> Any:
        """Return a plain list if all is in memory, else this object."""
        return self if self._file is not None else self._last

    def __iter__(self) -> Iterator[Any]:
        if self._file is not None:
            for offset, length in self._pieces:
                yield from pickle.loads(_read_at(self._file.fileno(), offset, length))
        yield from self._last

    def __len__(self) -> int:
        return self._count

    def __reduce__(self) -> Any:
        # Elsewhere the file is not at hand.
        return list, (list(self),)


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    parts = []
    while length:
        data = os.pread(descriptor, length, offset)
        if not data:
            raise EOFError("a scratch file has been cut")
        parts.append(data)
        offset, length = offset + len(data), length - len(data)
    return b"".join(parts)


def in_order(elements: Iterable[Any], key: Callable[[Any], Any], reverse: bool) -> Iterator[Any]:
    """Sort elements; equal ones stay in order."""
    budget, runs, iterator = Budget(), [], iter(elements)
    held: list[Any] = []
    room = budget.begin()
    while more := list(itertools.islice(iterator, max(room, 1))):
        held += more
        room = budget.look()
        if room < 0:
            if len(runs) >= MOST_RUNS:
                runs = [Run(heapq.merge(*runs, key=key, reverse=reverse))]
            held.sort(key=key, reverse=reverse)
            runs.append(Run(_taken(held)))
            room = budget.spilled()
    held.sort(key=key, reverse=reverse)
    return iter(held) if not runs else heapq.merge(*runs, held, key=key, reverse=reverse)
