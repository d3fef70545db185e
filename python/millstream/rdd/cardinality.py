"""Estimating numbers of distinct elements by HyperLogLog++, to the number that Spark's ``countApproxDistinct`` gives.

The bias of raw estimates by precision, in ``hyperloglog_bias.txt``, is that of the appendix to "HyperLogLog in
Practice" by Heule, Nunkesser and Hall (Google 2013), which Spark's estimator uses as well: for each precision raw
estimates in order, and what they are too large by.
"""

from __future__ import annotations

import functools
import heapq
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

_MULTIPLIER = 0xC6A4A7935BD1E995
_MASK = (1 << 64) - 1
_SEED = 0xE17A1465
_LEAST_PRECISION, _MOST_CORRECTED = 4, 18
_NEIGHBOURS = 6
# Below these estimates, by precision from 4 on, empty registers are the better measure.
_LINEAR_UP_TO = [10, 20, 40, 80, 220, 400, 900, 1800, 3100, 6500, 11500, 20000, 50000, 120000, 350000]


def _hash64(data: bytes) -> int:
    """Return the 64 bit Murmur hash of bytes."""
    h = (_SEED ^ (len(data) * _MULTIPLIER)) & _MASK
    whole = len(data) // 8 * 8
    for start in range(0, whole, 8):
        k = int.from_bytes(data[start : start + 8], "little") * _MULTIPLIER & _MASK
        k = (k ^ (k >> 47)) * _MULTIPLIER & _MASK
        h = (h ^ k) * _MULTIPLIER & _MASK
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    h = (h ^ (h >> 47)) * _MULTIPLIER & _MASK
    return h ^ (h >> 47)


class _Registers:
    """Fills the registers of a partition."""

    def __init__(self, precision: int, function: Callable[[Any], int]) -> None:
        self._precision, self._function = precision, function

    def __call__(self, elements: Iterable[Any]) -> list[bytearray]:
        precision, function = self._precision, self._function
        registers = bytearray(1 << precision)
        for element in elements:
            x = _hash64(str(function(element)).encode())
            place = x >> (64 - precision)
            rest = (x << precision | 1 << (precision - 1)) & _MASK
            rank = 65 - rest.bit_length()
            if rank > registers[place]:
                registers[place] = rank
        return [registers]


def _larger(one: bytearray, other: bytearray) -> bytearray:
    return bytearray(map(max, one, other))


def estimate(rdd: Any, deviation: float, function: Callable[[Any], int]) -> int:
    """Estimate how many different values a function gives for the elements of an RDD."""
    precision = max(_LEAST_PRECISION, math.ceil(2 * math.log(1.054 / deviation) / math.log(2)))
    empty = bytearray(1 << precision)
    registers = empty
    for part in rdd._piped(("mapPartitions", _Registers(precision, function))).collect():
        registers = _larger(registers, part)
    return _distinct(registers, precision)


def _distinct(registers: bytearray, precision: int) -> int:
    m, zeros = len(registers), registers.count(0)
    alpha = {16: 0.673, 32: 0.697, 64: 0.709}.get(m, 0.7213 / (1 + 1.079 / m))
    raw = alpha * m * m * (1 / sum(2.0**-register for register in registers))
    corrected = raw - _bias(raw, precision) if raw <= 5 * m else raw
    linear = m * math.log(m / zeros) if zeros else corrected
    if precision > _MOST_CORRECTED:
        by_empty = raw <= 5 * m
        return math.floor((linear if by_empty else raw) + 0.5)
    by_empty = linear < _LINEAR_UP_TO[precision - _LEAST_PRECISION]
    return math.floor((linear if by_empty else corrected) + 0.5)


def _bias(raw: float, precision: int) -> float:
    """Return the mean bias of the nearest raw estimates that it is known of."""
    if precision > _MOST_CORRECTED:
        return 0.0
    estimates, biases = _tables()["raw", precision], _tables()["bias", precision]
    # Of estimates that are equally near, the last one counts.
    by_distance = {(raw - estimate) ** 2: place for place, estimate in enumerate(estimates)}
    nearest = [by_distance[distance] for distance in heapq.nsmallest(_NEIGHBOURS, by_distance)]
    total = 0.0
    for place in nearest:
        total += biases[place]
    return total / len(nearest)


@functools.cache
def _tables() -> dict[tuple[str, int], list[float]]:
    found = {}
    for line in pathlib.Path(__file__).with_name("hyperloglog_bias.txt").read_text().splitlines():
        kind, precision, *numbers = line.split()
        found[kind, int(precision)] = [float(number) for number in numbers]
    return found
