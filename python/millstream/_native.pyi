"""The engine and its Spark Connect server, in this process."""

import os
from typing import Any

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

    Raises ``OSError`` if it cannot listen there, ``ValueError`` if other machines could connect without a token.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        *,
        warehouse: str | os.PathLike[str] | None = None,
        cores: int | None = None,
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

def set_log_level(level: str) -> None:
    """Log from this level of Spark's on (``ALL`` … ``OFF``); raises ``ValueError`` for another word."""
