"""``RDD`` itself: what identifies it, how transformations are pipelined, and when functions are serialised.

A transformation by operators gives a :class:`PipelinedRDD`. Its operators join those of the RDD before, unless that one
is kept or checkpointed: so they all run in one pass. They are serialised together, once, when the RDD is first used: by
an action, a shuffle, a union, by being kept, or when its id is asked for. Until then a function sees what variables of
its closure become; from then on it does not. This is PySpark's order of things, and programs depend on it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any, Generic, NoReturn, TypeVar

from pyspark.errors import PySparkRuntimeError
from pyspark.serializers import CloudPickleSerializer

from millstream.broadcast import collecting
from millstream.jobs.lineage import Functions, Node, Pipelined
from millstream.jobs.operators import Operator
from millstream.rdd.actions import Actions
from millstream.rdd.describing import call_site, one_line
from millstream.rdd.keyed import Keyed
from millstream.rdd.numbers import Numbers
from millstream.rdd.output import Output
from millstream.rdd.partitioner import Partitioner
from millstream.rdd.partitions import Partitions
from millstream.rdd.persistence import Persistence
from millstream.rdd.transformations import Transformations

T_co = TypeVar("T_co", covariant=True)


class RDD(Transformations, Keyed, Partitions, Actions, Numbers, Output, Persistence, Generic[T_co]):
    """A distributed collection: immutable, in partitions, computed when an action asks for it."""

    __module__ = "pyspark.core.rdd"

    def __init__(self, jrdd: Node, ctx: Any, jrdd_deserializer: Any = 0) -> None:
        """Wrap a node of the lineage; programs make RDDs by methods of the context.

        ``jrdd_deserializer`` says how PySpark would have serialised the elements: in batches of a size (0 for one that
        grows, -1 for no limit), or in a format without batches, by name.
        """
        self._node_value: Node | None = jrdd
        self.ctx = ctx
        self._jrdd_deserializer: int | str = jrdd_deserializer
        self.is_cached = False
        self.is_checkpointed = False
        self.has_resource_profile = False
        self.partitioner: Partitioner | None = None
        self._name: str | None = None

    @property
    def _node(self) -> Node:
        """The node of the lineage; serialises the functions that lead to it."""
        assert self._node_value is not None
        return self._node_value

    def id(self) -> int:
        """Return a number that is unique in the context."""
        return self._node.id

    @property
    def context(self) -> Any:
        """The context that the RDD was made by."""
        return self.ctx

    def __repr__(self) -> str:
        return one_line(self._node)

    def __getnewargs__(self) -> NoReturn:
        raise PySparkRuntimeError(errorClass="RDD_TRANSFORM_ONLY_VALID_ON_DRIVER", messageParameters={})

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self.__getnewargs__()
        raise AssertionError

    def getNumPartitions(self) -> int:
        """Return the number of partitions."""
        return self._node.count()

    def _piped(self, *operators: Operator, preserves: bool = False) -> PipelinedRDD[Any]:
        """Return the RDD that operators make of this one; ``preserves`` if keys stay where they are."""
        return PipelinedRDD(self, operators, preserves)

    def _reserialized(self, size: int) -> RDD[Any]:
        """Return the same elements, in batches of another size."""
        if self._jrdd_deserializer == size:
            return self
        copy = self._piped(preserves=True)
        copy._jrdd_deserializer = size
        return copy

    def _is_pipelinable(self) -> bool:
        return False

    def _is_barrier(self) -> bool:
        return self._node.barrier

    def barrier(self) -> RDDBarrier[Any]:
        """Mark the stage of this RDD: its tasks run all at once, and functions can wait for one another."""
        return RDDBarrier(self)

    def withResources(self, profile: Any) -> NoReturn:
        """Refuse: there is one kind of worker."""
        from millstream import errors

        raise errors.unsupported("RDD.withResources", "there is one kind of worker")

    def getResourceProfile(self) -> None:
        """Return None: no resources were asked for."""
        return None

    def toDF(self, schema: Any = None, sampleRatio: float | None = None) -> Any:
        """Return a DataFrame of the elements; needs a SparkSession."""
        from millstream.dataframes import to_df

        return to_df(self, schema, sampleRatio)


class PipelinedRDD(RDD[T_co]):
    """An RDD made by operators on another."""

    __module__ = "pyspark.core.rdd"

    def __init__(
        self,
        prev: RDD[Any],
        func: Iterable[Operator] | Callable[[int, Iterable[Any]], Iterable[Any]],
        preservesPartitioning: bool = False,
        isFromBarrier: bool = False,
    ) -> None:
        operators = (("withIndex", func),) if callable(func) else tuple(func)
        if isinstance(prev, PipelinedRDD) and prev._is_pipelinable():
            self._operators = prev._operators + operators
            self.preservesPartitioning = prev.preservesPartitioning and preservesPartitioning
            self._source: Node = prev._source
        else:
            self._operators = operators
            self.preservesPartitioning = preservesPartitioning
            self._source = prev._node
        super().__init__(None, prev.ctx, prev.ctx._batchSize)  # type: ignore[arg-type]
        self.prev = prev
        # As in PySpark the partitioner is that of the RDD before, not of the first of the chain.
        self.partitioner = prev.partitioner if self.preservesPartitioning else None
        self.is_barrier = isFromBarrier or prev._is_barrier()

    @property
    def _node(self) -> Node:
        if self._node_value is None:
            functions = serialized(self.ctx, list(self._operators))
            self._node_value = Pipelined(
                self.ctx._number(), self._source, functions, self.preservesPartitioning, self.is_barrier
            )
            self._node_value.site = call_site()
        return self._node_value

    def getNumPartitions(self) -> int:
        """Return the number of partitions."""
        return self._source.count()

    def _is_pipelinable(self) -> bool:
        return not (self.is_cached or self.is_checkpointed)

    def _is_barrier(self) -> bool:
        return self.is_barrier


def serialized(ctx: Any, operators: list[Operator]) -> Functions:
    """Serialise operators; raises ``PicklingError`` if a function refers to an RDD or another thing of the driver."""
    store = ctx._live.store
    with collecting() as variables:
        data = _SERIALIZER.dumps(operators)
    for variable in variables.values():
        if variable._block is None:
            raise variable._destroyed()
    return Functions(store.put(data), tuple(variables.values()))


_SERIALIZER = CloudPickleSerializer()
assert pickle.HIGHEST_PROTOCOL >= 5


class RDDBarrier(Generic[T_co]):
    """An RDD in a barrier stage."""

    __module__ = "pyspark.core.rdd"

    def __init__(self, rdd: RDD[T_co]) -> None:
        self.rdd = rdd

    def mapPartitions(
        self, f: Callable[[Iterable[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> RDD[Any]:
        """Apply a function to each partition; ``BarrierTaskContext.get()`` lets it wait for those of the others."""
        return PipelinedRDD(self.rdd, (("mapPartitions", f),), preservesPartitioning, isFromBarrier=True)

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterable[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> RDD[Any]:
        """Apply a function to each partition and its number."""
        return PipelinedRDD(self.rdd, (("withIndex", f),), preservesPartitioning, isFromBarrier=True)
