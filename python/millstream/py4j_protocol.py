"""The names of ``py4j.protocol`` that programs catch, for where py4j is not installed.

Programs import them as ``py4j.protocol``; there is no gateway behind them.
"""

from __future__ import annotations

from typing import Any


class Py4JError(Exception):
    """Base class of all errors of the bridge to Java."""

    __module__ = "py4j.protocol"

    def __init__(self, args: Any = None, cause: Any = None) -> None:
        super().__init__(args)
        self.cause = cause


class Py4JNetworkError(Py4JError):
    """The connection to Java failed."""

    __module__ = "py4j.protocol"


class Py4JJavaError(Py4JError):
    """An exception was raised behind the bridge."""

    __module__ = "py4j.protocol"

    def __init__(self, msg: str, java_exception: Any) -> None:
        super().__init__(msg)
        self.errmsg = msg
        self.java_exception = java_exception


class Py4JAuthenticationError(Py4JError):
    """The other side of the bridge was not let in."""

    __module__ = "py4j.protocol"
