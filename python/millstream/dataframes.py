"""RDDs and DataFrames: each made from the other. DataFrames live behind Spark Connect, so rows pass through the driver."""

from __future__ import annotations

from typing import Any

from pyspark.errors import PySparkRuntimeError

_SAMPLED_ROWS = 100


def active_session() -> Any:
    """Return the SparkSession of the program, or None if it has made none."""
    from pyspark.sql.connect.session import SparkSession

    return SparkSession.getActiveSession() or SparkSession._default_session


def to_df(rdd: Any, schema: Any, ratio: float | None) -> Any:
    """Return a DataFrame of the elements of an RDD."""
    session = active_session()
    if session is None:
        raise PySparkRuntimeError(
            errorClass="CALL_BEFORE_INITIALIZE",
            messageParameters={"func_name": "RDD.toDF", "object": "SparkSession"},
        )
    return session.createDataFrame(rdd, schema, ratio)
