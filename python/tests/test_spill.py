"""Partitions that do not fit into a worker's memory: the results are those of partitions that do."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections import Counter, defaultdict
from typing import Any

import pytest
from pyspark import SparkConf

from millstream.context import SparkContext
from millstream.errors import Py4JJavaError
from millstream.jobs import memory, operators, options, spill


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make every look at the memory find that it is too much; the runs that were written."""
    used = [1 << 30]

    def growing() -> int:
        used[0] = used[0] * 11 // 10
        return used[0]

    runs: list[Any] = []

    class Noticed(spill.Run):
        def __init__(self, items: Any) -> None:
            runs.append(self)
            super().__init__(items)

    monkeypatch.setattr(memory, "used_bytes", growing)
    monkeypatch.setattr(spill, "Run", Noticed)
    return runs


class Key:
    """A key that has the hash of others and cannot be ordered."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        return len(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.name == other.name

    def __repr__(self) -> str:
        return f"Key({self.name})"


def keys(rng: random.Random) -> list[Any]:
    named = [Key(rng.choice("ab") * rng.randrange(1, 3)) for _ in range(4)]
    return [*named, None, -1, -2, 1.0, 1, True, "1", (1, "a"), (), *range(3, 200)]


def test_values_are_combined_alike(scarce: list[Any]) -> None:
    rng = random.Random(1)
    pairs = [(rng.choice(keys(rng)), rng.randrange(10)) for _ in range(20_000)]
    expected: Counter[Any] = Counter()
    for key, value in pairs:
        expected[key] += value
    found = list(operators.apply([("mergeCombiners", lambda a, b: a + b)], 0, pairs))
    assert len(found) == len(expected) and dict(found) == expected
    assert len(scarce) > 3


@pytest.mark.parametrize("most", [6, 64])
def test_values_are_grouped_alike_and_in_order(scarce: list[Any], monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(spill, "MOST_RUNS", most)
    rng = random.Random(2)
    pairs = [(rng.choice(keys(rng)), [number, -number]) for number in range(20_000)]
    expected: dict[Any, list[int]] = defaultdict(list)
    for key, values in pairs:
        expected[key] += values
    found = list(operators.apply([("mergeGroups",)], 0, [(key, list(values)) for key, values in pairs]))
    assert len(found) == len(expected)
    assert {key: list(values) for key, values in found} == expected
    assert len(scarce) > 3


def test_a_group_that_is_too_large_is_read_as_often_as_wanted(scarce: list[Any]) -> None:
    pairs = [("k", [number]) for number in range(30_000)] + [("other", ["x"])]
    found = dict(operators.apply([("mergeGroups",)], 0, pairs))
    group = found["k"]
    assert isinstance(group, spill.Values) and len(group) == 30_000
    assert list(group) == list(range(30_000)) and sum(group) == sum(range(30_000))
    assert [pair for pair in zip(group, group, strict=True)][:2] == [(0, 0), (1, 1)]
    assert operators.apply([], 0, [group]).__next__() is group
    from pyspark import cloudpickle

    assert cloudpickle.loads(cloudpickle.dumps(group)) == list(range(30_000))
    assert found["other"] == ["x"]


@pytest.mark.parametrize("reverse", [False, True])
def test_sorting_spills_and_keeps_equal_elements_in_order(
    scarce: list[Any], monkeypatch: pytest.MonkeyPatch, reverse: bool
) -> None:
    monkeypatch.setattr(spill, "MOST_RUNS", 5)
    rng = random.Random(3)
    elements = [(rng.randrange(50), number) for number in range(20_000)]
    found = list(spill.in_order(iter(elements), lambda x: x[0], reverse))
    assert found == sorted(elements, key=lambda x: x[0], reverse=reverse)
    assert len(scarce) > 5


@pytest.mark.parametrize("end", [("reduceByKey", lambda a, b: a + b), ("combine", lambda v: v, lambda a, b: a + b)])
def test_before_a_shuffle_what_is_too_much_goes_on(scarce: list[Any], end: Any) -> None:
    pairs = [(number % 1000, 1) for number in range(20_000)]
    found = list(operators.apply([end], 0, pairs))
    assert len(found) > 1000, "all was held until the end"
    total: Counter[int] = Counter()
    for key, value in found:
        total[key] += value
    assert total == Counter(key for key, _ in pairs) and not scarce


def test_one_element_that_becomes_many_is_bounded_too(scarce: list[Any]) -> None:
    steps = [("flatMap", lambda n: ((i, 1) for i in range(n))), ("reduceByKey", lambda a, b: a + b)]
    found = operators.apply(steps, 0, [50_000])
    taken = next(iter(found))
    assert taken == (0, 1), "nothing comes before the end"
    assert len(list(found)) == 49_999


def test_nothing_spills_where_it_must_not(scarce: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "current", lambda: options.Options(spill=False))
    pairs = [(number % 1000, number) for number in range(20_000)]
    found = list(operators.apply([("mergeCombiners", lambda a, b: a + b)], 0, pairs))
    assert [key for key, _ in found] == list(range(1000)) and not scarce


PEAK = "VmHWM"


def peak_mebibytes(_: Any) -> list[float]:
    with open("/proc/self/status") as file:
        return [int(line.split()[1]) / 1024 for line in file if line.startswith(PEAK)]


@contextlib.contextmanager
def context(**settings: str) -> Any:
    conf = SparkConf(loadDefaults=False)
    for key, value in settings.items():
        conf.set(key.replace("_", "."), value)
    with SparkContext("local[1]", "spill", conf=conf) as sc:
        yield sc


def big(number: int) -> str:
    return str(number) * (2000 // len(str(number)))


def test_memory_stays_bounded_whatever_is_grouped_sorted_or_joined() -> None:
    count = 60_000
    # 120 MB of texts; without a limit a worker takes 190 MB.
    with context(spark_python_worker_memory="75m") as sc:
        numbers = sc.parallelize(range(count), 4)
        pairs = numbers.map(lambda n: (n % 3, big(n)))
        grouped = pairs.groupByKey(1).mapValues(lambda texts: (len(texts), sum(int(text[:1]) for text in texts)))
        expected: dict[int, list[int]] = {}
        for n in range(count):
            found = expected.setdefault(n % 3, [0, 0])
            found[0] += 1
            found[1] += int(big(n)[0])
        assert dict(grouped.collect()) == {key: tuple(value) for key, value in expected.items()}
        ordered = numbers.map(lambda n: (-n, big(n))).sortByKey(numPartitions=1).keys().zipWithIndex()
        assert ordered.map(lambda x: x[0] - x[1]).distinct().collect() == [1 - count]
        joined = numbers.map(lambda n: (n % 5, big(n))).cogroup(sc.parallelize([(1, "x"), (9, "y")], 1), 1)
        sizes = dict(joined.mapValues(lambda groups: [len(group) for group in groups]).collect())
        assert sizes == {**{key: [count // 5, int(key == 1)] for key in range(5)}, 9: [0, 1]}
        reduced = numbers.map(lambda n: (n, big(n))).reduceByKey(lambda a, b: a + b, 1)
        assert reduced.mapValues(len).values().distinct().count() <= 5
        (peak,) = sc.parallelize([0], 1).mapPartitions(peak_mebibytes).collect()
        assert peak < 110, peak
        assert not [name for name in os.listdir(sc._engine.directory) if name.startswith("tmp")]


def test_settings_of_memory_are_checked_and_reach_the_workers() -> None:
    with pytest.raises(ValueError, match="invalid format: much"), context(spark_python_worker_memory="much"):
        pass
    with (
        pytest.raises(Py4JJavaError, match="recognizeFunctions is invalid"),
        context(spark_millstream_python_recognizeFunctions="maybe"),
    ):
        pass
    with context(spark_python_worker_memory="1g", spark_shuffle_spill="false") as sc:
        told = sc.parallelize([0], 1).map(lambda _: os.environ[options.VARIABLE]).first()
        assert options.Options(**json.loads(told)) == options.Options("true", False, 1 << 30, 0)


def test_what_a_worker_held_before_spills_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "used_bytes", lambda: 10 << 30)
    pairs = [(number % 1000, number) for number in range(20_000)]
    found = list(operators.apply([("mergeCombiners", lambda a, b: a + b)], 0, pairs))
    assert [key for key, _ in found] == list(range(1000))
