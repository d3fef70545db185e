"""What fails is raised as PySpark raises it: classes that ``except Py4JJavaError`` catches, with the same texts.

``Py4JJavaError`` here is a subclass of py4j's where py4j is installed, else of the one that
:mod:`millstream.py4j_protocol` supplies under the name ``py4j.protocol``. There is no Java: ``java_exception`` is an
object that answers what programs ask of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from millstream import captured


def _base() -> type[Exception]:
    try:
        from py4j.protocol import Py4JJavaError as base
    except ImportError:
        from millstream.py4j_protocol import Py4JJavaError as base
    return base


COLLECT = "z:org.apache.spark.api.python.PythonRDD.collectAndServe"
"""What most actions call."""

RUN_JOB = "z:org.apache.spark.api.python.PythonRDD.runJob"


class JavaException:
    """What stands for the exception of Spark that a failure would be there."""

    def __init__(self, class_name: str, message: str | None, cause: JavaException | None = None) -> None:
        self._class_name = class_name
        self._message = message
        self._cause = cause

    def toString(self) -> str:
        """Class and message, as Java shows an exception."""
        return self._class_name if self._message is None else f"{self._class_name}: {self._message}"

    def getMessage(self) -> str | None:
        """Return the message."""
        return self._message

    getLocalizedMessage = getMessage

    def getCause(self) -> JavaException | None:
        """Return the exception behind this one."""
        return self._cause

    def getClass(self) -> _JavaClass:
        """Return what knows the name of the class."""
        return _JavaClass(self._class_name)

    def getStackTrace(self) -> list[Any]:
        """Return no frames: none of them is Java's."""
        return []

    def printStackTrace(self) -> None:
        """Show the exception on standard error."""
        import sys

        print(self.toString(), file=sys.stderr)

    __str__ = __repr__ = toString


class _JavaClass:
    def __init__(self, name: str) -> None:
        self._name = name

    def getName(self) -> str:
        """Full name of the class."""
        return self._name

    getCanonicalName = getTypeName = getName

    def getSimpleName(self) -> str:
        """Name without the package."""
        return self._name.rpartition(".")[2]


class Py4JJavaError(_base()):  # type: ignore[misc]
    """A failure that reaches PySpark programs from the engine."""

    __module__ = "py4j.protocol"

    def __init__(self, msg: str, java_exception: JavaException) -> None:
        Exception.__init__(self, msg)
        self.args = (msg, java_exception)
        self.errmsg = msg
        self.java_exception = java_exception
        self.exception_cmd = ""

    def __str__(self) -> str:
        text = f"{self.errmsg}: {self.java_exception.toString()}"
        cause = self.java_exception.getCause()
        while cause is not None:
            text += f"\nCaused by: {cause.toString()}"
            cause = cause.getCause()
        return text

    def __reduce__(self) -> Any:
        # By a function: the class is not what its module says where py4j has one of this name.
        return _restored, (self.errmsg, self.java_exception)


FAILURES = (Py4JJavaError, captured.PythonException, captured.IllegalArgumentException)
"""What a job can fail with."""


def failure_in(error: Any) -> JavaException:
    """Return what an error is about."""
    return error.java_exception if isinstance(error, Py4JJavaError) else error._origin  # type: ignore[no-any-return]


def _restored(msg: str, java_exception: JavaException) -> Py4JJavaError:
    return Py4JJavaError(msg, java_exception)


def java_error(
    class_name: str, message: str | None, call: str = COLLECT, cause: JavaException | None = None
) -> Exception:
    """Return the error of a call that fails with an exception of Spark's."""
    return called_by(call, JavaException(class_name, message, cause))


def called_by(call: str, failure: JavaException) -> Exception:
    """Return the error of a call that fails for this reason."""
    converted = captured.converted(failure)
    if converted is not None:
        return converted
    return Py4JJavaError(f"An error occurred while calling {call}.\n", failure)


def task_failure(trace: str) -> Exception:
    """Return the error of a job one of whose tasks raised; the text is the traceback of the worker."""
    message = f"[PYTHON_EXCEPTION] An exception was thrown from the Python worker: {trace} SQLSTATE: 38000"
    return java_error("org.apache.spark.api.python.PythonException", message, COLLECT)


def job_aborted(reason: str, call: str = COLLECT) -> Exception:
    """Return the error of a job that ended for another reason than an exception of a function."""
    return java_error("org.apache.spark.SparkException", reason, call)


def illegal_state(message: str) -> Exception:
    """Return the error of something that cannot be done now."""
    return java_error("java.lang.IllegalStateException", message)


def unsupported(what: str, why: str) -> Exception:
    """Return the error of a feature that Millstream does not have."""
    return java_error("org.apache.spark.SparkUnsupportedOperationException", f"{what} is not supported: {why}")


def no_such_method(call: str, args: Iterable[Any]) -> Exception:
    """Return the error of a call whose arguments are of types that no method of Spark takes."""
    from py4j.protocol import Py4JError

    types = ", ".join(_java_type(arg) for arg in args)
    target, _, method = call.rpartition(".")
    what = f"Constructor {call[5:]}" if target.startswith("None.") else f"Method {method}"
    return Py4JError(
        f"An error occurred while calling {call}. Trace:\npy4j.Py4JException: {what}([{types}]) does not exist\n"
    )


_JAVA_TYPES = {bool: "Boolean", int: "Integer", float: "Double", str: "String"}


def _java_type(arg: Any) -> str:
    """Return how Java shows the class that an argument has there."""
    if arg is None:
        return "null"
    known = _JAVA_TYPES.get(type(arg))
    return f"class java.lang.{known}" if known else f"class {type(arg).__module__}.{type(arg).__qualname__}"
