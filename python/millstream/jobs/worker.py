"""A worker process: takes one task after another from its socket until the driver goes.

Forked from :mod:`~millstream.jobs.zygote`, which has imported what tasks need.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import socket
import sys
import traceback
from typing import Any

from millstream.broadcast import Broadcast
from millstream.jobs import blocks, frames, inputs, options, spill, task
from millstream.jobs.blocks import Store

_GC_THRESHOLD = 50_000
"""Objects between two runs of the collector: tasks make many that are no garbage."""


def serve(sock: socket.socket, directory: str) -> None:
    """Run tasks until the driver closes the socket."""
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    store = Store(directory)
    spill.use_directory(directory)
    _limit_memory()
    own = os.getpid()
    while True:
        try:
            message = frames.receive(sock)
        except (frames.Closed, ConnectionError):
            return
        answer = _answer(message, store, sock)
        if os.getpid() != own:
            # A function has forked, and this is the child come back from it.
            os._exit(0)
        for stream in (sys.stdout, sys.stderr):
            # The program's function may have closed it.
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        try:
            frames.send(sock, answer)
        except ConnectionError:
            return


def _limit_memory() -> None:
    most = options.current().address_bytes
    before, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most and (before == resource.RLIM_INFINITY or most < before):
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(message: bytes, store: Store, sock: socket.socket) -> bytes:
    from pyspark.accumulators import _accumulatorRegistry

    own = os.getpid()
    try:
        current = pickle.loads(message)
        store.begin(current.attempt)
        _prepare(current, sock)
        _accumulatorRegistry.clear()
        value, stored = task.evaluate(current, store)
        updates = [(number, accumulator._value) for number, accumulator in _accumulatorRegistry.items()]
        return blocks.dumps(("done", task.Result(value, updates, stored)))
    except BaseException as error:
        if os.getpid() == own:
            store.abandon()
        return pickle.dumps(_failure(error))


def _failure(error: BaseException) -> tuple[str, str | None, str | None]:
    """Return kind, text and traceback of what has ended a task."""
    if isinstance(error, task.UnequalZip):
        return "zip", str(error), _trace()
    if isinstance(error, task.UnequalZipBatches):
        return "zip batches", None, None
    if isinstance(error, inputs.InputError):
        return "input", str(error), None
    return "failed", None, _trace()


def _trace() -> str:
    try:
        return traceback.format_exc()
    except Exception:
        # An exception of the program whose text cannot be made.
        return "Traceback (most recent call last):\n" + str(sys.exc_info()[0])


def _prepare(current: task.Task, sock: socket.socket) -> None:
    """Make the process what the functions of the task expect to find."""
    from pyspark.taskcontext import BarrierTaskContext, TaskContext

    if current.paths is not None:
        sys.path[:] = current.paths
        _forget_finders()
    Broadcast._take(current.broadcasts, current.forgotten)
    # That of a barrier task before is not one for others.
    TaskContext._taskContext = BarrierTaskContext._taskContext = None
    context: Any = TaskContext._getOrCreate()
    if current.barrier:
        from millstream.jobs.barrier import WorkerBarrier

        context = WorkerBarrier.begin(sock)
    context._stageId = current.stage
    context._partitionId = current.partition
    context._attemptNumber = current.failures
    context._taskAttemptId = current.attempt
    context._localProperties = current.properties
    context._cpus = 1
    context._resources = {}
    TaskContext._setTaskContext(context)


def _forget_finders() -> None:
    import importlib

    importlib.invalidate_caches()


def run(descriptor: int, directory: str) -> None:
    """Serve the socket with this descriptor, then end the process."""
    with socket.socket(fileno=descriptor) as sock:
        serve(sock, directory)
    os._exit(0)
