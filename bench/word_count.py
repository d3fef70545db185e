"""Words per second of the word count through an unchanged PySpark program.

    python bench/word_count.py [--spark PYTHON] [MILLIONS]

With --spark the same program runs on the real Spark of that Python as well, and the ratio is printed.
20 million words by default, Zipf over 50,000 words, read from text files in steady batches:
split, explode, groupBy, count, complete mode into the noop sink, checkpoint on disk.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

VOCABULARY = 50_000
WORDS_PER_LINE = 10
FILES = 10

PROGRAM = """
import sys, time
from pyspark.sql import SparkSession
from pyspark.sql.functions import explode, split
spark = SparkSession.builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
lines = spark.readStream.option("maxFilesPerTrigger", 1).text(sys.argv[1])
counts = lines.select(explode(split(lines.value, " ")).alias("word")).groupBy("word").count()
query = (counts.writeStream.outputMode("complete").format("noop")
         .option("checkpointLocation", sys.argv[2]).trigger(availableNow=True).start())
query.awaitTermination()
for p in query.recentProgress:
    print("batch", p.batchId, p.numInputRows, p.durationMs["triggerExecution"])
"""


def write_input(directory: pathlib.Path, words: int) -> None:
    """Lines of Zipf-distributed words in equal files."""
    rng = random.Random(7)
    weights = [1.0 / rank for rank in range(1, VOCABULARY + 1)]
    vocabulary = [f"w{rank}" for rank in range(VOCABULARY)]
    # Drawn once and shuffled per file: drawing 20 million words would take longer than counting them.
    pool = rng.choices(vocabulary, weights, k=min(words // FILES, 2_000_000))
    for index in range(FILES):
        rng.shuffle(pool)
        lines = (" ".join(pool[i : i + WORDS_PER_LINE]) for i in range(0, len(pool), WORDS_PER_LINE))
        (directory / f"part-{index}.txt").write_text("\n".join(lines) + "\n")


def measure(interpreter: list[str], root: pathlib.Path) -> float:
    """Million words per second of the batches after the first, which pays for a cold start."""
    with tempfile.TemporaryDirectory() as checkpoint:
        command = [*interpreter, str(root / "program.py"), str(root / "in"), checkpoint]
        out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900).stdout
    batches = [line.split()[1:] for line in out.splitlines() if line.startswith("batch ")]
    steady = [(int(rows) * WORDS_PER_LINE, int(ms)) for _, rows, ms in batches[1:]]
    return sum(words for words, _ in steady) / sum(ms for _, ms in steady) / 1000


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("millions", nargs="?", type=float, default=20)
    arguments.add_argument("--spark", metavar="PYTHON")
    given = arguments.parse_args()
    millstream = pathlib.Path(sys.executable).with_name("millstream")
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        (root / "in").mkdir()
        write_input(root / "in", int(given.millions * 1e6))
        (root / "program.py").write_text(PROGRAM)
        ours = measure([str(millstream), "run"], root)
        print(f"word count: {ours:.2f} M words/s")
        if given.spark:
            theirs = measure([given.spark], root)
            print(f"word count on Spark: {theirs:.2f} M words/s; ratio {ours / theirs:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
