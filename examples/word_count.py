"""Counts words from a socket: the streaming word count of Spark's guide.

    millstream run examples/word_count.py HOST PORT [BATCHES]

With BATCHES it ends after that many; without, it runs until Ctrl-C.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import explode, split

host, port = sys.argv[1], int(sys.argv[2])
batches = int(sys.argv[3]) if len(sys.argv) > 3 else None

spark = SparkSession.builder.appName("WordCount").getOrCreate()

lines = spark.readStream.format("socket").option("host", host).option("port", port).load()
words = lines.select(explode(split(lines.value, " ")).alias("word"))
counts = words.groupBy("word").count()

query = counts.writeStream.outputMode("complete").format("console").start()
while not query.awaitTermination(timeout=0.1 if batches else None):
    progress = query.lastProgress
    if batches and progress and progress.batchId >= batches:
        query.stop()
        break
