"""Millstream: PySpark streaming programs, unchanged and without a JVM.

The command ``millstream`` runs programs (``millstream run app.py``), gives a shell (``millstream shell``) and serves
other Spark Connect clients (``millstream serve``). Nothing of PySpark is imported until a program asks for it.

RDDs: :mod:`millstream.context` (``SparkContext``), :mod:`millstream.rdd` (``RDD``, ``Partitioner``, ``portable_hash``),
:mod:`millstream.broadcast`, :mod:`millstream.files`, :mod:`millstream.status`, :mod:`millstream.errors`
(``Py4JJavaError``); :mod:`millstream.jobs` is the engine below. :mod:`millstream.hooks` gives them the names that
programs import.
"""

from millstream._native import SPARK_VERSION, __version__

__all__ = ["SPARK_VERSION", "__version__"]
