"""What a stage does with the elements of a partition: a list of operators.

An operator is a tuple: its kind, then its functions. A run of element-wise operators and the operator that ends it (a
combine, a count, a partitioning) become one loop (:mod:`~millstream.jobs.loops`). A run over lines of text that ends in
``reduceByKey`` is done without Python where all its functions are known (:mod:`~millstream.jobs.pure`).

A ``StopIteration`` of a function of the program fails the task: it must not end a loop as if the input had ended.

Element-wise: ``map f``, ``filter f``, ``flatMap f``, ``mapValues f``, ``flatMapValues f``, ``item i``, ``pair f``
(``(f(x), x)``), ``tag`` (``(x, None)``), ``tagValue n`` (``(k, (n, v))``). Ending a run: ``combine create merge``,
``reduceByKey merge``, ``group``, ``mergeCombiners merge``, ``mergeGroups``, ``count``, ``foreach f``,
``partition function n``. Between runs: ``mapPartitions f``, ``withIndex f``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from millstream.jobs import loops, options
from millstream.jobs.inputs import Lines
from millstream.jobs.loops import ELEMENT_WISE, ENDS, MOST_IN_A_LOOP, Operator
from millstream.jobs.pure import combine_stage


def _run(run: list[Operator], end: str, functions: tuple[Any, ...], source: Iterable[Any]) -> Any:
    """Apply a run of element-wise operators and its end."""
    if end == "reduceByKey" and isinstance(source, Lines) and options.current().recognize == "true":
        stage = combine_stage(run, functions[0])
        pairs = None if stage is None else stage.run(source.data())
        if pairs is not None:
            return iter(pairs)
    return loops.run(run, end, functions, source)


def apply(operators: Iterable[Operator], split: int, source: Iterable[Any]) -> Iterator[Any]:
    """Return what operators make of the elements of partition number ``split``.

    A function of whole partitions is given an iterator, but what another one has returned as it is, as in PySpark: two
    passes over a list that came from ``mapPartitions``, or over the numbers of a range, see all of it twice.
    """
    run: list[Operator] = []
    as_it_is = isinstance(source, range)
    for operator in operators:
        kind = operator[0]
        if kind in ELEMENT_WISE:
            run.append(operator)
            continue
        if kind in ENDS:
            source = _run(run, kind, operator[1:], source)
            run = []
            continue
        if run:
            source = _run(run, "iterate", (), source)
            run = []
        given = source if as_it_is else iter(source)
        source = operator[1](given) if kind == "mapPartitions" else operator[1](split, given)
        as_it_is = True
    if run:
        source = _run(run, "iterate", (), source)
    return iter(source)


def partition(operators: list[Operator], split: int, source: Iterable[Any], writer: Any) -> Any:
    """Apply operators, the last of which says to which bucket of ``writer`` an element goes; return its result."""
    from millstream.rdd.partitioner import portable_hash

    *before, (_, function, count) = operators
    run: list[Operator] = []
    while before and before[-1][0] in ELEMENT_WISE and len(run) < MOST_IN_A_LOOP:
        run.insert(0, before.pop())
    source = apply(before, split, source)
    if function is portable_hash:
        return _run(run, "hashPartition", (writer, count), source)
    return _run(run, "partition", (writer, count, function), source)
