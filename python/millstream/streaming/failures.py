"""Errors of the graph on their way to the program.

Inside, an error is a :class:`StreamFailure`: the class of the exception that Spark would raise, and its text. At the
border (:func:`raised_by`) it becomes the ``Py4JJavaError`` that programs expect from a call into the streaming engine.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

SPARK_EXCEPTION = "org.apache.spark.SparkException"


class StreamFailure(Exception):
    """An error of the graph or of a function that it has called; also made by the native half."""

    def __init__(self, java_class: str, message: str, cause: StreamFailure | None = None) -> None:
        super().__init__(java_class, message)
        self.java_class = java_class
        self.message = message
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.java_class}: {self.message}"


def failure_of(error: BaseException) -> StreamFailure:
    """Return what the graph reports when a function of the program has raised this."""
    if isinstance(error, StreamFailure):
        return error
    # The first entries are the frames of the graph's own call.
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return StreamFailure(SPARK_EXCEPTION, f"An exception was raised by Python:\n{text}")


@contextlib.contextmanager
def raised_by(call: str) -> Iterator[None]:
    """Raise what fails inside as the error of this call, such as ``awaitTermination``."""
    try:
        yield
    except StreamFailure as failure:
        # The program sees the error of its call, not how it came about inside.
        raise java_error(call, failure) from None


def java_error(call: str, failure: StreamFailure) -> Exception:
    """Return the error that a program finds for a failed call."""
    from millstream import errors

    cause = failure.cause and errors.JavaException(failure.cause.java_class, failure.cause.message)
    return errors.java_error(failure.java_class, failure.message, call, cause)
