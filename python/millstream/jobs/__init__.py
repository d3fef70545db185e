"""The engine below the RDD API: lineage, stages, worker processes, shuffles, blocks.

In the driver: :mod:`~millstream.jobs.lineage` says how partitions come about, :mod:`~millstream.jobs.scheduler` cuts it
into stages and runs them, :mod:`~millstream.jobs.pool` owns the worker processes. In the workers:
:mod:`~millstream.jobs.worker` takes one task after another, :mod:`~millstream.jobs.task` turns its description into
iterators. On both sides: :mod:`~millstream.jobs.operators` (functions of a stage), :mod:`~millstream.jobs.blocks`
(serialised partitions), :mod:`~millstream.jobs.inputs` (files), :mod:`~millstream.jobs.frames` (messages).

What is not here: the methods of RDDs (:mod:`millstream.rdd`) and of ``SparkContext`` (:mod:`millstream.context`).
"""
