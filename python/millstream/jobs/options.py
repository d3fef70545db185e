"""What the settings of a context say to its workers; an environment variable brings it to them."""

from __future__ import annotations

import functools
import json
import os
from typing import NamedTuple

VARIABLE = "MILLSTREAM_WORKER"


class Options(NamedTuple):
    """How workers do their tasks."""

    recognize: str = "true"
    """What is done with functions that are known by their byte code: ``true`` (the engine runs them where it can, else
    they are written into Python's loop), ``inline`` (only the latter), ``false`` (they are called like any other)."""
    spill: bool = True
    """Whether data goes to scratch files when there is too much of it."""
    memory_bytes: int = 512 << 20
    """The memory of a worker above which it does."""
    address_bytes: int = 0
    """The address space that a worker may have; 0 for any."""

    def encoded(self) -> dict[str, str]:
        """Return the environment variable."""
        return {VARIABLE: json.dumps(self._asdict())}


@functools.cache
def current() -> Options:
    """Return the options of this process."""
    text = os.environ.get(VARIABLE)
    return Options(**json.loads(text)) if text else Options()
