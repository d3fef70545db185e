"""Moves running queries between Millstream and a real Spark, and compares what becomes of them.

    check.py --millstream BIN/millstream --spark SPARK_VENV/bin/python [--cluster] [--queries NAMES]

The Spark is one JVM, or with --cluster a standalone cluster of two workers on this machine; ``millstream run --on``
starts the queries on it.

The queries of ``queries.py`` run over three rounds of input, each round on one of the engines, from the checkpoint that
the round before left: on each engine alone, and handed over after every round in both directions. In every round of
every order must be the same:

* the rows given out, batch by batch, or the condition of the error that refuses a changed program;
* the number of batches, the watermark, and the settings in the offset log;
* at the end the entries of every state store of every operator, by partition, as Spark's own reader shows them.

Each engine is one process for the whole check. Exits with 1 if anything differs.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from cluster import DRIVER_SETTINGS, Cluster
from rounds import ROUNDS, feed

HERE = Path(__file__).parent
ORDERS = {"SSS": "Spark alone", "MMM": "Millstream alone", "MSM": "M -> S -> M", "SMS": "S -> M -> S"}


class Engine:
    """A worker on one engine."""

    def __init__(self, command, environment, log):
        env = os.environ | {"LC_ALL": "C.UTF-8", "TZ": "UTC"} | environment
        self.log = open(log, "w+", encoding="utf-8")  # noqa: SIM115  Closed with the engine.
        self.process = subprocess.Popen(
            [*command, HERE / "worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            encoding="utf-8",
            env=env,
        )

    def ask(self, **command):
        """The lines of the answer."""
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        while (line := self.process.stdout.readline()) != "@@\n":
            if not line:
                self.log.seek(0)
                sys.exit(f"{self.process.args[0]} ended:\n{self.log.read()[-4000:]}")
            yield line.rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def outputs(engine, names, base, number):
    """What each query gave out in a round: its tables without the order of rows within a batch, or why it failed."""
    found, current = {}, []
    for line in engine.ask(run=names, base=str(base), round=number):
        if line.startswith("@@ "):
            current = found[line[3:]] = [[]]
        elif line.startswith("@! "):
            current.append([refusal(line)])
        elif line.startswith("Batch: "):
            current.append([])
        elif line.startswith("|"):
            current[-1].append(line)
    return {name: [sorted(batch) for batch in batches if batch] for name, batches in found.items()}


def refusal(line):
    """The condition in an error, or its sentence where Spark gives none."""
    cause = line.split("terminated with exception: ", 1)[-1]
    condition = re.match(r"\[([A-Z_.0-9]+)\]", cause)
    return "error: " + (condition.group(1) if condition else cause[:200])


def log_of(checkpoint):
    """Where the logs of a checkpoint stand: newest batch, watermarks, settings."""
    newest = {}
    for kind in ("offsets", "commits"):
        ids = [int(path.name) for path in Path(checkpoint, kind).glob("*") if path.name.isdigit()]
        if ids:
            lines = Path(checkpoint, kind, str(max(ids))).read_text(encoding="utf-8").split("\n")
            record = json.loads(lines[1])
            newest |= {kind: max(ids)} | record.pop("conf", {}) | record
    newest.pop("batchTimestampMs", None)
    return newest


def compare(title, expected, found):
    """Says what differs; whether nothing does."""
    if expected == found:
        return True
    print(f"  {title}: DIFFERENT")
    expected, found = [Counter(map(str, x.items() if isinstance(x, dict) else x)) for x in (expected, found)]
    for sign, lines in (("-", expected - found), ("+", found - expected)):
        for line in lines:
            print(f"      {sign} {line[:1500]}")
    return False


def play(order, directory, names, engines, number):
    """Runs one round of an order of engines."""
    base = directory / order
    feed(base, number)
    found = outputs(engines[order[number]], names, base, number)
    return {name: (found[name], log_of(base / f"checkpoint-{name}")) for name in names}


def check(names, engines, directory, orders):
    """Runs all rounds of all orders; the names of queries that differ from the first order."""
    results = {order: [play(order, directory, names, engines, n) for n in range(ROUNDS)] for order in orders}
    places = [(order, name) for order in orders for name in names]
    dumps = engines["S"].ask(state=[str(directory / order / f"checkpoint-{name}") for order, name in places])
    states = dict(zip(places, map(json.loads, dumps), strict=True))
    reference, different = orders[0], set()
    for name in names:
        print(name, flush=True)
        for order in orders[1:]:
            for number in range(ROUNDS):
                where = f"{ORDERS[order]}, round {number + 1} on {order[number]}"
                (rows, log), (wanted_rows, wanted_log) = results[order][number][name], results[reference][number][name]
                if not compare(f"{where}: rows", wanted_rows, rows) or not compare(f"{where}: logs", wanted_log, log):
                    different.add(name)
            wanted, found = states[reference, name], states[order, name]
            if not compare(f"{ORDERS[order]}: operators", list(wanted), list(found)):
                different.add(name)
            for store in wanted.keys() & found.keys():
                if not compare(f"{ORDERS[order]}: state of {store}", wanted[store], found[store]):
                    different.add(name)
    return different, sum(len(rows) for stores in states.values() for rows in stores.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millstream", required=True)
    parser.add_argument("--spark", required=True, help="a Python with pyspark 4.2, and Java 17 beside it")
    parser.add_argument("--cluster", action="store_true", help="a standalone cluster in place of one JVM")
    parser.add_argument("--queries", help="names, separated by commas; all without it")
    parser.add_argument("--orders", default=",".join(ORDERS), help="which of them; the first is what others must equal")
    parser.add_argument("--keep", help="a directory for the checkpoints, which stay there")
    options = parser.parse_args()
    listed = subprocess.run(
        [options.spark, "-c", "import queries; print(*queries.QUERIES)"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
    )
    names = options.queries.split(",") if options.queries else listed.stdout.split()
    orders = options.orders.split(",")
    with ExitStack() as stack:
        directory = Path(options.keep or stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        settings, master = {"spark.ui.enabled": "false", "spark.driver.memory": "1g"}, "local[2]"
        if options.cluster:
            master = stack.enter_context(Cluster(options.spark, directory)).url
            settings |= DRIVER_SETTINGS
        submit = " ".join(f"--conf {key}={value}" for key, value in settings.items()) + " pyspark-shell"
        run = [options.millstream, "run"]
        on_spark = [*run, "--on", master, "--python", options.spark]
        engines = {
            "M": stack.enter_context(Engine(run, {}, directory / "millstream.log")),
            "S": stack.enter_context(Engine(on_spark, {"PYSPARK_SUBMIT_ARGS": submit}, directory / "spark.log")),
        }
        different, entries = check(names, engines, directory, orders)
    print(f"{len(names)} queries, {len(orders)} orders of engines, {entries} entries of state compared")
    print(*(f"different: {name}" for name in sorted(different)), sep="\n")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
