"""RDDs: what ``pyspark.rdd`` and ``pyspark.RDD`` are under Millstream.

:class:`RDD` is put together from classes by subject: element-wise transformations and sets
(:mod:`~millstream.rdd.transformations`), pairs (:mod:`~millstream.rdd.keyed`), partitions and order
(:mod:`~millstream.rdd.partitions`), actions (:mod:`~millstream.rdd.actions`), numbers
(:mod:`~millstream.rdd.numbers`), files (:mod:`~millstream.rdd.output`), keeping (:mod:`~millstream.rdd.persistence`).
Signatures, defaults, results, their order and errors are PySpark's; what needs a JVM (Hadoop's formats) fails at once.
"""

from millstream.rdd.core import RDD, PipelinedRDD, RDDBarrier
from millstream.rdd.numbers import BoundedFloat
from millstream.rdd.partitioner import Partitioner, portable_hash

__all__ = ["RDD", "BoundedFloat", "Partitioner", "PipelinedRDD", "RDDBarrier", "portable_hash"]
