"""Lets published programs run that PySpark's Connect client alone would refuse.

Installed by the launcher before the program begins; nothing of PySpark is imported before the program does so itself.
When it does:

* ``SparkSession.builder.master(…)`` is accepted and has no effect: the engine is this process;
* ``spark.sparkContext`` is an object that knows the few things Structured Streaming programs use it for;
* ``SparkContext``, ``RDD`` and ``pyspark.streaming`` raise an error that says what is missing.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

NO_DSTREAMS = (
    "{name} is part of Spark's RDD and DStream API, which Millstream does not run yet. "
    "Structured Streaming programs start from SparkSession.builder.getOrCreate()."
)

_RDD_NAMES = frozenset(
    ["SparkContext", "SparkFiles", "RDD", "RDDBarrier", "Broadcast", "StatusTracker", "SparkJobInfo", "SparkStageInfo"]
)
_RDD_MODULES = ("pyspark.context", "pyspark.rdd", "pyspark.streaming")


def install() -> None:
    """Install the hooks into this process; workers that run functions of a program are left as they are."""
    if os.environ.get("SPARK_PYTHON_RUNTIME") != "PYTHON_WORKER":
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Lets others find a module and completes it after it was executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname in _RDD_MODULES:
            raise ImportError(NO_DSTREAMS.format(name=fullname), name=fullname)
        complete = _COMPLETIONS.get(fullname)
        if complete is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, complete)  # type: ignore[arg-type]
        return spec


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
    def missing(name: str) -> NoReturn:
        if name in _RDD_NAMES:
            raise ImportError(NO_DSTREAMS.format(name=name), name="pyspark")
        raise AttributeError(f"module 'pyspark' has no attribute {name!r}")

    module.__getattr__ = missing  # type: ignore[method-assign]
    exported = getattr(module, "__all__", [])
    module.__all__ = [name for name in exported if name in vars(module)]  # type: ignore[attr-defined]


def _complete_session(module: ModuleType) -> None:
    builder = module.SparkSession.Builder
    validate = builder._validate_startup_urls

    def without_master(self: Any) -> None:
        self._options.pop("spark.master", None)
        # `remote("local[*]")` asks for a server of its own, which is this process.
        if str(self._options.get("spark.remote", "")).startswith("local"):
            del self._options["spark.remote"]
        validate(self)

    builder._validate_startup_urls = without_master


def _complete_connect_session(module: ModuleType) -> None:
    def spark_context(self: Any) -> Any:
        from millstream.spark_context import SparkContextView

        return SparkContextView(self)

    module.SparkSession.sparkContext = property(spark_context)


_COMPLETIONS = {
    "pyspark": _complete_pyspark,
    "pyspark.sql.session": _complete_session,
    "pyspark.sql.connect.session": _complete_connect_session,
}
