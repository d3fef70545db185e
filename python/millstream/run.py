"""``millstream run``: execute a program as ``python SCRIPT ARGS`` does, with an engine in its process."""

from __future__ import annotations

import io
import os
import signal
import sys
import types
from importlib.machinery import SourceFileLoader
from traceback import walk_tb

from millstream.embedded import start_or_exit


def run(script: str, args: list[str], port: int = 0, warehouse: str | None = None) -> int:
    """Run a program; return its exit code, or raise its ``SystemExit``."""
    if not os.path.exists(script):
        reason = "[Errno 2] No such file or directory"
        print(f"millstream: can't open file '{os.path.abspath(script)}': {reason}", file=sys.stderr)
        return 2
    engine = start_or_exit(port, warehouse)
    sys.argv = [script, *args]
    # As Python since 3.9: frames and `__file__` name the whole path.
    script = os.path.abspath(script)
    flush_lines()
    try:
        execute(script)
    except SystemExit:
        engine.finish()
        raise
    except KeyboardInterrupt as interrupt:
        report(interrupt, script)
        engine.finish()
        _end_by_interrupt()
    except BaseException as error:
        report(error, script)
        engine.finish()
        return 1
    engine.finish()
    return 0


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
    trace = error.__traceback__
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_filename == script or trace is None:
            break
        trace = trace.tb_next
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _end_by_interrupt() -> None:
    """End as Python ends after Ctrl-C: by the signal itself, so that a calling shell sees it."""
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
