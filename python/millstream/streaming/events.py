"""Events for listeners, with the accessors of Spark's own classes.

Listeners of PySpark get JVM objects, so every fact is a method: ``event.batchInfo().batchTime().milliseconds()``. The
native graph gives facts as dictionaries; these classes only dress them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Time:
    """A point in time, ms since the epoch."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def milliseconds(self) -> int:
        """Return ms since the epoch."""
        return self._milliseconds

    def toString(self) -> str:
        """Return the text that Spark shows."""
        return f"{self._milliseconds} ms"

    __str__ = toString

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Time) and self._milliseconds == other._milliseconds

    def __lt__(self, other: Time) -> bool:
        return self._milliseconds < other._milliseconds

    def __hash__(self) -> int:
        return hash(self._milliseconds)


class Facts:
    """An object whose methods without arguments give facts."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    def toString(self) -> str:
        """Return the facts as text."""
        inside = ", ".join(f"{name}={value}" for name, value in self._facts.items())
        return f"{type(self).__name__}({inside})"

    __str__ = __repr__ = toString


def _fact(name: str, doc: str, unknown: Any = None) -> Any:
    def accessor(self: Facts) -> Any:
        value = self._facts.get(name)
        return unknown if value is None else value

    accessor.__name__ = name
    accessor.__doc__ = doc
    return accessor


class OutputOperationInfo(Facts):
    """One output operation of one batch."""

    id = _fact("id", "Return the number of the operation in its batch, from 0.")
    name = _fact("name", "Return its name.")
    description = _fact("description", "Return where the program has declared it.")
    startTime = _fact("startTime", "Return when it began, ms, or -1.", -1)
    endTime = _fact("endTime", "Return when it ended, ms, or -1.", -1)
    failureReason = _fact("failureReason", "Return the text of the error that ended it, or None.")

    def batchTime(self) -> Time:
        """Return the time of the batch."""
        return Time(self._facts["batchTime"])


class StreamInputInfo(Facts):
    """What a batch took from one input stream."""

    inputStreamId = _fact("inputStreamId", "Return the number of the input stream.")
    numRecords = _fact("numRecords", "Return how many records were taken.", 0)

    def metadata(self) -> dict[str, Any]:
        """Return what else is known of the input."""
        return dict(self._facts.get("metadata") or {})

    def metadataDescription(self) -> Any:
        """Return a description of the input, or None."""
        return self.metadata().get("Description")


class BatchInfo(Facts):
    """One batch, as far as it has come."""

    submissionTime = _fact("submissionTime", "Return when the batch was queued, ms.")
    processingStartTime = _fact("processingStartTime", "Return when its first output began, ms, or -1.", -1)
    processingEndTime = _fact("processingEndTime", "Return when its last output ended, ms, or -1.", -1)
    schedulingDelay = _fact("schedulingDelay", "Return how long it was queued, ms, or -1.", -1)
    processingDelay = _fact("processingDelay", "Return how long its outputs took, ms, or -1.", -1)
    totalDelay = _fact("totalDelay", "Return how long it took from queueing to the end, ms, or -1.", -1)
    numRecords = _fact("numRecords", "Return how many records came from all inputs.", 0)

    def batchTime(self) -> Time:
        """Return the time of the batch."""
        return Time(self._facts["batchTime"])

    def streamIdToInputInfo(self) -> dict[int, StreamInputInfo]:
        """Return what was taken from each input stream."""
        return {info["inputStreamId"]: StreamInputInfo(info) for info in self._facts.get("inputs") or ()}

    def outputOperationInfos(self) -> dict[int, OutputOperationInfo]:
        """Return the output operations by their number."""
        return {info["id"]: OutputOperationInfo(info) for info in self._facts.get("outputs") or ()}


class ReceiverInfo(Facts):
    """One receiver."""

    streamId = _fact("streamId", "Return the number of its input stream.")
    name = _fact("name", "Return its name.")
    location = _fact("location", "Return where it runs.", "localhost")
    executorId = _fact("executorId", "Return what runs it.", "driver")
    lastErrorMessage = _fact("lastErrorMessage", "Return the message of its last error, or an empty text.", "")
    lastError = _fact("lastError", "Return its last error, or an empty text.", "")
    lastErrorTime = _fact("lastErrorTime", "Return when its last error came, ms, or -1.", -1)

    def active(self) -> bool:
        """Return whether it runs."""
        return bool(self._facts.get("active"))


class StreamingStarted(Facts):
    """The context has started."""

    time = _fact("time", "Return when, ms since the epoch.")


class BatchEvent(Facts):
    """Something has happened to a batch."""

    def batchInfo(self) -> BatchInfo:
        """Return the batch."""
        return BatchInfo(self._facts)


class OutputOperationEvent(Facts):
    """Something has happened to an output operation."""

    def outputOperationInfo(self) -> OutputOperationInfo:
        """Return the output operation."""
        return OutputOperationInfo(self._facts)


class ReceiverEvent(Facts):
    """Something has happened to a receiver."""

    def receiverInfo(self) -> ReceiverInfo:
        """Return the receiver."""
        return ReceiverInfo(self._facts)


_EVENTS = {
    "onStreamingStarted": StreamingStarted,
    "onReceiverStarted": ReceiverEvent,
    "onReceiverError": ReceiverEvent,
    "onReceiverStopped": ReceiverEvent,
    "onBatchSubmitted": BatchEvent,
    "onBatchStarted": BatchEvent,
    "onBatchCompleted": BatchEvent,
    "onOutputOperationStarted": OutputOperationEvent,
    "onOutputOperationCompleted": OutputOperationEvent,
}


def deliver(listener: Any, method: str, facts: Mapping[str, Any]) -> None:
    """Tell a listener of an event; what it raises is shown and hurts nothing else."""
    try:
        getattr(listener, method)(_EVENTS[method](facts))
    except Exception:
        import sys
        import traceback

        print(f"millstream: {type(listener).__name__}.{method} has failed:", file=sys.stderr)
        traceback.print_exc()
