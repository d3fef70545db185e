"""How DStream programs end: by signals, closed pipes and errors, and what does not end them."""

import os
import re
import signal
import socket
import subprocess

import pytest
from conftest import COMMAND, SECONDS
from waiting import until, until_gone

SLOW = """
import os, sys
from pyspark import SparkContext
from pyspark.streaming import StreamingContext

ssc = StreamingContext(SparkContext("local[2]", "ends"), 0.3)
def show(rdd):
    import time
    found = rdd.collect()
    if found:
        print("batch", found, flush=True)
        time.sleep(60)
ssc.queueStream([[n] for n in range(1, 4)]).foreachRDD(show)
ssc.start()
ssc.awaitTermination()
"""


def _family(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = [int(child) for child in file.read().split()]
    except OSError:
        return []
    return children + [grandchild for child in children for grandchild in _family(child)]


def test_sigterm_ends_a_program_at_once_with_all_it_has_started(millstream, script):
    running = millstream("run", script(SLOW))
    running.wait_for("batch [1]")
    family = _family(running.process.pid)
    running.process.send_signal(signal.SIGTERM)
    code, _, _ = running.finish()
    assert code == -signal.SIGTERM
    until_gone(family)


def test_a_reader_that_goes_away_ends_a_program_that_prints(script, tmp_path):
    text = """
from pyspark import SparkContext
from pyspark.streaming import StreamingContext
ssc = StreamingContext(SparkContext("local[2]", "pipe"), 0.2)
ssc.queueStream([[n] for n in range(1000)]).pprint()
ssc.start()
ssc.awaitTermination()
"""
    with open(tmp_path / "err", "w") as err:
        writer = subprocess.Popen([*COMMAND, "run", script(text)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=err)
        reader = subprocess.run(["head", "-1"], stdin=writer.stdout, capture_output=True, timeout=SECONDS)
        writer.stdout.close()
        assert reader.stdout == b"-" * 43 + b"\n"
        code = writer.wait(SECONDS)
    said = (tmp_path / "err").read_text()
    assert code not in (0, -signal.SIGKILL, -signal.SIGABRT), said
    assert "BrokenPipeError" in said and "panicked" not in said, said


RAISES = """
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.streaming import StreamingContext, StreamingListener

class Wrong(StreamingListener):
    def onBatchCompleted(self, event):
        raise ValueError("wrong listener")

ssc = StreamingContext(SparkContext("local[2]", "raises"), 0.2)
seen = []
class Right(StreamingListener):
    def onBatchCompleted(self, event):
        seen.append(event.batchInfo().outputOperationInfos()[0].failureReason())
ssc.addStreamingListener(Wrong())
ssc.addStreamingListener(Right())
def fail(rdd):
    found = rdd.collect()
    if found == [2]:
        raise KeyError("wrong output")
ssc.queueStream([[1], [2], [3], [4]]).foreachRDD(fail)
ssc.start()
try:
    ssc.awaitTermination()
except Py4JJavaError as error:
    print("raised", "KeyError: 'wrong output'" in str(error), "in fail" in str(error))
import time
deadline = time.monotonic() + 20
while len(seen) < 4 and time.monotonic() < deadline:
    time.sleep(0.02)
print("batches", [None if reason is None else "KeyError" in reason for reason in seen[:4]])
ssc.stop()
"""


def test_an_output_that_raises_is_told_and_neither_it_nor_a_listener_that_raises_ends_the_stream(millstream, script):
    code, out, err = millstream("run", script(RAISES)).finish()
    assert code == 0, err
    assert "raised True True" in out and "batches [None, True, None, None]" in out, (out, err)
    assert "ValueError: wrong listener" in err


def test_a_receiver_waits_for_a_server_that_is_not_there_yet(millstream, script):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = f"""
from pyspark import SparkConf, SparkContext
from pyspark.streaming import StreamingContext, StreamingListener
class Told(StreamingListener):
    def onReceiverStopped(self, event):
        print("stopped:", event.receiverInfo().lastErrorMessage(), flush=True)
conf = SparkConf().setMaster("local[2]").setAppName("port").set("spark.streaming.receiverRestartDelay", "100ms")
ssc = StreamingContext(SparkContext(conf=conf), 0.2)
ssc.addStreamingListener(Told())
ssc.socketTextStream("localhost", {port}).pprint()
ssc.start()
ssc.awaitTermination()
"""
    running = millstream("run", script(text))
    running.wait_for(f"stopped: Restarting receiver with delay 100ms: Error connecting to localhost:{port}")
    with socket.create_server(("127.0.0.1", port)) as server:
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"there\n")
            running.wait_for("there")
            running.interrupt()
            code, _, err = running.finish()
    assert code == -signal.SIGINT and err.rstrip().endswith("KeyboardInterrupt"), err


KILLED = """
import os, signal, sys, time
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
sc = SparkContext("local[2]", "killed")
numbers = sc.parallelize(range(10), 2)
def pids():
    return set(numbers.mapPartitions(lambda _: [(os.getpid(), os.getppid())]).collect())
workers = pids()
for pid, _ in workers:
    os.kill(pid, signal.SIGKILL)
time.sleep(0.2)
print("workers", numbers.sum(), not workers & pids())
for _, zygote in list(pids())[:1]:
    os.kill(zygote, signal.SIGKILL)
time.sleep(0.2)
print("zygote", numbers.sum(), numbers.map(lambda n: (n % 2, n)).reduceByKey(lambda a, b: a + b).count())
try:
    numbers.foreach(lambda n: os.kill(os.getpid(), signal.SIGKILL))
except Py4JJavaError as error:
    print("in a task", "Python worker exited unexpectedly" in str(error))
print("after it", numbers.sum())
"""


def test_workers_that_die_while_they_wait_are_replaced_and_one_that_dies_in_a_task_fails_its_job(millstream, script):
    code, out, err = millstream("run", script(KILLED)).finish()
    assert code == 0, err
    assert out.splitlines() == ["workers 45 True", "zygote 45 2", "in a task True", "after it 45"], (out, err)


CHANGED = """
import sys
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.streaming import StreamingContext
{helper}

def create():
    print("created", flush=True)
    ssc = StreamingContext(SparkContext("local[2]", "changed"), 0.2)
    lines = ssc.textFileStream("in")
    counts = lines.map({function}).updateStateByKey(lambda new, old: (old or 0) + len(new))
    counts.checkpoint(0.4)
    counts.foreachRDD(lambda rdd: print("counts", sorted(rdd.collect()), flush=True))
    return ssc

try:
    ssc = StreamingContext.getOrCreate("cp", create)
except Py4JJavaError as error:
    print(type(error).__name__, error)
    sys.exit(4)
ssc.start()
ssc.awaitTermination()
"""


@pytest.fixture
def counted(millstream, script, tmp_path):
    """Run a program until it has counted the line of a file, and kill it."""

    def run(text, expected):
        (tmp_path / "in").mkdir(exist_ok=True)
        running = millstream("run", script(text))
        running.wait_for("counts []")
        draft = tmp_path / "draft"
        draft.write_text("a\n")
        draft.rename(tmp_path / "in" / "1")
        running.wait_for(expected)
        seen = {path.name for path in (tmp_path / "cp").glob("rdd-*")}
        fewest = len(seen) + 2

        def saved_again():
            seen.update(path.name for path in (tmp_path / "cp").glob("rdd-*"))
            return len(seen) > fewest

        until(saved_again, "a state that has the line is saved")
        running.process.kill()
        running.process.wait(SECONDS)

    return run


def test_a_checkpoint_brings_back_the_functions_it_was_written_with_whatever_the_program_is_now(
    millstream, script, counted, tmp_path
):
    counted(CHANGED.format(helper="", function="lambda line: ('old', line)"), "counts [('old', 1)]")
    again = CHANGED.format(helper="", function="lambda line: ('new', line)")
    running = millstream("run", script(again))
    running.wait_for("counts [('old', 1)]")
    (tmp_path / "draft").write_text("b\n")
    os.utime(tmp_path / "draft")
    (tmp_path / "draft").rename(tmp_path / "in" / "2")
    running.wait_for("counts [('old', 2)]")
    assert "created\n" not in running.out
    running.process.kill()


def test_a_checkpoint_whose_class_cannot_be_imported_is_an_error_that_says_so(millstream, script, counted, tmp_path):
    (tmp_path / "helper.py").write_text(
        "class Tag:\n    def __call__(self, line):\n        return ('tag', line)\n\ntag = Tag()\n"
    )
    text = CHANGED.format(helper="import helper", function="helper.tag")
    counted(text, "counts [('tag', 1)]")
    (tmp_path / "helper.py").unlink()
    text = text.replace("import helper", "").replace("helper.tag", "None")
    code, out, err = millstream("run", script(text)).finish()
    assert code == 4, err
    assert out.startswith("Py4JJavaError") and "created" not in out
    assert "Failed to read checkpoint from directory cp" in out and "No module named 'helper'" in out, out


def test_a_damaged_or_newer_description_is_an_error_of_get_or_create(millstream, script):
    text = """
import pickle
from py4j.protocol import Py4JJavaError
from pyspark.streaming import StreamingContext
from millstream import _native
from millstream.streaming import program

class Checkpoint:
    pass

whole = pickle.dumps((program.FORMAT, 200, [], []))
blobs = [b"", b"x", whole[:-3], pickle.dumps(7), pickle.dumps((program.FORMAT + 1, 200, [], []))]
blobs += [pickle.dumps((program.FORMAT, 200, [], 5)), pickle.dumps((program.FORMAT, 200, [], [("nothing", ())]))]
blobs += [pickle.dumps((program.FORMAT, "soon", None, [("union", (7,))]))]
for blob in blobs:
    checkpoint = Checkpoint()
    checkpoint.program = blob
    checkpoint.restore = lambda datasets, conf: _native.StreamingGraph(datasets, 200, conf)
    _native.read_streaming_checkpoint = lambda directory: checkpoint
    try:
        StreamingContext.getOrCreate("cp", None)
        print("taken")
    except Py4JJavaError as error:
        print("refused", "cp" in str(error), " ".join(str(error).split()))
"""
    code, out, err = millstream("run", script(text)).finish()
    assert code == 0, err
    assert len(out.splitlines()) == 8 and all(line.startswith("refused True") for line in out.splitlines()), out
    assert "reads 1" in out


LIMITED = """
import os, sys
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.streaming import StreamingContext

if os.path.exists("limited"):
    # Like a disk without room, for all processes of the program.
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

def create():
    ssc = StreamingContext(SparkContext("local[2]", "limited"), 0.2)
    lines = ssc.textFileStream("in")
    counts = lines.flatMap(lambda line: [(line * 50 + str(n), 1) for n in range(2000)])
    state = counts.updateStateByKey(lambda new, old: (old or 0) + len(new))
    state.checkpoint(0.4)
    state.foreachRDD(lambda rdd: print("count", rdd.count(), flush=True))
    return ssc

ssc = StreamingContext.getOrCreate("cp", create)
ssc.start()
try:
    ssc.awaitTermination()
except Py4JJavaError as error:
    print(" ".join(str(error).split()))
    ssc.stop()
"""


def test_a_state_that_cannot_be_saved_names_batch_and_file_and_a_restart_has_all_of_it(millstream, script, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "limited").touch()
    app = script(LIMITED)
    running = millstream("run", app)
    running.wait_for("count 0")
    (tmp_path / "draft").write_text("a\n")
    (tmp_path / "draft").rename(tmp_path / "in" / "1")
    code, out, err = running.finish()
    assert code == 0, err
    said = out.splitlines()[-1]
    assert re.search(r"Batch \d+ ms: save a dataset for the checkpoint: ", said), said
    assert re.search(r"File too large: '[^']*cp/rdd-\d+-\d+/part-0000\d'", said), said
    (tmp_path / "limited").unlink()
    running = millstream("run", app)
    running.wait_for("count 2000")
    until(lambda: list((tmp_path / "cp").glob("rdd-*/part-*")), "the state is saved")
    running.process.kill()
    running.process.wait(SECONDS)
    assert "count 0\n" not in running.out


def test_a_saved_state_that_is_damaged_is_named(millstream, script, counted, tmp_path):
    text = CHANGED.format(helper="", function="lambda line: ('key', line)")
    counted(text, "counts [('key', 1)]")
    parts = list((tmp_path / "cp").glob("rdd-*/part-*"))
    assert parts
    for part in parts:
        content = bytearray(part.read_bytes())
        content[-2] ^= 1
        part.write_bytes(content)
    code, out, err = millstream("run", script(text)).finish()
    assert code == 4, err
    assert "Failed to read checkpoint from directory cp" in out and re.search(r"cp/rdd-\S+/part-0000", out), out


HALF = """
import os, time
from pyspark import SparkContext
from pyspark.streaming import StreamingContext
from pyspark.streaming.util import rddToFileName

ssc = StreamingContext(SparkContext("local[2]", "half"), 0.2)
lines = ssc.queueStream([ssc.sparkContext.parallelize(["a", "b"], 2)])
def half(time, rdd):
    path = rddToFileName("out", None, time)
    if rdd.isEmpty() or os.path.exists(path):
        return
    os.makedirs(f"{path}/_temporary/0")
    for part in ("part-00000", "part-00007"):
        with open(f"{path}/{part}", "w") as file:
            file.write("left by a process that was killed")
    print(path)
lines.foreachRDD(half)
lines.saveAsTextFiles("out")
done = []
lines.foreachRDD(lambda rdd: done.append(1))
ssc.start()
while not done:
    ssc.awaitTerminationOrTimeout(0.05)
ssc.stop()
"""


def test_text_files_that_a_kill_has_left_half_written_are_written_again(millstream, script, tmp_path):
    code, out, err = millstream("run", script(HALF)).finish()
    assert code == 0, err
    written = tmp_path / out.split()[0]
    assert {path.name: path.read_text() for path in written.iterdir() if path.name[0] != "."} == {
        "part-00000": "a\n",
        "part-00001": "b\n",
        "_SUCCESS": "",
    }
