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

from cluster import EXECUTOR_SETTINGS, Cluster
from rounds import ROUNDS, feed

HERE = Path(__file__).parent
# Queries this small are done before it pays to compile them well.
DRIVER_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
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
    cause = line.removeprefix("@! ").split("terminated with exception: ", 1)[-1]
    condition = re.match(r"\[([A-Z_.0-9]+)\]", cause)
    return "error: " + (condition.group(1) if condition else cause.split(" SQLSTATE")[0])


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


class Judge:
    """Compares orders of engines with the first of them, query by query."""

    def __init__(self, results, states, opaque):
        self.results, self.states, self.opaque = results, states, opaque
        self.reference = next(iter(results))

    def same(self, name, order):
        """Whether a query became the same in an order as in the first; says what did not."""
        rounds = [self.same_round(name, order, number) for number in range(ROUNDS)]
        return self.same_state(name, order) and all(rounds)

    def expected(self, names):
        """What became of queries in the first order: in each round rows and logs, at the end state."""
        rounds = self.results[self.reference]
        return {
            name: {"rounds": [r[name] for r in rounds], "state": self.states[self.reference, name]} for name in names
        }

    def outcome(self, name):
        """What became of a query in the first order."""
        rounds = [rows for rows, _ in (round[name] for round in self.results[self.reference])]
        refusals = {line for batches in rounds for batch in batches for line in batch if line.startswith("error: ")}
        entries = sum(map(len, self.states[self.reference, name].values()))
        return ", ".join(sorted(refusals)) or f"same rows, logs and state ({entries} entries)"

    def same_round(self, name, order, number):
        where = f"{ORDERS[order]}, round {number + 1} on {order[number]}"
        (wanted_rows, wanted_log), (rows, log) = (self.results[o][number][name] for o in (self.reference, order))
        if not compare(f"{where}: rows", wanted_rows, rows):
            return False
        # Spark writes down a batch before it finds that it must refuse the query.
        refused = any(line.startswith("error: ") for batch in rows for line in batch)
        return refused or compare(f"{where}: logs", wanted_log, log)

    def same_state(self, name, order):
        wanted, found = self.states[self.reference, name], self.states[order, name]
        same = compare(f"{ORDERS[order]}: operators", list(wanted), list(found))
        for store in wanted.keys() & found.keys():
            pair = [wanted[store], found[store]]
            if self.opaque[name]:
                pair = [[entry.split(" -> ")[0] for entry in entries] for entries in pair]
            same &= compare(f"{ORDERS[order]}: state of {store}", *pair)
        return same


def check(listed, names, engines, directory, orders, save):
    """Runs all rounds of all orders; the names of queries that differ, and how many entries of state there were."""
    results = {order: [play(order, directory, names, engines, n) for n in range(ROUNDS)] for order in orders}
    places = [(order, name) for order in orders for name in names]
    dumps = engines["S"].ask(state=[str(directory / order / f"checkpoint-{name}") for order, name in places])
    states = dict(zip(places, map(json.loads, dumps), strict=True))
    judge, different = Judge(results, states, listed), []
    if save:
        save.write_text(json.dumps(judge.expected(names), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in names:
        same = all([judge.same(name, order) for order in orders[1:]])
        print(f"{name}: {judge.outcome(name) if same else 'DIFFERENT'}", flush=True)
        different += [] if same else [name]
    return different, sum(len(rows) for stores in states.values() for rows in stores.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millstream", required=True)
    parser.add_argument("--spark", required=True, help="a Python with pyspark 4.2, and Java 17 beside it")
    parser.add_argument("--cluster", action="store_true", help="a standalone cluster in place of one JVM")
    parser.add_argument("--queries", help="names, separated by commas; all without it")
    parser.add_argument("--orders", default=",".join(ORDERS), help="which of them; the first is what others must equal")
    parser.add_argument("--save", type=Path, help="a file for what became of the queries in the first order")
    parser.add_argument("--keep", help="a directory for the checkpoints, which stay there")
    options = parser.parse_args()
    code = "import queries, json; print(json.dumps({name: q.opaque for name, q in queries.QUERIES.items()}))"
    command = [options.spark, "-c", code]
    listed = json.loads(subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout)
    names = options.queries.split(",") if options.queries else list(listed)
    orders = options.orders.split(",")
    with ExitStack() as stack:
        directory = Path(options.keep or stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        settings, master = dict(DRIVER_SETTINGS), "local[2]"
        if options.cluster:
            master = stack.enter_context(Cluster(options.spark, directory)).url
            settings |= EXECUTOR_SETTINGS
        submit = " ".join(f'--conf "{key}={value}"' for key, value in settings.items()) + " pyspark-shell"
        run = [options.millstream, "run"]
        on_spark = [*run, "--on", master, "--python", options.spark]
        engines = {
            "M": stack.enter_context(Engine(run, {}, directory / "millstream.log")),
            "S": stack.enter_context(Engine(on_spark, {"PYSPARK_SUBMIT_ARGS": submit}, directory / "spark.log")),
        }
        different, entries = check(listed, names, engines, directory, orders, options.save)
    print(f"{len(names)} queries, {len(orders)} orders of engines, {entries} entries of state compared")
    print(*(f"different: {name}" for name in different), sep="\n")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
