"""The worker processes of a context: started when first needed, given out one task at a time, replaced if they end.

Threads that run jobs share the workers. A thread that finds none idle is given the next one that becomes idle, in the
order in which threads came.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable

_ID = struct.Struct("!i")


_OF_WORKERS = {
    "SPARK_PYTHON_RUNTIME": "RDD_WORKER",
    # The parts of a full PySpark that need a JVM are not looked for.
    "SPARK_SKIP_CONNECT_COMPAT_TESTS": "1",
}


class Worker:
    """A worker process, seen from the driver."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.sock = sock
        self.pid = pid
        self.attempt = -1
        """The attempt of a task that it was given last."""
        try:
            # A process that a function has started may keep the socket open: only this tells when the worker has ended.
            self.process = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self.process = -1
        self.paths: list[str] | None = None
        """The ``sys.path`` it was told last."""
        self.forgotten = 0
        """How many of the context's forgotten broadcast variables it was told."""

    def is_alive(self) -> bool:
        """Whether the process, which waits for a task, has not ended."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if self.process >= 0:
            poll.register(self.process, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Let go of the process; it ends when it notices."""
        self.sock.close()
        if self.process >= 0:
            os.close(self.process)
            self.process = -1


class Claim:
    """What a thread waits for workers with; its descriptor is readable when one was given or the job was cancelled."""

    def __init__(self) -> None:
        self.given: collections.deque[Worker] = collections.deque()
        self.wanted = 0
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        # Others may wake a claim whose thread is about to close it.
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Descriptor to wait for."""
        return self._reader

    def wake(self) -> None:
        """Make the descriptor readable."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._writer >= 0:
                os.write(self._writer, b"!")

    def clear(self) -> None:
        """Make it unreadable again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 4096)

    def close(self) -> None:
        """Release the descriptors."""
        with self._lock:
            os.close(self._reader)
            os.close(self._writer)
            self._reader = self._writer = -1


class Pool:
    """Up to ``size`` worker processes."""

    def __init__(
        self,
        size: int,
        directory: str,
        environment: dict[str, str],
        prepare: Callable[[], None] = lambda: None,
        reuse: bool = True,
    ) -> None:
        """``prepare`` is called before a worker is started; without ``reuse`` each task has a worker of its own."""
        self.size = size
        self.reuse = reuse
        self._prepare = prepare
        self._directory = directory
        self._environment = environment
        # Guards all that follows.
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._zygote: subprocess.Popen[bytes] | None = None
        self._idle: list[Worker] = []
        self._alive = 0
        """Workers that are idle or with a thread."""
        self._claims: collections.deque[Claim] = collections.deque()
        self._closed = False

    def warm(self) -> None:
        """Start the process that workers are forked from; returns before it is ready."""
        with self._lock:
            self._start()

    def _start(self) -> socket.socket:
        if self._closed:
            raise RuntimeError("the pool is closed")
        if self._control is None:
            ours, theirs = socket.socketpair()
            command = [sys.executable, "-m", "millstream.jobs.zygote"]
            command += [str(theirs.fileno()), str(os.getpid()), self._directory]
            environment = {**os.environ, **self._environment, **_OF_WORKERS}
            with theirs:
                self._zygote = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=None,
                )
            self._control = ours
        return self._control

    def _fork(self) -> Worker:
        try:
            return self._forked()
        except RuntimeError:
            if self._closed:
                raise
            # Killed since the last time: another one takes its place.
            return self._forked()

    def _forked(self) -> Worker:
        control = self._start()
        self._prepare()
        ours, theirs = socket.socketpair()
        with theirs:
            # Where the process has ended, the answer will tell.
            with contextlib.suppress(ConnectionError):
                socket.send_fds(control, [b"F" + bytes(_ID.size)], [theirs.fileno()])
            pid = self._answer(control)
        self._alive += 1
        return Worker(ours, pid)

    def _answer(self, control: socket.socket) -> int:
        try:
            data = control.recv(_ID.size, socket.MSG_WAITALL)
        except ConnectionError:
            data = b""
        if len(data) < _ID.size:
            # Its workers have ended with it.
            self._control = None
            self._alive -= len(self._idle)
            for worker in self._idle:
                worker.close()
            self._idle.clear()
            raise RuntimeError("the process that starts Python workers has ended")
        return int(_ID.unpack(data)[0])

    def take(self, wanted: int, claim: Claim) -> list[Worker]:
        """Return up to so many idle workers; those missing are given to the claim when they become idle."""
        with self._lock:
            taken: list[Worker] = []
            try:
                while len(taken) < wanted and not self._claims and (worker := self._next()) is not None:
                    taken.append(worker)
            except BaseException:
                self._idle += taken
                raise
            claim.wanted = wanted - len(taken)
            if claim.wanted and claim not in self._claims:
                self._claims.append(claim)
            return taken

    def _next(self) -> Worker | None:
        """Return an idle worker, a new one where there is none, nothing where there are enough."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            self._end(worker)
        return self._fork() if self._alive < self.size else None

    def give_back(self, worker: Worker) -> None:
        """Take a worker back that waits for a task."""
        with self._lock:
            if self._closed:
                worker.close()
                return
            if self.reuse:
                self._idle.append(worker)
            else:
                self._end(worker)
            self._serve_claims()

    def _serve_claims(self) -> None:
        while self._claims and (worker := self._next()) is not None:
            claim = self._claims[0]
            claim.given.append(worker)
            claim.wanted -= 1
            if claim.wanted <= 0:
                self._claims.popleft()
            claim.wake()

    def withdraw(self, claim: Claim) -> None:
        """Give nothing more to a claim; take back what it has not used."""
        with self._lock:
            if claim in self._claims:
                self._claims.remove(claim)
            claim.wanted = 0
        while claim.given:
            self.give_back(claim.given.popleft())

    def discard(self, workers: Iterable[Worker]) -> list[int]:
        """End workers; return how each ended (a status of ``waitpid``)."""
        with self._lock:
            statuses = [self._end(worker) for worker in workers]
            if not self._closed:
                self._serve_claims()
        return statuses

    def _end(self, worker: Worker) -> int:
        worker.close()
        self._alive -= 1
        status = 0
        if self._control is not None and not self._closed:
            with contextlib.suppress(ConnectionError):
                self._control.sendall(b"W" + _ID.pack(worker.pid))
            with contextlib.suppress(RuntimeError):
                status = self._answer(self._control)
        return status

    def close(self) -> None:
        """End all processes; a job that still runs fails."""
        with self._lock:
            self._closed = True
            for worker in self._idle:
                worker.close()
            self._idle.clear()
            for claim in self._claims:
                claim.wake()
            if self._control is not None:
                self._control.close()
            zygote, self._zygote = self._zygote, None
        if zygote is not None:
            if not self._alive:
                # It may still be importing; there is nobody to take with it.
                zygote.kill()
            try:
                zygote.wait(5)
            except subprocess.TimeoutExpired:
                zygote.kill()
                zygote.wait()


def poll_for(workers: Iterable[Worker], silent: Iterable[Worker], claim: Claim | None) -> select.poll:
    """Return what waits for answers of workers, for the end of these and of others, and for a claim."""
    poll = select.poll()
    for worker in workers:
        poll.register(worker.sock, select.POLLIN)
        if worker.process >= 0:
            poll.register(worker.process, select.POLLIN)
    for worker in silent:
        if worker.process >= 0:
            poll.register(worker.process, select.POLLIN)
    if claim is not None:
        poll.register(claim, select.POLLIN)
    return poll
