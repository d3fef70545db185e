"""Tasks: what a worker is asked to do with one partition, and how it does it.

A partition is described by nested tuples, kind first; :data:`_SOURCES` lists the kinds. Nothing in a description runs
before the partition is asked for its elements. Functions come serialised as one piece per stage and are deserialised
for each task anew: what a function changes in its own closure or globals is not seen by another task.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from millstream.jobs import blocks, inputs, operators
from millstream.jobs.blocks import Block, Pace, Store

Description = tuple[Any, ...]


class Task(NamedTuple):
    """One task, as it is sent to a worker."""

    description: Description
    """The partition."""
    shuffle: tuple[Block, int, int] | None
    """Operators of a map side, the last of which partitions; number of the partition; number of buckets."""
    partition: int
    stage: int
    attempt: int
    """Id of the attempt of the task, unique in the context."""
    properties: dict[str, str]
    """Local properties of the thread that runs the job."""
    broadcasts: dict[int, Block]
    """Serialised values of the broadcast variables that functions of the task refer to."""
    forgotten: list[int]
    """Broadcast variables that the worker need not keep."""
    paths: list[str] | None
    """The driver's ``sys.path``, if it is new to the worker."""
    barrier: bool = False
    """Whether functions of the task wait for those of the other tasks of the stage."""
    failures: int = 0
    """How often the task has failed before."""


class Result(NamedTuple):
    """What a task gives back."""

    value: Any
    """The serialised list of elements; for a map side the blocks of each bucket."""
    updates: list[tuple[int, Any]]
    """What was added to accumulators."""
    stored: list[tuple[int, int, list[Block]]]
    """Partitions that are to be kept: id of the RDD, number, blocks."""


class UnequalZip(ValueError):
    """Two RDDs that are zipped do not have equally many elements; found where their elements are paired."""


class UnequalZipBatches(Exception):
    """As before, but found by numbers of batches."""


class Evaluation:
    """Evaluates the description of one task."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.stored: list[tuple[int, int, list[Block]]] = []

    def elements(self, description: Description) -> Iterable[Any]:
        """Return the elements of a partition; a list only if it was one before."""
        return _SOURCES[description[0]](self, *description[1:])

    def _command(self, parent: Description, functions: Block, split: int) -> Iterator[Any]:
        return operators.apply(blocks.load(functions), split, self.elements(parent))

    def _chain(self, parts: list[Description]) -> Iterator[Any]:
        return itertools.chain.from_iterable(map(self.elements, parts))

    def _stored(self, rdd: int, partition: int, parent: Description) -> Iterator[Any]:
        """Compute a partition that is to be kept and keep it, whole."""
        kept = list(_pieces(self._store, self.elements(parent), "rdd"))
        self.stored.append((rdd, partition, kept))
        return blocks.elements(kept)

    def _shuffled(self, buckets: list[Block]) -> Iterator[Any]:
        return blocks.pairs(buckets)

    def _zip(self, left: Description, right: Description, batch: int) -> Iterator[Any]:
        ones, others = self._batches(left, batch), self._batches(right, batch)
        for one, other in itertools.zip_longest(ones, others):
            if one is None or other is None:
                raise UnequalZipBatches
            if len(one) != len(other):
                # Where batches differ in number, too, that is what Spark finds first.
                if sum(1 for _ in ones) != sum(1 for _ in others):
                    raise UnequalZipBatches
                raise UnequalZip(
                    f"Can not deserialize PairRDD with different number of items in batches: ({len(one)}, {len(other)})"
                )
            yield from zip(one, other, strict=True)

    def _cartesian(self, left: Description, left_batch: int, right: Description, right_batch: int) -> Iterator[Any]:
        # Pairs come in the order in which pairs of batches come.
        for ones in self._batches(left, left_batch):
            for others in self._batches(right, right_batch):
                yield from itertools.product(ones, others)

    def _batches(self, description: Description, size: int) -> Iterator[list[Any]]:
        return batches(self.elements(description), size)

    def _dealt(self, parent: Description, size: int) -> Iterator[list[Any]]:
        return self._batches(parent, size)


def batches(elements: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Cut elements as PySpark's serializers do: at ``size``; at a size that grows for 0; not at all for -1."""
    iterator = iter(elements)
    if size < 0:
        whole = list(iterator)
        if whole:
            yield whole
        return
    growing, size = size == 0, size or 1
    while batch := list(itertools.islice(iterator, size)):
        yield batch
        if growing:
            length = len(blocks.dumps(batch))
            if length < _BEST_BYTES:
                size *= 2
            elif length > _BEST_BYTES * 10 and size > 1:
                size //= 2


_BEST_BYTES = 1 << 16
"""PySpark's batches aim at this size."""


def _pieces(store: Store, elements: Iterable[Any], kind: str) -> Iterator[Block]:
    """Serialise elements in pieces of bounded length."""
    iterator, pace = iter(elements), Pace()
    while piece := list(itertools.islice(iterator, pace.elements)):
        data = blocks.dumps_of_program(piece)
        pace.took(len(piece), len(data))
        yield from store.put_together([data], kind)


_SOURCES: dict[str, Callable[..., Iterable[Any]]] = {
    "empty": lambda _: (),
    "range": lambda _, *bounds: range(*bounds),
    "block": lambda _, kept: blocks.elements(kept),
    "text": lambda _, piece, decode: inputs.read_text(piece, decode),
    "lines": lambda _, parts, decode: inputs.read_lines(parts, decode),
    "records": lambda _, piece, size: inputs.read_records(piece, size),
    "files": lambda _, paths, decode: inputs.read_whole(paths, decode),
    "pickled": lambda _, path: read_pickled(path),
    "command": Evaluation._command,
    "chain": Evaluation._chain,
    "store": Evaluation._stored,
    "shuffled": Evaluation._shuffled,
    "zip": Evaluation._zip,
    "cartesian": Evaluation._cartesian,
    "batches": Evaluation._dealt,
}


class Buckets:
    """Collects the output of a map side, pairs by reduce partition."""

    def __init__(self, count: int, store: Store) -> None:
        self.keys: list[list[Any]] = [[] for _ in range(count)]
        self.values: list[list[Any]] = [[] for _ in range(count)]
        self._store = store
        self._blocks: list[list[Block]] = [[] for _ in range(count)]
        self._pace = Pace()
        self.full = self._pace.elements
        """How many pairs are to be collected before the next flush."""

    def flush(self, collected: int) -> list[list[Block]]:
        """Serialise the pairs collected since the last time; return all blocks so far, by bucket."""
        filled = [number for number, keys in enumerate(self.keys) if keys]
        if filled:
            datas = [blocks.dump_pairs(self.keys[number], self.values[number]) for number in filled]
            for number, block in zip(filled, self._store.put_together(datas, "shuffle"), strict=True):
                self._blocks[number].append(block)
                self.keys[number].clear()
                self.values[number].clear()
            self._pace.took(collected, sum(map(len, datas)))
            self.full = self._pace.elements
        return self._blocks


def evaluate(task: Task, store: Store) -> tuple[Any, list[tuple[int, int, list[Block]]]]:
    """Do what a task says; return its value and the partitions to keep."""
    evaluation = Evaluation(store)
    source = evaluation.elements(task.description)
    if task.shuffle is None:
        value: Any = blocks.dumps_of_program(list(source))
    else:
        functions, split, count = task.shuffle
        value = operators.partition(blocks.load(functions), split, source, Buckets(count, store))
    return value, evaluation.stored


# ------------------------------------------------------------------------------------------------ files of pickles

MAGIC = b"millstream pickles 1\n"


def write_pickled(path: str, elements: Iterable[Any], size: int) -> None:
    """Write a file of serialised batches."""
    with blocks.named_writer(path) as file:
        file.write(MAGIC)
        for batch in batches(elements, size):
            file.write(blocks.dumps(batch))


def read_pickled(path: str) -> Iterator[Any]:
    """Return the elements of a file that :func:`write_pickled` wrote."""
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise inputs.InputError(f"java.io.IOException: {inputs.uri(path)} was not written by saveAsPickleFile")
        while True:
            try:
                batch = pickle.load(file)
            except EOFError:
                return
            yield from batch
