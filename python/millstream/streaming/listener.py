"""What a program overrides to be told about the batches of its streams."""

from __future__ import annotations

from typing import Any

__all__ = ["StreamingListener"]


class StreamingListener:
    """Told of each event of a StreamingContext, one after another; a subclass overrides what it wants to know.

    Events have the accessors of Spark's own, such as ``event.batchInfo().numRecords()``.
    """

    __module__ = "pyspark.streaming.listener"

    def __init__(self) -> None:
        pass

    def onStreamingStarted(self, streamingStarted: Any) -> None:
        """Learn that the context has started; ``time()`` says when, in ms."""

    def onReceiverStarted(self, receiverStarted: Any) -> None:
        """Learn that a receiver runs; ``receiverInfo()`` names it."""

    def onReceiverError(self, receiverError: Any) -> None:
        """Learn of an error of a receiver; ``receiverInfo()`` has its text."""

    def onReceiverStopped(self, receiverStopped: Any) -> None:
        """Learn that a receiver has ended; ``receiverInfo()`` says why."""

    def onBatchSubmitted(self, batchSubmitted: Any) -> None:
        """Learn that the outputs of a batch are queued; ``batchInfo()`` describes it."""

    def onBatchStarted(self, batchSubmitted: Any) -> None:
        """Learn that the first output of a batch is about to run; ``batchInfo()`` describes it."""

    def onBatchCompleted(self, batchCompleted: Any) -> None:
        """Learn that all outputs of a batch have ended, well or not; ``batchInfo()`` describes it."""

    def onOutputOperationStarted(self, outputOperationStarted: Any) -> None:
        """Learn that one output of a batch begins; ``outputOperationInfo()`` describes it."""

    def onOutputOperationCompleted(self, outputOperationCompleted: Any) -> None:
        """Learn that one output of a batch has ended; ``outputOperationInfo()`` has the reason if it failed."""

    class Java:
        """Which interface of Spark's this class stands for."""

        implements = ("org.apache.spark.streaming.api.java.PythonStreamingListener",)
