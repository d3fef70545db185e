"""What a stage does with the elements of a partition: a list of operators, and their fusion into few loops.

An operator is a tuple: its kind, then its functions. The functions of a run of element-wise operators, together with
the operator that ends the run (a combine, a count, a partitioning), are called from one loop that is generated for the
shape of the run: calls from Python code to Python functions are the cheapest that the interpreter has. A run over lines
of text that ends in ``reduceByKey`` is done without Python where all its functions are known (:mod:`~.pure`).

A ``StopIteration`` of a function of the program fails the task: it must not end a loop as if the input had ended.

Element-wise: ``map f``, ``filter f``, ``flatMap f``, ``mapValues f``, ``flatMapValues f``, ``item i``, ``pair f``
(``(f(x), x)``), ``tag`` (``(x, None)``). Ending a run: ``combine create merge``, ``reduceByKey merge``, ``group``,
``mergeCombiners merge``, ``mergeGroups``, ``count``, ``foreach f``, ``partition function n``. Between runs:
``mapPartitions f``, ``withIndex f``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from millstream.jobs.inputs import Lines
from millstream.jobs.pure import combine_stage

Operator = tuple[Any, ...]

_ELEMENT_WISE = {
    "map": ("x = {f}(x)", False),
    "filter": ("if not {f}(x): continue", False),
    "flatMap": ("for x in {f}(x):", True),
    "mapValues": ("x = (x[0], {f}(x[1]))", False),
    "flatMapValues": ("key_{f} = x[0]\nfor x in {f}(x[1]):\n    x = (key_{f}, x)", True),
    "item": ("x = x[{f}]", False),
    "pair": ("x = ({f}(x), x)", False),
    "tag": ("x = (x, None)", False),
}
"""Statements on the element ``x``, and whether they open a loop that the following ones stand in."""

_ENDS = {
    "combine": ("d = {}", "k, v = x\nd[k] = g1(d[k], v) if k in d else g0(v)", "return iter(d.items())"),
    "reduceByKey": ("d = {}", "k, v = x\nd[k] = g0(d[k], v) if k in d else v", "return iter(d.items())"),
    "mergeCombiners": ("d = {}", "k, v = x\nd[k] = g0(d[k], v) if k in d else v", "return iter(d.items())"),
    "group": ("d = {}", "k, v = x\nif k in d: d[k].append(v)\nelse: d[k] = [v]", "return iter(d.items())"),
    "mergeGroups": ("d = {}", "k, v = x\nif k in d: d[k].extend(v)\nelse: d[k] = v", "return iter(d.items())"),
    "count": ("n = 0", "n += 1", "return iter((n,))"),
    "foreach": ("", "g0(x)", "return iter(())"),
    "iterate": ("", "yield x", ""),
    "hashPartition": (
        "c, add = 0, [b.append for b in g0.buckets]",
        "k, v = x\n"
        "t = type(k)\n"
        "add[(hash(k) if t is str or t is int else portable_hash(k)) % g1]((k, v))\n"
        "c += 1\n"
        "if c >= g0.full: g0.flush(c); c = 0",
        "return g0.flush(c)",
    ),
    "partition": (
        "c, add = 0, [b.append for b in g0.buckets]",
        "k, v = x\nadd[g2(k) % g1]((k, v))\nc += 1\nif c >= g0.full: g0.flush(c); c = 0",
        "return g0.flush(c)",
    ),
}
"""How an end of a run begins, what it does with ``x``, and what it gives back."""


def _indented(text: str, depth: int) -> str:
    return "".join("    " * depth + line + "\n" for line in text.split("\n") if line)


def source_of(kinds: tuple[str, ...], end: str) -> str:
    """Return the source of the loop for a run of element-wise operators and its end."""
    begin, body, result = _ENDS[end]
    parameters = [f"f{i}" for i in range(len(kinds))] + ["g0", "g1", "g2"]
    text = f"def stage(source, {', '.join(parameters)}):\n    try:\n"
    text += _indented(begin, 2) + "        for x in source:\n"
    depth = 3
    for i, kind in enumerate(kinds):
        statement, opens = _ELEMENT_WISE[kind]
        text += _indented(statement.format(f=f"f{i}"), depth)
        depth += opens
    text += _indented(body, depth) + _indented(result, 2)
    return text + "    except StopIteration as error:\n        raise stopped(error) from error\n"


def _stopped(error: StopIteration) -> Exception:
    from pyspark.errors import PySparkRuntimeError

    return PySparkRuntimeError(errorClass="STOP_ITERATION_OCCURRED", messageParameters={"exc": str(error)})


@functools.lru_cache(maxsize=1024)
def _loop(kinds: tuple[str, ...], end: str) -> Callable[..., Any]:
    from millstream.rdd.partitioner import portable_hash

    names = {"stopped": _stopped, "portable_hash": portable_hash}
    exec(compile(source_of(kinds, end), "<stage>", "exec"), names)
    return names["stage"]  # type: ignore[return-value]


_MOST_IN_A_LOOP = 16
"""Python refuses code that is nested too deeply."""


def _run(run: list[Operator], end: str, functions: tuple[Any, ...], source: Iterable[Any]) -> Any:
    """Apply a run of element-wise operators and its end."""
    while len(run) > _MOST_IN_A_LOOP:
        source = _run(run[:_MOST_IN_A_LOOP], "iterate", (), source)
        run = run[_MOST_IN_A_LOOP:]
    if end == "reduceByKey" and isinstance(source, Lines):
        stage = combine_stage(run, functions[0])
        pairs = None if stage is None else stage.run(source.data())
        if pairs is not None:
            return iter(pairs)
    loop = _loop(tuple(operator[0] for operator in run), end)
    ends = (*functions, None, None, None)[:3]
    return loop(source, *(operator[1] if len(operator) > 1 else None for operator in run), *ends)


def apply(operators: Iterable[Operator], split: int, source: Iterable[Any]) -> Iterator[Any]:
    """Return what operators make of the elements of partition number ``split``."""
    run: list[Operator] = []
    for operator in operators:
        kind = operator[0]
        if kind in _ELEMENT_WISE:
            run.append(operator)
            continue
        if kind in _ENDS:
            source = _run(run, kind, operator[1:], source)
            run = []
            continue
        if run:
            source = _run(run, "iterate", (), source)
            run = []
        source = operator[1](iter(source)) if kind == "mapPartitions" else operator[1](split, iter(source))
    if run:
        source = _run(run, "iterate", (), source)
    return iter(source)


def partition(operators: list[Operator], split: int, source: Iterable[Any], writer: Any) -> Any:
    """Apply operators, the last of which says to which bucket of ``writer`` an element goes; return its result."""
    from millstream.rdd.partitioner import portable_hash

    *before, (_, function, count) = operators
    run: list[Operator] = []
    while before and before[-1][0] in _ELEMENT_WISE and len(run) < _MOST_IN_A_LOOP:
        run.insert(0, before.pop())
    source = apply(before, split, source)
    if function is portable_hash:
        return _run(run, "hashPartition", (writer, count), source)
    return _run(run, "partition", (writer, count, function), source)
