"""Moves running queries between Millstream and a real Spark and compares what they give out.

    check.py --millstream BIN/millstream --spark SPARK_VENV/bin/python

The queries of ``queries.py`` run over three rounds of input, each round on one of the engines, from the checkpoint that
the round before left. Every order of engines must give the same rows in every round. Exits with 1 if one does not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

QUERIES = Path(__file__).with_name("queries.py")
ORDERS = [
    ("spark", "spark", "spark"),
    ("millstream", "millstream", "millstream"),
    ("millstream", "spark", "millstream"),
    ("spark", "millstream", "spark"),
]


def at(second):
    return f"2024-01-01T00:{second // 60:02}:{second % 60:02}Z"


# Keys that repeat, are late, null, long or not ASCII; times that close windows and leave rows of joins without a
# partner.
LEFT = [
    [(0, "a", 1), (3, "b", 2), (4, "a", 3), (4, None, 4), (5, "日本 naïve", 5)],
    [(12, "b", 5), (30, "c", 6), (1, "a", 9), (13, "日本 naïve", 5), (29, "a", 1)],
    [(31, "a", 1), (95, "c", 7), (33, "a", 3), (34, None, 4)],
]
RIGHT = [
    [(0, "a", "1.50"), (13, "b", "2.25"), (5, None, "0.50")],
    [(4, "a", "3.50"), (31, "d", "-4.75"), (14, "日本 naïve", "123456789012345678.01")],
    [(33, "a", "5.00"), (99, "e", "6.00"), (32, "c", "1.00")],
]


def feed(base, number):
    for side, rounds, names in (("left", LEFT, ("lt", "lk", "lv")), ("right", RIGHT, ("rt", "rk", "rv"))):
        rows = [dict(zip(names, (at(second), key, value), strict=True)) for second, key, value in rounds[number]]
        path = base / side / f"{number}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        # Files are read in the order of their times, which two in one millisecond would not have.
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))


def rows(command, base):
    """The lines of all console tables; the order of rows within a batch means nothing."""
    done = subprocess.run([*command, QUERIES, base], capture_output=True, encoding="utf-8")
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr[-4000:]}")
    return sorted(line for line in done.stdout.splitlines() if line.startswith("|"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millstream", required=True)
    parser.add_argument("--spark", required=True, help="a Python with pyspark 4.2, and Java 17 beside it")
    options = parser.parse_args()
    engines = {"millstream": [options.millstream, "run"], "spark": [options.spark]}
    expected, equal = None, True
    for order in ORDERS:
        with tempfile.TemporaryDirectory() as directory:
            found = []
            for number, engine in enumerate(order):
                feed(Path(directory), number)
                found.append(rows(engines[engine], directory))
        expected = expected or found
        for number, engine in enumerate(order):
            same = found[number] == expected[number]
            equal &= same
            print(f"{' -> '.join(order)}: round {number} on {engine}: {'same' if same else 'DIFFERENT'}", flush=True)
            if not same:
                missing = [line for line in expected[number] if line not in found[number]]
                added = [line for line in found[number] if line not in expected[number]]
                print("  missing", *missing, "  added", *added, sep="\n    ")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
