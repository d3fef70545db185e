"""Words per second of the DStream word count from a socket, through an unchanged PySpark program.

    python bench/dstream_word_count.py [--spark PYTHON] [--batch SECONDS] [MILLIONS]

With --spark the same program runs on the real Spark of that Python as well, on the same input, for comparison.
10 million words by default, Zipf over 50,000 words, sent as fast as they are taken; flatMap, map and reduceByKey with
the program's own lambdas in `local[2]`. The time is that from the connection until all words are counted.
"""

import argparse
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

VOCABULARY = 50_000
WORDS_PER_LINE = 10
POOL = 1_000_000
CHUNK_BYTES = 1 << 16

PROGRAM = """
import sys
from pyspark import SparkContext
from pyspark.streaming import StreamingContext

sc = SparkContext("local[2]", "NetworkWordCount")
ssc = StreamingContext(sc, float(sys.argv[2]))
lines = ssc.socketTextStream("localhost", int(sys.argv[1]))
counts = lines.flatMap(lambda line: line.split(" ")).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)
counted = 0

def add(rdd):
    global counted
    counted += rdd.map(lambda pair: pair[1]).sum()

counts.foreachRDD(add)
ssc.start()
while counted < int(sys.argv[3]):
    ssc.awaitTerminationOrTimeout(0.05)
print("counted", counted, flush=True)
ssc.stop(stopSparkContext=True, stopGraceFully=False)
"""


def make_input(words: int) -> list[bytes]:
    """Return lines of Zipf-distributed words in equal pieces of up to a million words."""
    rng = random.Random(7)
    weights = [1.0 / rank for rank in range(1, VOCABULARY + 1)]
    pool = rng.choices([f"w{rank}" for rank in range(VOCABULARY)], weights, k=min(words, POOL))
    pieces = []
    for start in range(0, words, POOL):
        # Shuffled, not drawn anew: drawing takes longer than counting.
        rng.shuffle(pool)
        part = pool[: min(POOL, words - start)]
        lines = (" ".join(part[i : i + WORDS_PER_LINE]) for i in range(0, len(part), WORDS_PER_LINE))
        pieces.append(("\n".join(lines) + "\n").encode())
    return pieces


class Feeder:
    """A server that sends the input once, to the first client, and notes when that came."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._server = socket.create_server(("127.0.0.1", 0))
        self._done = threading.Event()
        self.port = self._server.getsockname()[1]
        self.began = 0.0
        self.sent = 0.0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        peer, _ = self._server.accept()
        self.began = time.monotonic()
        with peer:
            for piece in self._pieces:
                for start in range(0, len(piece), CHUNK_BYTES):
                    peer.sendall(piece[start : start + CHUNK_BYTES])
            self.sent = time.monotonic()
            self._done.wait()

    def close(self) -> None:
        """Let go of the client."""
        self._done.set()
        self._server.close()


def measure(interpreter: list[str], pieces: list[bytes], words: int, batch: float) -> float:
    """Return million words per second."""
    feeder = Feeder(pieces)
    environment = dict(os.environ, PYTHONHASHSEED="0")
    with tempfile.TemporaryDirectory() as directory:
        program = pathlib.Path(directory, "program.py")
        program.write_text(PROGRAM)
        command = [*interpreter, str(program), str(feeder.port), str(batch), str(words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
            line = running.stdout.readline()
            ended = time.monotonic()
            running.wait(120)
    feeder.close()
    if line.split() != ["counted", str(words)]:
        raise SystemExit(f"{' '.join(interpreter)} has counted wrongly: {line!r}")
    return words / (ended - feeder.began) / 1e6


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("millions", nargs="?", type=float, default=10)
    arguments.add_argument("--spark", metavar="PYTHON")
    arguments.add_argument("--batch", type=float, default=1.0, metavar="SECONDS")
    given = arguments.parse_args()
    words = int(given.millions * 1e6)
    pieces = make_input(words)
    millstream = pathlib.Path(sys.executable).with_name("millstream")
    ours = measure([str(millstream), "run"], pieces, words, given.batch)
    print(f"DStream word count: {ours:.2f} M words/s")
    if given.spark:
        theirs = measure([given.spark], pieces, words, given.batch)
        print(f"DStream word count on Spark: {theirs:.2f} M words/s; ratio {ours / theirs:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
