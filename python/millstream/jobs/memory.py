"""How much memory a worker has, and when it is to move data to scratch files.

Looking takes some microseconds, so loops count elements between two looks; by the growth since the last look a
:class:`Budget` says how many may follow before the next.
"""

from __future__ import annotations

import contextlib
import os
import resource

from millstream.jobs import options

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_FIRST_LOOK = 64
_LEAST_BETWEEN_LOOKS = 16
_MOST_BETWEEN_LOOKS = 2048
_MMAP_THRESHOLD, _LARGE_BYTES = -3, 256 * 1024
_ENDLESS = (1 << 30) - 1


def used_bytes() -> int:
    """Return the resident memory of this process."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def release() -> None:
    """Give memory that is free back to the system, where the C library can, and have it do so with large pieces."""
    with contextlib.suppress(Exception):
        import ctypes

        library = ctypes.CDLL(None)
        # Else the library takes pieces of up to 32 MB from where they cannot be given back.
        library.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        library.malloc_trim(0)


class Budget:
    """Says when one loop has too much in memory."""

    def __init__(self) -> None:
        chosen = options.current()
        self._endless = not chosen.spill
        # Nine tenths, as PySpark leaves the rest to what else a function holds.
        self._least = self._limit = chosen.memory_bytes // 10 * 9
        self._elements = _FIRST_LOOK
        self._seen = 0
        self._growth = 0.0
        """Bytes an element."""

    def begin(self) -> int:
        """Return how many elements may be taken before the first look."""
        if self._endless:
            return _ENDLESS
        self._allow_for_others()
        return self._elements

    def _allow_for_others(self) -> None:
        """Leave some room above what is there now, which belongs to others: else there were no end of small files."""
        self._seen = used_bytes()
        self._limit = max(self._least, self._seen + self._seen // 20)

    def look(self) -> int:
        """Return how many more elements may be taken before the next look; less than 0 if there are too many."""
        if self._endless:
            return _ENDLESS
        now = used_bytes()
        if now >= self._limit:
            return -1
        # What is free inside of the process is used first: only the greatest growth says what an element takes.
        self._growth = max(self._growth, (now - self._seen) / self._elements)
        following = min(self._elements * 4, _MOST_BETWEEN_LOOKS)
        if self._growth:
            following = max(min(following, int((self._limit - now) / self._growth / 2)), _LEAST_BETWEEN_LOOKS)
        self._elements, self._seen = following, now
        return following

    def spilled(self) -> int:
        """Take note that what was held has gone; return how many elements may be taken before the next look."""
        release()
        self._allow_for_others()
        self._elements = max(_FIRST_LOOK, self._elements // 4)
        return self._elements
