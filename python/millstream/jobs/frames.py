"""Messages over a stream socket: a length of eight bytes, then so many bytes.

Request and answer alternate on each socket, so neither side ever writes while the other does and nothing piles up.
"""

from __future__ import annotations

import socket
import struct

_LENGTH = struct.Struct("!Q")


class Closed(EOFError):
    """The other side has gone."""


def send(sock: socket.socket, data: bytes) -> None:
    """Send one message."""
    if len(data) < 65536:
        sock.sendall(_LENGTH.pack(len(data)) + data)
    else:
        sock.sendall(_LENGTH.pack(len(data)))
        sock.sendall(data)


def receive(sock: socket.socket) -> bytes:
    """Wait for one message; raises :class:`Closed` if the other side went."""
    return _exactly(sock, _LENGTH.unpack(_exactly(sock, _LENGTH.size))[0])


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = sock.recv(size, socket.MSG_WAITALL) if size else b""
    if len(data) == size:
        return data
    # A signal or the limit of one call may cut a large message into parts.
    parts = [data]
    got = len(data)
    while got < size:
        data = sock.recv(size - got, socket.MSG_WAITALL)
        if not data:
            raise Closed
        parts.append(data)
        got += len(data)
    return b"".join(parts)
