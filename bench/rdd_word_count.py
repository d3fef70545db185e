"""Words per second of the word count over RDDs, by an unchanged PySpark program, and how long small jobs take.

    python bench/rdd_word_count.py [--spark PYTHON] [MILLIONS]

20 million words by default, Zipf over 50,000 words, in text files: flatMap, map, reduceByKey with two workers. Three
times: with functions that are recognised and run natively, with functions that are not (Python runs them), and, with
--spark, by the real Spark of that Python. Then the time of a job over a few elements.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

from word_count import write_input

PROGRAM = """
import sys, time
from pyspark import SparkContext
sc = SparkContext("local[2]", "bench")
sc.parallelize(range(4), 2).map(lambda x: x).collect()
def told(what, run):
    best = min(run() for _ in range(3))
    print(what, best, flush=True)
def count(split, pair, merge):
    begin = time.perf_counter()
    lines = sc.textFile(sys.argv[1], 2)
    counts = lines.flatMap(split).map(pair).reduceByKey(merge, 2).collect()
    assert sum(n for _, n in counts) == int(sys.argv[2]), counts[:5]
    return time.perf_counter() - begin
def unknown(line):
    for word in [line]:
        return word.split(" ")
told("words", lambda: count(lambda line: line.split(" "), lambda w: (w, 1), lambda a, b: a + b))
told("words by Python", lambda: count(unknown, lambda w: (w, 1), lambda a, b: a + b))
def small():
    begin = time.perf_counter()
    for _ in range(20):
        sc.parallelize([1, 2, 3, 4], 2).map(lambda x: x + 1).collect()
    return (time.perf_counter() - begin) / 20
told("job", small)
def shuffle():
    begin = time.perf_counter()
    for _ in range(20):
        sc.parallelize([1, 2, 3, 4], 2).map(lambda x: (x % 2, x)).reduceByKey(lambda a, b: a + b).collect()
    return (time.perf_counter() - begin) / 20
told("shuffle", shuffle)
sc.stop()
"""


def measure(command: list[str], directory: pathlib.Path, words: int) -> dict[str, float]:
    program = directory / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [*command, program, directory / "input", str(words)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return {what: float(seconds) for what, seconds in (line.rsplit(" ", 1) for line in done.stdout.splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spark", help="a Python with a full pyspark, to compare with")
    parser.add_argument("millions", nargs="?", type=int, default=20)
    options = parser.parse_args()
    words = options.millions * 1_000_000
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        (directory / "input").mkdir()
        write_input(directory / "input", words)
        names = {"millstream": [sys.executable, "-m", "millstream.cli", "run"]}
        if options.spark:
            names["spark"] = [options.spark]
        for engine, command in names.items():
            taken = measure(command, directory, words)
            print(f"{engine}: {words / taken['words'] / 1e6:.1f} M words/s", end="; ")
            print(f"functions run by Python: {words / taken['words by Python'] / 1e6:.1f} M words/s", end="; ")
            print(f"a small job: {taken['job'] * 1e3:.2f} ms; with a shuffle: {taken['shuffle'] * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
