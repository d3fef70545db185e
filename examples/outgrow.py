"""Counts words in files as they appear, here or on a Spark cluster: see "When one machine is not enough" in README.md.

    millstream run examples/outgrow.py DIR
    millstream run --on spark://HOST:7077 --python spark/bin/python examples/outgrow.py DIR

Reads DIR/in; the checkpoint is DIR/checkpoint. Every engine goes on where the one before it stopped.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import explode, split

base = sys.argv[1]
spark = SparkSession.builder.appName("outgrow").getOrCreate()
# Fixed by the first start: as many as the largest cluster this is ever to run on can use.
spark.conf.set("spark.sql.shuffle.partitions", "8")
lines = spark.readStream.text(f"{base}/in")
words = lines.select(explode(split(lines.value, " ")).alias("word"))
counts = words.groupBy("word").count()
query = counts.writeStream.outputMode("update").format("console").option("checkpointLocation", f"{base}/checkpoint")
query.start().awaitTermination()
