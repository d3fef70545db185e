"""Whole programs over RDDs under ``millstream run``: names, output, sessions, and what is left behind."""

import os
import pathlib
import signal

from waiting import until, until_gone

NAMES = """
from pyspark import *
from pyspark import RDD, Broadcast, SparkFiles, StatusTracker
import pyspark.rdd, pyspark.context, pyspark.broadcast, pyspark.core.rdd
from py4j.protocol import Py4JJavaError
assert pyspark.rdd.RDD is RDD and pyspark.context.SparkContext is SparkContext
assert pyspark.core.rdd.RDD is RDD and pyspark.broadcast.Broadcast is Broadcast
sc = SparkContext(conf=SparkConf().setMaster("local[2]").setAppName("names"))
class Own(Exception):
    pass
def fail(x):
    raise Own("mine")
try:
    sc.parallelize([1]).foreach(fail)
except Py4JJavaError as error:
    print("Own: mine" in str(error), "Own: mine" in error.java_exception.toString())
def inside(x):
    import os, pyspark
    print("from a task")
    return pyspark.SparkFiles.getRootDirectory() == SparkFiles.getRootDirectory(), os.environ["PYTHONHASHSEED"]
print(sc.parallelize([1], 1).map(inside).collect())
print(sc.parallelize([("a", 1), ("b", 2)], 2).partitionBy(5).lookup("b"))
"""


def test_programs_find_the_names_of_pyspark(millstream, script):
    code, out, err = millstream("run", script(NAMES)).finish()
    assert (code, out) == (0, "True True\n[(True, '0')]\n[2]\n"), err
    # As with PySpark, what tasks print comes on the standard error of the driver.
    assert "from a task\n" in err


SESSIONS = """
from pyspark import SparkContext
from pyspark.errors import PythonException
from pyspark.sql import Row, SparkSession
sc = SparkContext("local[2]", "both")
rdd = sc.parallelize([("a", 1), ("b", 2)], 2)
try:
    rdd.toDF()
except RuntimeError as error:
    print(error)
spark = SparkSession.builder.config(conf=sc.getConf()).getOrCreate()
print(spark.sparkContext is sc, SparkSession(sc) is spark, spark.conf.get("spark.app.name"))
print(rdd.toDF(["k", "n"]).filter("n > 1").collect(), rdd.toDF().columns)
frame = spark.createDataFrame(rdd.map(lambda x: Row(word=x[0], n=x[1])), "word string, n int")
print(frame.dtypes, frame.rdd.map(lambda r: r.word + str(r["n"])).collect())
try:
    spark.createDataFrame(sc.parallelize([("a", 1)], 1), "k int, n int")
except PythonException as error:
    print(str(error).splitlines()[-1].rpartition("] ")[2])
spark.stop()
try:
    sc.parallelize([1])
except AttributeError:
    print("stopped")
spark = SparkSession.builder.master("local[3]").appName("session first").getOrCreate()
sc = spark.sparkContext
print(sc.master, sc.appName, sc.defaultParallelism, SparkContext.getOrCreate() is sc)
"""


def test_sessions_and_contexts_belong_together(millstream, script):
    code, out, err = millstream("run", script(SESSIONS)).finish()
    assert code == 0, err
    assert out.splitlines() == [
        "[CALL_BEFORE_INITIALIZE] Not supported to call `RDD.toDF` before initializing SparkSession.",
        "True True both",
        "[Row(k='b', n=2)] ['_1', '_2']",
        "[('word', 'string'), ('n', 'int')] ['a1', 'b2']",
        "field k: IntegerType() can not accept object 'a' in type <class 'str'>.",
        "stopped",
        "local[3] session first 3 True",
    ]


LASTING = """
import os, time
from pyspark import SparkContext
sc = SparkContext("local[2]", "lasting")
def pid(_):
    time.sleep(0.2)
    return os.getpid()
workers = set(sc.parallelize(range(2), 2).map(pid).collect())
print(sc._engine.directory, sc._engine.pool._zygote.pid, *workers, flush=True)
sc.parallelize(range(2), 2).foreach(lambda _: time.sleep(600))
"""


def test_workers_and_files_end_with_a_driver_that_is_killed(millstream, script):
    running = millstream("run", script(LASTING))
    running.wait_for("millstream-")
    directory, *processes = running.out[0].split()
    assert pathlib.Path(directory).is_dir() and len(processes) == 3
    running.process.send_signal(signal.SIGKILL)
    until_gone(map(int, processes))
    until(lambda: not os.path.exists(directory), directory)


def test_ctrl_c_ends_a_job(millstream, script):
    running = millstream("run", script(LASTING))
    running.wait_for("millstream-")
    running.interrupt()
    code, _, err = running.finish()
    assert code == -signal.SIGINT and err.rstrip().endswith("KeyboardInterrupt")


THREADS = """
from pyspark import InheritableThread, SparkContext, TaskContext, inheritable_thread_target
from threading import Thread
sc = SparkContext("local[2,3]", "threads")
found = []
def look():
    found.append((sc.getLocalProperty("k"), sc.getJobTags()))
sc.setLocalProperty("k", "v")
sc.addJobTag("t")
for thread in (InheritableThread(target=look), Thread(target=inheritable_thread_target(look)), Thread(target=look)):
    thread.start()
    thread.join()
print(found)
def shaky(x):
    attempt = TaskContext.get().attemptNumber()
    if attempt < x:
        raise ValueError("not yet")
    return attempt
print(sc.parallelize([0, 1, 2], 3).map(shaky).collect())
try:
    sc.parallelize([3]).map(shaky).collect()
except Exception as error:
    print("not yet" in str(error))
"""


def test_threads_inherit_and_tasks_are_tried_again_where_asked_for(millstream, script):
    code, out, err = millstream("run", script(THREADS)).finish()
    assert (code, out) == (0, "[('v', {'t'}), ('v', {'t'}), (None, set())]\n[0, 1, 2]\nTrue\n"), err
