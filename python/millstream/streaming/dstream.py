"""``DStream``: what programs do with a stream, each as functions on the RDDs of its batches.

The graph knows few kinds of streams (transformed, windowed, incremental window, state, output); everything else is
composed of them here, of the same RDD operations as in PySpark, so that partitions, order and laziness are the same.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pyspark.resultiterable import ResultIterable
from pyspark.storagelevel import StorageLevel

from millstream.rdd import RDD, portable_hash
from millstream.streaming import serializer
from millstream.streaming.failures import raised_by
from millstream.streaming.functions import BatchFunction, calling_line, duration_ms, milliseconds_of, rddToFileName

if TYPE_CHECKING:
    from millstream.streaming.context import StreamingContext

__all__ = ["DStream"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
S = TypeVar("S")

RULE = "-" * 43
_OUTPUT = "callForeachRDD at NativeMethodAccessorImpl.java:0"
"""Name that every output operation of PySpark has; its description says where the program has declared it."""


class DStream(Generic[T_co]):
    """A stream of batches: an RDD for each interval, made from input or from the RDDs of other streams.

    Made by a StreamingContext or by the methods of another DStream. Nothing is computed before an output operation
    (:meth:`pprint`, :meth:`foreachRDD`, :meth:`saveAsTextFiles`) asks for it in a started context.
    """

    __module__ = "pyspark.streaming.dstream"

    def __init__(self, jdstream: int, ssc: StreamingContext, jrdd_deserializer: str | int) -> None:
        self._node_id: int | None = jdstream
        self._jrdd_deserializer = jrdd_deserializer
        self._ssc = ssc
        self._sc = ssc._sc
        self.is_cached = False
        self.is_checkpointed = False

    @property
    def _node(self) -> int:
        """Number of the stream in the graph."""
        assert self._node_id is not None
        return self._node_id

    @property
    def _jdstream(self) -> int:
        """The stream by the name that PySpark has for its twin in the JVM: errors of wrong arguments name it."""
        return self._node

    def context(self) -> StreamingContext:
        """Return the StreamingContext of this stream."""
        return self._ssc

    # ------------------------------------------------------------------------------------------ elements

    def count(self) -> DStream[int]:
        """Give the number of elements of each batch, as one element."""
        return self.mapPartitions(lambda elements: [sum(1 for _ in elements)]).reduce(operator.add)

    def filter(self, f: Callable[[T], bool]) -> DStream[T]:
        """Keep the elements for which the function gives something true."""
        return self.transform(lambda rdd: rdd.filter(f))

    def flatMap(self, f: Callable[[T], Iterable[U]], preservesPartitioning: bool = False) -> DStream[U]:
        """Give all elements of what the function gives for each element."""
        return self.transform(lambda rdd: rdd.flatMap(f, preservesPartitioning))

    def map(self, f: Callable[[T], U], preservesPartitioning: bool = False) -> DStream[U]:
        """Give what the function gives for each element."""
        return self.transform(lambda rdd: rdd.map(f, preservesPartitioning))

    def mapPartitions(self, f: Callable[[Iterator[T]], Iterable[U]], preservesPartitioning: bool = False) -> DStream[U]:
        """Give the elements of what the function gives for each partition of a batch."""
        return self.transform(lambda rdd: rdd.mapPartitions(f, preservesPartitioning))

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterator[T]], Iterable[U]], preservesPartitioning: bool = False
    ) -> DStream[U]:
        """Give the elements of what the function gives for the number and the elements of each partition."""
        return self.transform(lambda rdd: rdd.mapPartitionsWithIndex(f, preservesPartitioning))

    def glom(self) -> DStream[list[T]]:
        """Give each partition as one list."""
        return self.transform(lambda rdd: rdd.glom())

    def reduce(self, func: Callable[[T, T], T]) -> DStream[T]:
        """Fold the elements of each batch into one; a batch without elements stays empty."""
        return self.map(lambda x: (None, x)).reduceByKey(func, 1).map(lambda x: x[1])

    def countByValue(self) -> DStream[tuple[K, int]]:
        """Count equal elements of each batch, as pairs of element and number."""
        return self.map(lambda x: (x, 1)).reduceByKey(lambda x, y: x + y)

    def repartition(self, numPartitions: int) -> DStream[T]:
        """Spread each batch over so many partitions."""
        return self.transform(lambda rdd: rdd.repartition(numPartitions))

    # ------------------------------------------------------------------------------------------ pairs

    def _partitions(self, given: int | None) -> int:
        return self._sc.defaultParallelism if given is None else given

    def reduceByKey(self, func: Callable[[V, V], V], numPartitions: int | None = None) -> DStream[tuple[K, V]]:
        """Fold the values of each key of a batch."""
        partitions = self._partitions(numPartitions)
        return self.transform(lambda rdd: rdd.reduceByKey(func, partitions))

    def combineByKey(
        self,
        createCombiner: Callable[[V], U],
        mergeValue: Callable[[U, V], U],
        mergeCombiners: Callable[[U, U], U],
        numPartitions: int | None = None,
    ) -> DStream[tuple[K, U]]:
        """Combine the values of each key of a batch.

        The first function begins with a value, the second adds one, the third brings two results together.
        """
        partitions = self._partitions(numPartitions)

        def combined(rdd: RDD[Any]) -> RDD[Any]:
            return rdd.combineByKey(createCombiner, mergeValue, mergeCombiners, partitions)

        return self.transform(combined)

    def partitionBy(
        self, numPartitions: int, partitionFunc: Callable[[K], int] = portable_hash
    ) -> DStream[tuple[K, V]]:
        """Place the pairs of each batch into partitions by a function of the key."""
        return self.transform(lambda rdd: rdd.partitionBy(numPartitions, partitionFunc))

    def mapValues(self, f: Callable[[V], U]) -> DStream[tuple[K, U]]:
        """Give each pair with what the function gives for its value; keys and partitions stay."""
        return self.transform(lambda rdd: rdd.mapValues(f))

    def flatMapValues(self, f: Callable[[V], Iterable[U]]) -> DStream[tuple[K, U]]:
        """Give a pair for each element of what the function gives for a value; keys and partitions stay."""
        return self.transform(lambda rdd: rdd.flatMapValues(f))

    def groupByKey(self, numPartitions: int | None = None) -> DStream[tuple[K, Iterable[V]]]:
        """Give each key of a batch with all its values."""
        partitions = self._partitions(numPartitions)
        return self.transform(lambda rdd: rdd.groupByKey(partitions))

    def cogroup(
        self, other: DStream[tuple[K, U]], numPartitions: int | None = None
    ) -> DStream[tuple[K, tuple[ResultIterable[V], ResultIterable[U]]]]:
        """Give each key of either batch with its values here and there."""
        partitions = self._partitions(numPartitions)
        return self.transformWith(lambda a, b: a.cogroup(b, partitions), other)

    def join(self, other: DStream[tuple[K, U]], numPartitions: int | None = None) -> DStream[tuple[K, tuple[V, U]]]:
        """Give each pair of values whose key is in both batches."""
        partitions = self._partitions(numPartitions)
        return self.transformWith(lambda a, b: a.join(b, partitions), other)

    def leftOuterJoin(
        self, other: DStream[tuple[K, U]], numPartitions: int | None = None
    ) -> DStream[tuple[K, tuple[V, U | None]]]:
        """Join, and keep what has no partner in the other batch, with None for it."""
        partitions = self._partitions(numPartitions)
        return self.transformWith(lambda a, b: a.leftOuterJoin(b, partitions), other)

    def rightOuterJoin(
        self, other: DStream[tuple[K, U]], numPartitions: int | None = None
    ) -> DStream[tuple[K, tuple[V | None, U]]]:
        """Join, and keep what of the other batch has no partner here, with None for it."""
        partitions = self._partitions(numPartitions)
        return self.transformWith(lambda a, b: a.rightOuterJoin(b, partitions), other)

    def fullOuterJoin(
        self, other: DStream[tuple[K, U]], numPartitions: int | None = None
    ) -> DStream[tuple[K, tuple[V | None, U | None]]]:
        """Join, and keep what has no partner on either side, with None for it."""
        partitions = self._partitions(numPartitions)
        return self.transformWith(lambda a, b: a.fullOuterJoin(b, partitions), other)

    # ------------------------------------------------------------------------------------------ whole batches

    def transform(self, func: Callable[..., RDD[U]]) -> TransformedDStream[U]:
        """Give what the function gives for the RDD of each batch.

        The function takes the RDD, or the time of the batch and the RDD.
        """
        if func.__code__.co_argcount == 1:
            func = _without_time(func)
        assert func.__code__.co_argcount == 2, "func should take one or two arguments"
        return TransformedDStream(self, func)

    def transformWith(self, func: Callable[..., RDD[V]], other: DStream[U], keepSerializer: bool = False) -> DStream[V]:
        """Give what the function gives for the RDDs of a batch of two streams.

        The function takes the two RDDs, or the time of the batch and the two RDDs.
        """
        if func.__code__.co_argcount == 2:
            func = _without_time_of_two(func)
        assert func.__code__.co_argcount == 3, "func should take two or three arguments"
        other._jrdd_deserializer  # noqa: B018 (asked for before the stream itself, as errors show)
        with raised_by("None.org.apache.spark.streaming.api.python.PythonTransformed2DStream"):
            node = self._ssc._program.call("transformed_with", self._node, other._jdstream, BatchFunction(func))
        return DStream(node, self._ssc, self._jrdd_deserializer if keepSerializer else serializer.PICKLED)

    def union(self, other: DStream[U]) -> DStream[T | U]:
        """Give the elements of both streams, those of this one first.

        Parameters
        ----------
        other : DStream
            A stream of the same slide.
        """
        if self._slideDuration != other._slideDuration:
            raise ValueError("the two DStream should have same slide duration")
        return self.transformWith(lambda a, b: a.union(b), other, True)

    # ------------------------------------------------------------------------------------------ output

    def foreachRDD(self, func: Callable[..., None]) -> None:
        """Call the function with the RDD of each batch, or with the time of the batch and the RDD."""
        if func.__code__.co_argcount == 1:
            func = _without_time(func)
        line = calling_line()
        with raised_by("z:org.apache.spark.streaming.api.python.PythonDStream.callForeachRDD"):
            self._ssc._program.call("for_each", self._node, BatchFunction(func), _OUTPUT, line)

    def pprint(self, num: int = 10) -> None:
        """Print the first elements of each batch under a header with its time.

        Parameters
        ----------
        num : int, optional
            How many elements are printed.
        """

        def take_and_print(time: datetime, rdd: RDD[Any]) -> None:
            taken = rdd.take(num + 1)
            print(RULE)
            print(f"Time: {time}")
            print(RULE)
            for element in taken[:num]:
                print(element)
            if len(taken) > num:
                print("...")
            print("")

        self.foreachRDD(take_and_print)

    def saveAsTextFiles(self, prefix: str, suffix: str | None = None) -> None:
        """Write each batch as text into a directory ``prefix-TIME`` or ``prefix-TIME.suffix``, the time in ms."""

        def save(time: datetime, rdd: RDD[Any]) -> None:
            # A batch that is run again after a restart is written again, whether it was written whole before or not.
            rdd._save_text(rddToFileName(prefix, suffix, time), None, True)

        return self.foreachRDD(save)

    def slice(self, begin: datetime | int, end: datetime | int) -> list[RDD[T]]:
        """Return the RDDs of the batches from one time to another, both included.

        Times are naive local ones, of which whole seconds count, or seconds since the epoch.
        """
        with raised_by("slice"):
            return self._ssc._graph.slice(self._node, milliseconds_of(begin), milliseconds_of(end))

    # ------------------------------------------------------------------------------------------ keeping

    def cache(self) -> DStream[T]:
        """Keep the RDDs in memory, so that several uses compute them once."""
        return self.persist(StorageLevel.MEMORY_ONLY)

    def persist(self, storageLevel: StorageLevel) -> DStream[T]:
        """Keep the RDDs as the storage level says, so that several uses compute them once."""
        from millstream.streaming.context import level_of

        self.is_cached = True
        with raised_by("persist"):
            self._ssc._program.call("persist", self._node, level_of(storageLevel))
        return self

    def checkpoint(self, interval: int) -> DStream[T]:
        """Save the RDDs of this stream from time to time, so that later ones do not depend on all that came before.

        Parameters
        ----------
        interval : int or float
            Seconds between two saved RDDs.
        """
        self.is_checkpointed = True
        with raised_by("checkpoint"):
            self._ssc._program.call("checkpoint_interval", self._node, duration_ms(interval))
        return self

    # ------------------------------------------------------------------------------------------ windows

    @property
    def _slideDuration(self) -> float:
        """Seconds between two RDDs of this stream."""
        return self._slide_ms() / 1000.0

    def _slide_ms(self) -> int:
        return self._ssc._graph.slide_ms(self._node)

    def _validate_window_param(self, window: float, slide: float | None) -> None:
        parent_ms = self._slide_ms()
        for name, duration in (("windowDuration", window), ("slideDuration", slide)):
            # No slide, or one of 0, stands for the slide of this stream.
            if (name == "windowDuration" or duration) and int(duration * 1000) % parent_ms != 0:  # type: ignore[arg-type]
                raise ValueError(
                    f"{name} must be multiple of the parent dstream's slide (batch) duration ({parent_ms} ms)"
                )

    def window(self, windowDuration: int, slideDuration: int | None = None) -> DStream[T]:
        """Give the elements of the last batches together, oldest first.

        Parameters
        ----------
        windowDuration : int or float
            Seconds that are looked back over; a multiple of this stream's slide.
        slideDuration : int or float, optional
            Seconds between two windows; a multiple of this stream's slide, which it is if not given.
        """
        self._validate_window_param(windowDuration, slideDuration)
        slide_ms = self._slide_ms() if slideDuration is None else duration_ms(slideDuration)
        with raised_by("window"):
            node = self._ssc._program.call("windowed", self._node, duration_ms(windowDuration), slide_ms)
        return DStream(node, self._ssc, self._jrdd_deserializer)

    def reduceByWindow(
        self,
        reduceFunc: Callable[[T, T], T],
        invReduceFunc: Callable[[T, T], T] | None,
        windowDuration: int,
        slideDuration: int,
    ) -> DStream[T]:
        """Fold the elements of each window into one.

        With an inverse, a long window is folded from the one before: what has entered is added, what has left is
        taken off.

        Parameters
        ----------
        reduceFunc : function
            Folds two elements; associative and commutative.
        invReduceFunc : function or None
            Takes the second off the first: ``invReduceFunc(reduceFunc(x, y), x) == y``.
        windowDuration : int or float
            Seconds that are looked back over; a multiple of this stream's slide.
        slideDuration : int or float
            Seconds between two windows; a multiple of this stream's slide.
        """
        keyed = self.map(lambda x: (1, x))
        reduced = keyed.reduceByKeyAndWindow(reduceFunc, invReduceFunc, windowDuration, slideDuration, 1)
        return reduced.map(lambda pair: pair[1])

    def countByWindow(self, windowDuration: int, slideDuration: int) -> DStream[int]:
        """Give the number of elements of each window, as one element.

        The durations are those of :meth:`window`; long windows are counted from the one before.
        """
        return self.map(lambda _: 1).reduceByWindow(operator.add, operator.sub, windowDuration, slideDuration)

    def countByValueAndWindow(
        self, windowDuration: int, slideDuration: int, numPartitions: int | None = None
    ) -> DStream[tuple[T, int]]:
        """Count equal elements of each window, as pairs of element and number.

        Parameters
        ----------
        windowDuration : int or float
            Seconds that are looked back over; a multiple of this stream's slide.
        slideDuration : int or float
            Seconds between two windows; a multiple of this stream's slide.
        numPartitions : int, optional
            Partitions of each RDD.
        """
        counted = self.map(lambda x: (x, 1)).reduceByKeyAndWindow(
            operator.add, operator.sub, windowDuration, slideDuration, numPartitions
        )
        return counted.filter(lambda pair: pair[1] > 0)

    def groupByKeyAndWindow(
        self, windowDuration: int, slideDuration: int, numPartitions: int | None = None
    ) -> DStream[tuple[K, Iterable[V]]]:
        """Give each key of a window with all its values, in the order they came.

        Parameters
        ----------
        windowDuration : int or float
            Seconds that are looked back over; a multiple of this stream's slide.
        slideDuration : int or float
            Seconds between two windows; a multiple of this stream's slide.
        numPartitions : int, optional
            Partitions of each RDD.
        """

        def appended(values: list[V], more: list[V]) -> list[V]:
            values.extend(more)
            return values

        def without_the_first(values: list[V], left: list[V]) -> list[V]:
            return values[len(left) :]

        grouped = self.mapValues(lambda value: [value]).reduceByKeyAndWindow(
            appended, without_the_first, windowDuration, slideDuration, numPartitions
        )
        return grouped.mapValues(ResultIterable)

    def reduceByKeyAndWindow(
        self,
        func: Callable[[V, V], V],
        invFunc: Callable[[V, V], V] | None,
        windowDuration: int,
        slideDuration: int | None = None,
        numPartitions: int | None = None,
        filterFunc: Callable[[tuple[K, V]], bool] | None = None,
    ) -> DStream[tuple[K, V]]:
        """Fold the values of each key of a window.

        With an inverse, a window of five slides or more is folded from the one before: what has entered is added, what
        has left is taken off. Keys stay with what the inverse leaves until the filter drops them.

        Parameters
        ----------
        func : function
            Folds two values; associative and commutative.
        invFunc : function or None
            Takes the second off the first.
        windowDuration : int or float
            Seconds that are looked back over; a multiple of this stream's slide.
        slideDuration : int or float, optional
            Seconds between two windows; a multiple of this stream's slide, which it is if not given.
        numPartitions : int, optional
            Partitions of each RDD.
        filterFunc : function, optional
            Says of a pair whether it is kept; only with an inverse.
        """
        self._validate_window_param(windowDuration, slideDuration)
        partitions = self._partitions(numPartitions)
        reduced = self.reduceByKey(func, partitions)
        if not invFunc:
            return reduced.window(windowDuration, slideDuration).reduceByKey(func, partitions)
        slide_ms = self._slide_ms() if slideDuration is None else duration_ms(slideDuration)
        add, take_off = _incremental(func, invFunc, partitions, filterFunc)
        with raised_by("None.org.apache.spark.streaming.api.python.PythonReducedWindowedDStream"):
            node = self._ssc._program.call(
                "reduced_window",
                reduced._node,
                BatchFunction(add),
                BatchFunction(take_off),
                duration_ms(windowDuration),
                slide_ms,
            )
        return DStream(node, self._ssc, serializer.PICKLED)

    # ------------------------------------------------------------------------------------------ state

    def updateStateByKey(
        self,
        updateFunc: Callable[[Iterable[V], S | None], S | None],
        numPartitions: int | None = None,
        initialRDD: RDD[tuple[K, S]] | Iterable[tuple[K, S]] | None = None,
    ) -> DStream[tuple[K, S]]:
        """Keep a state for each key over all batches and give all states in every batch.

        Parameters
        ----------
        updateFunc : function
            Takes the new values of a key and its state or None, gives the new state; None removes the key.
        numPartitions : int, optional
            Partitions of the state.
        initialRDD : RDD or iterable, optional
            Pairs of key and state before the first batch.
        """
        partitions = self._partitions(numPartitions)
        if initialRDD and not isinstance(initialRDD, RDD):
            initialRDD = self._sc.parallelize(initialRDD)
        update = BatchFunction(_state_update(updateFunc, partitions))
        with raised_by("None.org.apache.spark.streaming.api.python.PythonStateDStream"):
            node = self._ssc._program.call("state", self._node, update, initialRDD if initialRDD else None)
        return DStream(node, self._ssc, serializer.PICKLED)


class TransformedDStream(DStream[U]):
    """A stream that gives what a function gives for the RDD of each batch of another.

    Several functions in a row become one: the stream takes its place in the graph only when something is built upon it
    that is no such function, or when it is to be kept.
    """

    __module__ = "pyspark.streaming.dstream"

    def __init__(self, prev: DStream[Any], func: Callable[[datetime, RDD[Any]], RDD[U]]) -> None:
        super().__init__(None, prev._ssc, serializer.PICKLED)  # type: ignore[arg-type]
        # Only of this very class: a subclass may mean something else.
        if type(prev) is TransformedDStream and not prev.is_cached and not prev.is_checkpointed:
            self.prev = prev.prev
            self.func = _one_after_another(prev.func, func)
        else:
            self.prev = prev
            self.func = func

    @property
    def _node(self) -> int:
        if self._node_id is None:
            with raised_by("None.org.apache.spark.streaming.api.python.PythonTransformedDStream"):
                self._node_id = self._ssc._program.call("transformed", self.prev._node, BatchFunction(self.func))
        return self._node_id


# Made outside of the methods, so that the functions hold nothing of a stream: they go into checkpoints.


def _without_time(func: Callable[..., Any]) -> Callable[..., Any]:
    def without_time(_time: datetime, rdd: RDD[Any]) -> Any:
        return func(rdd)

    return without_time


def _without_time_of_two(func: Callable[..., Any]) -> Callable[..., Any]:
    def without_time(_time: datetime, a: RDD[Any], b: RDD[Any]) -> Any:
        return func(a, b)

    return without_time


def _one_after_another(first: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    def both(time: datetime, rdd: RDD[Any]) -> Any:
        return then(time, first(time, rdd))

    return both


def _incremental(
    func: Callable[[Any, Any], Any],
    inverse: Callable[[Any, Any], Any],
    partitions: int,
    keep: Callable[[Any], bool] | None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the functions that add what has entered a window to it, and take off what has left."""

    def add(_time: datetime, window: RDD[Any] | None, entered: RDD[Any]) -> RDD[Any]:
        entered = entered.reduceByKey(func, partitions)
        result = window.union(entered).reduceByKey(func, partitions) if window else entered
        return result.filter(keep) if keep else result

    def take_off(_time: datetime, window: RDD[Any], left: RDD[Any]) -> RDD[Any]:
        left = left.reduceByKey(func, partitions)
        joined = window.leftOuterJoin(left, partitions)
        return joined.mapValues(lambda both: inverse(both[0], both[1]) if both[1] is not None else both[0])

    return add, take_off


def _state_update(update: Callable[[Any, Any], Any], partitions: int) -> Callable[..., Any]:
    """Return the function that makes the new state of a batch from the one before and the new pairs."""

    def updated(_time: datetime, state: RDD[Any] | None, new: RDD[Any]) -> RDD[Any]:
        if state is None:
            grouped = new.groupByKey(partitions).mapValues(lambda values: (list(values), None))
        else:
            cogrouped = state.cogroup(new.partitionBy(partitions), partitions)
            grouped = cogrouped.mapValues(lambda both: (list(both[1]), next(iter(both[0]), None)))
        states = grouped.mapValues(lambda values_and_state: update(values_and_state[0], values_and_state[1]))
        return states.filter(lambda pair: pair[1] is not None)

    return updated
