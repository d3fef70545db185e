"""``millstream run`` behaves as ``python`` does."""

import signal
import socket
import subprocess
import sys
import time


def test_a_program_has_its_own_arguments_directory_and_name(millstream, script, tmp_path):
    app = script(
        "import sys, os\n"
        "import neighbour\n"
        "print(sys.argv[1:], __name__, os.path.basename(__file__), neighbour.x, os.getcwd(), __spec__)\n"
        "print(sys.modules['__main__'].neighbour is neighbour)\n"
    )
    script("x = 7\n", "neighbour.py")
    code, out, err = millstream("run", app, "a", "--b", "-h").finish()
    assert (code, err) == (0, "")
    assert out == f"['a', '--b', '-h'] __main__ app.py 7 {tmp_path} None\nTrue\n"


def test_exit_codes_are_the_programs(millstream, script):
    for text, expected in [("import sys; sys.exit(3)", 3), ("raise SystemExit", 0), ("exit('bye')", 1), ("1/0", 1)]:
        code, _, err = millstream("run", script(text + "\n")).finish()
        assert code == expected, (text, err)
    assert millstream("run", "missing.py").finish()[0] == 2


def test_a_traceback_is_the_one_python_prints(millstream, script, tmp_path):
    app = script("def f():\n    return {}['k']\n\nf()\n")
    plain = subprocess.run([sys.executable, app], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert millstream("run", app).finish() == (plain.returncode, plain.stdout, plain.stderr)
    app = script("x = (\n", "broken.py")
    plain = subprocess.run([sys.executable, app], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert millstream("run", app).finish() == (plain.returncode, plain.stdout, plain.stderr)


BATCH = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[2]").appName("app").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
print(spark.range(3).collect(), spark.sparkContext.appName)
"""


def test_a_program_gets_a_session_whatever_master_it_names(millstream, script, monkeypatch):
    monkeypatch.setenv("MASTER", "spark://elsewhere:7077")
    code, out, err = millstream("run", script(BATCH)).finish()
    assert (code, err) == (0, "")
    assert out == "[Row(id=0), Row(id=1), Row(id=2)] app\n"


STREAM = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
lines = spark.readStream.format("socket").option("host", "localhost").option("port", {port}).load()
query = lines.groupBy("value").count().writeStream.outputMode("complete").format("console").start()
{rest}
"""


def test_ctrl_c_stops_a_waiting_program_within_two_seconds(millstream, script, lines):
    app = script(STREAM.format(port=lines("a", "b", "a"), rest="query.awaitTermination()"))
    running = millstream("run", app)
    running.wait_for("|    a|")
    began = time.monotonic()
    running.interrupt()
    code, _, err = running.finish()
    assert time.monotonic() - began < 2
    assert code == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt") and "app.py" in err and "millstream/run.py" not in err


def test_queries_end_with_the_program(millstream, script, lines):
    rest = "import time\nwhile not query.lastProgress: time.sleep(0.01)\nprint('done')"
    code, out, err = millstream("run", script(STREAM.format(port=lines("a"), rest=rest))).finish()
    assert code == 0, err
    assert out.endswith("done\n") and "Batch: 0" in out


def test_a_listener_left_behind_does_not_hold_the_program(millstream, script):
    app = script(
        "from pyspark.sql import SparkSession\n"
        "from pyspark.sql.streaming import StreamingQueryListener\n"
        "class Listener(StreamingQueryListener):\n"
        "    def onQueryStarted(self, event): print('started', flush=True)\n"
        "    def onQueryProgress(self, event): pass\n"
        "    def onQueryTerminated(self, event): print('terminated', flush=True)\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "spark.streams.addListener(Listener())\n"
        "q = spark.readStream.format('rate').load().writeStream.format('noop').start()\n"
        "q.stop()\n"
    )
    code, out, err = millstream("run", app).finish()
    assert code == 0, err
    assert out.splitlines() == ["started", "terminated"]


def test_a_port_in_use_is_told_in_one_line(millstream, script):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for args in (["run", "--port", port, script("")], ["serve", "--port", port]):
            code, out, err = millstream(*args).finish()
            assert (code, out) == (1, "")
            assert err.startswith("millstream: cannot listen on 127.0.0.1:") and len(err.splitlines()) == 1
