"""The command ``millstream``: what can be typed, and which module does it."""

from __future__ import annotations

import argparse
import os
import sys

from millstream._native import SPARK_VERSION, __version__

DESCRIPTION = """\
Runs PySpark streaming programs unchanged and without a JVM.

  millstream run app.py       run a program
  millstream shell            a Python shell with a SparkSession named `spark`
  millstream serve            a server for Spark Connect clients
  millstream checkpoint       look into the checkpoint of a query
"""

RUN = """\
Runs a PySpark program. The engine runs inside the process of the program, which is executed as `python SCRIPT ARGS`
would execute it: same arguments, directory, exit code and traceback. What its console sinks show appears on this
terminal. Ctrl-C interrupts the program and stops its queries.

The program needs no change: SparkSession.builder…getOrCreate() gives a session of this engine, whatever master it
names.

With --on the same program runs on a real Spark instead, by a full PySpark of this machine (and Java): on the cluster
of spark://HOST:PORT, or in one JVM with local[N]. A streaming query goes on from the checkpoint it left here, and comes
back from there.
"""

SHELL = """\
A Python shell in which `spark` is a SparkSession of an engine in this process. Also takes a program from a pipe and
executes it statement by statement: millstream shell < program.py
"""

SERVE = """\
Serves Spark Connect clients until it is stopped by Ctrl-C or SIGTERM. Prints the address when it is ready; programs
connect with SparkSession.builder.remote("sc://…") or the environment variable SPARK_REMOTE.

Other machines can connect only if a token is set, which clients then must show (`sc://HOST:PORT/;token=…`).
"""


CHECKPOINT = """\
Looks into the checkpoint of a streaming query, written by this engine or by Spark. Nothing is changed, and the query
may run meanwhile.

  millstream checkpoint show DIR      query, batches, watermark, and the size of its state
  millstream checkpoint state DIR     the rows of its state
  millstream checkpoint verify DIR    whether Spark would go on from it
"""

CHECKPOINT_STATE = """\
Shows the rows of state, decoded: as a table with one column for each field of key and value, or with --json as one
JSON object a line. Times are in UTC.
"""

CHECKPOINT_VERIFY = """\
Reads every file and every row and says what Spark would not accept, with the name of the file and, inside it, the
offset. Files are compared with their checksums where there are any. Ends with code 0 if Spark would go on with the
right results, with 1 if not.
"""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="millstream", description=DESCRIPTION, formatter_class=raw)
    version = f"millstream {__version__} (Spark {SPARK_VERSION})"
    top.add_argument("--version", action="version", version=version)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run a program", description=RUN, formatter_class=raw)
    _engine_arguments(run)
    run.add_argument("--on", metavar="MASTER", type=_master, help="a real Spark: spark://HOST:PORT or local[N]")
    run.add_argument(
        "--python", metavar="PYTHON", help="with --on: a Python that has a full pyspark (default: this one)"
    )
    run.add_argument("script", metavar="SCRIPT", help="a Python file, or a directory or zip with a __main__.py")
    run.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="arguments of the program")

    shell = commands.add_parser("shell", help="a Python shell with `spark`", description=SHELL, formatter_class=raw)
    _engine_arguments(shell)

    serve = commands.add_parser("serve", help="serve Spark Connect clients", description=SERVE, formatter_class=raw)
    serve.add_argument("--host", default="127.0.0.1", help="interface to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=15002, help="port, 0 for any free one (default: %(default)s)")
    serve.add_argument(
        "--token",
        default=os.environ.get("SPARK_CONNECT_AUTHENTICATE_TOKEN"),
        help="what clients must show; also taken from SPARK_CONNECT_AUTHENTICATE_TOKEN",
    )
    _warehouse_argument(serve)
    _metrics_arguments(serve)

    checkpoint = commands.add_parser(
        "checkpoint", help="look into the checkpoint of a query", description=CHECKPOINT, formatter_class=raw
    )
    _checkpoint_commands(checkpoint)
    return top


def _checkpoint_commands(checkpoint: argparse.ArgumentParser) -> None:
    raw = argparse.RawDescriptionHelpFormatter
    actions = checkpoint.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="query, batches, watermark, and the size of its state")
    state = actions.add_parser("state", help="the rows of its state", description=CHECKPOINT_STATE, formatter_class=raw)
    verify = actions.add_parser(
        "verify", help="whether Spark would go on from it", description=CHECKPOINT_VERIFY, formatter_class=raw
    )
    for action in (show, state, verify):
        action.add_argument("directory", metavar="DIR", help="the checkpoint location of the query")
    state.add_argument("--operator", type=_count, metavar="N", help="only this operator (default: all)")
    state.add_argument("--store", metavar="NAME", help="only this store of an operator with several (default: all)")
    state.add_argument("--batch", type=_count, metavar="N", help="after this batch (default: the last committed one)")
    state.add_argument("--limit", type=_count, metavar="N", help="at most so many rows of each store (default: all)")
    state.add_argument("--json", action="store_true", help="one JSON object a line")
    verify.add_argument("--sink", metavar="PATH", help="check also what the file sink has written to this directory")


def _engine_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", type=_port, default=0, help="port of the embedded server (default: any free one)")
    _warehouse_argument(command)
    _metrics_arguments(command)


def _metrics_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--metrics-port",
        type=_port,
        metavar="N",
        help="serve figures of queries and streams there as GET /metrics, in Prometheus' format; 0 for any free port",
    )
    command.add_argument(
        "--metrics-host", metavar="HOST", help="with --metrics-port: interface to listen on (default: 127.0.0.1)"
    )


def _metrics(options: argparse.Namespace) -> tuple[str | None, int] | None:
    return None if options.metrics_port is None else (options.metrics_host, options.metrics_port)


def _warehouse_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--warehouse", metavar="DIR", default=None, help="where tables are kept (default: spark-warehouse)"
    )


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError(text)
    return count


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError(text)
    return port


def _master(text: str) -> str:
    from millstream import on_spark

    try:
        return on_spark.master(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    arguments = parser()
    options = arguments.parse_args(sys.argv[1:] if argv is None else argv)
    # Imported here: `run` must not pay for `shell`, nor the other way round.
    if getattr(options, "metrics_host", None) is not None and options.metrics_port is None:
        arguments.error("--metrics-host belongs to --metrics-port")
    if options.command == "run" and options.on is not None:
        from millstream import on_spark

        if options.port:
            arguments.error("--port belongs to the embedded engine, which does not run with --on")
        if options.metrics_port is not None:
            arguments.error("--metrics-port belongs to the embedded engine, which does not run with --on")
        return on_spark.run(options.script, options.args, options.on, options.python, options.warehouse)
    if options.command == "run":
        if options.python is not None:
            arguments.error("--python belongs to --on")
        from millstream import run

        return run.run(
            options.script,
            options.args,
            port=options.port,
            warehouse=options.warehouse,
            metrics=_metrics(options),
        )
    if options.command == "shell":
        from millstream import shell

        return shell.shell(port=options.port, warehouse=options.warehouse, metrics=_metrics(options))
    if options.command == "checkpoint":
        from millstream import checkpoint

        return checkpoint.run(options)
    from millstream import serve

    return serve.serve(
        options.host, options.port, options.token, warehouse=options.warehouse, metrics=_metrics(options)
    )


if __name__ == "__main__":
    sys.exit(main())
