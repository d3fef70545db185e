"""Keeping the elements of RDDs: in memory or on disk while the context lives, in checkpoints beyond that."""

from __future__ import annotations

import json
import os
import pickle
from typing import TYPE_CHECKING, Any

from pyspark.storagelevel import StorageLevel

from millstream import errors
from millstream.jobs import blocks, inputs, lineage
from millstream.jobs.lineage import Node, Pipelined, Source, part_files
from millstream.rdd.describing import debug_string

if TYPE_CHECKING:
    from millstream.rdd.core import RDD

_NOT_KEPT = StorageLevel(False, False, False, False)
_LOCALLY = StorageLevel(True, True, False, True)
_CHECKPOINT_BATCH = 1000
_META = "_rdd"


class Persistence:
    """Methods of :class:`~millstream.rdd.RDD`."""

    ctx: Any
    _node: Any
    _jrdd_deserializer: int | str
    partitioner: Any
    is_cached: bool
    is_checkpointed: bool

    def cache(self) -> RDD[Any]:
        """Keep the elements in memory once they were computed."""
        return self.persist(StorageLevel.MEMORY_ONLY)

    def persist(self, storageLevel: StorageLevel = StorageLevel.MEMORY_ONLY) -> RDD[Any]:
        """Keep the elements once they were computed; a level that was set can only be changed after unpersist.

        All levels keep serialised elements: small partitions in memory, others in files that the memory of the
        operating system holds as long as there is room.
        """
        if not isinstance(storageLevel, StorageLevel):
            raise TypeError("storageLevel must be of type pyspark.StorageLevel")
        self.is_cached = True
        node = self._node
        if node.level is not None and node.level != storageLevel:
            raise errors.java_error(
                "org.apache.spark.SparkUnsupportedOperationException",
                "Cannot change storage level of an RDD after it was already assigned a level",
                f"o{node.id}.persist",
            )
        node.persist(storageLevel)
        return self  # type: ignore[return-value]

    def unpersist(self, blocking: bool = False) -> RDD[Any]:
        """Drop the elements that were kept."""
        self.is_cached = False
        self._node.unpersist()
        return self  # type: ignore[return-value]

    def getStorageLevel(self) -> StorageLevel:
        """Return how the elements are kept."""
        level = self._node.level
        return _NOT_KEPT if level is None else level  # type: ignore[no-any-return]

    def setName(self, name: str) -> RDD[Any]:
        """Give the RDD a name."""
        if name is not None and not isinstance(name, str):
            raise errors.no_such_method(f"o{self._node.id}.setName", [name])
        self._node.given_name = name
        return self  # type: ignore[return-value]

    def name(self) -> str | None:
        """Return the name, if one was given."""
        return self._node.given_name or None

    def toDebugString(self) -> bytes | None:
        """Describe the RDD and what it comes from."""
        return debug_string(self._node).encode("utf-8") or None

    # -------------------------------------------------------------------------------------------- checkpoints

    def checkpoint(self) -> None:
        """Have the first job on this RDD write it to the checkpoint directory; then it does not depend on others."""
        self.is_checkpointed = True
        if self.ctx._checkpoint_directory is None:
            message = "Checkpoint directory has not been set in the SparkContext"
            raise errors.java_error("org.apache.spark.SparkException", message)
        self._want_checkpoint("reliable")

    def localCheckpoint(self) -> None:
        """Have the first job on this RDD keep it as long as the context lives; then it does not depend on others."""
        level = self._node.level
        if level is None:
            self._node.persist(_LOCALLY)
        else:
            memory = (level.useMemory, level.useOffHeap, level.deserialized, level.replication)
            self._node.persist(StorageLevel(True, *memory))
        self._want_checkpoint("local")

    def _want_checkpoint(self, kind: str) -> None:
        node = self._node
        if node.checkpoint is None and not node.checkpointed_locally:
            node.checkpoint_wanted = kind
            self.ctx._checkpoints_wanted.add(node.id)

    def isCheckpointed(self) -> bool:
        """Whether a checkpoint was made."""
        return self._node.checkpoint is not None or self._node.checkpointed_locally

    def isLocallyCheckpointed(self) -> bool:
        """Whether the RDD is marked for a local checkpoint, or has one."""
        return self._node.checkpointed_locally or self._node.checkpoint_wanted == "local"

    def getCheckpointFile(self) -> str | None:
        """Return the directory of the checkpoint, if one was made."""
        directory = self._node.checkpoint
        return None if directory is None else inputs.uri(directory)

    def _save(self, directory: str | os.PathLike[str]) -> None:
        """Compute the RDD and write it to a new directory; see ``SparkContext._load``.

        It is whole when this returns, but perhaps not on the disk: the graph, which alone knows of it, sees to that.
        """
        directory = os.fspath(directory)
        os.makedirs(directory)
        write_parts(self.ctx, self._node, directory, False)
        meta = {"partitions": self._node.count(), "format": self._jrdd_deserializer}
        with blocks.named_writer(os.path.join(directory, _META)) as file:
            file.write(json.dumps(meta).encode() + b"\n" + blocks.dumps(self.partitioner))


class _Writer:
    """Writes partitions of a checkpoint; if they are synced, durably."""

    def __init__(self, directory: str, sync: bool) -> None:
        self._directory, self._sync = directory, sync

    def __call__(self, split: int, elements: Any) -> Any:
        from millstream.jobs.task import write_pickled

        path = os.path.join(self._directory, lineage.part_name(split))
        write_pickled(path, elements, _CHECKPOINT_BATCH)
        if self._sync:
            _sync_file(path)
        return ()


def _sync_file(path: str) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_parts(ctx: Any, node: Node, directory: str, sync: bool) -> None:
    """Write the partitions of a node to files of a directory; if they are synced, they outlive a power cut."""
    from millstream.rdd.core import serialized

    functions = serialized(ctx, [("withIndex", _Writer(directory, sync))])
    writing = Pipelined(ctx._number(), node, functions, False, False)
    ctx._engine.run(writing, range(node.count()), *ctx._job_properties())
    if sync:
        _sync_directory(directory)


def load(ctx: Any, directory: str) -> RDD[Any]:
    """Return the RDD that :meth:`Persistence._save` has written."""
    from millstream.rdd.core import RDD

    with open(os.path.join(directory, _META), "rb") as file:
        meta = json.loads(file.readline())
        partitioner = pickle.loads(file.read())
    described: list[Any] = [("pickled", file) for file in part_files(directory, meta["partitions"])]
    rdd: RDD[Any] = RDD(Source(ctx._number(), described, "CheckpointRDD", partitioner), ctx, meta["format"])
    rdd.partitioner = partitioner
    return rdd


def make_checkpoints(ctx: Any, node: Node) -> None:
    """Make the checkpoints that are wanted of a node, or else of what it comes from; a job on it has just run."""
    stack, seen = [node], set()
    while stack:
        current = stack.pop()
        if id(current) in seen or current.checkpoint is not None:
            continue
        seen.add(id(current))
        if current.checkpoint_wanted is None:
            stack.extend(current.parents)
            continue
        ctx._checkpoints_wanted.discard(current.id)
        if current.checkpoint_wanted == "local":
            _checkpoint_locally(ctx, current)
        else:
            _checkpoint(ctx, current)


def _checkpoint_locally(ctx: Any, node: Node) -> None:
    missing = [partition for partition in range(node.count()) if partition not in node.kept]
    if missing:
        ctx._engine.run(node, missing, *ctx._job_properties())
    node.cut(None, [])


def _checkpoint(ctx: Any, node: Node) -> None:
    node.checkpoint_wanted = None
    directory = os.path.join(ctx._checkpoint_directory, f"rdd-{node.id}")
    os.makedirs(directory, exist_ok=True)
    write_parts(ctx, node, directory, True)
    node.cut(directory, part_files(directory, node.count()))
