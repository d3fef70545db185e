"""Milliseconds of a stateful micro-batch of ten rows, its checkpoint on disk, through an unchanged PySpark program.

    python bench/micro_batch.py [--spark PYTHON] [BATCHES]

With --spark the same program runs on the real Spark of that Python as well, and the ratio is printed.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile

PROGRAM = """
import sys, time
from pyspark.sql import SparkSession
from pyspark.sql.functions import col
spark = SparkSession.builder.config("spark.sql.shuffle.partitions", sys.argv[3]).getOrCreate()
rows = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 10).load()
counts = rows.groupBy((col("value") % 1000).alias("key")).count()
query = counts.writeStream.outputMode("update").format("noop").option("checkpointLocation", sys.argv[1]).start()
wanted = int(sys.argv[2])
while not (query.lastProgress and query.lastProgress.batchId >= wanted):
    time.sleep(0.05)
query.stop()
for p in query.recentProgress:
    print("batch", p.batchId, p.durationMs["triggerExecution"])
"""


def measure(interpreter: list[str], batches: int, partitions: int) -> float:
    """The median time of a batch, ms."""
    with tempfile.TemporaryDirectory() as root:
        program = pathlib.Path(root, "program.py")
        program.write_text(PROGRAM)
        command = [*interpreter, str(program), f"{root}/checkpoint", str(batches), str(partitions)]
        out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900).stdout
    took = [int(line.split()[2]) for line in out.splitlines() if line.startswith("batch ")]
    # A batch shorter than a millisecond is reported as 0.
    return max(statistics.median(took), 0.5)


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("batches", nargs="?", type=int, default=100)
    arguments.add_argument("--spark", metavar="PYTHON")
    given = arguments.parse_args()
    millstream = pathlib.Path(sys.executable).with_name("millstream")
    for partitions in (2, 200):
        ours = measure([str(millstream), "run"], given.batches, partitions)
        print(f"batch of 10 rows, {partitions} state partitions: {ours:g} ms")
        if given.spark:
            theirs = measure([given.spark], max(10, given.batches // 10), partitions)
            print(f"batch of 10 rows, {partitions} state partitions on Spark: {theirs:g} ms; ratio {theirs / ours:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
