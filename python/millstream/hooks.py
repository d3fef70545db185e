"""Lets published programs run that PySpark's Connect client alone would refuse.

Installed by the launcher before the program begins; nothing of PySpark is imported before the program does so itself.
When it does:

* ``SparkSession.builder.master(…)`` is accepted: the engine is this process;
* ``SparkContext``, ``RDD``, ``Broadcast``, ``pyspark.streaming`` and their kin are Millstream's own, by the names that
  PySpark has for them, and ``spark.sparkContext`` is the program's context;
* ``py4j.protocol`` can be imported where py4j is not installed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import operator
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_NAMES = {
    "SparkContext": "millstream.context",
    "SparkFiles": "millstream.files",
    "RDD": "millstream.rdd",
    "RDDBarrier": "millstream.rdd",
    "Broadcast": "millstream.broadcast",
    "InheritableThread": "millstream.inheritance",
    "inheritable_thread_target": "millstream.inheritance",
    "StatusTracker": "millstream.status",
    "SparkJobInfo": "millstream.status",
    "SparkStageInfo": "millstream.status",
    "SparkExecutorInfo": "millstream.status",
    "SQLContext": "pyspark.sql.context",
    "HiveContext": "pyspark.sql.context",
}
"""Names of the package ``pyspark`` that are Millstream's, and where they are."""

_MODULES = {
    "pyspark.broadcast": "millstream.broadcast",
    "pyspark.context": "millstream.context",
    "pyspark.files": "millstream.files",
    "pyspark.rdd": "millstream.rdd",
    "pyspark.status": "millstream.status",
    "pyspark.core.broadcast": "millstream.broadcast",
    "pyspark.core.context": "millstream.context",
    "pyspark.core.files": "millstream.files",
    "pyspark.core.rdd": "millstream.rdd",
    "pyspark.core.status": "millstream.status",
    "pyspark.streaming": "millstream.streaming",
    "pyspark.streaming.context": "millstream.streaming.context",
    "pyspark.streaming.dstream": "millstream.streaming.dstream",
    "pyspark.streaming.kinesis": "millstream.streaming.kinesis",
    "pyspark.streaming.listener": "millstream.streaming.listener",
    "pyspark.streaming.util": "millstream.streaming.functions",
}
"""Modules of PySpark that are Millstream's."""

_IF_MISSING = {"py4j": None, "py4j.protocol": "millstream.py4j_protocol", "pyspark.core": None}
"""Modules that are supplied if they are not installed; None stands for an empty package."""


def install() -> None:
    """Install the hooks into this process; workers that run functions of a program are left as they are."""
    if os.environ.get("SPARK_PYTHON_RUNTIME") != "PYTHON_WORKER":
        sys.meta_path.insert(0, _Finder())


def install_in_worker() -> None:
    """Install the names of the RDD API into a worker process that runs functions of RDDs."""
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Lets others find a module and completes it after it was executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname in _MODULES:
            return importlib.machinery.ModuleSpec(fullname, _Alias(_MODULES[fullname]))
        if fullname in _IF_MISSING and importlib.machinery.PathFinder.find_spec(fullname, path) is None:
            supplied = _IF_MISSING[fullname]
            return importlib.machinery.ModuleSpec(fullname, _Alias(supplied), is_package=supplied is None)
        complete = _COMPLETIONS.get(fullname)
        if complete is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, complete)  # type: ignore[arg-type]
        return spec


class _Alias(importlib.abc.Loader):
    """Gives a module of Millstream under another name, or an empty package."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        if self._name is not None:
            sys.modules[module.__name__] = importlib.import_module(self._name)
            _name_all()


def _name_all() -> None:
    """Give what is imported all its names: classes are pickled by the name of their module only if it is there."""
    for name, supplied in _MODULES.items():
        if supplied in sys.modules and name not in sys.modules:
            importlib.import_module(name)


class _Loader(importlib.abc.Loader):
    """A loader that completes the module of another."""

    def __init__(self, loader: importlib.abc.Loader, complete: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._complete = complete

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._complete(module)

    def __getattr__(self, name: str) -> Any:
        # `inspect`, `linecache` and `importlib.resources` ask the loader of a module for its source and files.
        return getattr(self._loader, name)


def _complete_pyspark(module: ModuleType) -> None:
    exported = list(getattr(module, "__all__", []))
    # With a full PySpark some of the names are there: its own, which need a JVM.
    for name in _NAMES:
        vars(module).pop(name, None)

    def find(name: str) -> Any:
        if name in _NAMES:
            value = getattr(importlib.import_module(_NAMES[name]), name)
            _name_all()
            setattr(module, name, value)
            return value
        raise AttributeError(f"module 'pyspark' has no attribute {name!r}")

    _complete_util(sys.modules["pyspark.util"])
    module.__getattr__ = find  # type: ignore[method-assign]
    module.__all__ = [name for name in exported if name in vars(module) or name in _NAMES]  # type: ignore[attr-defined]


def _complete_util(module: ModuleType) -> None:
    # Not when the module is imported: that is in the middle of importing PySpark.
    names = ("InheritableThread", "inheritable_thread_target")
    for name in names:
        vars(module).pop(name, None)

    def find(name: str) -> Any:
        if name in names:
            return getattr(importlib.import_module("millstream.inheritance"), name)
        raise AttributeError(f"module 'pyspark.util' has no attribute {name!r}")

    module.__getattr__ = find  # type: ignore[method-assign]


def _complete_session(module: ModuleType) -> None:
    builder = module.SparkSession.Builder
    validate = builder._validate_startup_urls

    def with_local_master(self: Any) -> None:
        from millstream import dataframes

        dataframes.new_options(self._options)
        validate(self)

    builder._validate_startup_urls = with_local_master

    def of_context(cls: Any, sparkContext: Any = None, jsparkSession: Any = None, options: Any = None) -> Any:
        from millstream import dataframes

        return dataframes.session_of_context(sparkContext, options)

    # `SparkSession(sc)`: what it gives is a session of Connect, so no `__init__` follows.
    module.SparkSession.__new__ = of_context


def _complete_connect_session(module: ModuleType) -> None:
    session = module.SparkSession
    create, begin, stop = session.createDataFrame, session.__init__, session.stop

    @functools.wraps(create)
    def create_data_frame(
        self: Any, data: Any, schema: Any = None, samplingRatio: Any = None, verifySchema: Any = None
    ) -> Any:
        rdds = sys.modules.get("millstream.rdd")
        if rdds is not None and isinstance(data, rdds.RDD):
            from millstream import dataframes

            return dataframes.create_from_rdd(self, data, schema, samplingRatio, verifySchema)
        return create(self, data, schema, samplingRatio, verifySchema)

    @functools.wraps(begin)
    def begin_session(self: Any, *args: Any, **kwargs: Any) -> None:
        from millstream import dataframes

        begin(self, *args, **kwargs)
        dataframes.session_begins(self)

    @functools.wraps(stop)
    def stop_session(self: Any) -> None:
        from millstream import dataframes

        ended_alone = self is not dataframes.active_session()
        stop(self)
        if not ended_alone:
            dataframes.session_ends()

    def spark_context(self: Any) -> Any:
        from millstream import dataframes

        return dataframes.context_of(self)

    session.createDataFrame = create_data_frame
    session.__init__ = begin_session
    session.stop = stop_session
    session.sparkContext = session._sc = property(spark_context)


def _complete_sql_context(module: ModuleType) -> None:
    from millstream import sql_context

    sql_context.complete(module)


def _complete_connect_frame(module: ModuleType) -> None:
    def rdd(self: Any) -> Any:
        from millstream import dataframes

        return dataframes.rdd_of(self)

    def foreach(self: Any, f: Any) -> None:
        self.rdd.foreach(f)

    def foreach_partition(self: Any, f: Any) -> None:
        self.rdd.foreachPartition(f)

    frame = module.DataFrame
    rows_of_json = frame.toJSON

    def to_json(self: Any, use_unicode: bool = True) -> Any:
        # Of Connect it is a DataFrame, of a program with a SparkContext an RDD of texts.
        texts = rows_of_json(self).rdd.map(operator.itemgetter(0))
        return texts if use_unicode else texts.map(str.encode)

    frame.rdd = property(rdd)
    frame.toJSON = functools.wraps(rows_of_json)(to_json)
    frame.foreach = functools.wraps(frame.foreach)(foreach)
    frame.foreachPartition = functools.wraps(frame.foreachPartition)(foreach_partition)


_COMPLETIONS = {
    "pyspark": _complete_pyspark,
    "pyspark.sql.context": _complete_sql_context,
    "pyspark.sql.session": _complete_session,
    "pyspark.sql.connect.dataframe": _complete_connect_frame,
    "pyspark.sql.connect.session": _complete_connect_session,
}
