"""Runs queries on whichever engine executes it, as told line by line on standard input.

    millstream run worker.py        or        millstream run --on MASTER worker.py

``{"run": [NAMES], "base": DIR, "round": N}`` runs queries of ``queries.py`` over the files there are in DIR, each to
the end of its input, from its checkpoint DIR/checkpoint-NAME; their console tables follow a line ``@@ NAME``, an error
stands on a line ``@! TEXT``. ``{"state": [DIRS]}`` reads checkpoints by the data sources ``state-metadata`` and
``statestore`` and writes one line of JSON for each. A line ``@@`` ends each answer.
"""

import json
import re
import sys
from functools import cached_property

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from queries import QUERIES
from rounds import LEFT_SCHEMA, RIGHT_SCHEMA, WIDE_SCHEMA

SETTINGS = {
    "spark.sql.shuffle.partitions": "3",
    "spark.sql.session.timeZone": "UTC",
}
# The reader of state would tell a coordinator of snapshots about them.
REPORT = "spark.sql.streaming.stateStore.coordinatorReportSnapshotUploadLag"
FORCE = "spark.sql.streaming.stateStore.forceSnapshotUploadOnLag"


class Streams:
    """The streams that queries read, made when a query names them."""

    def __init__(self, spark, base):
        self.spark, self.base = spark, base

    def stream(self, name):
        schema = {"left": LEFT_SCHEMA, "right": RIGHT_SCHEMA, "wide": WIDE_SCHEMA}[name]
        return self.spark.readStream.schema(schema).json(f"{self.base}/{name}")

    def sql(self, text):
        self.left.createOrReplaceTempView("left_rows")
        return self.spark.sql(text)

    left = cached_property(lambda self: self.stream("left"))
    right = cached_property(lambda self: self.stream("right"))
    wide = cached_property(lambda self: self.stream("wide"))
    late = cached_property(lambda self: self.left.withWatermark("lt", "10 seconds"))
    late_right = cached_property(lambda self: self.right.withWatermark("rt", "10 seconds"))


def run(spark, name, base, number):
    query = QUERIES[name]
    query = query.changed if query.changed and number > 0 else query
    for key, value in (SETTINGS | query.conf).items():
        spark.conf.set(key, value)
    try:
        rows = query.build(Streams(spark, base))
        writer = rows.writeStream.format("console").outputMode(query.mode).option("truncate", False)
        writer = writer.option("numRows", 10000).option("checkpointLocation", f"{base}/checkpoint-{name}")
        writer.trigger(availableNow=True).start().awaitTermination()
    except Exception as error:
        print("@!", re.sub(r"\s+", " ", str(error)), flush=True)
    for key in query.conf:
        spark.conf.unset(key)


def state(spark, checkpoint):
    """The rows of every store as text, without the names of their columns."""
    found = {}
    for store in spark.read.format("state-metadata").load(checkpoint).collect():
        reader = spark.read.format("statestore").option("operatorId", store.operatorId)
        rows = reader.option("storeName", store.stateStoreName).load(checkpoint)
        entries = [
            f"{row.partition_id} {row.k} -> {row.v}"
            for row in rows.select("partition_id", bare("key").alias("k"), bare("value").alias("v")).collect()
        ]
        title = f"{store.operatorId} {store.operatorName} {store.stateStoreName}"
        found[f"{title} {store.numPartitions} {store.minBatchId}-{store.maxBatchId}"] = sorted(entries)
    return found


def bare(column):
    return F.col(column).cast("string")


def main():
    spark = SparkSession.builder.appName("handover").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for line in sys.stdin:
        command = json.loads(line)
        for name in command.get("run", []):
            print("@@", name, flush=True)
            run(spark, name, command["base"], command["round"])
        if "state" in command:
            spark.conf.set(FORCE, "false")
            spark.conf.set(REPORT, "false")
        for checkpoint in command.get("state", []):
            try:
                print(json.dumps(state(spark, checkpoint)), flush=True)
            except Exception as error:
                print(json.dumps({"error": [re.sub(r"\s+", " ", str(error))[:600]]}), flush=True)
        print("@@", flush=True)


if __name__ == "__main__":
    main()
