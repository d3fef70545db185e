"""Transformations and actions of RDDs of pairs: by key, joins, cogroups."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pyspark.resultiterable import ResultIterable
from pyspark.util import fail_on_stopiteration

from millstream.jobs.spill import Values
from millstream.rdd.partitioner import portable_hash

if TYPE_CHECKING:
    from millstream.rdd.core import RDD

Combine = Callable[[Any, Any], Any]
Hash = Callable[[Any], int]


class Keyed:
    """Methods of :class:`~millstream.rdd.RDD` for elements that are pairs of key and value."""

    ctx: Any
    partitioner: Any
    _piped: Any
    partitionBy: Any
    mapPartitions: Any
    collect: Any
    getNumPartitions: Any

    # -------------------------------------------------------------------------------------------- parts of pairs

    def keys(self) -> RDD[Any]:
        """Give the key of each pair."""
        return self._piped(("item", 0))

    def values(self) -> RDD[Any]:
        """Give the value of each pair."""
        return self._piped(("item", 1))

    def mapValues(self, f: Callable[[Any], Any]) -> RDD[Any]:
        """Apply a function to each value; keys stay where they are."""
        return self._piped(("mapValues", f), preserves=True)

    def flatMapValues(self, f: Callable[[Any], Iterable[Any]]) -> RDD[Any]:
        """Apply a function to each value and give a pair for each element of what it returns."""
        return self._piped(("flatMapValues", f), preserves=True)

    # -------------------------------------------------------------------------------------------- by key

    def combineByKey(
        self,
        createCombiner: Callable[[Any], Any],
        mergeValue: Combine,
        mergeCombiners: Combine,
        numPartitions: int | None = None,
        partitionFunc: Hash = portable_hash,
    ) -> RDD[Any]:
        """Combine the values of each key, first within partitions, then across them."""
        local = self._piped(("combine", createCombiner, mergeValue), preserves=True)
        shuffled = local.partitionBy(self._reduce_partitions(numPartitions), partitionFunc)
        return shuffled._piped(("mergeCombiners", mergeCombiners), preserves=True)

    def reduceByKey(
        self, func: Combine, numPartitions: int | None = None, partitionFunc: Hash = portable_hash
    ) -> RDD[Any]:
        """Reduce the values of each key by a function that is associative and commutative."""
        local = self._piped(("reduceByKey", func), preserves=True)
        shuffled = local.partitionBy(self._reduce_partitions(numPartitions), partitionFunc)
        return shuffled._piped(("mergeCombiners", func), preserves=True)

    def aggregateByKey(
        self,
        zeroValue: Any,
        seqFunc: Combine,
        combFunc: Combine,
        numPartitions: int | None = None,
        partitionFunc: Hash = portable_hash,
    ) -> RDD[Any]:
        """Fold the values of each key into a copy of ``zeroValue``; combine what partitions give."""
        return self.combineByKey(_From(zeroValue, seqFunc), seqFunc, combFunc, numPartitions, partitionFunc)

    def foldByKey(
        self, zeroValue: Any, func: Combine, numPartitions: int | None = None, partitionFunc: Hash = portable_hash
    ) -> RDD[Any]:
        """Fold the values of each key, from ``zeroValue`` on in each partition."""
        return self.combineByKey(_From(zeroValue, func), func, func, numPartitions, partitionFunc)

    def groupByKey(self, numPartitions: int | None = None, partitionFunc: Hash = portable_hash) -> RDD[Any]:
        """Gather the values of each key."""
        local = self._piped(("group",), preserves=True)
        shuffled = local.partitionBy(numPartitions, partitionFunc)
        return shuffled._piped(("mergeGroups",), ("mapValues", ResultIterable), preserves=True)

    def reduceByKeyLocally(self, func: Combine) -> dict[Any, Any]:
        """Reduce the values of each key; return a dictionary."""
        func = fail_on_stopiteration(func)
        parts = self.mapPartitions(_Reducing(func)).collect()
        if not parts:
            raise ValueError("Can not reduce() empty RDD")
        merged = parts[0]
        for part in parts[1:]:
            for key, value in part.items():
                merged[key] = func(merged[key], value) if key in merged else value
        return merged  # type: ignore[no-any-return]

    def sampleByKey(
        self, withReplacement: bool, fractions: dict[Any, float | int], seed: int | None = None
    ) -> RDD[Any]:
        """Give a random sample of the pairs, by a fraction for each key."""
        from pyspark.rddsampler import RDDStratifiedSampler

        for fraction in fractions.values():
            assert fraction >= 0.0, f"Negative fraction value: {fraction}"
        return self._piped(("withIndex", RDDStratifiedSampler(withReplacement, fractions, seed).func), preserves=True)

    def countByKey(self) -> dict[Any, int]:
        """Return how many elements each key has."""
        return self._piped(("item", 0)).countByValue()  # type: ignore[no-any-return]

    def collectAsMap(self) -> dict[Any, Any]:
        """Return the pairs as a dictionary; of equal keys the last one counts."""
        return dict(self.collect())

    def lookup(self, key: Any) -> list[Any]:
        """Return the values of a key; looks at one partition only if it is known which."""
        values = self._piped(("filter", _HasKey(key)), ("item", 1))
        if self.partitioner is not None:
            return self.ctx.runJob(values, _same, [self._partition_of(key)])  # type: ignore[no-any-return]
        return values.collect()  # type: ignore[no-any-return]

    def _partition_of(self, key: Any) -> int:
        """Return the partition of a key; workers know it where hashes of this process are not theirs."""
        if "PYTHONHASHSEED" in os.environ:
            return self.partitioner(key)  # type: ignore[no-any-return]
        return self.ctx.parallelize([key], 1).map(self.partitioner).first()  # type: ignore[no-any-return]

    # -------------------------------------------------------------------------------------------- several RDDs

    def cogroup(self, other: RDD[Any], numPartitions: int | None = None) -> RDD[Any]:
        """Gather the values of each key in this RDD, and those in another."""
        return _cogroup([self, other], numPartitions)

    def groupWith(self, other: RDD[Any], *others: RDD[Any]) -> RDD[Any]:
        """Gather the values of each key in several RDDs."""
        return _cogroup([self, other, *others], None)

    def join(self, other: RDD[Any], numPartitions: int | None = None) -> RDD[Any]:
        """Pair the values of each key that is in both RDDs, in all combinations."""
        return _join(self, other, numPartitions, False, False)

    def leftOuterJoin(self, other: RDD[Any], numPartitions: int | None = None) -> RDD[Any]:
        """Join, with None for keys that only this RDD has."""
        return _join(self, other, numPartitions, True, False)

    def rightOuterJoin(self, other: RDD[Any], numPartitions: int | None = None) -> RDD[Any]:
        """Join, with None for keys that only the other RDD has."""
        return _join(self, other, numPartitions, False, True)

    def fullOuterJoin(self, other: RDD[Any], numPartitions: int | None = None) -> RDD[Any]:
        """Join, with None for keys that only one of the RDDs has."""
        return _join(self, other, numPartitions, True, True)

    def subtractByKey(self, other: RDD[Any], numPartitions: int | None = None) -> RDD[Any]:
        """Give the pairs whose key is not in another RDD."""
        grouped = self.cogroup(other, numPartitions)
        return grouped._piped(("filter", _only_left)).flatMapValues(_left)

    # -------------------------------------------------------------------------------------------- partitions

    def _reduce_partitions(self, given: int | None) -> int:
        """Return the number of partitions after a shuffle where none was asked for."""
        if given is not None:
            return given
        if self.ctx._conf.contains("spark.default.parallelism"):
            return self.ctx.defaultParallelism  # type: ignore[no-any-return]
        return self.getNumPartitions()  # type: ignore[no-any-return]

    _defaultReducePartitions = _reduce_partitions


def _cogroup(rdds: list[Any], partitions: int | None) -> RDD[Any]:
    tagged = [_tagged(rdd, number) for number, rdd in enumerate(rdds)]
    union = tagged[0]
    for rdd in tagged[1:]:
        union = union.union(rdd)
    return union.groupByKey(partitions).mapValues(_Sorted(len(rdds)))


def _join(one: Any, other: Any, partitions: int | None, keep_left: bool, keep_right: bool) -> RDD[Any]:
    both = _tagged(one, 0).union(_tagged(other, 1))
    return both.groupByKey(partitions).flatMapValues(_Pairs(keep_left, keep_right))


def _tagged(rdd: Any, number: int) -> RDD[Any]:
    """Mark each value with the number of its RDD."""
    return rdd._piped(("tagValue", number), preserves=True)  # type: ignore[no-any-return]


def _by_number(tagged: Any, count: int) -> list[Any]:
    """Return the values of each RDD; a group that was too large for memory is not brought back there."""
    large = isinstance(getattr(tagged, "data", None), Values)
    groups: list[Any] = [Values() if large else [] for _ in range(count)]
    add = [group.append for group in groups]
    for number, value in tagged:
        add[number](value)
    return groups


class _Sorted:
    """Sorts tagged values by their RDD."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, tagged: Iterable[tuple[int, Any]]) -> tuple[Any, ...]:
        groups = _by_number(tagged, self._count)
        return tuple(ResultIterable(group) for group in groups)


class _Pairs:
    """Pairs the values of two RDDs that have a key; a side that has none may be kept with None."""

    def __init__(self, keep_left: bool, keep_right: bool) -> None:
        self._keep_left, self._keep_right = keep_left, keep_right

    def __call__(self, tagged: Iterable[tuple[int, Any]]) -> Iterator[tuple[Any, Any]]:
        left, right = _by_number(tagged, 2)
        if self._keep_right and not left:
            left.append(None)
        if self._keep_left and not right:
            right.append(None)
        return ((one, other) for one in left for other in right)


class _From:
    """Begins with a copy of the zero value."""

    def __init__(self, zero: Any, function: Combine) -> None:
        self._zero, self._function = zero, function

    def __call__(self, value: Any) -> Any:
        return self._function(copy.deepcopy(self._zero), value)


class _Reducing:
    """Reduces the values of each key of a partition into a dictionary."""

    def __init__(self, function: Combine) -> None:
        self._function = function

    def __call__(self, pairs: Iterable[tuple[Any, Any]]) -> Iterator[dict[Any, Any]]:
        reduced: dict[Any, Any] = {}
        for key, value in pairs:
            reduced[key] = self._function(reduced[key], value) if key in reduced else value
        yield reduced


class _HasKey:
    def __init__(self, key: Any) -> None:
        self._key = key

    def __call__(self, pair: Any) -> bool:
        return pair[0] == self._key  # type: ignore[no-any-return]


def _same(elements: Iterable[Any]) -> Iterable[Any]:
    return elements


def _only_left(group: tuple[Any, tuple[Any, Any]]) -> bool:
    _, (left, right) = group
    return bool(left) and not right


def _left(group: tuple[Any, Any]) -> Any:
    return group[0]
