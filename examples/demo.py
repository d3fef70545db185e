"""The demo: feeds sentences to a socket and lets the word count print its tables, about ten batches, then ends.

Stands for a person with `nc -lk PORT` in one terminal and `millstream run examples/word_count.py` in another.
"""

import pathlib
import socket
import subprocess
import sys
import threading

SENTENCES = [
    "the mill stands by the stream",
    "the stream turns the wheel",
    "the wheel turns the stone",
    "the stone grinds the corn",
    "the corn becomes the flour",
    "the flour becomes the bread",
    "the bread feeds the miller",
    "the miller minds the mill",
    "the mill stands by the stream",
    "and the stream runs on",
]
SECONDS_BETWEEN = 0.5


def feed(listener: socket.socket, done: threading.Event) -> None:
    """Sends a sentence every half second to whoever connects."""
    connection, _ = listener.accept()
    with connection:
        for sentence in SENTENCES:
            connection.sendall(f"{sentence}\n".encode())
            if done.wait(SECONDS_BETWEEN):
                return
        done.wait()


def main() -> int:
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        feeder = threading.Thread(target=feed, args=(listener, done), daemon=True)
        feeder.start()
        here = pathlib.Path(__file__).parent
        millstream = pathlib.Path(sys.executable).with_name("millstream")
        program = [str(millstream), "run", str(here / "word_count.py"), "127.0.0.1", str(port), str(len(SENTENCES))]
        print(f"$ millstream run examples/word_count.py 127.0.0.1 {port} {len(SENTENCES)}", flush=True)
        try:
            return subprocess.run(program, timeout=120).returncode
        finally:
            done.set()


if __name__ == "__main__":
    sys.exit(main())
