"""What nobody guesses: programs under ``millstream run`` find what was recorded from PySpark."""

ERRORS = """
import warnings
warnings.simplefilter("ignore")
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext, StorageLevel
from pyspark.errors import IllegalArgumentException, PySparkException, PythonException
from pyspark.sql import SparkSession
from pyspark.streaming import StreamingContext
sc = SparkContext("local[2]", "errors")
zeros = sc.parallelize([1, 0], 2).map(lambda x: 1 // x)
def failure(action):
    try:
        action()
    except Exception as error:
        kinds = (Py4JJavaError, PythonException, IllegalArgumentException)
        found = [kind.__name__ for kind in kinds if isinstance(error, kind)]
        lines = str(error).strip().splitlines()
        print(*found, type(error).__module__, "|", lines[0])
        return lines
print("ZeroDivisionError" in str(failure(zeros.collect)))
failure(lambda: StreamingContext(sc, 1).start())
spark = SparkSession.builder.getOrCreate()
print(failure(zeros.collect)[-1])
failure(lambda: StreamingContext(sc, 1).start())
failure(lambda: sc.textFile("/no/such/file").collect())
"""


def test_once_there_is_a_session_a_failed_task_is_no_error_of_py4j_any_more(millstream, script):
    code, out, err = millstream("run", script(ERRORS)).finish()
    assert code == 0, err
    call = "An error occurred while calling"
    assert out.splitlines() == [
        f"Py4JJavaError py4j.protocol | {call} z:org.apache.spark.api.python.PythonRDD.collectAndServe.",
        "True",
        f"Py4JJavaError py4j.protocol | {call} start.",
        "PythonException pyspark.errors.exceptions.captured | An exception was thrown from the Python worker:",
        "ZeroDivisionError: integer division or modulo by zero",
        "IllegalArgumentException pyspark.errors.exceptions.captured | "
        "requirement failed: No output operations registered, so nothing to execute",
        f"Py4JJavaError py4j.protocol | {call} z:org.apache.spark.api.python.PythonRDD.collectAndServe.",
    ]


FRAMES = """
import warnings
warnings.simplefilter("ignore")
from pyspark import SparkContext, SQLContext
from pyspark.sql import Row
sc = SparkContext("local[2]", "frames")
sql = SQLContext(sc)
frame = sql.createDataFrame(sc.parallelize([(1, "a"), (2.5, 7), ("x", True)], 3), ["n", "text"])
print(frame.dtypes, [tuple(row) for row in frame.collect()], frame.rdd.getNumPartitions())
for rows, names in (([(None,)], ["n"]), ([1], None), ([(1, 2), (3,)], ["a", "b"]), ([(1,)], ["a", "b"])):
    try:
        print(sc.parallelize(rows, 1).toDF(names).collect())
    except Exception as error:
        print(type(error).__name__, str(error).split("]")[0])
frame.foreach(lambda row: row.text.upper())
frame.createOrReplaceTempView("rows")
print(sql.sql("select count(n) from rows").first()[0], sql.tableNames(), SQLContext.getOrCreate(sc) is sql)
"""


def test_a_data_frame_of_an_rdd_takes_its_types_from_the_first_row_and_makes_null_of_others(millstream, script):
    code, out, err = millstream("run", script(FRAMES)).finish()
    assert code == 0, err
    assert out.splitlines() == [
        "[('n', 'bigint'), ('text', 'string')] [(1, 'a'), (None, '7'), (None, 'true')] 3",
        "PySparkValueError [CANNOT_DETERMINE_TYPE",
        "PySparkTypeError [CANNOT_INFER_SCHEMA_FOR_TYPE",
        "IllegalArgumentException [STRUCT_ARRAY_LENGTH_MISMATCH",
        "IndexError list index out of range",
        "1 ['rows'] True",
    ]


LINEAGE = """
import re
from operator import add
from pyspark import Broadcast, RDD, SparkContext
sc = SparkContext("local[2]", "lineage")
pairs = sc.parallelize([("a", 1)], 2)
counts = pairs.mapValues(lambda v: v + 1).reduceByKey(add, 12)
counts.collect()
print(pairs, type(counts))
print(re.sub(r" at /\\S*/", " at ", counts.toDebugString().decode()))
value = sc.broadcast(RDD)
print(pairs.map(lambda x: (value.value is RDD, isinstance(value, Broadcast))).collect())
"""


def test_an_rdd_is_described_as_spark_describes_it(millstream, script):
    code, out, err = millstream("run", script(LINEAGE)).finish()
    assert code == 0, err
    native = "NativeMethodAccessorImpl.java:0"
    assert out.splitlines() == [
        "ParallelCollectionRDD[0] at readRDDFromFile at PythonRDD.scala:326 <class 'pyspark.core.rdd.PipelinedRDD'>",
        "(12) PythonRDD[5] at collect at app.py:8 []",
        " |   MapPartitionsRDD[4] at mapPartitions at PythonRDD.scala:197 []",
        f" |   ShuffledRDD[3] at partitionBy at {native} []",
        " +-(2) PairwiseRDD[2] at reduceByKey at app.py:7 []",
        "    |  PythonRDD[1] at reduceByKey at app.py:7 []",
        "    |  ParallelCollectionRDD[0] at readRDDFromFile at PythonRDD.scala:326 []",
        "[(True, True)]",
    ]


STATE = """
import os, sys, warnings
warnings.simplefilter("ignore")
from pyspark import SparkContext
from pyspark.streaming import StreamingContext
directory = sys.argv[1]
os.makedirs(directory + "/in")
sc = SparkContext("local[2]", "state")
sc.setCheckpointDir(directory + "/checkpoints")
sc.setLocalProperty("mine", "kept")
ssc = StreamingContext(sc, 0.2)
seen = []
lines = ssc.textFileStream(directory + "/in")
totals = lines.map(lambda line: (line, 1)).updateStateByKey(lambda new, old: sum(new) + (old or 0))
totals.foreachRDD(lambda rdd: seen.append((dict(rdd.collect()), sc.getLocalProperty("mine"))))
ssc.start()
os.makedirs(directory + "/staged/.")
for name in "ab":
    with open(directory + "/staged/" + name, "w") as file:
        file.write(name + "\\n")
os.rename(directory + "/staged", directory + "/in/appeared")
while not seen or not seen[-1][0]:
    ssc.awaitTerminationOrTimeout(0.05)
count = len(seen)
while len(seen) < count + 3:
    ssc.awaitTerminationOrTimeout(0.05)
ssc.stop()
names = os.listdir(directory + "/checkpoints")
print(sorted(seen[-1][0].items()), seen[-1][1], any(name.startswith("checkpoint-") for name in names))
"""


def test_a_state_needs_no_checkpoint_of_its_stream_and_a_directory_that_appears_is_read_once(
    millstream, script, tmp_path
):
    code, out, err = millstream("run", script(STATE), str(tmp_path / "data")).finish()
    assert code == 0, err
    assert out == "[('a', 1), ('b', 1)] kept False\n"


BROADCAST = """
import os, sys, warnings
warnings.simplefilter("ignore")
from pyspark import SparkContext
from pyspark.streaming import StreamingContext
directory = sys.argv[1]
os.makedirs(directory + "/in", exist_ok=True)
def setup():
    sc = SparkContext("local[2]", "broadcast")
    wanted = sc.broadcast({"x"})
    ssc = StreamingContext(sc, 0.2)
    ssc.textFileStream(directory + "/in").filter(lambda line: line in wanted.value).foreachRDD(see)
    return ssc
seen = []
def see(rdd):
    seen.extend(rdd.collect())
try:
    ssc = StreamingContext.getOrCreate(directory + "/checkpoint", setup)
    ssc.start()
    with open(directory + "/staged", "w") as file:
        file.write("x\\ny\\n")
    os.rename(directory + "/staged", directory + "/in/file")
    while not seen:
        ssc.awaitTerminationOrTimeout(0.05)
    ssc.stop()
    print(seen)
except Exception as error:
    print("BROADCAST_VARIABLE_NOT_LOADED" in str(error), "Failed to read checkpoint" in str(error))
"""


def test_a_broadcast_variable_may_be_used_with_checkpoints_but_does_not_come_back(millstream, script, tmp_path):
    for expected in ("['x']\n", "True True\n"):
        code, out, err = millstream("run", script(BROADCAST), str(tmp_path / "data")).finish()
        assert (code, out) == (0, expected), err
