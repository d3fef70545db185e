"""Estimating numbers of distinct elements by HyperLogLog.

Precision and hash are those of Spark's ``countApproxDistinct``; small numbers, counted by empty registers, come out the
same. Between about two and five times the number of registers Spark corrects a bias by tables that are not here;
results may differ there by a fraction of the relative standard deviation that was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

_MULTIPLIER = 0xC6A4A7935BD1E995
_MASK = (1 << 64) - 1
_SEED = 0xE17A1465
# Up to these estimates, by precision from 4 on, empty registers are the better measure.
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
    precision = max(4, math.ceil(2 * math.log(1.054 / deviation) / math.log(2)))
    empty = bytearray(1 << precision)
    registers = empty
    for part in rdd._piped(("mapPartitions", _Registers(precision, function))).collect():
        registers = _larger(registers, part)
    m = len(registers)
    zeros = registers.count(0)
    if zeros:
        linear = m * math.log(m / zeros)
        if precision - 4 >= len(_LINEAR_UP_TO) or linear <= _LINEAR_UP_TO[precision - 4]:
            return round(linear)
    alpha = {16: 0.673, 32: 0.697, 64: 0.709}.get(m, 0.7213 / (1 + 1.079 / m))
    return round(alpha * m * m / sum(2.0**-register for register in registers))
