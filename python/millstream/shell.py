"""``millstream shell``: a Python shell in which ``spark`` is a session of an engine in this process."""

from __future__ import annotations

import atexit
import code
import codeop
import contextlib
import os
import platform
import re
import sys
import types

from millstream._native import __version__
from millstream.embedded import Metrics, end_process, start_or_exit
from millstream.program import flush_lines

HISTORY = os.path.join(os.path.expanduser("~"), ".millstream_history")
HISTORY_LINES_MAX = 10_000

# Words that carry a compound statement on although they stand at the left margin.
_CONTINUATIONS = ("else", "elif", "except", "finally")


def shell(port: int = 0, warehouse: str | None = None, metrics: Metrics = None) -> int:
    """Run the shell on this terminal, or on the program that is piped in; return the exit code."""
    engine = start_or_exit(port, warehouse, metrics)
    flush_lines()
    sys.argv = [""]
    sys.path[0] = ""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    # PySpark takes a main module with neither file nor spec for a doctest and looks for a JVM.
    os.environ.setdefault("SPARK_HOME", os.path.dirname(__file__))
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("MillstreamShell").getOrCreate()
    main.__dict__.update(__builtins__=sys.modules["builtins"], spark=spark, sc=spark.sparkContext)
    console = code.InteractiveConsole(main.__dict__)
    try:
        if sys.stdin.isatty():
            _interact(console)
        else:
            run_piped(console)
    finally:
        quiet = engine.finish()
    if not quiet:
        end_process(0)
    return 0


def _interact(console: code.InteractiveConsole) -> None:
    import pyspark

    _read_history(console)
    banner = (
        f"Millstream {__version__}, PySpark {pyspark.__version__}, Python {platform.python_version()}\n"
        "SparkSession available as 'spark', SparkContext as 'sc'."
    )
    console.interact(banner=banner, exitmsg="")


def _read_history(console: code.InteractiveConsole) -> None:
    try:
        import readline
        import rlcompleter
    except ImportError:
        return
    readline.set_completer(rlcompleter.Completer(console.locals).complete)  # type: ignore[arg-type]
    readline.parse_and_bind("tab: complete")
    with contextlib.suppress(OSError):
        readline.read_history_file(HISTORY)
    readline.set_history_length(HISTORY_LINES_MAX)
    atexit.register(_write_history)


def _write_history() -> None:
    import readline

    with contextlib.suppress(OSError):
        readline.write_history_file(HISTORY)


def run_piped(console: code.InteractiveConsole) -> None:
    """Execute standard input statement by statement, each as soon as it is complete, and show values as a shell does.

    A line at the left margin ends a block, as in a file; a shell would want an empty line there.
    """
    block: list[str] = []
    for line in sys.stdin:
        line = line.rstrip("\r\n")
        if block and _begins_a_statement(line) and _is_whole("\n".join(block) + "\n"):
            _execute(console, "\n".join(block) + "\n")
            block = []
        block.append(line)
        source = "\n".join(block)
        if not source.strip():
            block = []
        elif not _wants_more(source):
            _execute(console, source)
            block = []
    if block:
        _execute(console, "\n".join(block) + "\n")


def _begins_a_statement(line: str) -> bool:
    """Whether the line stands at the left margin and does not carry on what is above it."""
    word = re.match(r"\w+|@", line)
    return word is not None and word.group() not in _CONTINUATIONS


def _is_whole(source: str) -> bool:
    try:
        return codeop.compile_command(source, "<stdin>", "single") is not None
    except (SyntaxError, ValueError, OverflowError):
        return False


def _wants_more(source: str) -> bool:
    try:
        return codeop.compile_command(source, "<stdin>", "single") is None
    except (SyntaxError, ValueError, OverflowError):
        return False


def _execute(console: code.InteractiveConsole, source: str) -> None:
    # Errors and Ctrl-C are shown by the console; the next statement follows, as in an interactive interpreter.
    if console.runsource(source, "<stdin>", "single"):
        # The program ends in the middle of a statement: say where.
        try:
            compile(source, "<stdin>", "single")
        except SyntaxError:
            console.showsyntaxerror("<stdin>")
