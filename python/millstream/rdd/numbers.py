"""Actions on RDDs of numbers: statistics, histograms, approximate results.

Approximate actions wait for the whole result, as Spark's Python API does, so it is exact.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterable, Sequence
from math import isinf, isnan
from typing import Any

from millstream.rdd.cardinality import estimate
from millstream.rdd.partitioner import portable_hash


class BoundedFloat(float):
    """A result with the bounds that it lies between with some confidence."""

    __module__ = "pyspark.core.rdd"

    confidence: float
    low: float
    high: float

    def __new__(cls, mean: float, confidence: float, low: float, high: float) -> BoundedFloat:
        """Make one of its parts."""
        obj = float.__new__(cls, mean)
        obj.confidence = confidence
        obj.low = low
        obj.high = high
        return obj


class Numbers:
    """Methods of :class:`~millstream.rdd.RDD`."""

    _piped: Any
    reduce: Any
    count: Any
    filter: Any

    def stats(self) -> Any:
        """Return count, mean, variance, least and greatest as a ``StatCounter``."""
        return self._piped(("mapPartitions", _statistics)).reduce(_merged)

    def mean(self) -> float:
        """Return the mean."""
        return self.stats().mean()  # type: ignore[no-any-return]

    def variance(self) -> float:
        """Return the variance of the whole population."""
        return self.stats().variance()  # type: ignore[no-any-return]

    def stdev(self) -> float:
        """Return the standard deviation of the whole population."""
        return self.stats().stdev()  # type: ignore[no-any-return]

    def sampleVariance(self) -> float:
        """Return the variance estimated from a sample: divided by n - 1."""
        return self.stats().sampleVariance()  # type: ignore[no-any-return]

    def sampleStdev(self) -> float:
        """Return the standard deviation estimated from a sample: divided by n - 1."""
        return self.stats().sampleStdev()  # type: ignore[no-any-return]

    def histogram(self, buckets: int | list[Any] | tuple[Any, ...]) -> tuple[Sequence[Any], list[int]]:
        """Count elements in buckets: so many of equal width, or by sorted borders, the last one included."""
        if isinstance(buckets, int):
            if buckets < 1:
                raise ValueError("number of buckets must be >= 1")
            return self._even_histogram(buckets)
        if not isinstance(buckets, list | tuple):
            raise TypeError("buckets should be a list or tuple or number(int or long)")
        _check_borders(buckets)
        return buckets, self._counted(_Histogram(list(buckets), _width(buckets)))

    def _even_histogram(self, count: int) -> tuple[list[Any], list[int]]:
        numbers = self.filter(_comparable)
        try:
            least, greatest = numbers._piped(("map", _twice)).reduce(_extremes)
        except TypeError as error:
            if " empty " in str(error):
                raise ValueError("can not generate buckets from empty RDD") from None
            raise
        if least == greatest or count == 1:
            return [least, greatest], [numbers.count()]
        try:
            width = (greatest - least) / count
        except TypeError:
            raise TypeError("Can not generate buckets with non-number in RDD") from None
        if isinf(width):
            raise ValueError("Can not generate buckets with infinite value")
        # Whole numbers stay whole where that is exact.
        whole = int(width)
        width = whole if whole * count == greatest - least else (greatest - least) * 1.0 / count
        borders = [i * width + least for i in range(count)] + [greatest]
        return borders, self._counted(_Histogram(borders, width))

    def _counted(self, histogram: _Histogram) -> list[int]:
        return self._piped(("mapPartitions", histogram)).reduce(_added)  # type: ignore[no-any-return]

    # -------------------------------------------------------------------------------------------- approximate

    def countApprox(self, timeout: int, confidence: float = 0.95) -> int:
        """Return the number of elements."""
        return int(self._piped(("mapPartitions", _float_count)).sumApprox(timeout, confidence))

    def sumApprox(self, timeout: int, confidence: float = 0.95) -> BoundedFloat:
        """Return the sum."""
        sums = self._piped(("mapPartitions", _float_sum)).collect()
        mean = functools.reduce(_merged_means, ((1, each) for each in sums), _NO_MEAN)
        total = mean[0] * mean[1]
        return BoundedFloat(total, 1.0, total, total)

    def meanApprox(self, timeout: int, confidence: float = 0.95) -> BoundedFloat:
        """Return the mean; 0 if there are no elements."""
        _, mean = functools.reduce(_merged_means, self._piped(("mapPartitions", _float_mean)).collect(), _NO_MEAN)
        return BoundedFloat(mean, 1.0, mean, mean)

    def countApproxDistinct(self, relativeSD: float = 0.05) -> int:
        """Estimate the number of distinct elements with this relative standard deviation, in little memory."""
        if relativeSD < 0.000017:
            raise ValueError("relativeSD should be greater than 0.000017")
        return estimate(self, relativeSD, _unsigned_hash)


def _statistics(elements: Iterable[Any]) -> list[Any]:
    from pyspark.statcounter import StatCounter

    return [StatCounter(elements)]  # type: ignore[arg-type]


def _merged(one: Any, other: Any) -> Any:
    return one.mergeStats(other)


def _unsigned_hash(element: Any) -> int:
    return portable_hash(element) & 0xFFFFFFFF


def _float_sum(elements: Iterable[Any]) -> list[float]:
    return [float(sum(elements))]


def _float_count(elements: Iterable[Any]) -> list[float]:
    return [float(sum(1 for _ in elements))]


_NO_MEAN = 0, 0.0
"""Number of elements, and their mean."""


def _float_mean(elements: Iterable[Any]) -> list[tuple[int, float]]:
    """Return number and mean, kept up element by element, as Spark's counter rounds."""
    count, mean = _NO_MEAN
    for element in elements:
        count += 1
        mean += (float(element) - mean) / count
    return [(count, mean)]


def _merged_means(one: tuple[int, float], other: tuple[int, float]) -> tuple[int, float]:
    (n, mean), (m, more) = one, other
    if not n or not m:
        return one if n else other
    if m * 10 < n:
        return n + m, mean + (more - mean) * m / (n + m)
    if n * 10 < m:
        return n + m, more - (more - mean) * n / (n + m)
    return n + m, (mean * n + more * m) / (n + m)


def _not_a_number(x: Any) -> bool:
    return x is None or (isinstance(x, float) and isnan(x))


def _comparable(x: Any) -> bool:
    return not (x is None or (type(x) is float and isnan(x)))


def _twice(x: Any) -> tuple[Any, Any]:
    return x, x


def _extremes(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
    return min(a[0], b[0]), max(a[1], b[1])


def _added(a: list[int], b: list[int]) -> list[int]:
    return [i + j for i, j in zip(a, b, strict=True)]


def _check_borders(borders: Sequence[Any]) -> None:
    if len(borders) < 2:
        raise ValueError("buckets should have more than one value")
    if any(_not_a_number(border) for border in borders):
        raise ValueError("can not have None or NaN in buckets")
    if sorted(borders) != list(borders):
        raise ValueError("buckets should be sorted")
    if len(set(borders)) != len(borders):
        raise ValueError("buckets should not contain duplicated values")


def _width(borders: Sequence[Any]) -> float | None:
    """Return the width of buckets that are equally wide, else None."""
    try:
        widths = [after - before for before, after in itertools.pairwise(borders)]
        if max(widths) - min(widths) < 1e-10:
            return (borders[-1] - borders[0]) / (len(borders) - 1)  # type: ignore[no-any-return]
    except TypeError:
        pass  # Borders that cannot be subtracted, such as texts.
    return None


class _Histogram:
    """Counts the elements of a partition by bucket."""

    def __init__(self, borders: list[Any], width: float | None) -> None:
        self._borders, self._width = borders, width

    def __call__(self, elements: Iterable[Any]) -> list[list[int]]:
        borders, width = self._borders, self._width
        least, greatest = borders[0], borders[-1]
        counts = [0] * len(borders)
        for x in elements:
            if _not_a_number(x) or x > greatest or x < least:
                continue
            counts[int((x - least) / width) if width is not None else bisect.bisect_right(borders, x) - 1] += 1
        last = counts.pop()
        counts[-1] += last
        return [counts]
