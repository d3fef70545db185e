"""The engine and its Spark Connect server, in this process."""

import os
from collections.abc import Callable
from typing import Any, Literal

__version__: str
SPARK_VERSION: str
"""The version of Spark whose behaviour programs find."""

class CombineStage:
    """Lines through recognised functions into pairs, and the values of each key merged; see ``millstream.jobs.pure``.

    ``steps`` are pairs of a kind (``map``, ``flatMap``, ``filter``, ``mapValues``) and an expression. Raises
    ``ValueError`` for expressions it does not know.
    """

    def __init__(self, steps: list[tuple[str, tuple[Any, ...]]], merge: tuple[Any, ...]) -> None: ...
    def run(self, text: bytes) -> list[tuple[Any, Any]] | None:
        """Return the pairs of the lines of a text, by first appearance of their keys; None if only Python can tell."""

class Server:
    """An engine and its server; both run until :meth:`stop`.

    With ``metrics``, host (loopback if none) and port (0: a free one, said on stderr), the figures of the process are
    served there. Raises ``OSError`` if it cannot listen, ``ValueError`` if other machines could connect without a
    token.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        *,
        warehouse: str | os.PathLike[str] | None = None,
        cores: int | None = None,
        metrics: tuple[str | None, int] | None = None,
    ) -> None: ...
    @property
    def host(self) -> str:
        """Address it listens on."""

    @property
    def port(self) -> int:
        """Port it listens on."""

    def stop_queries(self, timeout: float) -> bool:
        """Stop all streaming queries and end their listeners; clients may go on talking to the server.

        Return whether that was done within ``timeout`` seconds.
        """

    def stop(self, timeout: float) -> bool:
        """End sessions, server and engine; return whether that was done within ``timeout`` seconds."""

def checkpoint_summary(path: str | os.PathLike[str]) -> str:
    """Describe what a checkpoint holds, as text.

    Raises ``ValueError`` if the directory is no checkpoint, ``OSError`` naming a file that is missing or damaged.
    """

def checkpoint_rows(
    path: str | os.PathLike[str],
    *,
    operator: int | None = None,
    store: str | None = None,
    batch: int | None = None,
    limit: int | None = None,
    json: bool = False,
) -> str:
    """Rows of state after a batch (the last committed one by default), as tables or one JSON object a line.

    Raises ``ValueError`` also if there is no such operator or store, ``OSError`` as :func:`checkpoint_summary`.
    """

def checkpoint_verify(
    path: str | os.PathLike[str], sink: str | os.PathLike[str] | None = None
) -> tuple[int, int, list[tuple[bool, str, str]]]:
    """Read everything; the files and rows that were read, and the faults: whether fatal, the file, what is wrong."""

def set_log_level(level: str) -> None:
    """Log from this level of Spark's on (``ALL`` … ``OFF``); raises ``ValueError`` for another word."""

class StreamingGraph:
    """Streams of RDDs, and what runs them: clock, receivers, windows, state, checkpoints, listeners.

    Streams are numbers. Functions take the time of a batch, in ms since the epoch, and RDDs or ``None``, and give one
    or ``None``; they are called by threads of the graph. Errors are ``millstream.streaming.failures.StreamFailure``, or
    what a function has raised.
    """

    def __init__(self, datasets: object, batch_ms: int, settings: dict[str, str]) -> None:
        """Take what makes RDDs (``millstream.streaming.datasets.Datasets``), the interval and the settings of Spark."""

    def queue(self, rdds: list[Any], one_at_a_time: bool, default: Any | None) -> int: ...
    def socket_text(self, host: str, port: int) -> int: ...
    def text_files(self, directory: str) -> int: ...
    def record_files(self, directory: str, record_bytes: int) -> int: ...
    def transformed(self, parent: int, function: Callable[[int, Any], Any]) -> int:
        """Add a function of one stream; where that has nothing, there is nothing."""

    def transformed_with(self, parent: int, other: int, function: Callable[[int, Any, Any], Any]) -> int:
        """Add a function of two streams; what has nothing counts as empty."""

    def transformed_all(self, parents: list[int], function: Callable[..., Any]) -> int:
        """Add a function of several streams; a batch fails if one of them has nothing."""

    def union(self, parents: list[int]) -> int: ...
    def windowed(self, parent: int, window_ms: int, slide_ms: int) -> int: ...
    def reduced_window(
        self,
        parent: int,
        add: Callable[[int, Any | None, Any], Any],
        take_off: Callable[[int, Any, Any], Any],
        window_ms: int,
        slide_ms: int,
    ) -> int:
        """Add a window that is made from the one before, if it has five slides or more, else anew."""

    def state(self, parent: int, update: Callable[[int, Any | None, Any], Any], initial: Any | None) -> int: ...
    def for_each(self, parent: int, function: Callable[[int, Any], Any], name: str, description: str) -> None:
        """Add an output operation, which listeners see under this name."""

    def persist(self, stream: int, level: tuple[bool, bool, bool, bool, int]) -> None: ...
    def checkpoint_interval(self, stream: int, interval_ms: int) -> None: ...
    def remember(self, span_ms: int) -> None: ...
    def slide_ms(self, stream: int) -> int: ...
    def slice(self, stream: int, from_ms: int, to_ms: int) -> list[Any]: ...
    def checkpoint(self, directory: str | None) -> None: ...
    def set_program(self, program: bytes) -> None:
        """Say what every checkpoint shall hold of the program."""

    def add_listener(self, listener: Callable[[str, dict[str, Any]], None]) -> None:
        """Call this with each event: the name of the listener's method, and the facts."""

    @property
    def state_name(self) -> Literal["initialized", "active", "stopped"]: ...
    def validate(self) -> None:
        """Check what can be checked before anything is started."""

    def start(self) -> None: ...
    def stop(self, gracefully: bool) -> None: ...
    def await_termination(self, timeout_ms: int | None) -> bool:
        """Return whether it has ended within this time; raise the error of a batch. Ctrl-C ends the wait."""

class StreamingCheckpoint:
    """A checkpoint that was read."""

    @property
    def program(self) -> bytes:
        """What the program has said of itself."""

    def restore(self, datasets: object, settings: dict[str, str]) -> StreamingGraph:
        """Return a graph that goes on from here once the same streams were added."""

def streaming_calls() -> int:
    """Return how many calls by threads of graphs have not come back; the interpreter must not end before."""

def read_streaming_checkpoint(directory: str) -> StreamingCheckpoint | None:
    """Read the newest checkpoint in a directory, if there is one."""
