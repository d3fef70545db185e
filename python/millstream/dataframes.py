"""RDDs, contexts and sessions together: DataFrames of RDDs, RDDs of DataFrames, the context of a session.

DataFrames live behind Spark Connect, so their rows pass through the driver. A session and a context that a program
makes belong together as in PySpark: each finds the settings of the other, and both end with either.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkRuntimeError, PySparkTypeError

from millstream import captured, settings
from millstream.jobs import blocks, lineage

if TYPE_CHECKING:
    from millstream.context import SparkContext
    from millstream.rdd import RDD


def active_session() -> Any:
    """Return the SparkSession of the program, or None if it has made none."""
    module = sys.modules.get("pyspark.sql.connect.session")
    if module is None:
        return None
    return module.SparkSession.getActiveSession() or module.SparkSession._get_default_session()


def context_of(session: Any) -> SparkContext:
    """Return the active context; make one with the settings of a session if there is none."""
    from pyspark.conf import SparkConf

    from millstream.context import SparkContext

    with SparkContext._lock:
        if SparkContext._active_spark_context is None:
            conf = SparkConf(loadDefaults=False)
            for key, value in session.conf.getAll.items():
                conf.set(key, value)
            # Programs of sessions alone have no use for workers: these start with the first job.
            SparkContext(conf=conf, _eager=False)
        assert SparkContext._active_spark_context is not None
        return SparkContext._active_spark_context


def session_begins(session: Any) -> None:
    """Give a new session the settings of the context, and the files that were added to it before."""
    captured.session_made()
    context = _context()
    if context is not None:
        settled = {key: value for key, value in context._conf.getAll() if not key.startswith("spark.sql.")}
        session.conf._set_all(settled, True)
        for path, kind in context._added_for_sessions:
            session.addArtifacts(path, **{kind: True})


def session_ends() -> None:
    """End the context when the session of the program has ended."""
    context = _context()
    if context is not None:
        context.stop()


def context_ends() -> None:
    """End the session when the context of the program has ended."""
    session = active_session()
    if session is not None:
        with contextlib.suppress(Exception):
            session.stop()


def _context() -> SparkContext | None:
    module = sys.modules.get("millstream.context")
    return None if module is None else module.SparkContext._active_spark_context


def new_options(options: dict[str, Any]) -> None:
    """Take from the options of a session's builder what is the context's, and remember the rest for it."""
    settings.SESSION_OPTIONS.update(options)
    options.pop("spark.master", None)
    # `remote("local[*]")` asks for a server of its own, which is this process.
    if str(options.get("spark.remote", "")).startswith("local"):
        del options["spark.remote"]
    context = _context()
    if context is not None:
        for key, value in context._conf.getAll():
            if not key.startswith("spark.sql.") and options.get(key) == value and key != "spark.app.name":
                del options[key]


# ------------------------------------------------------------------------------------------------ conversions


def to_df(rdd: Any, schema: Any, ratio: float | None) -> Any:
    """Return a DataFrame of the elements of an RDD."""
    session = active_session()
    if session is None:
        raise PySparkRuntimeError(
            errorClass="CALL_BEFORE_INITIALIZE",
            messageParameters={"func_name": "RDD.toDF", "object": "SparkSession"},
        )
    return session.createDataFrame(rdd, schema, ratio)


def create_from_rdd(session: Any, rdd: RDD[Any], schema: Any, ratio: float | None, verify: bool | None) -> Any:
    """Return a DataFrame of the elements of an RDD; runs jobs."""
    from millstream.rows_of_rdds import rows_of

    if isinstance(schema, str):
        schema = session.client._analyze(method="ddl_parse", ddl_string=schema).parsed
    struct, parts = rows_of(session, rdd, schema, ratio, verify)
    frame = _plain_create(session, list(itertools.chain.from_iterable(parts)), struct)
    frame._rows_by_partition = [len(part) for part in parts]
    return frame


def _plain_create(session: Any, rows: list[Any], schema: Any) -> Any:
    # The method of PySpark, below the one that looks for RDDs.
    return type(session).createDataFrame.__wrapped__(session, rows, schema)


def rdd_of(frame: Any) -> RDD[Any]:
    """Return the rows of a DataFrame as an RDD; they are fetched when its partitions are first asked for."""
    from millstream.rdd import RDD

    known = vars(frame).get("_rdd_of_rows")
    context = context_of(frame.sparkSession)
    if known is not None and known.ctx is context:
        return known  # type: ignore[no-any-return]

    def describe() -> list[Any]:
        rows = frame.collect()
        sizes = vars(frame).get("_rows_by_partition")
        if sizes is not None:
            cuts = [0, *itertools.accumulate(sizes)]
        else:
            slices = 1 if _is_from_a_shuffle(frame) else min(max(len(rows), 1), context.defaultParallelism)
            cuts = [i * len(rows) // slices for i in range(slices + 1)]
        store = context._engine.store
        return [("block", [store.put(blocks.dumps(rows[start:end]))]) for start, end in itertools.pairwise(cuts)]

    rdd: RDD[Any] = RDD(lineage.Late(context._number(), "MapPartitionsRDD", describe), context, 0)
    frame._rdd_of_rows = rdd
    return rdd


_SHUFFLING = ("Aggregate", "Sort [", "SortMergeJoin", "Exchange", "Window", "Limit")


def _is_from_a_shuffle(frame: Any) -> bool:
    """Whether rows have come together in Spark, which then makes one partition of so few as fit into a driver."""
    plan = frame._explain_string("simple")
    return any(operator in line for line in plan.splitlines() for operator in _SHUFFLING)


def session_of_context(context: Any, options: dict[str, Any] | None = None) -> Any:
    """Return a session for ``SparkSession(sparkContext)``."""
    from pyspark.sql.session import SparkSession

    from millstream.context import SparkContext

    if not isinstance(context, SparkContext):
        raise PySparkTypeError(f"SparkSession needs a SparkContext, not {type(context).__name__}")
    builder = SparkSession.builder
    for key, value in (options or {}).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
