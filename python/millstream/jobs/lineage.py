"""How the partitions of RDDs come about: a graph of nodes, each with its number of partitions and its parents.

A node describes each of its partitions for a worker (:mod:`~millstream.jobs.task`). It may be kept (persisted), then
partitions that were computed are blocks; or it may be checkpointed, then its partitions are files and it has no parents
any more. A node is never changed otherwise. Nothing here runs anything: the scheduler does.

``partitioner`` is what Spark's own RDD below a Python RDD knows of its partitioning; unions depend on it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from millstream.jobs import blocks, inputs
from millstream.jobs.blocks import Block, FileBlock
from millstream.jobs.task import Description


class Functions(NamedTuple):
    """Serialised operators, and the broadcast variables they refer to."""

    block: Block
    broadcasts: tuple[Any, ...]


class Node:
    """How one RDD comes about."""

    name = "RDD"
    site: str | None = None
    """Which method the program called where, if that is known to matter: ``collect at program.py:7``."""

    def __init__(self, number: int, parents: Sequence[Node] = (), partitioner: Any = None) -> None:
        self.id = number
        self.parents: tuple[Node, ...] = tuple(parents)
        self.partitioner = partitioner
        self.level: Any = None
        """Storage level, if the partitions are to be kept."""
        self.kept: dict[int, list[Block]] = {}
        """Partitions that are kept."""
        self.checkpoint: str | None = None
        """Directory that holds the partitions."""
        self.checkpoint_wanted: str | None = None
        """``reliable`` or ``local``, until the first job has made the checkpoint."""
        self.checkpoint_files: list[str] = []
        self.checkpointed_locally = False
        self.barrier = any(parent.barrier for parent in self.parents)
        self.given_name: str | None = None
        self._finalizer = weakref.finalize(self, _drop_kept, self.kept)
        self._finalizer.atexit = False

    # What a kind of node says.

    def count(self) -> int:
        """Return the number of partitions."""
        raise NotImplementedError

    def compute(self, partition: int) -> Description:
        """Describe how a partition comes about."""
        raise NotImplementedError

    def _owns(self, kept: Iterable[Block]) -> None:
        """Have files of blocks removed when nothing refers to this node any more."""
        files = [block for block in kept if isinstance(block, FileBlock)]
        if files:
            weakref.finalize(self, blocks.drop, files).atexit = False

    def own_broadcasts(self) -> Sequence[Any]:
        """Return the broadcast variables that the functions of this node refer to."""
        return ()

    # What holds for all.

    @property
    def complete(self) -> bool:
        """Whether every partition is at hand without its parents."""
        return self.checkpoint is not None or (self.level is not None and len(self.kept) == self.count())

    @property
    def is_plain(self) -> bool:
        """Whether the partitions are neither kept nor in a checkpoint."""
        return self.level is None and self.checkpoint is None

    def describe(self, partition: int) -> Description:
        """Describe a partition for a worker."""
        if self.checkpoint is not None:
            return ("pickled", self.checkpoint_files[partition])
        if self.level is None:
            return self.compute(partition)
        kept = self.kept.get(partition)
        if kept is not None:
            return ("block", kept)
        return ("store", self.id, partition, self.compute(partition))

    def persist(self, level: Any) -> None:
        """Keep partitions from now on."""
        self.level = level

    def unpersist(self) -> None:
        """Keep partitions no longer."""
        self.level = None
        kept = list(self.kept.values())
        self.kept.clear()
        for part in kept:
            blocks.drop(part)

    def release(self) -> None:
        """Give up what was only needed to compute partitions."""

    def cut(self, directory: str | None, files: list[str]) -> None:
        """Forget how the partitions came about: they are in these files, or all kept."""
        count = self.count()
        self.release()
        self.parents = ()
        self.checkpoint_wanted = None
        if directory is not None:
            self.checkpoint, self.checkpoint_files = directory, files
        else:
            self.checkpointed_locally = True
        self.__class__ = _Cut
        self._count = count


def _drop_kept(kept: dict[int, list[Block]]) -> None:
    for part in kept.values():
        blocks.drop(part)


class _Cut(Node):
    """A node whose partitions are in a checkpoint."""

    _count: int

    def count(self) -> int:
        return self._count

    def compute(self, partition: int) -> Description:
        from millstream.errors import job_aborted

        message = f"Checkpoint block rdd_{self.id}_{partition} not found! The RDD was unpersisted."
        raise job_aborted(message)


def _blocks_of(descriptions: list[Description]) -> Iterator[Block]:
    """Return the blocks that descriptions of data name."""
    for kind, *what in descriptions:
        if kind in ("block", "lines"):
            yield from what[0]


_LARGE_BLOCK_BYTES = 3 << 20
_MOST_LARGE_BLOCKS = 4
_PARTITIONS_PER_CORE = 3


def grouped_blocks(parts: list[Block], cores: int) -> list[list[Block]]:
    """Return the blocks of each partition: one, or large neighbours where there are more than enough for all cores."""
    most = min(len(parts) // (_PARTITIONS_PER_CORE * cores), _MOST_LARGE_BLOCKS)
    groups: list[list[Block]] = []
    joins = False
    for part in parts:
        size = part.length if isinstance(part, FileBlock) else len(part)
        large = size >= _LARGE_BLOCK_BYTES
        if large and groups and joins and len(groups[-1]) < most:
            groups[-1].append(part)
        else:
            groups.append([part])
        joins = large
    return groups


class Source(Node):
    """Partitions that are described from the beginning."""

    def __init__(
        self, number: int, descriptions: list[Description], name: str = "ParallelCollectionRDD", partitioner: Any = None
    ) -> None:
        super().__init__(number, (), partitioner)
        self.name = name
        self._descriptions = descriptions
        self._owns(_blocks_of(descriptions))

    def count(self) -> int:
        return len(self._descriptions)

    def compute(self, partition: int) -> Description:
        return self._descriptions[partition]


class Late(Node):
    """Partitions that are described when they are first asked for: files are looked for then, not before."""

    def __init__(self, number: int, name: str, describe: Callable[[], list[Description]]) -> None:
        super().__init__(number)
        self.name = name
        self._describe = describe
        self._descriptions: list[Description] | None = None

    def _all(self) -> list[Description]:
        if self._descriptions is None:
            self._descriptions = self._describe()
            self._owns(_blocks_of(self._descriptions))
        return self._descriptions

    def count(self) -> int:
        return len(self._all())

    def compute(self, partition: int) -> Description:
        return self._all()[partition]


class Pipelined(Node):
    """Operators on the elements of each partition of the parent."""

    name = "PythonRDD"

    def __init__(self, number: int, parent: Node, functions: Functions, preserves: bool, barrier: bool) -> None:
        super().__init__(number, [parent], parent.partitioner if preserves else None)
        self._functions = functions
        self._owns([functions.block])
        self.barrier = self.barrier or barrier

    def count(self) -> int:
        return self.parents[0].count()

    def compute(self, partition: int) -> Description:
        return ("command", self.parents[0].describe(partition), self._functions.block, partition)

    def own_broadcasts(self) -> Sequence[Any]:
        return self._functions.broadcasts

    def release(self) -> None:
        del self._functions


class Shuffled(Node):
    """Elements by the partitioner; the map side, once run, is kept as long as the node."""

    name = "ShuffledRDD"

    def __init__(self, number: int, parent: Node, functions: Functions, partitions: int, partitioner: Any) -> None:
        super().__init__(number, [parent], partitioner)
        self.functions = functions
        self._owns([functions.block])
        self._partitions = partitions
        self.outputs: dict[int, list[list[Block]]] = {}
        """By map partition: blocks of each bucket."""
        self.lock = threading.Lock()
        """Held by the thread that runs the map side."""
        self.barrier, self.map_barrier = False, False
        self._outputs_finalizer = weakref.finalize(self, _drop_outputs, self.outputs)
        self._outputs_finalizer.atexit = False

    def count(self) -> int:
        return self._partitions

    def missing(self) -> list[int]:
        """Return the map partitions that have not been run."""
        return [p for p in range(self.parents[0].count()) if p not in self.outputs]

    def compute(self, partition: int) -> Description:
        outputs = self.outputs
        return ("shuffled", [block for p in range(len(outputs)) for block in outputs[p][partition]])

    def release(self) -> None:
        self.clean()
        del self.functions

    def clean(self) -> None:
        """Drop the output of the map side."""
        outputs = list(self.outputs.values())
        self.outputs.clear()
        for output in outputs:
            _drop_buckets(output)


def _drop_buckets(output: list[list[Block]]) -> None:
    blocks.drop(block for bucket in output for block in bucket)


def _drop_outputs(outputs: dict[int, list[list[Block]]]) -> None:
    for output in outputs.values():
        _drop_buckets(output)


class Union(Node):
    """The partitions of the parents one after another; side by side if all are partitioned alike."""

    name = "UnionRDD"

    def __init__(self, number: int, parents: Sequence[Node]) -> None:
        filled = [parent for parent in parents if parent.count()]
        alike = bool(filled) and all(
            parent.partitioner is not None and parent.partitioner == filled[0].partitioner for parent in filled
        )
        super().__init__(number, filled if alike else parents, filled[0].partitioner if alike else None)
        self._alike = alike
        self._counts = [parent.count() for parent in self.parents]
        if alike:
            self.name = "PartitionerAwareUnionRDD"

    def count(self) -> int:
        return self._counts[0] if self._alike else sum(self._counts)

    def compute(self, partition: int) -> Description:
        if self._alike:
            return ("chain", [parent.describe(partition) for parent in self.parents])
        # Unions of unions may be nested more deeply than calls can be.
        union: Node = self
        while isinstance(union, Union) and not union._alike and (union is self or union.is_plain):
            union, partition = union._parent_of(partition)
        return union.describe(partition)

    def _parent_of(self, partition: int) -> tuple[Node, int]:
        for parent, count in zip(self.parents, self._counts, strict=True):
            if partition < count:
                return parent, partition
            partition -= count
        raise IndexError(partition)


class Coalesced(Node):
    """Fewer partitions, each of several neighbours of the parent."""

    name = "CoalescedRDD"

    def __init__(self, number: int, parent: Node, partitions: int) -> None:
        super().__init__(number, [parent])
        self._partitions = partitions

    def count(self) -> int:
        return min(self._partitions, self.parents[0].count())

    def groups(self) -> list[range]:
        """Return the partitions of the parent, by own partition."""
        have, want = self.parents[0].count(), self.count()
        return [range(i * have // want, (i + 1) * have // want) for i in range(want)]

    def compute(self, partition: int) -> Description:
        return ("chain", [self.parents[0].describe(p) for p in self.groups()[partition]])


class Dealt(Node):
    """Batches of elements, each with the number of the partition it is dealt to: the map side of a repartition."""

    name = "MapPartitionsRDD"

    def __init__(self, number: int, parent: Node, batch: int) -> None:
        super().__init__(number, [parent])
        self._batch = batch

    def count(self) -> int:
        return self.parents[0].count()

    def compute(self, partition: int) -> Description:
        return ("batches", self.parents[0].describe(partition), self._batch)


class Zipped(Node):
    """Elements of two parents, side by side."""

    name = "ZippedPartitionsRDD2"

    def __init__(self, number: int, left: Node, right: Node, batch: int) -> None:
        super().__init__(number, [left, right])
        self._batch = batch

    def count(self) -> int:
        return self.parents[0].count()

    def compute(self, partition: int) -> Description:
        left, right = self.parents
        return ("zip", left.describe(partition), right.describe(partition), self._batch)


class Cartesian(Node):
    """All pairs of elements of two parents."""

    name = "CartesianRDD"

    def __init__(self, number: int, left: Node, left_batch: int, right: Node, right_batch: int) -> None:
        super().__init__(number, [left, right])
        self._batches = left_batch, right_batch

    def count(self) -> int:
        return self.parents[0].count() * self.parents[1].count()

    def compute(self, partition: int) -> Description:
        left, right = self.parents
        one, other = divmod(partition, right.count())
        return ("cartesian", left.describe(one), self._batches[0], right.describe(other), self._batches[1])


# ------------------------------------------------------------------------------------------------ walking


def shuffles_to_run(node: Node) -> list[Shuffled]:
    """Return the shuffles that partitions of a node need, those that others need first; complete nodes need none."""
    order: list[Shuffled] = []
    seen: set[int] = set()
    stack: list[tuple[Node, bool]] = [(node, False)]
    while stack:
        current, done = stack.pop()
        if done:
            order.append(current)  # type: ignore[arg-type]
            continue
        if id(current) in seen or current.complete:
            continue
        seen.add(id(current))
        if isinstance(current, Shuffled):
            if not current.missing():
                continue
            stack.append((current, True))
        stack.extend((parent, False) for parent in reversed(current.parents))
    return order


def narrow(node: Node) -> Iterator[Node]:
    """Return the nodes that a task of this node computes: itself and ancestors up to shuffles and complete nodes."""
    stack, seen = [node], set()
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if not current.complete and not isinstance(current, Shuffled):
            stack.extend(current.parents)


def ancestors(node: Node) -> Iterator[Node]:
    """Return a node and all it comes from, each once, itself first."""
    stack, seen = [node], set()
    while stack:
        current = stack.pop()
        if id(current) not in seen:
            seen.add(id(current))
            yield current
            stack.extend(current.parents)


# ------------------------------------------------------------------------------------------------ files


def text_files(number: int, paths: str, least: int, decode: bool) -> Late:
    """Return the lines of text files."""

    def describe() -> list[Description]:
        return [("text", piece, decode) for piece in inputs.text_pieces(paths, least)]

    return Late(number, f"{paths} HadoopRDD", describe)


def whole_files(number: int, paths: str, least: int, decode: bool | None) -> Late:
    """Return names and contents of files."""

    def describe() -> list[Description]:
        cost = inputs.OPEN_COST_BYTES if decode is None else 0
        return [("files", group, decode) for group in inputs.whole_files(paths, least, cost)]

    return Late(number, f"{paths} {'BinaryFileRDD' if decode is None else 'WholeTextFileRDD'}", describe)


def record_files(number: int, paths: str, record_bytes: int) -> Late:
    """Return the records of files of records of equal length."""

    def describe() -> list[Description]:
        return [("records", piece, record_bytes) for piece in inputs.record_pieces(paths, record_bytes)]

    return Late(number, f"{paths} NewHadoopRDD", describe)


def pickle_files(number: int, paths: str) -> Late:
    """Return the elements of files that ``saveAsPickleFile`` wrote."""

    def describe() -> list[Description]:
        return [("pickled", file) for file in inputs.list_files(paths)]

    return Late(number, f"{paths} ObjectRDD", describe)


def part_name(partition: int) -> str:
    """Return the name of the file of a partition."""
    return f"part-{partition:05d}"


def part_files(directory: str, count: int) -> list[str]:
    """Return the files of a directory that holds so many partitions."""
    return [os.path.join(directory, part_name(partition)) for partition in range(count)]
