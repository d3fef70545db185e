"""Functions that are written into a loop do there what they do when they are called."""

from __future__ import annotations

import operator
import random
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from millstream.jobs import loops
from millstream.jobs.inline import inlined

LIMIT = 3
TABLE = {"a": 1, "b": 2}


def closing_over(suffix: Any) -> Callable[[Any], Any]:
    return lambda x: (x + suffix, suffix)


def named(x: Any) -> Any:
    return x[0]


WRITTEN: list[Callable[..., Any]] = [
    lambda line: line.split(),
    lambda line: line.split(","),
    lambda line: len(line),
    lambda line: line.lower(),
    lambda w: w.strip(),
    lambda x: f"{x}",
    lambda x: f"{x!r:>{LIMIT}}|{{'quoted'}}\\ {x:>5}",
    lambda x: x[0],
    lambda x: x[1:],
    lambda x: x[-1],
    lambda x: x["a"],
    lambda x: int(x),
    lambda x: (x, 1),
    lambda x: [x, "it's", b"\x00", 1.5, float("nan")],
    lambda x: "a" in x,
    lambda x: x not in TABLE,
    lambda x: TABLE.get(x, LIMIT),
    lambda x: x.startswith(("a", "b")),
    lambda x: x is not None,
    lambda x: x + LIMIT,
    lambda x: -x * 2 // 3 % 5 - (1 << 40),
    lambda x: (x % 2 == 0, x > LIMIT, not x),
    lambda x: x / (x - 1),
    lambda x: "{}-{}".format(x, x),  # noqa: UP032
    lambda x: x.real,
    lambda x: missing + x,  # noqa: F821
    lambda x: sorted(x),
    lambda x: isinstance(x, str),
    lambda x: ",".join(x),
    closing_over("!"),
    closing_over(1),
    named,
    operator.itemgetter(0),
    lambda x: 7,
    lambda x: x,
    lambda x: x or 1,
    lambda x: x and x[0],
    lambda x: x if x else 2,
    lambda x: (x if x else 2) + 1,
    lambda x: "a" if x is None else x[0] if x else "b",
    lambda x: x is not None and x != "" and x[0] == "a",
    lambda x: x is None or x == 7 or not x,
    lambda x: (x, 1 if x else 0),
    lambda x: (x or 3) + 1,
]

CALLED: list[Callable[..., Any]] = [
    lambda x: print(x),
    lambda x: x.append(1),
    lambda x: x._private,
    lambda x: (sorted(x), 1 if any(x) else 2),
    lambda x: (sum(x) or 3, sum(x)),
    lambda x: (sum(x) or 3) + 1,
    lambda x: [y for y in x],
    lambda x: named(x),
    lambda x: (lambda: x)(),
    lambda *x: x,
    lambda x, y=1: x,
    str.lower,
    len,
]

VALUES: list[Any] = ["a,b c", "", "b", "7", " x ", 0, 1, -5, 2.5, None, (1, 2), ["b", "a"], {"a": 3}, b"xy", True]


def outcome(run: Callable[[], Any]) -> Any:
    """What a run gives, or how it fails: the exception, and where the program's function is in its trace."""
    try:
        return "gave", repr(run())
    except Exception as error:
        trace = traceback.extract_tb(error.__traceback__)
        own = [(frame.name, frame.lineno, frame.line) for frame in trace if frame.filename == __file__]
        inner = [frame for frame in own if frame[0] in ("<lambda>", "named")]
        return "raised", type(error), str(error), error.__context__ is None, inner[-1:]


def both(operators: list[Any], end: str, functions: tuple[Any, ...], source: list[Any]) -> tuple[Any, Any]:
    results = []
    for known in (False, True):
        text, names = loops._write(operators, end, functions, known)

        def run(text: str = text, names: Any = names) -> Any:
            found = loops._compiled(text)(source, tuple(names.values))
            return list(found) if hasattr(found, "__iter__") else found

        results.append(outcome(run))
    return results[0], results[1]


@pytest.mark.parametrize("number", range(len(WRITTEN)))
def test_a_written_function_gives_and_raises_what_a_call_does(number: int) -> None:
    function = WRITTEN[number]
    assert inlined(function, ("x",), "f") is not None
    for value in VALUES:
        for kind in ("map", "filter", "flatMap"):
            called, written = both([(kind, function)], "iterate", (), [value])
            assert called == written, (kind, value)
        for kind in ("mapValues", "flatMapValues"):
            called, written = both([(kind, function)], "iterate", (), [("k", value)])
            assert called == written, (kind, value)


@pytest.mark.parametrize("number", range(len(CALLED)))
def test_functions_with_effects_or_unknown_parts_are_called(number: int) -> None:
    assert inlined(CALLED[number], ("x",), "f") is None


def test_a_builtin_that_the_program_hides_is_not_taken_for_it() -> None:
    hidden: dict[str, Any] = {"len": lambda _: 7}
    exec("f = lambda x: len(x)", hidden)
    assert inlined(hidden["f"], ("x",), "f") is None
    assert both([("map", hidden["f"])], "iterate", (), ["a"])[1] == ("gave", "[7]")


def test_names_are_read_each_time() -> None:
    surroundings: dict[str, Any] = {"n": 0}
    exec("def count(x):\n    global n\n    n += 1\n    return x\nread = lambda x: (x, n)", surroundings)
    steps = [("map", surroundings["count"]), ("map", surroundings["read"])]
    text, names = loops._write(steps, "iterate", (), True)
    assert list(loops._compiled(text)("ab", tuple(names.values))) == [("a", 1), ("b", 2)]


def test_what_raises_only_once_still_counts() -> None:
    called = []

    class Odd:
        def __add__(self, other: Any) -> Any:
            called.append(other)
            if len(called) == 1:
                raise KeyError(other)
            return 1

    with pytest.raises(KeyError):
        text, names = loops._write([("map", lambda x: x + "k")], "iterate", (), True)
        list(loops._compiled(text)([Odd()], tuple(names.values)))
    assert called == ["k", "k"]


STEPS: dict[str, list[Callable[..., Any]]] = {
    "map": [lambda x: (x[1], x[0]), lambda x: (x[0] + 1, x[1]), lambda x: (str(x[0]), x[1]), lambda x: x, named],
    "filter": [lambda x: x[0], lambda x: x[1] > 2, lambda x: print("", end="") is None],
    "flatMap": [lambda x: [x, x], lambda x: (x,), lambda x: [y for y in [x, (x[1], 1)]]],
    "mapValues": [lambda v: v * 2, lambda v: (v, 1), lambda v: int(v), lambda v: v if v else 3],
    "flatMapValues": [lambda v: range(v), lambda v: [v, v + 1], lambda v: [w for w in (v, 0)]],
    "item": [0, 1],
    "pair": [lambda x: x[0], lambda x: len(x)],
}
MERGES: list[Callable[..., Any]] = [
    lambda a, b: a + b,
    lambda a, b: (a, b),
    operator.add,
    max,
    lambda a, b: a if a else b,
    lambda a, b: a // (b - 3),
]


def test_chains_of_written_and_called_functions_are_those_of_called_ones() -> None:
    rng = random.Random(5)
    gave = 0
    for _ in range(600):
        kinds = rng.choices(list(STEPS), k=rng.randrange(1, 14))
        steps = [(kind, rng.choice(STEPS[kind])) for kind in kinds]
        pairs = [(rng.randrange(4), rng.randrange(5)) for _ in range(3)]
        merge = rng.choice(MERGES)
        end, functions = rng.choice(
            [
                ("iterate", ()),
                ("reduceByKey", (merge,)),
                ("combine", (lambda v: v, merge)),
                ("group", ()),
                ("count", ()),
            ]
        )
        called, written = both(steps[:12], end, functions, pairs)
        assert called == written, (steps, end)
        gave += called[0] == "gave"
    assert gave > 100


def random_expression(rng: random.Random, depth: int) -> str:
    def part() -> str:
        return random_expression(rng, rng.randrange(depth))

    if depth == 0:
        return rng.choice(["x", "y", "1", "2", "0", "None", "'a'", "''", "3.5"])
    shapes: list[Callable[[], str]] = [
        lambda: f"({part()} if {part()} else {part()})",
        lambda: f"({part()} {rng.choice(['and', 'or'])} {part()})",
        lambda: f"({part()} {rng.choice(['+', '*', '%'])} {part()})",
        lambda: f"({part()} {rng.choice(['==', '<', '!=', 'is', 'is not', 'in', 'not in'])} {part()})",
        lambda: f"({part()}, {part()})",
        lambda: f"(not {part()})",
        lambda: f"str({part()})",
        lambda: f"{part()}[{rng.choice(['0', '-1', '1:', ':2'])}]",
        lambda: f"sum([{part()}, {part()}])",
        lambda: "f'{x}-{y!r:>3}'",
        lambda: "list(once)",
    ]
    return rng.choice(shapes)()


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_any_expression_means_in_the_loop_what_it_means_in_a_call() -> None:
    rng = random.Random(6)
    known = 0
    for _ in range(1500):
        text = random_expression(rng, 4)
        function = eval(f"lambda x, y, once: {text}")
        found = inlined(function, ("x", "y", "once"), "f")
        if found is None:
            continue
        known += 1
        written = eval(f"lambda x, y, once: {found.text}", dict(zip(found.names, found.values, strict=True)))

        def of(function: Callable[..., Any], x: Any, y: Any) -> Any:
            try:
                return repr(function(x, y, iter([1, 0])))
            except Exception:
                return "raised"

        for x, y in [(0, 1), ("a", "b"), ((1, 2), ""), (None, 2), ([3], [])]:
            assert of(function, x, y) == of(written, x, y), (text, found.text)
    assert known > 1000
