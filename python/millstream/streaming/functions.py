"""Functions of a program as the graph calls them, and how batch times are written."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from datetime import datetime
from types import FrameType
from typing import Any, NoReturn

from millstream.errors import no_such_method
from millstream.streaming.failures import SPARK_EXCEPTION, StreamFailure, failure_of


class LostState:
    """Stands for an initial RDD that did not survive; a function that would be given it fails."""

    def fail(self) -> NoReturn:
        """Say what is missing."""
        raise StreamFailure(
            SPARK_EXCEPTION,
            "This RDD lacks a SparkContext. It was the initial state of updateStateByKey and cannot be recovered from "
            "a checkpoint that was written before the state itself was saved.",
        )


class BatchFunction:
    """A function of a batch time and RDDs, called by the graph with the time in ms since the epoch.

    Gives an RDD, or ``None`` for anything false. Whatever the function raises comes out as one failure that carries the
    Python traceback, as it does when a JVM has called the function.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self._func = func

    def __call__(self, milliseconds: int, *rdds: Any) -> Any:
        """Call the function for the batch of this time."""
        for rdd in rdds:
            if isinstance(rdd, LostState):
                rdd.fail()
            if rdd is not None:
                rdd.ctx._begin_batch()
        try:
            result = self._func(batch_time(milliseconds), *rdds)
            if not result:
                return None
            # Spark asks the result for its JVM twin, so that this error is what programs find.
            if not _is_rdd(result):
                raise AttributeError(f"{type(result).__name__!r} object has no attribute '_jrdd'")
            return result
        except BaseException as error:
            failure = failure_of(error)
        # Outside of the handler: it would hold on to the frames of the program for as long as the failure lives.
        raise failure

    def __repr__(self) -> str:
        return f"TransformFunction({self._func})"

    def __reduce__(self) -> Any:
        return BatchFunction, (self._func,)


def _is_rdd(value: Any) -> bool:
    from millstream.rdd import RDD

    return isinstance(value, RDD)


def pickled(value: Any) -> bytes:
    """Pickle functions by value, as tasks are; what cannot be pickled is a ``PicklingError`` that says why."""
    from pyspark import cloudpickle

    try:
        return cloudpickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except pickle.PickleError:
        raise
    except Exception as error:
        raise pickle.PicklingError(f"Could not serialize object: {type(error).__name__}: {error}") from error


def calling_line() -> str:
    """Return where the program has called this package: ``file:line``."""
    frame: FrameType | None = sys._getframe(1)
    here = os.path.dirname(os.path.abspath(__file__)) + os.sep
    while frame is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def batch_time(milliseconds: int) -> datetime:
    """Return the naive local time of a batch."""
    return datetime.fromtimestamp(milliseconds / 1000.0)


def milliseconds_of(timestamp: datetime | float) -> int:
    """Return ms since the epoch of a naive local time, whose fraction of a second is dropped, or of seconds."""
    seconds = time.mktime(timestamp.timetuple()) if isinstance(timestamp, datetime) else timestamp
    return int(seconds * 1000)


def duration_ms(seconds: float) -> int:
    """Return a duration in ms; a fraction of a millisecond is dropped."""
    milliseconds = int(seconds * 1000)
    # So long is only the text of a number, a thousand times.
    if not -(2**63) <= milliseconds < 2**63:
        raise no_such_method("None.org.apache.spark.streaming.Duration", [seconds])
    return milliseconds


def rddToFileName(prefix: str, suffix: str | None, timestamp: datetime | int) -> str:
    """Return the name of a batch's output: ``prefix-TIME`` or ``prefix-TIME.suffix`` with the time in ms.

    >>> rddToFileName("counts", None, 1700000000500)
    'counts-1700000000500'
    >>> rddToFileName("counts", "txt", 1700000000500)
    'counts-1700000000500.txt'
    """
    if isinstance(timestamp, datetime):
        timestamp = milliseconds_of(timestamp) + timestamp.microsecond // 1000
    name = f"{prefix}-{timestamp}"
    return name if suffix is None else f"{name}.{suffix}"
