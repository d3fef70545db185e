"""Transformations that move elements between partitions, or put them in order."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from millstream import errors
from millstream.jobs import lineage
from millstream.jobs.spill import in_order
from millstream.jobs.xor_shift import first_int
from millstream.rdd.describing import call_site
from millstream.rdd.partitioner import Partitioner, portable_hash

if TYPE_CHECKING:
    from millstream.rdd.core import RDD

_SAMPLES_PER_PARTITION = 20.0
_REPARTITION_BATCH = 10


def _itself(x: Any) -> Any:
    return x


class Partitions:
    """Methods of :class:`~millstream.rdd.RDD`."""

    ctx: Any
    partitioner: Any
    _node: Any
    _jrdd_deserializer: int | str
    _piped: Any
    _reserialized: Any
    _reduce_partitions: Any
    getNumPartitions: Any
    count: Any
    sample: Any
    keyBy: Any

    def partitionBy(self, numPartitions: int | None, partitionFunc: Callable[[Any], int] = portable_hash) -> RDD[Any]:
        """Distribute pairs over partitions by their keys."""
        count = self._reduce_partitions(numPartitions)
        partitioner = Partitioner(count, partitionFunc)
        if self.partitioner == partitioner:
            return self  # type: ignore[return-value]
        rdd = self._shuffled(count, partitionFunc, partitioner)
        rdd.partitioner = partitioner
        return rdd

    def _shuffled(self, count: int, function: Callable[[Any], int], partitioner: Any) -> RDD[Any]:
        from millstream.rdd.core import RDD, PipelinedRDD, serialized

        if not isinstance(count, int):
            raise errors.no_such_method("None.org.apache.spark.api.python.PythonPartitioner", [count, 0])
        self.ctx._live_for("setCallSite")
        # As in Spark fewer than none are none. The operators before go with the partitioning, into one pass.
        keyed = PipelinedRDD(self, (("partition", function, count),), True)  # type: ignore[arg-type]
        functions = serialized(self.ctx, list(keyed._operators))
        node = lineage.Shuffled(
            self.ctx._number(3 if partitioner is None else 4), keyed._source, functions, max(count, 0), partitioner
        )
        node.map_barrier = keyed.is_barrier
        node.site = call_site()
        return RDD(node, self.ctx, -1)

    def repartition(self, numPartitions: int) -> RDD[Any]:
        """Distribute the elements evenly over this number of partitions."""
        return self.coalesce(numPartitions, shuffle=True)

    def coalesce(self, numPartitions: int, shuffle: bool = False) -> RDD[Any]:
        """Make fewer partitions of neighbours; with ``shuffle`` deal the elements out evenly, also to more."""
        from millstream.rdd.core import RDD

        if not numPartitions > 0:
            raise ValueError("Number of partitions must be positive.")
        if not isinstance(numPartitions, int):
            raise errors.no_such_method(f"o{self._node.id}.coalesce", [numPartitions, shuffle])
        if not shuffle:
            node = lineage.Coalesced(self.ctx._number(), self._node, numPartitions)
            return RDD(node, self.ctx, self._jrdd_deserializer)
        batch = min(_REPARTITION_BATCH, self.ctx._batchSize or 1024)
        dealt = RDD(lineage.Dealt(self.ctx._number(), self._node, batch), self.ctx, 1)
        numbered = dealt._piped(("withIndex", _Deal(numPartitions)))
        moved = numbered._shuffled(numPartitions, _itself, None)
        return RDD(moved._piped(("flatMap", _batch))._node, self.ctx, batch)

    def repartitionAndSortWithinPartitions(
        self,
        numPartitions: int | None = None,
        partitionFunc: Callable[[Any], int] = portable_hash,
        ascending: bool = True,
        keyfunc: Callable[[Any], Any] = lambda x: x,
    ) -> RDD[Any]:
        """Distribute pairs by their keys and sort each partition by them."""
        moved = self.partitionBy(self._reduce_partitions(numPartitions), partitionFunc)
        return moved._piped(("mapPartitions", _Sort(keyfunc, not ascending)), preserves=True)

    def sortByKey(
        self,
        ascending: bool | None = True,
        numPartitions: int | None = None,
        keyfunc: Callable[[Any], Any] = lambda x: x,
    ) -> RDD[Any]:
        """Sort pairs by their keys, across all partitions; takes a sample of the keys first, by a job."""
        count = self._reduce_partitions(numPartitions)
        sort = ("mapPartitions", _Sort(keyfunc, not ascending))
        if count == 1:
            one: Any = self.coalesce(1) if self.getNumPartitions() > 1 else self
            return one._piped(sort, preserves=True)
        size = self.count()
        if not size:
            return self  # type: ignore[return-value]
        fraction = min(count * _SAMPLES_PER_PARTITION / max(size, 1), 1.0)
        samples = sorted(self.sample(False, fraction, 1)._piped(("item", 0)).collect(), key=keyfunc)
        bounds = [samples[int(len(samples) * (i + 1) / count)] for i in range(count - 1)]
        ranges = _Ranges(bounds, keyfunc, count, bool(ascending))
        return self.partitionBy(count, ranges)._piped(sort, preserves=True)

    def sortBy(
        self, keyfunc: Callable[[Any], Any], ascending: bool = True, numPartitions: int | None = None
    ) -> RDD[Any]:
        """Sort the elements by what a function gives for them."""
        return self.keyBy(keyfunc).sortByKey(ascending, numPartitions).values()  # type: ignore[no-any-return]

    def cleanShuffleDependencies(self, blocking: bool = False) -> None:
        """Drop the output of the shuffles that lead here; they are run again if needed."""
        for node in lineage.ancestors(self._node):
            if isinstance(node, lineage.Shuffled):
                node.clean()


class _Deal:
    """Numbers batches so that partitions get them in turn, from a different one on for each map partition."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    def __call__(self, split: int, batches: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        return enumerate(batches, first_int(split, self._partitions) + 1)


def _batch(numbered: tuple[int, Any]) -> Any:
    return numbered[1]


class _Sort:
    """Sorts the pairs of a partition by key; equal keys stay in order."""

    def __init__(self, keyfunc: Callable[[Any], Any], reverse: bool) -> None:
        self._keyfunc, self._reverse = keyfunc, reverse

    def __call__(self, pairs: Iterable[Any]) -> Iterator[Any]:
        keyfunc = self._keyfunc
        return in_order(pairs, lambda pair: keyfunc(pair[0]), self._reverse)


class _Ranges:
    """Partitions keys by where they lie between bounds."""

    def __init__(self, bounds: list[Any], keyfunc: Callable[[Any], Any], count: int, ascending: bool) -> None:
        self._bounds, self._keyfunc, self._count, self._ascending = bounds, keyfunc, count, ascending

    def __call__(self, key: Any) -> int:
        place = bisect.bisect_left(self._bounds, self._keyfunc(key))
        return place if self._ascending else self._count - 1 - place
