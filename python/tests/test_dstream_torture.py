"""A DStream program that is killed at random instants, and what must come out in the end.

The program takes numbers from a socket, with the write-ahead log, and from files; it keeps a state, a window with
inverse, and writes what each batch held to files named by the batch. Killed is the whole process, or only a worker, or
only the process that workers are forked from.

What is promised:

* A line of the socket that a batch has had is in the state once and stays there, whatever is killed. What was in the
  log but in no batch comes with a later one. What was received within the last block interval is lost with the
  process, as with Spark; the sender cannot know of it and sends new lines on each connection. So of the lines of a
  connection the first ones are counted, without a gap, once each.
* A number of a file is counted once: files are read again.
* A batch that is run again holds the same lines of the socket. Outputs may run again, and then replace what they wrote.

``MILLSTREAM_TORTURE_RUNS`` and ``MILLSTREAM_TORTURE_SEED`` make it longer and different: ``make torture-dstreams``.
"""

import collections
import contextlib
import json
import os
import random
import signal
import socket
import threading
import time

import pytest
from waiting import until, until_gone

RUNS = int(os.environ.get("MILLSTREAM_TORTURE_RUNS", "10"))
SEED = int(os.environ.get("MILLSTREAM_TORTURE_SEED", "7"))

BATCH_MS = 200
WINDOW_BATCHES = 6
PATIENCE = 60

PROGRAM = """
import json, os, sys
from pyspark import SparkConf, SparkContext
from pyspark.streaming import StreamingContext

PORT, BATCH, WINDOW = {port}, {batch_s}, {window_s}

def save(name):
    def write(time, rdd):
        ms = round(time.timestamp() * 1000)
        content = json.dumps(sorted(rdd.collect()))
        with open(f"out/.{{name}}-{{ms}}", "w") as file:
            file.write(content)
        os.replace(f"out/.{{name}}-{{ms}}", f"out/{{name}}-{{ms}}")
    return write

def parsed(line):
    source, number = line.split(":")
    return source, int(number)

def key(pair):
    return pair[0][0] + str(pair[1] % 5), 1

def create():
    conf = SparkConf().setMaster("local[2]").setAppName("torture")
    conf.set("spark.streaming.receiver.writeAheadLog.enable", "true")
    conf.set("spark.streaming.receiver.writeAheadLog.rollingIntervalSecs", "1")
    conf.set("spark.streaming.blockInterval", "50ms")
    conf.set("spark.streaming.receiverRestartDelay", "50ms")
    ssc = StreamingContext(SparkContext(conf=conf), BATCH)
    lines = ssc.socketTextStream("localhost", PORT).union(ssc.textFileStream("in"))
    pairs = lines.map(parsed)
    pairs.foreachRDD(save("lines"))
    counts = pairs.map(key)
    state = counts.updateStateByKey(lambda new, old: (old or 0) + sum(new), 2)
    state.checkpoint(BATCH * 5)
    state.foreachRDD(save("state"))
    window = counts.reduceByKeyAndWindow(lambda a, b: a + b, lambda a, b: a - b, WINDOW, BATCH, 2)
    window.checkpoint(BATCH * 5)
    window.foreachRDD(save("window"))
    return ssc

ssc = StreamingContext.getOrCreate("checkpoint", create)
ssc.start()
print("started", flush=True)
while not os.path.exists("stop"):
    if ssc.awaitTerminationOrTimeout(0.1):
        sys.exit(3)
ssc.stop(True, True)
print("stopped", flush=True)
"""


class Sender:
    """Sends ``s<connection>:<n>`` with n = 0, 1, 2, … on each connection; counts what it has sent on each."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.sent = {}
        self.pause = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        for connection in range(1_000_000):
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            self.sent[connection] = 0
            threading.Thread(target=self._send, args=(peer, connection), daemon=True).start()

    def _send(self, peer, connection):
        with peer, contextlib.suppress(OSError):
            while not self.pause.is_set():
                peer.sendall(f"s{connection}:{self.sent[connection]}\n".encode())
                self.sent[connection] += 1
                time.sleep(0.003)
            peer.recv(1)


class World:
    """The directory of the program: what is given to it, and what it has shown."""

    def __init__(self, root):
        self.root = root
        self.files = 0
        (root / "in").mkdir()
        (root / "out").mkdir()
        self.seen = {}

    def add_file(self):
        draft = self.root / f"draft-{self.files}"
        draft.write_text("".join(f"f{self.files}:{n}\n" for n in range(7)))
        os.utime(draft)
        draft.rename(self.root / "in" / f"{self.files}")
        self.files += 1

    def shown(self, name):
        """What the outputs of this name have written, by batch."""
        found = {}
        for path in (self.root / "out").glob(f"{name}-*"):
            found[int(path.name.split("-")[1])] = [tuple(pair) for pair in json.loads(path.read_text())]
        return dict(sorted(found.items()))

    def lines(self):
        return {batch: [tuple(pair) for pair in pairs] for batch, pairs in self.shown("lines").items()}

    def check_kept(self):
        """Lines of the socket that a batch has shown are those that it shows still, or again."""
        now = {b: [pair for pair in pairs if pair[0][0] == "s"] for b, pairs in self.lines().items()}
        for batch, pairs in self.seen.items():
            assert now.get(batch) == pairs, f"batch {batch}: {pairs}, then {now.get(batch)}"
        self.seen = now

    def check_all(self, sender):
        """Everything that is promised, at the end."""
        self.check_kept()
        lines, states, windows = self.lines(), self.shown("state"), self.shown("window")
        batches = list(lines)
        assert batches == list(range(batches[0], batches[-1] + 1, BATCH_MS)), "a batch is left out"
        assert list(states) == batches and list(windows) == batches
        all_pairs = [pair for pairs in lines.values() for pair in pairs]
        twice = [pair for pair, count in collections.Counter(all_pairs).items() if count > 1]
        assert not twice, twice
        files = {pair for pair in all_pairs if pair[0][0] == "f"}
        assert files == {(f"f{file}", n) for file in range(self.files) for n in range(7)}
        for connection, sent in sender.sent.items():
            numbers = sorted(n for source, n in all_pairs if source == f"s{connection}")
            assert numbers == list(range(len(numbers))) and len(numbers) <= sent, (connection, numbers, sent)
        total = collections.Counter()
        keys = {batch: collections.Counter(f"{s[0]}{n % 5}" for s, n in pairs) for batch, pairs in lines.items()}
        for batch in batches:
            total.update(keys[batch])
            assert dict(states[batch]) == dict(total), f"state of batch {batch}"
            inside = collections.Counter()
            for back in range(WINDOW_BATCHES):
                inside.update(keys.get(batch - back * BATCH_MS, {}))
            assert {k: n for k, n in windows[batch] if n} == dict(inside), f"window of batch {batch}"


def _children(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
    return []


def _victims(program, kind):
    """The zygote, or the workers, of a program. The zygote may have helpers' processes beside it."""
    zygotes = [child for child in _children(program) if b"zygote" in _command(child)]
    if kind == "zygote":
        return zygotes
    return [worker for zygote in zygotes for worker in _children(zygote)]


def _command(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


@pytest.mark.timeout(120 + RUNS * 20)
def test_a_program_killed_at_any_instant_counts_what_was_promised_once(millstream, script, tmp_path):
    chance, world, sender = random.Random(SEED), World(tmp_path), Sender()
    app = script(PROGRAM.format(port=sender.port, batch_s=BATCH_MS / 1000, window_s=WINDOW_BATCHES * BATCH_MS / 1000))
    print(f"{RUNS} kills, MILLSTREAM_TORTURE_SEED={SEED}")
    # How long a process may live: adapted so that some are killed as they start, and others after some batches.
    longest, kinds, running = 3.0, collections.Counter(), None
    for _ in range(RUNS):
        before = len(world.shown("state"))
        if running is None:
            running = millstream("run", app)
        # What is there before the stream is, is not new to it.
        for _ in range(chance.randrange(3) if before else 0):
            world.add_file()
        time.sleep(chance.uniform(0, longest))
        kind = chance.choices(["process", "worker", "zygote"], [5, 3, 2])[0]
        pid = running.process.pid
        family = _victims(pid, "zygote") + _victims(pid, "worker")
        victims = [pid] if kind == "process" else _victims(pid, kind)
        kinds[kind if victims else f"{kind} that was not there yet"] += 1
        for victim in victims[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        if kind == "process":
            running.process.wait(PATIENCE)
            until_gone(family)
            running = None
        elif running.process.poll() is not None or not _goes_on(running, world):
            # As with Spark's local masters: the task of the worker fails, the batch with it, and the program by that.
            code, _, err = running.finish()
            assert code == 1 and "Python worker" in err, (code, err)
            running = None
        if running is None:
            world.check_kept()
        longest = longest * 5 / 4 if len(world.shown("state")) == before else max(longest * 0.95, 0.5)
    sender.pause.set()
    last = running or millstream("run", app)
    wanted = {f"f{file}" for file in range(world.files)}
    until(
        lambda: (
            last.process.poll() is not None
            or wanted <= {source for pairs in world.lines().values() for source, _ in pairs}
        ),
        "all files are counted",
        PATIENCE,
    )
    (tmp_path / "stop").touch()
    code, out, err = last.finish()
    assert code == 0 and "stopped" in out, (code, err)
    world.check_all(sender)
    counted = sum(len(pairs) for pairs in world.lines().values())
    print(f"{dict(kinds)}: {len(world.lines())} batches, {counted} lines of {sum(sender.sent.values())}")


def _goes_on(running, world):
    """Whether the program runs another two batches after one of its processes was killed, or ends by itself."""
    before = len(world.shown("window"))
    ended = running.process.poll
    until(lambda: ended() is not None or len(world.shown("window")) > before + 1, "it goes on or ends", PATIENCE)
    return running.process.poll() is None
