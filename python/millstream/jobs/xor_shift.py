"""The first number of Spark's ``XORShiftRandom`` for a seed: batches of a repartition are dealt from there on."""

from __future__ import annotations

_SEED_OF_ARRAYS = 0x3C074A61
_LONG = (1 << 64) - 1
_INT = (1 << 32) - 1


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _INT


def _murmur3(data: bytes, seed: int) -> int:
    """Return the 32 bit Murmur3 hash of whole words."""
    h = seed
    for start in range(0, len(data), 4):
        k = int.from_bytes(data[start : start + 4], "little") * 0xCC9E2D51 & _INT
        h ^= _rotated(k, 15) * 0x1B873593 & _INT
        h = (_rotated(h, 13) * 5 + 0xE6546B64) & _INT
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & _INT
    h = (h ^ h >> 13) * 0xC2B2AE35 & _INT
    return h ^ h >> 16


def _hashed(seed: int) -> int:
    data = (seed & _LONG).to_bytes(8, "big")
    low = _murmur3(data, _SEED_OF_ARRAYS)
    return _murmur3(data, low) << 32 | low


def _next(state: int) -> int:
    state ^= state << 21 & _LONG
    state ^= state >> 35
    return state ^ state << 4 & _LONG


def first_int(seed: int, bound: int) -> int:
    """Return ``new XORShiftRandom(seed).nextInt(bound)``."""
    state = _next(_hashed(seed))
    value = state & 0x7FFFFFFF
    if bound & (bound - 1) == 0:
        return bound * value >> 31
    # Numbers of an incomplete last round would not be even.
    while value - value % bound + bound > 1 << 31:
        state = _next(state)
        value = state & 0x7FFFFFFF
    return value % bound
