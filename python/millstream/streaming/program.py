"""The graph of a program as the calls that have built it, so that a checkpoint can build it again.

A description holds the functions (pickled by value), never RDDs: a queue of RDDs cannot be restored at all, and the
initial state of a stream only serves until the state itself has been saved.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

from millstream.errors import no_such_method
from millstream.streaming.failures import SPARK_EXCEPTION, StreamFailure
from millstream.streaming.functions import LostState, pickled

FORMAT = 1
"""Version of a description; another is refused."""

QUEUE_LOST = "queueStream doesn't support checkpointing. Please don't use queueStream when checkpointing is enabled."


@dataclass(frozen=True)
class Restored:
    """What a description says besides the calls."""

    batch_ms: int
    conf: list[tuple[str, str]]
    calls: list[tuple[str, tuple[Any, ...]]]


class Program:
    """A graph that remembers how it was built."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._calls: list[tuple[str, tuple[Any, ...]]] = []

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the graph that adds to it or changes its settings, and note the call."""
        try:
            result = getattr(self._graph, method)(*args)
        except (TypeError, OverflowError) as error:
            raise no_such_method(method, args) from error
        self._calls.append((method, args))
        return result

    def describe(self, batch_ms: int, conf: list[tuple[str, str]]) -> bytes:
        """Return the description for a checkpoint; raises ``PicklingError`` if a function cannot be pickled."""
        calls = [(method, _without_rdds(method, args)) for method, args in self._calls]
        return pickled((FORMAT, batch_ms, conf, calls))

    def replay(self, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Build a graph as another was built; streams get the same numbers."""
        for method, args in calls:
            self.call(method, *args)


def _without_rdds(method: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    if method == "queue":
        return ()
    if method == "state":
        parent, function, initial = args
        return (parent, function, None if initial is None else LostState())
    return args


def read_description(blob: bytes) -> Restored:
    """Read a description; the functions of the program it describes are loaded."""
    version, *rest = pickle.loads(blob)
    if version != FORMAT:
        raise StreamFailure(
            SPARK_EXCEPTION, f"the checkpoint's program has format {version}; this build reads {FORMAT}"
        )
    batch_ms, conf, calls = rest
    if any(method == "queue" for method, _ in calls):
        raise StreamFailure("java.io.NotSerializableException", QUEUE_LOST)
    return Restored(batch_ms, conf, calls)
