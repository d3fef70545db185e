"""Milliseconds of a stateful micro-batch of ten rows, its checkpoint on disk, through an unchanged PySpark program.

    python bench/micro_batch.py [BATCHES]
"""

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


def measure(batches: int, partitions: int) -> list[int]:
    """Milliseconds of each of the last batches."""
    millstream = pathlib.Path(sys.executable).with_name("millstream")
    with tempfile.TemporaryDirectory() as root:
        program = pathlib.Path(root, "program.py")
        program.write_text(PROGRAM)
        command = [str(millstream), "run", str(program), f"{root}/checkpoint", str(batches), str(partitions)]
        out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    return [int(line.split()[2]) for line in out.splitlines() if line.startswith("batch ")]


def main() -> int:
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for partitions in (2, 200):
        took = measure(batches, partitions)
        print(
            f"micro-batch of 10 rows, {partitions} partitions: median {statistics.median(took)} ms, "
            f"max {max(took)} ms over {len(took)} batches"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
