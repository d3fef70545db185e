"""DStream programs under ``millstream run`` and ``millstream shell``, whole processes from start to end."""

import json
import os
import re
import signal
import socket
import threading
import time

import pytest
from waiting import until_gone

RULE = "-" * 43

WORD_COUNT = """
from pyspark import SparkContext
from pyspark.streaming import StreamingContext

sc = SparkContext("local[2]", "NetworkWordCount")
ssc = StreamingContext(sc, {interval})
lines = ssc.socketTextStream("localhost", {port})
words = lines.flatMap(lambda line: line.split(" "))
words.map(lambda word: (word, 1)).reduceByKey(lambda x, y: x + y).pprint()
ssc.start()
{rest}
"""


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def _family(pid):
    found = []
    for child in _children(pid):
        found += [child, *_family(child)]
    return found


def test_the_word_count_prints_what_pyspark_prints(millstream, script, lines):
    app = script(WORD_COUNT.format(interval=0.5, port=lines("a b a", "", "b"), rest="ssc.awaitTermination()"))
    running = millstream("run", app)
    running.wait_for("('a', 2)")
    running.interrupt()
    _, out, _ = running.finish()
    blocks = [block for block in out.split(RULE + "\nTime: ") if "(" in block]
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?\n" + RULE + r"\n(\('', 1\)\n|\('a', 2\)\n|\('b', 2\)\n){3}\n",
        blocks[0],
    )


def test_ctrl_c_ends_the_waiting_program_and_all_it_has_started(millstream, script, lines):
    app = script(WORD_COUNT.format(interval=0.2, port=lines("x"), rest="ssc.awaitTermination()"))
    running = millstream("run", app)
    running.wait_for("('x', 1)")
    family = _family(running.process.pid)
    began = time.monotonic()
    running.interrupt()
    code, _, err = running.finish()
    assert time.monotonic() - began < 5
    assert code == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt") and "app.py" in err and "millstream/run.py" not in err
    until_gone(family)


def test_a_program_that_ends_without_stopping_leaves_nothing_behind(millstream, script, lines):
    rest = "assert done.wait(60)\nprint('end')"
    text = WORD_COUNT.format(interval=0.2, port=lines("x"), rest=rest)
    text = text.replace(
        "ssc.start()",
        "import threading\ndone = threading.Event()\n"
        "lines.foreachRDD(lambda rdd: done.set() if rdd.collect() else None)\nssc.start()",
    )
    running = millstream("run", script(text))
    running.wait_for("('x', 1)")
    family = _family(running.process.pid)
    code, out, err = running.finish()
    assert (code, "Traceback" in err) == (0, False), err
    # A batch that was begun may print after the program.
    assert "end\n" in out
    until_gone(family)


SLOW = """
import sys, time
from pyspark import SparkContext
from pyspark.streaming import StreamingContext

ssc = StreamingContext(SparkContext("local[1]", "slow"), 0.2)
def slow(rdd):
    print("begun")
    time.sleep(600)
ssc.queueStream([[1]]).foreachRDD(slow)
ssc.start()
for line in sys.stdin:
    sys.exit(3)
"""


def test_a_program_ends_although_an_output_does_not_come_back(millstream, script):
    read, write = os.pipe()
    running = millstream("run", script(SLOW), stdin=read)
    running.wait_for("begun")
    os.write(write, b"\n")
    code, _, err = running.finish()
    assert code == 3 and "abort" not in err.lower(), err


def test_the_shell_has_the_one_spark_context(millstream, tmp_path):
    program = tmp_path / "typed.py"
    program.write_text(
        "from pyspark import SparkContext\n"
        "from pyspark.streaming import StreamingContext\n"
        "sc is SparkContext.getOrCreate() and spark.sparkContext is sc\n"
        "ssc = StreamingContext(sc, 0.2)\n"
        "seen = []\n"
        "ssc.queueStream([[1, 2]]).map(lambda x: x + 1).foreachRDD(lambda rdd: seen.append(rdd.collect()))\n"
        "ssc.start()\n"
        "while not seen: ssc.awaitTerminationOrTimeout(0.05)\n"
        "\n"
        "ssc.stop()\n"
        "seen[0]\n"
    )
    with program.open() as stdin:
        code, out, err = millstream("shell", stdin=stdin).finish()
    assert code == 0 and "Traceback" not in err, err
    assert out.splitlines()[0] == "True" and out.splitlines()[-1] == "[2, 3]"


ERRORS = """
import json
from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext, StorageLevel, Broadcast, Accumulator, RDD
import pyspark.context, pyspark.rdd, pyspark.broadcast, pyspark.accumulators, pyspark.files
from pyspark.streaming import StreamingContext, DStream, StreamingListener
from pyspark.streaming.kinesis import KinesisUtils
assert pyspark.context.SparkContext is SparkContext and pyspark.rdd.RDD is RDD
assert pyspark.broadcast.Broadcast is Broadcast and pyspark.accumulators.Accumulator is Accumulator
sc = SparkContext("local[2]", "errors")
ssc = StreamingContext(sc, 0.2)
found = {}

def fails(name, function):
    try:
        function()
    except Exception as error:
        found[name] = [type(error).__name__, str(error)]
    else:
        found[name] = None

fails("no output", ssc.start)
ssc = StreamingContext(sc, 0.2)
def broken(x): return 1 // x
ds = ssc.queueStream([[0], [1]])
ds.map(broken).pprint()
ssc.start()
fails("task", ssc.awaitTermination)
fails("again", lambda: ssc.awaitTerminationOrTimeout(1))
fails("added", ds.pprint)
ssc.stop(False)
fails("started again", ssc.start)
fails("kinesis", lambda: KinesisUtils.createStream(ssc, "app", "stream", "", "", "", 2))
fails("checkpoint", lambda: StreamingContext.getOrCreate("cp", lambda: None))
assert issubclass(Py4JJavaError, Exception)
print(json.dumps(found))
"""


def test_errors_have_pysparks_class_and_text(millstream, script, tmp_path):
    damaged = tmp_path / "cp"
    damaged.mkdir()
    (damaged / "checkpoint-1700000000000").write_bytes(b"another program")
    code, out, err = millstream("run", script(ERRORS)).finish()
    assert code == 0, err
    found = json.loads(out.splitlines()[-1])
    java = "Py4JJavaError"
    assert (
        found["no output"][0] == java
        and "No output operations registered, so nothing to execute" in found["no output"][1]
    )
    for name in ("task", "again"):
        kind, text = found[name]
        assert (
            kind == java
            and "ZeroDivisionError" in text
            and "in broken" in text
            and "An exception was raised by Python" in text
        )
    assert found["added"][0] == java and "after starting a context is not supported" in found["added"][1]
    assert found["started again"][0] == java and "already been stopped" in found["started again"][1]
    assert found["kinesis"][0] == "NotImplementedError" and "Kinesis" in found["kinesis"][1]
    assert found["checkpoint"][0] == java and "checkpoint" in found["checkpoint"][1]


STATEFUL = """
import sys
from pyspark import SparkConf, SparkContext
from pyspark.streaming import StreamingContext

def create():
    conf = SparkConf().setMaster("local[2]").setAppName("stateful")
    conf.set("spark.streaming.receiver.writeAheadLog.enable", "true")
    ssc = StreamingContext(SparkContext(conf=conf), 0.5)
    lines = ssc.socketTextStream("localhost", {port})
    totals = lines.map(lambda line: ("lines", 1)).updateStateByKey(lambda new, old: (old or 0) + len(new))
    totals.checkpoint(1.0)
    totals.foreachRDD(report)
    return ssc

def report(rdd):
    for key, count in rdd.collect():
        print("total", count, flush=True)

ssc = StreamingContext.getOrCreate("cp", create)
ssc.start()
ssc.awaitTermination()
"""


class Numbers:
    """A server that sends a line every few milliseconds while somebody listens, and counts what it has sent."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.sent = 0
        self.limit = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            with peer:
                try:
                    while self.limit is None or self.sent < self.limit:
                        peer.sendall(b"line\n")
                        self.sent += 1
                        time.sleep(0.002)
                    peer.recv(1)
                except OSError:
                    pass


def _total(running):
    return max([int(line.split()[1]) for line in running.out if line.startswith("total ")], default=0)


@pytest.mark.timeout(180)
def test_what_was_counted_before_a_kill_is_counted_once_after_it(millstream, script, tmp_path):
    numbers = Numbers()
    app = script(STATEFUL.format(port=numbers.port))
    first = millstream("run", app)
    first.until(lambda: _total(first) >= 600, "a total of 600")
    family = _family(first.process.pid)
    os.kill(first.process.pid, signal.SIGKILL)
    # A process that waits for the disk ends only afterwards.
    first.process.wait(60)
    until_gone(family)
    shown, sent = _total(first), numbers.sent
    numbers.limit = sent + 100
    second = millstream("run", app)
    # Totals go on being shown, so that what was sent is looked at again too.
    second.until(lambda: _total(second) >= shown + 100 and numbers.sent >= numbers.limit, f"a total of {shown + 100}")
    totals = [int(line.split()[1]) for line in second.out if line.startswith("total ")]
    # What was shown is still contained, what came later is added, and nothing is there twice.
    assert shown + 100 <= max(totals) <= numbers.sent, (shown, totals[-3:], numbers.sent)
    second.process.send_signal(signal.SIGINT)
    second.finish()
    numbers.server.close()


def test_the_warning_that_dstreams_are_deprecated_names_the_line_of_the_program(millstream, script):
    text = "from pyspark import SparkContext\nfrom pyspark.streaming import StreamingContext\n"
    text += "StreamingContext(SparkContext('local[1]', 'x'), 1)\n"
    code, _, err = millstream("run", script(text)).finish()
    assert code == 0 and "FutureWarning: DStream is deprecated as of Spark 3.4.0" in err and "app.py:3" in err


def test_a_setting_names_the_directory_of_checkpoints(millstream, script, tmp_path):
    app = script(
        "from pyspark import SparkConf, SparkContext\n"
        "from pyspark.streaming import StreamingContext\n"
        f"conf = SparkConf().set('spark.streaming.checkpoint.directory', '{tmp_path}/saved')\n"
        "ssc = StreamingContext(SparkContext(conf=conf), 0.2)\n"
        "counts = ssc.queueStream([[('a', 1)]]).updateStateByKey(lambda new, old: sum(new) + (old or 0))\n"
        "counts.foreachRDD(lambda rdd: print(rdd.collect(), flush=True))\n"
        "ssc.start()\n"
        "ssc.awaitTermination()\n"
    )
    running = millstream("run", app)
    running.wait_for("[('a', 1)]")
    running.interrupt()
    running.finish()
    assert list((tmp_path / "saved").glob("checkpoint-*"))
