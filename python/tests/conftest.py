"""What the tests share: running the command, and a server with a client in this process."""

import os
import pathlib
import signal
import socketserver
import subprocess
import sys
import threading

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
        # Told of each line and of the end of each stream.
        self._written = threading.Condition()
        self._streams = 2
        self._readers = [
            threading.Thread(target=self._read, args=read, daemon=True)
            for read in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines):
        for line in stream:
            with self._written:
                lines.append(line)
                self._written.notify_all()
        with self._written:
            self._streams -= 1
            self._written.notify_all()

    def wait_for(self, text):
        """Wait until a line with this text has appeared on standard output."""
        self.until(lambda: any(text in line for line in self.out), text)

    def until(self, condition, what):
        """Wait until a condition on what was written holds: looked at whenever something is."""
        with self._written:
            self._written.wait_for(lambda: condition() or self._streams == 0, SECONDS)
            assert condition(), (what, self.out[-20:], self.err[-20:])

    def interrupt(self):
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def finish(self):
        """Wait for the end; the exit code, standard output and standard error."""
        code = self.process.wait(SECONDS)
        for reader in self._readers:
            reader.join(SECONDS)
        return code, "".join(self.out), "".join(self.err)


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
