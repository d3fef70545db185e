"""Pairs and received text on their way between processes."""

from __future__ import annotations

import math
import os
import random
from typing import Any, NamedTuple

import pytest

from millstream.jobs import blocks, task
from millstream.jobs.blocks import FileBlock, Store
from millstream.jobs.lineage import grouped_blocks


class Text(str):
    """A text that is more than one."""


class Number(int):
    """A number that is more than one."""


class Point(NamedTuple):
    x: int
    y: int


PLAIN = ["", "a", "ä\U0001f600", "\ud800", 0, -1, 1 << 100, True, None, 1.5, -0.0, float("inf"), b"", b"\x00\xff"]
OTHER = [Text("t"), Number(3), Point(1, 2), (1, ("a",)), frozenset([1]), [1, [2]], {"k": [1]}, range(3), 2j]


def test_pairs_come_back_as_what_they_were() -> None:
    rng = random.Random(4)
    for _ in range(300):
        among = rng.choice([PLAIN, PLAIN + OTHER])
        keys, values = ([rng.choice(among) for _ in range(rng.randrange(1, 9))] for _ in range(2))
        values = (values * len(keys))[: len(keys)]
        found = list(blocks.pairs([blocks.dump_pairs(keys, values)]))
        assert repr(found) == repr(list(zip(keys, values, strict=True)))
        assert [(type(k), type(v)) for k, v in found] == [(type(k), type(v)) for k, v in zip(keys, values, strict=True)]


def test_a_value_that_pairs_share_is_shared_behind_the_shuffle() -> None:
    shared: list[int] = []
    (_, one), (_, other) = blocks.pairs([blocks.dump_pairs(["a", "b"], [shared, shared])])
    assert one is other
    (_, nan) = next(blocks.pairs([blocks.dump_pairs(["a"], [math.nan])]))
    assert math.isnan(nan)


def test_what_cannot_be_written_names_itself() -> None:
    with pytest.raises(Exception, match="generator"):
        blocks.dump_pairs(["a"], [(i for i in range(3))])


def test_buckets_are_written_in_pieces_whatever_the_size_of_their_elements(tmp_path: Any) -> None:
    buckets = task.Buckets(2, Store(str(tmp_path)))
    most, collected = 0, 0
    for number in range(300):
        buckets.keys[number % 2].append(number)
        buckets.values[number % 2].append("x" * 200_000)
        collected += 1
        if collected >= buckets.full:
            buckets.flush(collected)
            most, collected = max(most, collected), 0
    written = buckets.flush(collected)
    assert most <= 32, "6 MB and more were held"
    assert [[key for key, _ in blocks.pairs(bucket)] for bucket in written] == [
        list(range(0, 300, 2)),
        list(range(1, 300, 2)),
    ]


def test_only_large_neighbours_share_a_partition() -> None:
    def received(*megabytes: float) -> list[Any]:
        return [FileBlock(str(at), 0, int(size * (1 << 20))) for at, size in enumerate(megabytes)]

    def sizes(parts: list[Any], cores: int) -> list[int]:
        groups = grouped_blocks(parts, cores)
        assert [part for group in groups for part in group] == parts
        return [len(group) for group in groups]

    assert sizes(received(4, 4, 4, 4, 1), 2) == [1] * 5, "each core has work"
    assert sizes(received(*[4] * 12), 2) == [2] * 6
    assert sizes(received(*[4] * 100), 2) == [4] * 25
    assert sizes(received(*[4, 4, 1, 4, 4, 4, 0.1] * 3), 2) == [2, 1, 3, 1] * 3
    assert sizes(received(*[0.1] * 50), 2) == [1] * 50
    assert sizes([], 2) == [] and sizes([b"a\n"], 2) == [1]


def test_only_what_a_task_has_written_goes_with_it(tmp_path: Any) -> None:
    store = Store(str(tmp_path))
    large = b"x" * (blocks.INLINE_BYTES + 1)
    kept = [store.put(large)]
    store.begin(1)
    kept.append(store.put(large))
    store.begin(2)
    gone = store.put(large)
    store.abandon()
    assert [blocks.read(block) for block in kept] == [large, large]
    with pytest.raises(FileNotFoundError):
        blocks.read(gone)
    blocks.remove_files_of(str(tmp_path), os.getpid(), 1)
    assert blocks.read(kept[0]) == large and len(os.listdir(tmp_path)) == 1
