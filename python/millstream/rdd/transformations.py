"""Element-wise transformations, sets, samples, and what else gives an RDD without looking at keys."""

from __future__ import annotations

import contextlib
import random
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from millstream.jobs import lineage
from millstream.rdd.partitioner import portable_hash

if TYPE_CHECKING:
    from millstream.rdd.core import RDD


class Transformations:
    """Methods of :class:`~millstream.rdd.RDD`."""

    ctx: Any
    _node: Any
    _jrdd_deserializer: int | str
    partitioner: Any
    _piped: Any
    _reserialized: Any
    getNumPartitions: Any
    cogroup: Any
    subtractByKey: Any

    # -------------------------------------------------------------------------------------------- elements

    def map(self, f: Callable[[Any], Any], preservesPartitioning: bool = False) -> RDD[Any]:
        """Apply a function to each element."""
        return self._piped(("map", f), preserves=preservesPartitioning)

    def flatMap(self, f: Callable[[Any], Iterable[Any]], preservesPartitioning: bool = False) -> RDD[Any]:
        """Apply a function to each element and give the elements of what it returns."""
        return self._piped(("flatMap", f), preserves=preservesPartitioning)

    def mapPartitions(
        self, f: Callable[[Iterable[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> RDD[Any]:
        """Apply a function to the iterator of each partition."""
        return self._piped(("mapPartitions", f), preserves=preservesPartitioning)

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterable[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> RDD[Any]:
        """Apply a function to the number and the iterator of each partition."""
        return self._piped(("withIndex", f), preserves=preservesPartitioning)

    def mapPartitionsWithSplit(
        self, f: Callable[[int, Iterable[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> RDD[Any]:
        """Do what :meth:`mapPartitionsWithIndex` does; deprecated since 0.9."""
        import warnings

        warnings.warn(
            "mapPartitionsWithSplit is deprecated; use mapPartitionsWithIndex instead", FutureWarning, stacklevel=2
        )
        return self.mapPartitionsWithIndex(f, preservesPartitioning)

    def filter(self, f: Callable[[Any], bool]) -> RDD[Any]:
        """Keep the elements for which a function says yes."""
        return self._piped(("filter", f), preserves=True)

    def glom(self) -> RDD[list[Any]]:
        """Make each partition one element, a list."""
        return self._piped(("mapPartitions", _glom))

    def keyBy(self, f: Callable[[Any], Any]) -> RDD[Any]:
        """Make pairs of what a function gives for an element, and the element."""
        return self._piped(("pair", f))

    def groupBy(
        self,
        f: Callable[[Any], Any],
        numPartitions: int | None = None,
        partitionFunc: Callable[[Any], int] = portable_hash,
    ) -> RDD[Any]:
        """Group elements by what a function gives for them."""
        return self.keyBy(f).groupByKey(numPartitions, partitionFunc)

    def pipe(self, command: str, env: dict[str, str] | None = None, checkCode: bool = False) -> RDD[str]:
        """Send each partition's elements as lines through a command; give the lines it writes.

        With ``checkCode`` a command that fails fails the task.
        """
        return self._piped(("mapPartitions", _Pipe(command, env or {}, checkCode)))

    # -------------------------------------------------------------------------------------------- sets

    def distinct(self, numPartitions: int | None = None) -> RDD[Any]:
        """Give each distinct element once."""
        return self._piped(("tag",)).reduceByKey(_first, numPartitions)._piped(("item", 0))

    def union(self, other: RDD[Any]) -> RDD[Any]:
        """Give the elements of this RDD, then those of another; those that are in both twice."""
        from millstream.rdd.core import RDD

        one: Any = self
        if one._jrdd_deserializer != other._jrdd_deserializer:
            one, other = one._reserialized(self.ctx._batchSize), other._reserialized(self.ctx._batchSize)  # type: ignore[attr-defined]
        nodes = [one._node, other._node]
        rdd: RDD[Any] = RDD(lineage.Union(self.ctx._number(), nodes), self.ctx, one._jrdd_deserializer)
        if self.partitioner == other.partitioner and self.getNumPartitions() == rdd.getNumPartitions():
            rdd.partitioner = self.partitioner
        return rdd

    def __add__(self, other: RDD[Any]) -> RDD[Any]:
        """Do what :meth:`union` does."""
        from millstream.rdd.core import RDD

        if not isinstance(other, RDD):
            raise TypeError
        return self.union(other)

    def intersection(self, other: RDD[Any]) -> RDD[Any]:
        """Give each element that is in both RDDs once."""
        both = self._piped(("tag",)).cogroup(other._piped(("tag",)))
        return both.filter(_in_all).keys()

    def subtract(self, other: RDD[Any], numPartitions: int | None = None) -> RDD[Any]:
        """Give the elements that are not in another RDD."""
        return self._piped(("map", _marked)).subtractByKey(other._piped(("map", _marked)), numPartitions).keys()

    def cartesian(self, other: RDD[Any]) -> RDD[Any]:
        """Give all pairs of an element of this RDD and one of another."""
        from millstream.rdd.core import RDD

        batches = batch_size(self._jrdd_deserializer), batch_size(other._jrdd_deserializer)
        node = lineage.Cartesian(self.ctx._number(), self._node, batches[0], other._node, batches[1])
        return RDD(node, self.ctx, "cartesian")

    # -------------------------------------------------------------------------------------------- zipping

    def zip(self, other: RDD[Any]) -> RDD[Any]:
        """Pair the elements of two RDDs that have as many partitions and in each as many elements."""
        from millstream.rdd.core import RDD

        one: Any = self
        sizes = batch_size(one._jrdd_deserializer), batch_size(other._jrdd_deserializer)
        batch = sizes[0]
        if sizes[0] != sizes[1] or not sizes[0]:
            batch = min(sizes) if min(sizes) > 0 else 100
            one, other = one._reserialized(batch), other._reserialized(batch)
        if one.getNumPartitions() != other.getNumPartitions():
            raise ValueError("Can only zip with RDD which has the same number of partitions")
        return RDD(lineage.Zipped(self.ctx._number(), one._node, other._node, batch), self.ctx, "pair")

    def zipWithIndex(self) -> RDD[Any]:
        """Pair each element with its number; runs a job if there are several partitions."""
        starts = [0]
        if self.getNumPartitions() > 1:
            for count in self._piped(("count",)).collect()[:-1]:
                starts.append(starts[-1] + count)
        return self._piped(("withIndex", _Numbering(starts)))

    def zipWithUniqueId(self) -> RDD[Any]:
        """Pair each element with a number of its own; k, n + k, 2n + k, … in partition k of n."""
        return self._piped(("withIndex", _UniqueIds(self.getNumPartitions())))

    # -------------------------------------------------------------------------------------------- samples

    def sample(self, withReplacement: bool, fraction: float, seed: int | None = None) -> RDD[Any]:
        """Give a random sample of about this fraction of the elements."""
        from pyspark.rddsampler import RDDSampler

        if not fraction >= 0:
            raise ValueError("Fraction must be nonnegative.")
        return self._piped(("withIndex", RDDSampler(withReplacement, fraction, seed).func), preserves=True)

    def randomSplit(self, weights: Sequence[int | float], seed: int | None = None) -> list[RDD[Any]]:
        """Distribute the elements at random over several RDDs, by weights."""
        from pyspark.rddsampler import RDDRangeSampler

        if not all(weight >= 0 for weight in weights):
            raise ValueError("Weights must be nonnegative")
        total = float(sum(weights))
        if not total > 0:
            raise ValueError("Sum of weights must be positive")
        bounds = [0.0]
        for weight in weights:
            bounds.append(bounds[-1] + weight / total)
        if seed is None:
            seed = random.randint(0, 2**32 - 1)
        return [
            self._piped(("withIndex", RDDRangeSampler(low, high, seed).func), preserves=True)
            for low, high in pairwise(bounds)
        ]


def batch_size(kind: int | str) -> int:
    """Return the size of batches that a format has; 1 for one without batches."""
    return kind if isinstance(kind, int) else 1


def _glom(elements: Iterable[Any]) -> Iterator[list[Any]]:
    yield list(elements)


def _first(one: Any, _: Any) -> Any:
    return one


def _marked(element: Any) -> tuple[Any, bool]:
    return element, True


def _in_all(group: tuple[Any, Sequence[Any]]) -> bool:
    return all(group[1])


class _Numbering:
    def __init__(self, starts: list[int]) -> None:
        self._starts = starts

    def __call__(self, split: int, elements: Iterable[Any]) -> Iterator[tuple[Any, int]]:
        for number, element in enumerate(elements, self._starts[split]):
            yield element, number


class _UniqueIds:
    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    def __call__(self, split: int, elements: Iterable[Any]) -> Iterator[tuple[Any, int]]:
        for number, element in enumerate(elements):
            yield element, number * self._partitions + split


class _Pipe:
    """Runs a command over the elements of a partition."""

    def __init__(self, command: str, env: dict[str, str], check: bool) -> None:
        self._command, self._env, self._check = command, env, check

    def __call__(self, elements: Iterable[Any]) -> Iterator[str]:
        process = subprocess.Popen(
            shlex.split(self._command), env=self._env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        failure: list[BaseException] = []
        feeder = threading.Thread(target=self._feed, args=(process.stdin, elements, failure), daemon=True)
        feeder.start()
        lines = iter(process.stdout.readline, b"")  # type: ignore[union-attr]
        return (line.rstrip(b"\n").decode("utf-8") for line in chain(lines, self._finished(process, feeder, failure)))

    @staticmethod
    def _feed(out: Any, elements: Iterable[Any], failure: list[BaseException]) -> None:
        try:
            for element in elements:
                out.write((str(element).rstrip("\n") + "\n").encode("utf-8"))
        except BrokenPipeError:
            pass  # The command has read enough.
        except BaseException as error:
            failure.append(error)
        finally:
            with contextlib.suppress(BrokenPipeError):
                out.close()

    def _finished(self, process: Any, feeder: threading.Thread, failure: list[BaseException]) -> Iterator[bytes]:
        process.wait()
        feeder.join()
        if failure:
            raise failure[0]
        if self._check and process.returncode:
            from pyspark.errors import PySparkRuntimeError

            raise PySparkRuntimeError(
                errorClass="PIPE_FUNCTION_EXITED",
                messageParameters={"func_name": self._command, "error_code": str(process.returncode)},
            )
        yield from ()
