"""What a scrape of the process shows of a program's queries and streams."""

import re
import signal
import socket
import subprocess
import urllib.request

from conftest import SECONDS
from waiting import until

PROGRAM = """
import sys
from pyspark import SparkContext
from pyspark.sql import SparkSession
from pyspark.streaming import StreamingContext

spark = SparkSession.builder.appName("figures").getOrCreate()
{configure}
rows = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 5).option("numPartitions", 1).load()
counts = rows.groupBy("value").count()
query = counts.writeStream.queryName("counts").outputMode("update").format("noop").start()
while query.lastProgress is None or query.lastProgress["batchId"] < 2:
    query.processAllAvailable() if False else None
sc = SparkContext.getOrCreate()
ssc = StreamingContext(sc, 0.1)
seen = []
ssc.queueStream([[1, 2], [3]]).foreachRDD(lambda rdd: seen.extend(rdd.collect()))
ssc.start()
while len(seen) < 3:
    ssc.awaitTerminationOrTimeout(0.05)
print("ready", flush=True)
sys.stdin.readline()
query.stop()
ssc.stop(stopSparkContext=False)
print("stopped", flush=True)
sys.stdin.readline()
"""


def metrics_url(running):
    """Where the command says that it serves metrics, once it has said so."""
    said = re.compile(r"millstream: metrics on (http://127\.0\.0\.1:\d+/metrics)")
    running.until(lambda: said.search("".join(running.err)), "where metrics are served")
    return said.search("".join(running.err))[1]


def scrape(url):
    """Figures by name and labels."""
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = answer.read().decode().splitlines()
    samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples}


def one(figures, name, **labels):
    """The figure of this name that has these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [v for k, v in figures.items() if k.startswith(name + "{") and all(label in k for label in wanted)]
    assert len(found) == 1, (name, labels, figures)
    return found[0]


def held(figures, size):
    """For each receiver, whether it holds so many bytes."""
    return [v == size for k, v in figures.items() if k.startswith("millstream_dstream_receiver_buffered_bytes{")]


def press_enter(running):
    """Let the program go on."""
    running.process.stdin.write("\n")
    running.process.stdin.flush()


def check_both(running):
    """The program shows its query and its context while they run, and nothing afterwards."""
    url = metrics_url(running)
    running.wait_for("ready")
    figures = scrape(url)
    assert one(figures, "millstream_query_input_rows_total", query="counts", source="0") >= 15
    assert one(figures, "millstream_query_state_rows", query="counts", operator="0") >= 15
    assert one(figures, "millstream_query_state_bytes", query="counts") > 0
    assert one(figures, "millstream_query_phase_seconds", query="counts", phase="addBatch") >= 0
    assert one(figures, "millstream_dstream_completed_batches_total") >= 1
    assert one(figures, "millstream_dstream_total_delay_seconds") >= 0
    assert figures["process_resident_memory_bytes"] > 1_000_000
    press_enter(running)
    running.wait_for("stopped")
    left = scrape(url)
    assert one(left, "millstream_query_terminations_total", result="stopped") == 1
    assert not [name for name in left if "counts" in name or "dstream" in name]
    press_enter(running)
    assert running.finish()[0] == 0


def test_a_program_is_scraped_while_it_runs(millstream, script):
    app = script(PROGRAM.format(configure=""))
    check_both(millstream("run", "--metrics-port", "0", app, stdin=subprocess.PIPE))


def test_the_program_itself_may_ask_for_metrics(millstream, script):
    app = script(PROGRAM.format(configure='spark.conf.set("spark.millstream.metrics.port", "0")'))
    check_both(millstream("run", app, stdin=subprocess.PIPE))


def test_a_streaming_context_asks_for_metrics_by_its_settings(millstream, script):
    app = script(
        "import sys\n"
        "from pyspark import SparkConf, SparkContext\n"
        "from pyspark.streaming import StreamingContext\n"
        "conf = SparkConf().setAppName('my app').set('spark.millstream.metrics.port', '0')\n"
        "ssc = StreamingContext(SparkContext(conf=conf), 0.1)\n"
        "ssc.queueStream([[1]]).foreachRDD(lambda rdd: print('batch', flush=True))\n"
        "ssc.start()\n"
        "sys.stdin.readline()\n"
        "ssc.stop()\n"
    )
    running = millstream("run", app, stdin=subprocess.PIPE)
    url = metrics_url(running)
    running.wait_for("batch")
    assert one(scrape(url), "millstream_dstream_waiting_batches", app="my app") >= 0
    press_enter(running)
    assert running.finish()[0] == 0


def test_a_port_in_use_ends_the_command_with_a_sentence(millstream, script):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = millstream("run", "--metrics-port", port, script("print(1)")).finish()
    assert (code, out) == (1, "")
    assert err.startswith(f"millstream: Cannot serve metrics on 127.0.0.1:{port}: "), err


def test_a_terminated_program_stops_gracefully_if_it_is_set(millstream, script, lines):
    app = script(
        "from pyspark import SparkConf, SparkContext\n"
        "from pyspark.streaming import StreamingContext\n"
        "conf = SparkConf().set('spark.streaming.stopGracefullyOnShutdown', 'true')\n"
        "ssc = StreamingContext(SparkContext(conf=conf), 4)\n"
        f"lines = ssc.socketTextStream('localhost', {lines('received')})\n"
        "lines.foreachRDD(lambda rdd: print('batch', rdd.collect(), flush=True))\n"
        "ssc.start()\n"
        "ssc.awaitTermination()\n"
    )
    running = millstream("run", "--metrics-port", "0", app)
    url = metrics_url(running)
    until(lambda: any(held(scrape(url), len("received\n"))), "the line is received")
    running.process.send_signal(signal.SIGTERM)
    code, out, _ = running.finish()
    assert code == 128 + signal.SIGTERM
    assert "batch ['received']" in out
