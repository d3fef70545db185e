"""The process that worker processes are forked from: it has imported what they need and has no threads.

Its socket asks for a worker (``F``, with the worker's own socket) or for the end of one (``W`` and its process id; the
answer is how it ended, as ``waitpid`` says). It ends with the driver, and its workers end with it; then it removes the
directory of the context's blocks, also if the driver was killed.

Standard output of workers is standard error of the driver, as PySpark's local workers have it.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import os
import select
import shutil
import signal
import socket
import struct
import sys

_ID = struct.Struct("!i")
_DEATH_SIGNAL = 1


def main(arguments: list[str]) -> None:
    """Serve until the driver ends: descriptor of the socket, process id of the driver, directory for blocks."""
    descriptor, driver, directory = int(arguments[0]), int(arguments[1]), arguments[2]
    # A group of its own: Ctrl-C is for the driver.
    os.setpgid(0, 0)
    os.dup2(2, 1)
    control = socket.socket(fileno=descriptor)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    with contextlib.suppress(OSError, AttributeError):
        # The socket alone would not tell, if the driver's own children have inherited the other end.
        poll.register(os.pidfd_open(driver), select.POLLIN)
    _import()
    workers: set[int] = set()
    while True:
        ready = [fd for fd, _ in poll.poll()]
        if ready != [descriptor] or not _serve(control, directory, workers):
            break
    for worker in workers:
        with contextlib.suppress(OSError):
            os.kill(worker, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


# Not what imports NumPy: its threads do not pass a fork.
_NEEDED = [
    "millstream.jobs.worker",
    "millstream.rdd",
    "pyspark.accumulators",
    "pyspark.resultiterable",
    "pyspark.taskcontext",
]


def _import() -> None:
    # Workers need the names of the RDD API.
    from millstream import hooks

    hooks.install_in_worker()
    for name in _NEEDED:
        importlib.import_module(name)


def _serve(control: socket.socket, directory: str, workers: set[int]) -> bool:
    """Answer one message; return whether there was one."""
    room = socket.CMSG_SPACE(_ID.size)
    data, ancillary, _, _ = control.recvmsg(1 + _ID.size, room)
    if not data:
        return False
    if data[:1] == b"F":
        fds = array.array("i")
        fds.frombytes(ancillary[0][2][: fds.itemsize])
        pid = _fork(control, fds[0], directory)
        os.close(fds[0])
        workers.add(pid)
        control.sendall(_ID.pack(pid))
        return True
    pid = _ID.unpack(data[1:])[0]
    status = 0
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        status = os.waitpid(pid, 0)[1]
    workers.discard(pid)
    control.sendall(_ID.pack(status))
    return True


def _fork(control: socket.socket, descriptor: int, directory: str) -> int:
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        _die_with(parent)
        control.close()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        from millstream.jobs import worker

        worker.run(descriptor, directory)
    finally:
        os._exit(1)
    return 0


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; the socket would tell only between tasks."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
