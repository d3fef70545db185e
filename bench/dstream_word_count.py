"""Words per second of the DStream word count from a socket, through an unchanged PySpark program.

    python bench/dstream_word_count.py [--spark PYTHON] [--batch SECONDS] [--by native|inline|calls] [MILLIONS]

With --spark the same program runs on the real Spark of that Python as well, on the same input, for comparison.
10 million words by default, Zipf over 50,000 words, sent as fast as they are taken; flatMap, map and reduceByKey with
the program's own lambdas in `local[2]`. The time is that from the connection until all words are counted. Processor
time is that of the program and of all processes it has started, without what sends the words; it says more than the
time where the machine has other work.

--by says who runs the lambdas: the engine, as they are recognised (`native`); Python, with the recognised ones written
into its loop (`inline`, `spark.millstream.python.recognizeFunctions=inline`); or Python, with a call of each for each
element (`calls`, `spark.millstream.python.recognizeFunctions=false`). All three, one after another, by default.
"""

import argparse
import dataclasses
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
from pyspark import SparkConf, SparkContext
from pyspark.streaming import StreamingContext

conf = SparkConf().set("spark.millstream.python.recognizeFunctions", sys.argv[4])
sc = SparkContext("local[2]", "NetworkWordCount", conf=conf)
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
sys.stdin.readline()
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
        self.connected = threading.Event()
        self.port = self._server.getsockname()[1]
        self.began = 0.0
        self.sent = 0.0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        peer, _ = self._server.accept()
        self.began = time.monotonic()
        self.connected.set()
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


RECOGNISED = {"native": "true", "inline": "inline", "calls": "false"}
"""Values of the setting, by who runs the lambdas."""


@dataclasses.dataclass
class Figures:
    """What one run has shown."""

    millions_per_second: float
    nanoseconds: float
    """Processor time for a word."""

    def __str__(self) -> str:
        return f"{self.millions_per_second:.2f} M words/s, {self.nanoseconds:.0f} ns of processor time a word"


def processor_seconds(root: int) -> float:
    """Return the processor time of a process and of all it has started, those that have ended included."""
    times, parents = {}, {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            times[int(entry.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(times.get(pid, 0.0) for pid in family)


def measure(interpreter: list[str], pieces: list[bytes], words: int, batch: float, recognised: str) -> Figures:
    """Run the program once."""
    feeder = Feeder(pieces)
    environment = dict(os.environ, PYTHONHASHSEED="0")
    with tempfile.TemporaryDirectory() as directory:
        program = pathlib.Path(directory, "program.py")
        program.write_text(PROGRAM)
        command = [*interpreter, str(program), str(feeder.port), str(batch), str(words), recognised]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as running:
            feeder.connected.wait(120)
            before = processor_seconds(running.pid)
            line = running.stdout.readline()
            ended = time.monotonic()
            used = processor_seconds(running.pid) - before
            # It has waited with its processes, to be looked at.
            running.communicate("\n", 120)
    feeder.close()
    if line.split() != ["counted", str(words)]:
        raise SystemExit(f"{' '.join(interpreter)} has counted wrongly: {line!r}")
    return Figures(words / (ended - feeder.began) / 1e6, used / words * 1e9)


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("millions", nargs="?", type=float, default=10)
    arguments.add_argument("--spark", metavar="PYTHON")
    arguments.add_argument("--batch", type=float, default=1.0, metavar="SECONDS")
    arguments.add_argument("--by", choices=RECOGNISED)
    given = arguments.parse_args()
    words = int(given.millions * 1e6)
    pieces = make_input(words)
    theirs = None
    if given.spark:
        theirs = measure([given.spark], pieces, words, given.batch, "true")
        print(f"DStream word count on Spark: {theirs}")
    millstream = [str(pathlib.Path(sys.executable).with_name("millstream")), "run"]
    for by in [given.by] if given.by else RECOGNISED:
        ours = measure(millstream, pieces, words, given.batch, RECOGNISED[by])
        print(f"DStream word count, lambdas run by {by}: {ours}", end="")
        if theirs:
            faster = ours.millions_per_second / theirs.millions_per_second
            print(
                f"; {faster:.1f} times as fast, {theirs.nanoseconds / ours.nanoseconds:.1f} times by processor time",
                end="",
            )
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
