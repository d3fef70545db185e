"""Whoever runs the functions of a program, its results and errors are the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from operator import add, itemgetter
from typing import Any

import pytest
from pyspark import SparkConf

from millstream.context import SparkContext
from millstream.errors import Py4JJavaError

STOP = {"the", "a"}


def cleaned(word: str) -> str:
    for mark in ",.!":
        word = word.strip(mark)
    return word


def fields(line: str) -> tuple[str, int]:
    parts = line.split(",")
    return parts[0], int(parts[-1])


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "word count": lambda lines, _: (
        lines.flatMap(lambda line: line.split(" ")).map(lambda w: (w, 1)).reduceByKey(lambda a, b: a + b)
    ),
    "one function not known": lambda lines, _: (
        lines.flatMap(lambda line: line.split()).map(cleaned).map(lambda w: (w.lower(), 1)).reduceByKey(add)
    ),
    "filtered": lambda lines, _: (
        lines.flatMap(str.split)
        .filter(lambda w: w not in STOP and not w.startswith("x"))
        .map(lambda w: (len(w), f"<{w}>"))
        .reduceByKey(lambda a, b: a if a > b else b)
    ),
    "grouped": lambda lines, _: lines.map(lambda s: (s[:1], s.lower())).groupByKey().mapValues(list),
    "means": lambda lines, _: (
        lines.flatMap(lambda s: s.split())
        .map(lambda w: (w[:1], (len(w), 1)))
        .reduceByKey(lambda a, b: (a[0] + b[0], a[1] + b[1]))
        .mapValues(lambda t: t[0] / t[1])
    ),
    "joined": lambda lines, pairs: lines.map(lambda s: (len(s) % 5, s)).join(pairs).mapValues(itemgetter(0)).distinct(),
    "combined": lambda _, pairs: pairs.combineByKey(lambda v: [v], lambda c, v: [*c, v], lambda a, b: a + b),
    "sorted": lambda lines, _: lines.map(lambda s: (s.strip(), 1)).sortByKey(False).keys(),
    "no numbers": lambda lines, _: lines.map(lambda s: (s, int(s))).reduceByKey(lambda a, b: a * b),
    "no numbers in a function": lambda lines, _: lines.map(fields).reduceByKey(add),
    "values that do not add": lambda lines, _: lines.map(lambda s: (0, len(s) or s)).reduceByKey(lambda a, b: a + b),
    "no such item": lambda lines, _: lines.map(lambda s: (s.split(",")[1], 1)).reduceByKey(add),
    "merging divides by zero": lambda _, pairs: pairs.reduceByKey(lambda a, b: a // (b - 3)),
}


def outcome(program: Callable[[Any, Any], Any], lines: Any, pairs: Any) -> Any:
    try:
        return program(lines, pairs).collect()
    except Py4JJavaError as error:
        text = str(error)
        own = [line.strip() for line in text.splitlines() if "test_recognition.py" in line]
        raised = [line for line in text.splitlines() if "Error: " in line and "org.apache" not in line]
        assert "During handling" not in text
        return own[-1], raised


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each program gives, by setting."""
    rng = random.Random(8)
    path = tmp_path_factory.mktemp("lines") / "lines"
    words = ["the", "a", "x1", "Word,", "word.", "ä", "", "7", "12,3"]
    path.write_text("".join(" ".join(rng.choices(words, k=rng.randrange(6))) + "\n" for _ in range(400)))
    found = {}
    for setting in ("true", "inline", "false"):
        conf = SparkConf(loadDefaults=False).set("spark.millstream.python.recognizeFunctions", setting)
        with SparkContext("local[1]", "recognition", conf=conf) as sc:
            lines, pairs = sc.textFile(str(path), 3), sc.parallelize([(n % 5, n % 4) for n in range(40)], 3)
            found[setting] = {name: outcome(program, lines, pairs) for name, program in PROGRAMS.items()}
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gives_the_same_by_every_setting(outcomes: dict[str, dict[str, Any]], name: str) -> None:
    called = outcomes["false"][name]
    assert repr(outcomes["inline"][name]) == repr(called)
    assert repr(outcomes["true"][name]) == repr(called)
    fails = name.startswith(("no ", "values that", "merging"))
    assert isinstance(called, tuple) == fails, called
    assert not fails or (called[0] and called[1])
