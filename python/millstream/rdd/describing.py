"""How Spark would describe the lineage of an RDD: ``repr(rdd)`` and ``rdd.toDebugString()``.

Spark's JVM makes several RDDs for some of those here: a shuffle is four. All are shown with their numbers, and with the
line of the program where PySpark names one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NamedTuple

from millstream.jobs import lineage
from millstream.jobs.lineage import Node

_NATIVE = "NativeMethodAccessorImpl.java:0"
_PYTHON = "RDD at PythonRDD.scala:59"
_LINES_ARE_NAMED_IN = {"collect", "collectWithJobGroup", "toLocalIterator", "_shuffled"}
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def call_site() -> str | None:
    """Return which method the program has called where, if that method is one whose RDDs name it."""
    frame: FrameType | None = sys._getframe(1)
    called, named = "", False
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        called = frame.f_code.co_name
        named = named or called in _LINES_ARE_NAMED_IN
        frame = frame.f_back
    if frame is None or not named:
        return None
    return f"{called} at {frame.f_code.co_filename}:{frame.f_lineno}"


class Shown(NamedTuple):
    """One RDD of the JVM."""

    text: str
    partitions: int
    parents: list[Shown]
    shuffles: bool = False
    """Whether it stands behind a shuffle."""


def shown(node: Node) -> Shown:
    """Return the RDD of the JVM that stands for a node, with those that it comes from."""
    make = _KINDS.get(type(node).__name__, _plain)
    return make(node)


def _named(node: Node, what: str) -> str:
    return f"{node.given_name} {what}" if node.given_name else what


def _parents(node: Node) -> list[Shown]:
    return [shown(parent) for parent in node.parents]


def _plain(node: Node) -> Shown:
    place = _PLACES.get(node.name, f"{node.name} at {_NATIVE}")
    return Shown(_named(node, f"{node.name}[{node.id}] at {place}"), node.count(), _parents(node))


_PLACES = {
    "ParallelCollectionRDD": "readRDDFromFile at PythonRDD.scala:326",
    "EmptyRDD": f"emptyRDD at {_NATIVE}",
    "BlockRDD": f"socketTextStream at {_NATIVE}",
    "CheckpointRDD": f"checkpointFile at {_NATIVE}",
    "UnionRDD": f"union at {_NATIVE}",
    "PartitionerAwareUnionRDD": f"union at {_NATIVE}",
    "CoalescedRDD": f"coalesce at {_NATIVE}",
    "CartesianRDD": f"cartesian at {_NATIVE}",
    "ZippedPartitionsRDD2": f"zip at {_NATIVE}",
    "MapPartitionsRDD": f"javaToPython at {_NATIVE}",
}


def _source(node: Node) -> Shown:
    if node.name != "PythonRDD":
        return _plain(node)
    # A range: numbers made by a function of partitions without elements.
    count = node.count()
    return Shown(_named(node, f"PythonRDD[{node.id}] at {_PYTHON}"), count, [_collection(node.id - 1, count)])


def _collection(number: int, count: int) -> Shown:
    return Shown(f"ParallelCollectionRDD[{number}] at {_PLACES['ParallelCollectionRDD']}", count, [])


def _pipelined(node: Node) -> Shown:
    parents = _parents(node)
    before = node.parents[0] if node.parents else None
    if isinstance(before, lineage.Source) and before.name == "PythonRDD" and before.is_plain:
        parents = parents[0].parents
    if isinstance(before, lineage.Shuffled) and before.partitioner is None:
        return _repartitioned(node, before)
    site = node.site or _PYTHON
    return Shown(_named(node, f"PythonRDD[{node.id}] at {site}"), node.count(), parents)


def _repartitioned(node: Node, shuffle: Node) -> Shown:
    number, count, place = node.id, node.count(), f"coalesce at {_NATIVE}"
    dealt = shuffle.parents[0]
    parents = _parents(dealt)
    if isinstance(dealt.parents[0], lineage.Pipelined) and dealt.parents[0].is_plain:
        parents = parents[0].parents
    batches = Shown(f"PythonRDD[{number - 4}] at {_PYTHON}", dealt.count(), parents)
    spread = Shown(f"MapPartitionsRDD[{number - 3}] at {place}", dealt.count(), [batches], True)
    shuffled = Shown(f"ShuffledRDD[{number - 2}] at {place}", count, [spread])
    coalesced = Shown(f"CoalescedRDD[{number - 1}] at {place}", count, [shuffled])
    return Shown(_named(node, f"MapPartitionsRDD[{number}] at {place}"), count, [coalesced])


def _shuffled(node: Node) -> Shown:
    number, parent = node.id, node.parents[0]
    site = node.site or _PYTHON
    keyed = Shown(f"PythonRDD[{number - 3}] at {site}", parent.count(), [shown(parent)])
    if isinstance(parent, lineage.Source) and parent.name == "PythonRDD":
        keyed = keyed._replace(parents=shown(parent).parents)
    pairs = Shown(f"PairwiseRDD[{number - 2}] at {site}", parent.count(), [keyed], True)
    shuffled = Shown(f"ShuffledRDD[{number - 1}] at partitionBy at {_NATIVE}", node.count(), [pairs])
    text = f"MapPartitionsRDD[{number}] at mapPartitions at PythonRDD.scala:197"
    return Shown(_named(node, text), node.count(), [shuffled])


def _late(node: Node) -> Shown:
    paths, _, kind = node.name.rpartition(" ")
    call = _FILES.get(kind)
    if call is None:
        return _plain(node)
    count, place = node.count(), f"{call} at {_NATIVE}"
    if kind == "BinaryFileRDD":
        return Shown(_named(node, f"{paths} {kind}[{node.id}] at {place}"), count, [])
    below = f"{kind}[{node.id - 1}] at {place}"
    if kind == "WholeTextFileRDD":
        text = f"{paths} MapPartitionsRDD[{node.id}] at {place}"
    elif kind == "HadoopRDD":
        text, below = f"{paths} MapPartitionsRDD[{node.id}] at {place}", f"{paths} {below}"
    else:
        below = f"{paths} {below.replace('ObjectRDD', 'HadoopRDD')}"
        text = f"MapPartitionsRDD[{node.id}] at {place}"
    return Shown(_named(node, text), count, [Shown(below, count, [])])


_FILES = {
    "HadoopRDD": "textFile",
    "WholeTextFileRDD": "wholeTextFiles",
    "BinaryFileRDD": "binaryFiles",
    "NewHadoopRDD": "binaryRecords",
    "ObjectRDD": "objectFile",
}


def _cut(node: Node) -> Shown:
    text, count = _named(node, f"PythonRDD[{node.id}] at {node.site or _PYTHON}"), node.count()
    if node.checkpoint is None:
        return Shown(text, count, [])
    return Shown(text, count, [Shown(f"ReliableCheckpointRDD[{node.id}] at {_PYTHON}", count, [])])


_KINDS = {
    "Source": _source,
    "Pipelined": _pipelined,
    "Shuffled": _shuffled,
    "Late": _late,
    "_Cut": _cut,
}


def one_line(node: Node) -> str:
    """Return how an RDD itself is shown."""
    files = node.name.endswith((" WholeTextFileRDD", " BinaryFileRDD"))
    if files or isinstance(node, lineage.Zipped | lineage.Cartesian):
        return f"org.apache.spark.api.java.JavaPairRDD@{id(node) & 0xFFFFFFFF:x}"
    return shown(node).text


def debug_string(node: Node) -> str:
    """Return the lineage, a line for each RDD, indented at each shuffle."""
    level = "" if node.level is None else str(node.level)
    top = shown(node)
    count = f"({top.partitions})"
    return "\n".join([f"{count} {top.text} [{level}]", *_below(top, _bar("", count), level)])


def _bar(before: str, count: str) -> str:
    """Return what stands before lines below one that begins with a number of partitions."""
    left = (len(count) - 1) // 2
    return before + " " * left + "|" + " " * (len(count) - left)


def _below(of: Shown, prefix: str, level: str) -> Iterator[str]:
    for place, rdd in enumerate(of.parents):
        if not rdd.shuffles:
            yield f"{prefix}{rdd.text} [{level}]"
            yield from _below(rdd, prefix, level)
            continue
        count, last = f"({rdd.partitions})", place == len(of.parents) - 1
        stem = prefix.rstrip()
        stem = stem[:-1] if stem.endswith("|") else prefix
        yield f"{stem}+-{count} {rdd.text} [{level}]"
        yield from _below(rdd, _bar(stem + ("  " if last else "| "), count), level)
