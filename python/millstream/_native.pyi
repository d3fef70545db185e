"""The engine and its Spark Connect server, in this process."""

import os

__version__: str
SPARK_VERSION: str
"""The version of Spark whose behaviour programs find."""

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
