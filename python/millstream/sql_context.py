"""``SQLContext`` and ``HiveContext``, which older programs begin with: they wrap the program's session.

PySpark's own classes stay; what of them asks the JVM is replaced when their module is imported.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any, NoReturn

_DEPRECATED = "Deprecated in 3.0.0. Use SparkSession.builder.getOrCreate() instead."


def complete(module: ModuleType) -> None:
    """Let the classes of ``pyspark.sql.context`` work with the session of the program."""
    context, hive = module.SQLContext, module.HiveContext
    context.__init__ = _begin
    context._get_or_create = classmethod(_get_or_create)
    context._ssql_ctx = property(_no_jvm)
    context.tables = _tables
    context.tableNames = _table_names
    for name in ("cacheTable", "uncacheTable", "clearCache"):
        setattr(context, name, _of_catalog(name, getattr(context, name).__doc__))
    for name in ("read", "readStream", "streams"):
        setattr(context, name, _of_session(name, getattr(context, name).__doc__))
    hive.__init__ = _begin
    hive._get_or_create = classmethod(_get_or_create)
    hive.refreshTable = _of_catalog("refreshTable", hive.refreshTable.__doc__)


def _begin(self: Any, sparkContext: Any, sparkSession: Any = None, jsqlContext: Any = None) -> None:
    from pyspark.sql import SparkSession

    if sparkSession is None:
        warnings.warn(_DEPRECATED, FutureWarning, stacklevel=2)
        sparkSession = SparkSession.builder.getOrCreate()
    self._sc = sparkContext
    self.sparkSession = sparkSession
    known = type(self)._instantiatedContext
    if known is None or known._sc._engine is None:
        type(self)._instantiatedContext = self


def _get_or_create(cls: Any, sc: Any, **static_conf: Any) -> Any:
    from pyspark.sql import SparkSession

    known = cls._instantiatedContext
    if known is not None and known._sc._engine is not None:
        return known
    builder = SparkSession.builder
    for key, value in static_conf.items():
        builder = builder.config(key, value)
    return cls(sc, builder.getOrCreate())


def _no_jvm(self: Any) -> NoReturn:
    raise AttributeError("'SQLContext' object has no attribute '_ssql_ctx': there is no JVM")


def _shown(database: str | None) -> str:
    return "SHOW TABLES" if database is None else f"SHOW TABLES IN `{database.replace('`', '``')}`"


def _tables(self: Any, dbName: str | None = None) -> Any:
    """Return a DataFrame of the tables of a database, by default the current one."""
    return self.sparkSession.sql(_shown(dbName))


def _table_names(self: Any, dbName: str | None = None) -> list[str]:
    """Return the names of the tables of a database, by default the current one."""
    return [table.name for table in self.sparkSession.catalog.listTables(dbName)]


def _of_catalog(name: str, doc: str | None) -> Any:
    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        getattr(self.sparkSession.catalog, name)(*args, **kwargs)

    call.__name__, call.__doc__ = name, doc
    return call


def _of_session(name: str, doc: str | None) -> Any:
    return property(lambda self: getattr(self.sparkSession, name), doc=doc)
