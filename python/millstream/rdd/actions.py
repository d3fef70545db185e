"""Actions: what runs jobs and gives values to the driver."""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import operator
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pyspark.util import fail_on_stopiteration

from millstream import errors

_DEVIATIONS = 10.0


class Actions:
    """Methods of :class:`~millstream.rdd.RDD`."""

    ctx: Any
    _node: Any
    _piped: Any
    map: Any
    sample: Any
    getNumPartitions: Any

    def collect(self) -> list[Any]:
        """Return all elements."""
        self.ctx._live_for("setCallSite")
        parts = self.ctx._run(self._node, range(self.getNumPartitions()))
        return parts[0] if len(parts) == 1 else list(itertools.chain.from_iterable(parts))

    def collectWithJobGroup(self, groupId: str, description: str, interruptOnCancel: bool = False) -> list[Any]:
        """Return all elements, by jobs of a group; deprecated since 3.1."""
        import warnings

        warnings.warn(
            "Deprecated in 3.1, Use pyspark.InheritableThread with the pinned thread mode enabled.",
            FutureWarning,
            stacklevel=2,
        )
        self.ctx.setJobGroup(groupId, description, interruptOnCancel)
        return self.collect()

    def toLocalIterator(self, prefetchPartitions: bool = False) -> Iterator[Any]:
        """Return an iterator that computes one partition after another, with ``prefetchPartitions`` one ahead."""
        node, run = self._node, _awaited(self.ctx._run)
        count = self.getNumPartitions()
        if not prefetchPartitions:
            return itertools.chain.from_iterable(run(node, [partition])[0] for partition in range(count))
        return _one_ahead(lambda partition: run(node, [partition])[0], count)

    def foreach(self, f: Callable[[Any], None]) -> None:
        """Call a function for each element, in the workers."""
        self._piped(("foreach", f)).collect()

    def foreachPartition(self, f: Callable[[Iterable[Any]], None]) -> None:
        """Call a function for each partition, in the workers."""
        self._piped(("mapPartitions", _ForeachPartition(f)), ("count",)).collect()

    # -------------------------------------------------------------------------------------------- reducing

    def reduce(self, f: Callable[[Any, Any], Any]) -> Any:
        """Reduce the elements by a function that is associative and commutative."""
        f = fail_on_stopiteration(f)
        parts = self._piped(("mapPartitions", _Reduce(f))).collect()
        if parts:
            return functools.reduce(f, parts)
        raise ValueError("Can not reduce() empty RDD")

    def treeReduce(self, f: Callable[[Any, Any], Any], depth: int = 2) -> Any:
        """Reduce the elements, in several levels."""
        if depth < 1:
            raise ValueError(f"Depth cannot be smaller than 1 but got {depth}.")
        step = _ReduceOrNothing(f)
        value, nothing = self._piped(("map", _something)).treeAggregate((None, True), step, step, depth)
        if nothing:
            raise ValueError("Cannot reduce empty RDD.")
        return value

    def fold(self, zeroValue: Any, op: Callable[[Any, Any], Any]) -> Any:
        """Fold the elements of each partition from ``zeroValue`` on, then what the partitions give."""
        op = fail_on_stopiteration(op)
        return functools.reduce(op, self._piped(("mapPartitions", _Fold(zeroValue, op))).collect(), zeroValue)

    def aggregate(self, zeroValue: Any, seqOp: Callable[[Any, Any], Any], combOp: Callable[[Any, Any], Any]) -> Any:
        """Fold the elements of each partition by one function, then what the partitions give by another."""
        seqOp, combOp = fail_on_stopiteration(seqOp), fail_on_stopiteration(combOp)
        return functools.reduce(combOp, self._piped(("mapPartitions", _Fold(zeroValue, seqOp))).collect(), zeroValue)

    def treeAggregate(
        self,
        zeroValue: Any,
        seqOp: Callable[[Any, Any], Any],
        combOp: Callable[[Any, Any], Any],
        depth: int = 2,
    ) -> Any:
        """Aggregate, in several levels."""
        if depth < 1:
            raise ValueError(f"Depth cannot be smaller than 1 but got {depth}.")
        if self.getNumPartitions() == 0:
            return zeroValue
        partial = self._piped(("mapPartitions", _Fold(zeroValue, seqOp)))
        count: float = partial.getNumPartitions()
        scale = max(math.ceil(pow(count, 1.0 / depth)), 2)
        # Another level must be worth its job.
        while count > scale + count / scale:
            count /= scale
            partial = partial._piped(("withIndex", _Scatter(int(count)))).reduceByKey(combOp, int(count)).values()
        return partial.reduce(combOp)

    def max(self, key: Callable[[Any], Any] | None = None) -> Any:
        """Return the greatest element, by a key if given."""
        return self.reduce(max if key is None else functools.partial(max, key=key))

    def min(self, key: Callable[[Any], Any] | None = None) -> Any:
        """Return the least element, by a key if given."""
        return self.reduce(min if key is None else functools.partial(min, key=key))

    def sum(self) -> Any:
        """Return the sum of the elements; 0 if there are none."""
        return functools.reduce(operator.add, self._piped(("mapPartitions", _sum)).collect(), 0)

    def count(self) -> int:
        """Return the number of elements."""
        return sum(self._piped(("count",)).collect())

    def countByValue(self) -> dict[Any, int]:
        """Return how often each element occurs."""
        parts = self._piped(("mapPartitions", _count_values)).collect()
        if not parts:
            raise ValueError("Can not reduce() empty RDD")
        counts: dict[Any, int] = parts[0]
        for part in parts[1:]:
            for value, count in part.items():
                counts[value] += count
        return counts

    # -------------------------------------------------------------------------------------------- taking

    def take(self, num: int) -> list[Any]:
        """Return the first ``num`` elements; looks at no more partitions than needed, the first alone at first."""
        items: list[Any] = []
        total, scanned = self.getNumPartitions(), 0
        while len(items) < num and scanned < total:
            tried = 1
            if scanned > 0:
                tried = scanned * 4
                if items:
                    estimate = int(1.5 * num * scanned / len(items)) - scanned
                    tried = min(max(estimate, 1), scanned * 4)
            partitions = range(scanned, min(scanned + tried, total))
            items += self.ctx.runJob(self, _First(num - len(items)), partitions)
            scanned += tried
        return items[:num]

    def first(self) -> Any:
        """Return the first element."""
        taken = self.take(1)
        if taken:
            return taken[0]
        raise ValueError("RDD is empty")

    def isEmpty(self) -> bool:
        """Whether there are no elements at all."""
        return self.getNumPartitions() == 0 or len(self.take(1)) == 0

    def top(self, num: int, key: Callable[[Any], Any] | None = None) -> list[Any]:
        """Return the greatest elements, the greatest first."""
        return self._piped(("mapPartitions", _Extremes(heapq.nlargest, num, key))).reduce(
            _MergeExtremes(heapq.nlargest, num, key)
        )

    def takeOrdered(self, num: int, key: Callable[[Any], Any] | None = None) -> list[Any]:
        """Return the least elements, the least first."""
        if num < 0:
            raise ValueError("top N cannot be negative.")
        if num == 0 or self.getNumPartitions() == 0:
            return []
        return self._piped(("mapPartitions", _Extremes(heapq.nsmallest, num, key))).reduce(
            _MergeExtremes(heapq.nsmallest, num, key)
        )

    def takeSample(self, withReplacement: bool, num: int, seed: int | None = None) -> list[Any]:
        """Return a random sample of this many elements."""
        most = sys.maxsize - int(_DEVIATIONS * math.sqrt(sys.maxsize))
        if num < 0:
            raise ValueError("Sample size cannot be negative.")
        if num > most:
            raise ValueError(f"Sample size cannot be greater than {most}.")
        total = self.count() if num and self.getNumPartitions() else 0
        if total == 0:
            return []
        generator = random.Random(seed)
        if not withReplacement and num >= total:
            samples = self.collect()
            generator.shuffle(samples)
            return samples
        fraction = self._computeFractionForSampleSize(num, total, withReplacement)
        samples = self.sample(withReplacement, fraction, seed).collect()
        while len(samples) < num:
            seed = generator.randint(0, sys.maxsize)
            samples = self.sample(withReplacement, fraction, seed).collect()
        generator.shuffle(samples)
        return samples[:num]  # type: ignore[no-any-return]

    @staticmethod
    def _computeFractionForSampleSize(sampleSizeLowerBound: int, total: int, withReplacement: bool) -> float:
        """Return a fraction whose sample has at least the wanted size with a probability of 99.99 %."""
        fraction = float(sampleSizeLowerBound) / total
        if withReplacement:
            deviations = 9 if sampleSizeLowerBound < 12 else 5
            return fraction + deviations * math.sqrt(fraction / total)
        gamma = -math.log(0.00005) / total
        return min(1, fraction + gamma + math.sqrt(gamma * gamma + 2 * gamma * fraction))


def _awaited(run: Callable[..., list[list[Any]]]) -> Callable[..., list[list[Any]]]:
    """Return what runs a job whose failure is the cause of another: Spark waits for such jobs on a thread."""

    def run_and_wait(*args: Any) -> list[list[Any]]:
        try:
            return run(*args)
        except errors.FAILURES as error:
            failure = errors.failure_in(error)
        message = "Exception thrown in awaitResult: "
        raise errors.java_error("org.apache.spark.SparkException", message, "o0.getResult", failure)

    return run_and_wait


def _one_ahead(compute: Callable[[int], list[Any]], count: int) -> Iterator[Any]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as executor:
        following = executor.submit(compute, 0) if count else None
        for partition in range(count):
            assert following is not None
            part = following.result()
            following = executor.submit(compute, partition + 1) if partition + 1 < count else None
            yield from part


class _ForeachPartition:
    def __init__(self, function: Callable[[Iterable[Any]], Any]) -> None:
        self._function = function

    def __call__(self, elements: Iterable[Any]) -> Iterable[Any]:
        # A function that is a generator is run through.
        result = self._function(elements)
        try:
            return iter(() if result is None else result)
        except TypeError:
            return iter(())


class _Reduce:
    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self._function = function

    def __call__(self, elements: Iterable[Any]) -> Iterator[Any]:
        iterator = iter(elements)
        for first in iterator:
            yield functools.reduce(self._function, iterator, first)


class _ReduceOrNothing:
    """Reduces pairs of a value and whether it stands for nothing."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self._function = function

    def __call__(self, one: tuple[Any, bool], other: tuple[Any, bool]) -> tuple[Any, bool]:
        if one[1]:
            return other
        if other[1]:
            return one
        return self._function(one[0], other[0]), False


def _something(element: Any) -> tuple[Any, bool]:
    return element, False


class _Fold:
    def __init__(self, zero: Any, function: Callable[[Any, Any], Any]) -> None:
        self._zero, self._function = zero, function

    def __call__(self, elements: Iterable[Any]) -> Iterator[Any]:
        folded, function = self._zero, self._function
        for element in elements:
            folded = function(folded, element)
        yield folded


class _Scatter:
    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    def __call__(self, split: int, elements: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        for element in elements:
            yield split % self._partitions, element


def _sum(elements: Iterable[Any]) -> list[Any]:
    return [sum(elements)]


def _count_values(elements: Iterable[Any]) -> Iterator[dict[Any, int]]:
    counts: dict[Any, int] = defaultdict(int)
    for element in elements:
        counts[element] += 1
    yield counts


class _First:
    """Gives the first elements of a partition, and asks for no more."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, elements: Iterable[Any]) -> Iterator[Any]:
        return itertools.islice(elements, math.ceil(self._count))


class _Extremes:
    def __init__(self, choose: Callable[..., list[Any]], count: int, key: Callable[[Any], Any] | None) -> None:
        self._choose, self._count, self._key = choose, count, key

    def __call__(self, elements: Iterable[Any]) -> Iterator[list[Any]]:
        yield self._choose(self._count, elements, key=self._key)


class _MergeExtremes(_Extremes):
    def __call__(self, one: list[Any], other: list[Any]) -> list[Any]:  # type: ignore[override]
        return self._choose(self._count, one + other, key=self._key)
