"""The first number that ``java.util.Random`` gives for a seed: Spark deals batches of a repartition from there on."""

from __future__ import annotations

_MULTIPLIER = 0x5DEECE66D
_MASK = (1 << 48) - 1


def _next(state: int, bits: int) -> tuple[int, int]:
    state = (state * _MULTIPLIER + 0xB) & _MASK
    value = state >> (48 - bits)
    return state, value - (1 << bits) if value >> (bits - 1) and bits == 32 else value


def next_int(seed: int, bound: int) -> int:
    """Return ``new Random(seed).nextInt(bound)``."""
    state = (seed ^ _MULTIPLIER) & _MASK
    state, value = _next(state, 31)
    if bound & (bound - 1) == 0:
        return (bound * value) >> 31
    while value - value % bound + (bound - 1) >= 1 << 31:
        state, value = _next(state, 31)
    return value % bound


def byteswap32(value: int) -> int:
    """Return Scala's ``scala.util.hashing.byteswap32``."""
    value = value * 0x9E3775CD & 0xFFFFFFFF
    value = int.from_bytes(value.to_bytes(4, "little"), "big")
    value = value * 0x9E3775CD & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def scattered_start(partition: int, partitions: int) -> int:
    """Return the number before that of the partition which gets the first batch of a map partition."""
    return next_int(byteswap32(partition), partitions)
