"""``millstream serve``: a server for Spark Connect clients."""

from __future__ import annotations

import signal
import sys
import threading

from millstream._native import Server

STOP_SECONDS = 10.0
"""How long running batches may take to end when the server is stopped."""


def serve(
    host: str, port: int, token: str | None, warehouse: str | None = None, metrics: tuple[str | None, int] | None = None
) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server = Server(host, port, token, warehouse=warehouse, metrics=metrics)
    except (OSError, ValueError) as error:
        print(f"millstream: {error}", file=sys.stderr)
        return 1
    shown = f"[{server.host}]" if ":" in server.host else server.host
    print(f"sc://{shown}:{server.port}", flush=True)
    stopped.wait()
    server.stop(STOP_SECONDS)
    return 0
