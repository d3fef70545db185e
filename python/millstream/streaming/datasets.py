"""What the graph does with the contents of a batch, in terms of RDDs.

One object of :class:`Datasets` belongs to one graph, which calls it from its own threads with the interpreter's lock.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.context import SparkContext
    from millstream.rdd import RDD


class Datasets:
    """RDDs for the graph: made from received bytes and files, united, kept, saved and loaded."""

    def __init__(self, sc: SparkContext) -> None:
        self._sc = sc

    def empty(self) -> RDD[Any]:
        """Return the contents of a batch without input."""
        return self._sc.emptyRDD()

    def union(self, rdds: list[RDD[Any]]) -> RDD[Any]:
        """Return one RDD with the partitions of all, in this order."""
        return self._sc.union(rdds) if rdds else self._sc.emptyRDD()

    def text(self, blocks: list[Any]) -> RDD[str]:
        """Return the lines of received blocks of bytes, a partition for each block."""
        return self._sc._from_text_blocks(blocks)

    def text_files(self, paths: list[os.PathLike[str]]) -> RDD[str]:
        """Return the lines of these files."""
        return self.union([self._sc.textFile(os.fspath(path), 1) for path in paths])

    def record_files(self, paths: list[os.PathLike[str]], record_bytes: int) -> RDD[bytes]:
        """Return the records of these files, each so many bytes long."""
        return self.union([self._sc.binaryRecords(os.fspath(path), record_bytes) for path in paths])

    def remember(self, rdd: RDD[Any], level: tuple[bool, bool, bool, bool, int] | None) -> None:
        """Keep the partitions of an RDD from the first time they are computed on, if they are not kept already."""
        from pyspark.storagelevel import StorageLevel

        if not rdd.is_cached:
            rdd.persist(StorageLevel.MEMORY_ONLY if level is None else StorageLevel(*level))

    def forget(self, rdd: RDD[Any]) -> None:
        """Let go of the kept partitions of an RDD."""
        if self._sc._engine is not None:
            rdd.unpersist()

    def save(self, rdd: RDD[Any], directory: os.PathLike[str]) -> None:
        """Compute an RDD and write it for a checkpoint; afterwards it does not depend on what it was made of."""
        rdd._save(os.fspath(directory))
        node = rdd._node
        # What is saved is kept, too: later batches are computed from that, and all that came before can be let go.
        if len(node.kept) == node.count():
            node.cut(None, [])

    def load(self, directory: os.PathLike[str]) -> RDD[Any]:
        """Return an RDD that :meth:`save` has written."""
        return self._sc._load(os.fspath(directory))

    def cancel(self) -> None:
        """End what is computed now; nobody waits for it any more."""
        self._sc.cancelAllJobs()
