"""Barrier tasks: functions of all tasks of a stage run at once and can wait for one another."""

from __future__ import annotations

import pickle
import socket
from typing import Any

from pyspark.taskcontext import BarrierTaskContext, BarrierTaskInfo, TaskContext

from millstream.jobs import frames


class WorkerBarrier(BarrierTaskContext):
    """What ``BarrierTaskContext.get()`` gives in a task: the driver of the stage is asked through the task's socket."""

    _sock: socket.socket

    @classmethod
    def begin(cls, sock: socket.socket) -> WorkerBarrier:
        """Return the context of a task that has its socket to the driver."""
        context = object.__new__(cls)
        context._sock = sock
        context._localProperties = {}
        BarrierTaskContext._taskContext = context  # type: ignore[misc]
        TaskContext._taskContext = context
        return context

    def _exchange(self, message: str) -> list[str]:
        frames.send(self._sock, pickle.dumps(("barrier", message)))
        return pickle.loads(frames.receive(self._sock))  # type: ignore[no-any-return]

    def barrier(self) -> None:
        """Wait until all tasks of the stage have come here."""
        self._exchange("")

    def allGather(self, message: str = "") -> list[str]:
        """Wait for all tasks of the stage; return the message of each, by partition."""
        if not isinstance(message, str):
            raise TypeError("Argument `message` must be of type `str`")
        return self._exchange(message)

    def getTaskInfos(self) -> list[Any]:
        """Return where the tasks of the stage run, by partition."""
        return [BarrierTaskInfo("localhost") for _ in self._exchange("")]
