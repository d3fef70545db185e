"""``millstream checkpoint``: what a checkpoint holds, and whether Spark would go on from it."""

from __future__ import annotations

import argparse
import sys

from millstream import _native

WRONG_ARGUMENTS = 2


def run(options: argparse.Namespace) -> int:
    """Do what the command line says; return the exit code."""
    try:
        if options.action == "verify":
            return verify(options.directory, options.sink)
        if options.action == "show":
            text = _native.checkpoint_summary(options.directory)
        else:
            text = _native.checkpoint_rows(
                options.directory,
                operator=options.operator,
                store=options.store,
                batch=options.batch,
                limit=options.limit,
                json=options.json,
            )
    except ValueError as error:
        print(f"millstream: {error}", file=sys.stderr)
        return WRONG_ARGUMENTS
    except OSError as error:
        print(f"millstream: {error}", file=sys.stderr)
        return 1
    _print(text)
    return 0


def verify(directory: str, sink: str | None) -> int:
    """Print what is wrong, then a line that sums up."""
    files, rows, findings = _native.checkpoint_verify(directory, sink)
    errors = sum(fatal for fatal, _, _ in findings)
    warnings = len(findings) - errors
    lines = [f"{'error' if fatal else 'warning'}: {path}: {problem}" for fatal, path, problem in findings]
    read = f"{_counted(files, 'file')} and {_counted(rows, 'row')} of state read"
    if errors:
        lines.append(f"not usable: {_counted(errors, 'error')}, {_counted(warnings, 'warning')}; {read}")
    else:
        lines.append(f"good: {_counted(warnings, 'warning') if warnings else 'nothing wrong'}; {read}")
    _print("\n".join(lines) + "\n")
    return 1 if errors else 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _print(text: str) -> None:
    """Write without an error if the reader has gone (``| head``)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()
