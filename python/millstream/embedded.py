"""An engine inside the process of a program, and the environment by which PySpark finds it."""

from __future__ import annotations

import atexit
import os
import secrets
import sys
import threading
from typing import NoReturn

from millstream import hooks
from millstream._native import Server

Metrics = tuple[str | None, int] | None
"""Host (loopback if none) and port (0: a free one) where figures are served, if they are."""

STOP_SECONDS = 1.5
"""How long queries may take to stop when the program ends; the process ends after it in any case."""


class EmbeddedEngine:
    """An engine that programs of this process use by plain ``SparkSession.builder.getOrCreate()``.

    Its server listens on loopback and asks for a token that only this process and its children know.
    """

    def __init__(self, port: int = 0, warehouse: str | None = None, metrics: Metrics = None) -> None:
        token = secrets.token_urlsafe(32)
        self._server = Server("127.0.0.1", port, token, warehouse=warehouse, metrics=metrics)
        # Registered before PySpark registers its own: handlers run in reverse, and PySpark's needs the server.
        atexit.register(self._server.stop, STOP_SECONDS)
        _set_environment(f"sc://localhost:{self._server.port}/;token={token}")
        hooks.install()

    def finish(self) -> bool:
        """Stop what would outlive the program: its queries, its streams, and the threads that run its listeners.

        Threads that the program itself has started are waited for first, as Python does. Return whether the interpreter
        may end: not while a function of the program runs on a thread of a stream, see :func:`end_process`.
        """
        for thread in _threads_of_the_program():
            thread.join()
        streaming = sys.modules.get("millstream.streaming.context")
        quiet = streaming is None or streaming.end_streams(STOP_SECONDS)
        self._server.stop_queries(STOP_SECONDS)
        return quiet


def end_process(code: object) -> NoReturn:
    """End the process with this argument of ``sys.exit``, whatever still runs in it."""
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 0xFF)


def _set_environment(remote: str) -> None:
    os.environ["SPARK_REMOTE"] = remote
    # Queries end with the program, as they do when a driver exits.
    os.environ["SPARK_CONNECT_RELEASE_SESSION_ON_EXIT"] = "true"
    # A full pyspark takes the same way as pyspark-client: no SparkContext of a JVM.
    os.environ["SPARK_SKIP_CONNECT_COMPAT_TESTS"] = "1"
    # PySpark refuses a master beside a remote.
    os.environ.pop("MASTER", None)


def _threads_of_the_program() -> list[threading.Thread]:
    main = threading.main_thread()
    return [t for t in threading.enumerate() if t is not main and not t.daemon and not _is_foreign(t)]


def _is_foreign(thread: threading.Thread) -> bool:
    """Whether the thread is PySpark's (it ends when its stream of listener events does) or an idle one of a pool."""
    module = getattr(getattr(thread, "_target", None), "__module__", None) or ""
    return module.startswith(("pyspark.", "grpc.", "concurrent.futures."))


def start_or_exit(port: int, warehouse: str | None, metrics: Metrics) -> EmbeddedEngine:
    """Start an engine; end the process with a sentence if that cannot be."""
    try:
        return EmbeddedEngine(port, warehouse, metrics)
    except OSError as error:
        print(f"millstream: {error}", file=sys.stderr)
        raise SystemExit(1) from None
