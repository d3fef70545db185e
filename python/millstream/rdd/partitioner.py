"""Which partition a key goes to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def portable_hash(x: Any) -> int:
    """Return a hash that is the same in every process: None and tuples are hashed by rules of their own.

    Raises ``PySparkRuntimeError`` where hashes of strings differ from process to process, as they do unless the
    environment variable ``PYTHONHASHSEED`` is set.
    """
    if "PYTHONHASHSEED" not in os.environ:
        from pyspark.errors import PySparkRuntimeError

        raise PySparkRuntimeError(errorClass="PYTHON_HASH_SEED_NOT_SET", messageParameters={})
    if x is None:
        return 0
    if isinstance(x, tuple):
        h = 0x345678
        for item in x:
            h ^= portable_hash(item)
            h *= 1000003
            h &= sys.maxsize
        h ^= len(x)
        if h == -1:
            h = -2
        return int(h)
    return hash(x)


class Partitioner:
    """Assigns keys to so many partitions by a function."""

    __module__ = "pyspark.core.rdd"

    def __init__(self, numPartitions: int, partitionFunc: Callable[[Any], int]) -> None:
        self.numPartitions = numPartitions
        self.partitionFunc = partitionFunc

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Partitioner)
            and self.numPartitions == other.numPartitions
            and self.partitionFunc == other.partitionFunc
        )

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, k: Any) -> int:
        """Return the partition of a key."""
        return self.partitionFunc(k) % self.numPartitions
