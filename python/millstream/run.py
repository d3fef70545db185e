"""``millstream run``: execute a program as ``python SCRIPT ARGS`` does, with an engine in its process."""

from __future__ import annotations

import os
import signal
import sys

from millstream import program
from millstream.embedded import Metrics, end_process, start_or_exit


def run(script: str, args: list[str], port: int = 0, warehouse: str | None = None, metrics: Metrics = None) -> int:
    """Run a program; return its exit code, or raise its ``SystemExit``."""
    if sentence := program.missing(script):
        print(sentence, file=sys.stderr)
        return 2
    engine = start_or_exit(port, warehouse, metrics)
    sys.argv = [script, *args]
    # As Python since 3.9: frames and `__file__` name the whole path.
    script = os.path.abspath(script)
    program.flush_lines()
    code = 0
    try:
        program.execute(script)
    except SystemExit as end:
        if not engine.finish():
            end_process(end.code)
        raise
    except KeyboardInterrupt as interrupt:
        program.report(interrupt, script)
        engine.finish()
        _end_by_interrupt()
    except BaseException as error:
        program.report(error, script)
        code = 1
    if not engine.finish():
        end_process(code)
    return code


def _end_by_interrupt() -> None:
    """End as Python ends after Ctrl-C: by the signal itself, so that a calling shell sees it."""
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
