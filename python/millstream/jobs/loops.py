"""The loops that a stage's element-wise operators run in: one for each run of operators and what ends it.

The text of a loop depends on the kinds of the operators and on those of their functions that can be written into it
(:mod:`~millstream.jobs.inline`); the other functions are called, which from Python code to a Python function is the
cheapest call that the interpreter has. Loops are compiled once for each text.

An end that reduces by key counts elements, and looks now and then whether there is too much in memory
(:mod:`~millstream.jobs.memory`). On the map side of a shuffle it gives what it has and begins anew, as keys are merged
again behind the shuffle; else it spills (:mod:`~millstream.jobs.spill`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from millstream.jobs import options
from millstream.jobs.inline import again, inlined
from millstream.jobs.memory import Budget
from millstream.jobs.spill import CombinedByKey, GroupedByKey, groups_taken

Operator = tuple[Any, ...]

ELEMENT_WISE = ("map", "filter", "flatMap", "mapValues", "flatMapValues", "item", "pair", "tag", "tagValue")
MOST_IN_A_LOOP = 12
"""Python refuses code that is nested too deeply."""

_GIVE_GROUPS = "n = look()\nif n < 0:\n    yield from groups_taken(d)\n    n = spilled()"
_GIVE = "n = look()\nif n < 0:\n    yield from d.items()\n    d.clear()\n    n = spilled()"
_SPILL = "n = look(d)"
_CHECKED = "n -= 1\nif n < 0:\n{look}"
_REDUCE = (
    "c = get(k, missing)\nif c is missing:\n    d[k] = {first}\n    n -= 1\n    if n < 0:\n{deep_look}\nelse:\n{merge}"
)
_DICTIONARY = "d, missing = {}, object()\nget = d.get"
_MAP_SIDE = "budget = Budget()\nlook, spilled, n = budget.look, budget.spilled, budget.begin()"


class _End:
    """How a loop begins, what it does with each element and what it gives back."""

    def __init__(self, begin: str, body: str, result: str, look: str = "", pairs: bool = True) -> None:
        self.begin, self.body, self.result, self.look, self.pairs = begin, body, result, look, pairs


def _reducing(begin: str, look: str, result: str) -> _End:
    body = _REDUCE.replace("{deep_look}", _indented(look, 2).rstrip("\n"))
    return _End(f"{_DICTIONARY}\n{begin}", body, result, look)


_COMBINED = "merger = CombinedByKey({merge_function})\nlook, n = merger.look, merger.begin()"
_GROUPED = "d, merger = {}, GroupedByKey()\nget, look, n = d.get, merger.look, merger.begin()"
_FINISHED = "return merger.finish(d)"

_BUCKETS = "c, full, add, put = 0, g0.full, [b.append for b in g0.keys], [b.append for b in g0.values]"
_PUT = "add[h](k)\nput[h](v)\nc += 1\nif c >= full: g0.flush(c); c, full = 0, g0.full"


def _indented(text: str, depth: int) -> str:
    return "".join("    " * depth + line + "\n" for line in text.split("\n") if line)


_ENDS = {
    "combine": _reducing(_MAP_SIDE, _GIVE, "yield from d.items()"),
    "reduceByKey": _reducing(_MAP_SIDE, _GIVE, "yield from d.items()"),
    "mergeCombiners": _reducing(_COMBINED, _SPILL, _FINISHED),
    "group": _End(
        f"d = {{}}\nget = d.get\n{_MAP_SIDE}",
        "c = get(k)\nif c is None: d[k] = [v]\nelse: c.append(v)\nn -= 1\nif n < 0:\n" + _indented(_GIVE_GROUPS, 1),
        "yield from groups_taken(d)",
    ),
    "mergeGroups": _End(
        _GROUPED,
        "c = get(k)\nif c is None: d[k] = v\nelse: c.extend(v)\nn -= len(v)\nif n < 0: n = look(d)",
        _FINISHED,
    ),
    "count": _End("n = 0", "n += 1", "return iter((n,))", pairs=False),
    "foreach": _End("", "{each}", "return iter(())", pairs=False),
    "iterate": _End("", "yield x", "", pairs=False),
    "hashPartition": _End(
        _BUCKETS,
        f"t = type(k)\nh = (hash(k) if t is str or t is int else portable_hash(k)) % g1\n{_PUT}",
        "return g0.flush(c)",
    ),
    "partition": _End(_BUCKETS, f"h = g2(k) % g1\n{_PUT}", "return g0.flush(c)"),
}
ENDS = tuple(_ENDS)
_MERGES = {"combine": 1, "reduceByKey": 0, "mergeCombiners": 0}
"""Which function of an end merges a value into what its key has."""


class _Text:
    """The text of a loop while it is written, and what its names stand for."""

    def __init__(self, known: bool) -> None:
        self._known = known
        self.names: list[str] = []
        self.values: list[Any] = []

    def name(self, name: str, value: Any) -> str:
        """Let a name stand for a value."""
        if name not in self.names:
            self.names.append(name)
            self.values.append(value)
        return name

    def assignment(self, target: str, name: str, function: Any, *arguments: str) -> str:
        """Return the statement that assigns what a function gives."""
        self.name(name, function)
        found = inlined(function, arguments, name) if self._known else None
        called = ", ".join(arguments)
        if found is None:
            return f"{target} = {name}({called})"
        for each, value in zip(found.names, found.values, strict=True):
            self.name(each, value)
        return f"try: {target} = {found.text}\nexcept Exception as e: again(e, {name}, {called})"


def _step(text: _Text, i: int, operator: Operator, target: str) -> tuple[str, int]:
    """Return the statements of an operator on ``x`` that leave their result in ``target``, and how deep they end."""
    kind, function = operator[0], operator[1] if len(operator) > 1 else None
    name = f"f{i}"
    if kind == "map":
        return text.assignment(target, name, function, "x"), 0
    if kind == "filter":
        return text.assignment("y", name, function, "x") + "\nif not y: continue", 0
    if kind == "flatMap":
        return text.assignment("y", name, function, "x") + f"\nfor {target} in y:", 1
    if kind == "mapValues":
        return "y = x[1]\n" + text.assignment("z", name, function, "y") + f"\n{target} = x[0], z", 0
    if kind == "flatMapValues":
        begin = f"key{i}, y = x[0], x[1]\n" + text.assignment("z", name, function, "y")
        return f"{begin}\nfor y in z:\n    {target} = key{i}, y", 1
    if kind == "item":
        return f"{target} = x[{text.name(name, function)}]", 0
    if kind == "pair":
        return text.assignment("y", name, function, "x") + f"\n{target} = y, x", 0
    if kind == "tagValue":
        return f"{target} = x[0], ({text.name(name, function)}, x[1])", 0
    return f"{target} = x, None", 0


def _write(run: list[Operator], end: str, functions: tuple[Any, ...], known: bool) -> tuple[str, _Text]:
    """Return the text of the loop for a run of operators and its end."""
    what, text = _ENDS[end], _Text(known)
    for i, function in enumerate(functions):
        text.name(f"g{i}", function)
    depth, target = 3, "x" if run or not what.pairs else "k, v"
    lines = _indented(what.begin.replace("{merge_function}", "g0"), 2) + f"        for {target} in source:\n"
    if what.look:
        lines += _indented(_CHECKED.format(look=_indented(what.look, 1)), depth)
    for i, operator in enumerate(run):
        # A pair that is made only to be taken apart is not made.
        last = i == len(run) - 1 and what.pairs and operator[0] != "filter"
        target = "k, v" if last else "x"
        statements, deeper = _step(text, i, operator, target)
        lines += _indented(statements, depth)
        depth += deeper
    if what.pairs and target == "x":
        lines += _indented("k, v = x", depth)
    lines += _indented(_body(what, end, functions, text), depth) + _indented(what.result, 2)
    head = f"def stage(source, names):\n    ({''.join(name + ', ' for name in text.names)}) = names\n    try:\n"
    return head + lines + "    except StopIteration as error:\n        raise stopped(error) from error\n", text


def _body(what: _End, end: str, functions: tuple[Any, ...], text: _Text) -> str:
    body = what.body
    if end in _MERGES:
        at = _MERGES[end]
        merge = text.assignment("d[k]", f"g{at}", functions[at], "c", "v")
        body = body.replace("{merge}", _indented(merge, 1).rstrip("\n"))
        # What a combine begins with may not be the value itself.
        return body.replace("{first}", "g0(v)" if end == "combine" else "v")
    return body.replace("{each}", "g0(x)")


def _stopped(error: StopIteration) -> Exception:
    from pyspark.errors import PySparkRuntimeError

    return PySparkRuntimeError(errorClass="STOP_ITERATION_OCCURRED", messageParameters={"exc": str(error)})


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> Callable[..., Any]:
    from millstream.rdd.partitioner import portable_hash

    names = {
        "stopped": _stopped,
        "portable_hash": portable_hash,
        "again": again,
        "Budget": Budget,
        "CombinedByKey": CombinedByKey,
        "GroupedByKey": GroupedByKey,
        "groups_taken": groups_taken,
    }
    exec(compile(text, "<stage>", "exec"), names)
    return names["stage"]  # type: ignore[return-value]


def run(operators: list[Operator], end: str, functions: tuple[Any, ...], source: Iterable[Any]) -> Any:
    """Apply a run of element-wise operators and its end."""
    while len(operators) > MOST_IN_A_LOOP:
        source = run(operators[:MOST_IN_A_LOOP], "iterate", (), source)
        operators = operators[MOST_IN_A_LOOP:]
    text, names = _write(operators, end, functions, options.current().recognize != "false")
    return _compiled(text)(source, tuple(names.values))
