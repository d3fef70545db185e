"""Errors of a program that has made a SparkSession: PySpark converts some exceptions of Java into classes of its own.

From the first session on a failed task is ``pyspark.errors.PythonException``, not ``Py4JJavaError``, in calls of RDDs
and streams, too. The classes here are those that PySpark raises then, without the JVM that these ask for their parts.
"""

from __future__ import annotations

from typing import Any

from pyspark.errors.exceptions import captured

_session_made = False


def session_made() -> None:
    """Convert errors from now on."""
    global _session_made
    _session_made = True


class _Captured:
    """What the classes have in common; ``_origin`` is what stands for the exception of Spark."""

    def __init__(self, java_exception: Any) -> None:
        Exception.__init__(self, java_exception)
        self._origin = java_exception
        self._desc = java_exception.getMessage() or ""
        self._cause = None
        self._stackTrace = java_exception.toString()

    def __str__(self) -> str:
        return self._desc

    def getCondition(self) -> str | None:
        """Return the name of the condition in front of the message."""
        head, _, _ = self._desc.partition("]")
        return head[1:] if head.startswith("[") else None

    getErrorClass = getCondition

    def getMessageParameters(self) -> dict[str, str]:
        """Return no parameters: they are in the message."""
        return {}

    def getSqlState(self) -> str | None:
        """Return the state, if the message ends with one."""
        _, _, state = self._desc.rpartition("SQLSTATE: ")
        return state if len(state) == 5 else None

    def getMessage(self) -> str:
        """Return the message."""
        return self._desc

    def getQueryContext(self) -> list[Any]:
        """Return nothing: no query is meant."""
        return []

    def __reduce__(self) -> Any:
        return type(self), (self._origin,)


class PythonException(_Captured, captured.PythonException):
    """A function of the program has failed in a worker."""

    __module__ = captured.__name__

    def __str__(self) -> str:
        text = self._desc.removeprefix("[PYTHON_EXCEPTION] ").removesuffix("SQLSTATE: 38000")
        message, _, trace = text.partition(": ")
        return f"{message}:\n{trace.strip()}"


class IllegalArgumentException(_Captured, captured.IllegalArgumentException):
    """An argument cannot be taken."""

    __module__ = captured.__name__


class UnsupportedOperationException(_Captured, captured.UnsupportedOperationException):
    """Something is not possible."""

    __module__ = captured.__name__


_CLASSES = {
    "org.apache.spark.api.python.PythonException": PythonException,
    "java.lang.IllegalArgumentException": IllegalArgumentException,
    "org.apache.spark.SparkIllegalArgumentException": IllegalArgumentException,
    "java.lang.UnsupportedOperationException": UnsupportedOperationException,
    "org.apache.spark.SparkUnsupportedOperationException": UnsupportedOperationException,
}


def converted(java_exception: Any) -> Exception | None:
    """Return the error that PySpark makes of an exception, or None if it leaves it as it is."""
    known = _CLASSES.get(java_exception.getClass().getName()) if _session_made else None
    return None if known is None else known(java_exception)
