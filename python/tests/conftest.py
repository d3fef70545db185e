"""What the tests share: running the command, and a server with a client in this process."""

import os
import pathlib
import signal
import socketserver
import subprocess
import sys
import threading
import time

import pytest

COMMAND = [sys.executable, "-m", "millstream.cli"]
SECONDS = 60


class Running:
    """A command that runs, and what it has written."""

    def __init__(self, args, cwd, stdin=None):
        """Start it."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_")}
        self.process = subprocess.Popen(
            [*COMMAND, *args],
            cwd=cwd,
            env=environment,
            # As in a terminal, also where the tests themselves run in the background with the signal ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out, self.err = [], []
        self._readers = [self._read(self.process.stdout, self.out), self._read(self.process.stderr, self.err)]

    @staticmethod
    def _read(stream, lines):
        reader = threading.Thread(target=lambda: lines.extend(iter_into(stream, lines)), daemon=True)
        reader.start()
        return reader

    def wait_for(self, text):
        """Wait until a line with this text has appeared on standard output."""
        deadline = time.monotonic() + SECONDS
        while not any(text in line for line in self.out):
            assert time.monotonic() < deadline and self.process.poll() is None, (text, self.out, self.err)
            time.sleep(0.02)

    def interrupt(self):
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def finish(self):
        """Wait for the end; the exit code, standard output and standard error."""
        code = self.process.wait(SECONDS)
        for reader in self._readers:
            reader.join(SECONDS)
        return code, "".join(self.out), "".join(self.err)


def iter_into(stream, lines):
    """Append lines as they come."""
    for line in stream:
        lines.append(line)
    return []


@pytest.fixture
def millstream(tmp_path):
    """Start the command with these arguments; what still runs at the end of the test is killed."""
    started = []

    def start(*args, stdin=None):
        running = Running([str(arg) for arg in args], tmp_path, stdin)
        started.append(running)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()


@pytest.fixture
def script(tmp_path):
    """Write a program; its path."""

    def write(text, name="app.py"):
        path = pathlib.Path(tmp_path, name)
        path.write_text(text)
        return path

    return write


class LineServer(socketserver.ThreadingTCPServer):
    """Sends lines to each client that connects, then keeps the connection open."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, lines):
        """Listen on a free port."""
        self.lines = lines
        super().__init__(("127.0.0.1", 0), LineHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        """Where it listens."""
        return self.server_address[1]


class LineHandler(socketserver.BaseRequestHandler):
    """One client of a LineServer."""

    def handle(self):
        """Send the lines and wait until the client goes."""
        self.request.sendall("".join(line + "\n" for line in self.server.lines).encode())
        self.request.recv(1)


@pytest.fixture
def lines():
    """Serve lines of text on a port."""
    servers = []

    def serve(*texts):
        server = LineServer(texts)
        servers.append(server)
        return server.port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server in this process."""
    from millstream._native import Server

    server = Server(warehouse=tmp_path_factory.mktemp("warehouse"))
    yield server
    server.stop(5.0)


@pytest.fixture
def spark(server):
    """A session of a Connect client."""
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.builder.remote(f"sc://localhost:{server.port}").create()
    yield session
    session.stop()
