"""One query for every stateful operator whose state Spark keeps in its default store.

    millstream run queries.py DIR        or        python queries.py DIR        (with PySpark)

Each runs over the files there are in DIR and ends; a checkpoint lies in DIR/checkpoint-NAME. Which engine ran before
makes no difference: that is what ``check.py`` checks.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

BASE = sys.argv[1]

spark = SparkSession.builder.appName("handover").getOrCreate()
spark.conf.set("spark.sql.shuffle.partitions", "3")
spark.conf.set("spark.sql.session.timeZone", "UTC")


def run(name, rows, mode="append"):
    writer = rows.writeStream.format("console").outputMode(mode).option("truncate", False).option("numRows", 1000)
    writer = writer.option("checkpointLocation", f"{BASE}/checkpoint-{name}").trigger(availableNow=True)
    writer.start().awaitTermination()


def stream(name, schema):
    return spark.readStream.schema(schema).json(f"{BASE}/{name}")


left = stream("left", "lt timestamp, lk string, lv int, unused string")
right = stream("right", "rt timestamp, rk string, rv decimal(20,2)")
late = left.withWatermark("lt", "10 seconds")
late_right = right.withWatermark("rt", "10 seconds")
near = F.expr("lk = rk AND rt BETWEEN lt - INTERVAL 5 SECONDS AND lt + INTERVAL 5 SECONDS")

run("count", left.groupBy("lk").count(), "update")
run(
    "complete",
    right.groupBy("rk").agg(F.sum("rv"), F.avg("rv"), F.min("rk"), F.first("rv"), F.stddev("rv")),
    "complete",
)
run("global", left.groupBy().agg(F.count("*"), F.sum("lv")), "update")
run("windows", late.groupBy(F.window("lt", "10 seconds", "5 seconds"), "lk").agg(F.sum("lv"), F.max("lk")))
run(
    "windows-of-windows",
    late.groupBy(F.window("lt", "5 seconds")).count().groupBy(F.window("window", "10 seconds")).count(),
)
run("sessions", late.groupBy(F.session_window("lt", "5 seconds"), "lk").count())
run("distinct", left.dropDuplicates(["lk", "lv"]))
run("distinct-within", late.dropDuplicatesWithinWatermark(["lk"]))
run("limit", left.limit(5))
run("inner-join", late.join(late_right, near).select("lt", "lk", "lv", "rv"))
run("left-join", late.join(late_right, near, "leftOuter").select("lt", "lk", "lv", "rv"))
run("right-join", late.join(late_right, near, "rightOuter").select("lt", "lk", "lv", "rv"))
run("semi-join", late.join(late_right, near, "leftSemi").select("lk", "lv"))
run("full-join", late.join(late_right, F.expr("lk = rk AND lt = rt"), "fullOuter"))
