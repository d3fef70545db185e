"""Approximate actions give the numbers that Spark gives; all were recorded from PySpark 4.2.1."""

import pytest

from millstream.context import SparkContext
from millstream.errors import Py4JJavaError


@pytest.fixture(scope="module")
def sc():
    with SparkContext("local[2]", "approximate") as context:
        yield context


ELEMENTS = {
    "numbers": lambda n: range(n),
    "texts": lambda n: [f"w{i}" for i in range(n)],
    "tuples": lambda n: [(i, None, f"x{i % 7}") for i in range(n)],
    "fractions": lambda n: [-(i * i) - 0.5 for i in range(n)],
}
"""By name: elements, by number."""

DEVIATIONS = (0.5, 0.3, 0.1, 0.05, 0.01)

DISTINCT = {
    ("numbers", 0): [0, 0, 0, 0, 0],
    ("numbers", 1): [1, 1, 1, 1, 1],
    ("numbers", 100): [73, 73, 94, 99, 100],
    ("numbers", 1000): [1213, 1213, 1194, 1006, 1001],
    ("numbers", 3000): [2433, 2433, 2954, 3071, 2989],
    ("numbers", 20000): [20832, 20832, 19865, 20935, 19853],
    ("texts", 1000): [748, 748, 999, 954, 1009],
    ("texts", 3000): [2795, 2795, 3287, 2896, 3022],
    ("texts", 20000): [38145, 38145, 19744, 20160, 19987],
    ("tuples", 1000): [809, 809, 909, 959, 999],
    ("tuples", 3000): [2735, 2735, 3401, 2935, 2991],
    ("fractions", 1000): [830, 830, 1014, 1070, 1002],
    ("fractions", 3000): [3908, 3908, 2886, 3002, 2994],
}
"""What is estimated with each of the deviations; by empty registers, corrected and not corrected."""


@pytest.mark.parametrize(("name", "number"), DISTINCT)
def test_numbers_of_distinct_elements_are_estimated_as_spark_does(sc, name, number):
    rdd = sc.parallelize(ELEMENTS[name](number), 3)
    assert [rdd.countApproxDistinct(deviation) for deviation in DEVIATIONS] == DISTINCT[name, number]


def test_any_deviation_but_the_least_is_taken(sc):
    rdd = sc.parallelize(range(5000), 2)
    assert [rdd.countApproxDistinct(deviation) for deviation in (0.05, 0.3, 0.9, 3.0)] == [5082, 4383, 4383, 4383]
    for deviation in (0.0, -1.0, 0.00001):
        with pytest.raises(ValueError, match="relativeSD should be greater"):
            rdd.countApproxDistinct(deviation)


@pytest.mark.parametrize(
    ("elements", "partitions", "expected"),
    [
        ([], 2, (0, 0.0, 0.0)),
        ([1.1, 2.2, 3.3], 2, (3, 6.6, 2.1999999999999997)),
        ([0.1] * 10, 3, (10, 1.0, 0.1)),
        ([0.1] * 17, 4, (17, 1.7000000000000002, 0.1)),
        (list(range(1000)), 7, (1000, 499500.0, 499.5)),
    ],
)
def test_sums_and_means_are_rounded_as_spark_does(sc, elements, partitions, expected):
    rdd = sc.parallelize(elements, partitions)
    total, mean = rdd.sumApprox(1000), rdd.meanApprox(1000)
    assert (rdd.countApprox(1000), total, mean) == expected
    assert (total.confidence, total.low, total.high) == (1.0, total, total)
    assert (mean.confidence, mean.low, mean.high) == (1.0, mean, mean)


def test_what_is_no_number_has_no_sum(sc):
    for action in (lambda r: r.sumApprox(1000), lambda r: r.meanApprox(1000)):
        with pytest.raises(Py4JJavaError, match="PYTHON_EXCEPTION"):
            action(sc.parallelize(["x"], 1))
    assert sc.emptyRDD().meanApprox(1000) == 0.0
