"""Executing a program as ``python SCRIPT`` does, after something else has been done in its process.

Needs nothing but Python itself: ``cluster_main`` loads this file in interpreters that have no Millstream.
"""

from __future__ import annotations

import io
import os
import sys
import types
from importlib.machinery import SourceFileLoader
from traceback import walk_tb
from types import TracebackType


def missing(script: str) -> str | None:
    """Say as Python says it that there is no such program."""
    if os.path.exists(script):
        return None
    return f"millstream: can't open file '{os.path.abspath(script)}': [Errno 2] No such file or directory"


def flush_lines() -> None:
    """Write each line out at once, so that prints and the tables of console sinks come in the order they were made."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def execute(script: str) -> None:
    """Execute a program as the main module."""
    if os.path.isdir(script) or not _is_source(script):
        import runpy

        sys.path[0] = script
        runpy.run_path(script, run_name="__main__")
        return
    sys.path[0] = os.path.dirname(os.path.realpath(script))
    main = types.ModuleType("__main__")
    main.__file__ = script
    main.__loader__ = SourceFileLoader("__main__", script)
    main.__dict__.update(__builtins__=sys.modules["builtins"], __cached__=None, __annotations__={})
    # The module stays in place to the end of the process: threads and handlers at exit belong to it.
    sys.modules["__main__"] = main
    with io.open_code(script) as file:
        code = compile(file.read(), script, "exec")
    exec(code, main.__dict__)


def _is_source(script: str) -> bool:
    """Whether it is a plain Python file, not a zip archive or compiled code."""
    with open(script, "rb") as file:
        head = file.read(4)
    return not head.startswith(b"PK") and not script.endswith(".pyc")


def report(error: BaseException, script: str) -> None:
    """Show an error as Python shows it, without the frames of the launcher."""
    trace = trace_within(error, script)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def trace_within(error: BaseException, script: str) -> TracebackType | None:
    """Leave out the frames that called the program."""
    trace = error.__traceback__
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_filename == script or trace is None:
            break
        trace = trace.tb_next
    return trace
