"""What is recognised of a program's functions, and that it gives what Python gives."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from typing import Any

import pytest

from millstream.jobs.pure import combine_stage, expression

LIMIT = 3


def named(line: str) -> list[str]:
    return line.split(",")


SUFFIX = "!"


def closing_over(suffix: str) -> Callable[[str], Any]:
    return lambda w: (w + suffix, 1)


Chain = tuple[list[tuple[str, Callable[..., Any]]], Callable[..., Any]]

CHAINS: dict[str, Chain] = {
    "word count": ([("flatMap", lambda x: x.split(" ")), ("map", lambda w: (w, 1))], lambda a, b: a + b),
    "at white space": ([("flatMap", str.split), ("map", lambda w: (w.lower(), 1))], operator.add),
    "filtered": (
        [("flatMap", lambda x: x.split()), ("filter", lambda w: len(w) > LIMIT), ("map", lambda w: (len(w), w))],
        lambda a, b: a + b,
    ),
    "fields": ([("map", named), ("map", lambda f: (f[0], int(f[-1]) * 2 - 1))], lambda a, b: a - b),
    "pairs of keys": (
        [("map", lambda x: x.split(",")), ("map", lambda f: ((f[0], len(f)), (1, 0.5)))],
        lambda a, b: (a[0] + b[0], a[1] * b[1]),
    ),
    "values": ([("map", lambda x: (x[0:1] and x, 1))], lambda a, b: a + b),
    "values mapped": (
        [("map", lambda x: (x.strip(), 7)), ("mapValues", lambda v: v // 2 + v % 4 + v / 2)],
        lambda a, b: a + b,
    ),
    "from outside": ([("map", closing_over("?")), ("map", lambda p: (p[0] + SUFFIX, p[1]))], lambda a, b: a + b),
    "conditions": (
        [
            ("filter", lambda x: "a" in x),
            ("filter", lambda x: not x.startswith("b")),
            ("map", lambda x: (x, -1)),
        ],
        lambda a, b: a * b,
    ),
}


def in_python(chain: Chain, text: str) -> list[tuple[Any, Any]]:
    steps, merge = chain
    elements: Any = text.split("\n")[:-1]
    for kind, function in steps:
        if kind == "flatMap":
            elements = [y for x in elements for y in function(x)]
        elif kind == "map":
            elements = [function(x) for x in elements]
        elif kind == "filter":
            elements = [x for x in elements if function(x)]
        else:
            elements = [(k, function(v)) for k, v in elements]
    merged: dict[Any, Any] = {}
    for key, value in elements:
        merged[key] = merge(merged[key], value) if key in merged else value
    return list(merged.items())


@pytest.mark.parametrize("name", CHAINS)
def test_a_recognised_chain_gives_what_python_gives(name: str) -> None:
    chain = CHAINS[name]
    stage = combine_stage(*chain)
    if name == "values":
        assert stage is None, "slices and `and` are not known"
        return
    assert stage is not None
    generator = random.Random(1)
    texts = ["", "a\n", "\n\n", "a,1\nb,2\na,3\n"]
    texts += ["".join(generator.choice("ab A,1 2\n") for _ in range(200)) + "\n" for _ in range(40)]
    answers = 0
    for text in texts:
        found = stage.run(text.encode())
        if found is not None:
            answers += 1
            assert found == in_python(chain, text)
            assert repr(found) == repr(in_python(chain, text)), "types differ"
    assert answers >= 2


def test_what_python_would_refuse_is_left_to_python() -> None:
    stage = combine_stage([("map", lambda x: (x, int(x)))], lambda a, b: a * b)
    assert stage is not None
    assert stage.run(b"1\nx\n") is None
    assert stage.run("\ud800".encode("utf-8", "surrogatepass")) is None


def test_overflow_is_left_to_python() -> None:
    stage = combine_stage([("map", lambda x: ("k", int(x)))], lambda a, b: a + b)
    assert stage is not None
    assert stage.run(b"9223372036854775806\n1\n") == [("k", 2**63 - 1)]
    assert stage.run(b"9223372036854775807\n1\n") is None


def test_functions_with_effects_or_unknown_parts_are_not_recognised() -> None:
    seen: list[int] = []

    def noisy(x: str) -> str:
        print(x)
        return x

    def default(x: str, y: int = 1) -> tuple[str, int]:
        return (x, y)

    def generator(x: str) -> Any:
        yield x

    for function in (
        noisy,
        default,
        generator,
        lambda x: seen.append(x),
        lambda x: x.upper() if x else "",
        lambda x: [w for w in x.split()],
        lambda *x: x,
        lambda x: x.value,
        lambda x: x.split(" ", 1),
        lambda x: x.split(sep=" "),
        lambda x: 2**80,
        lambda x: sorted(x),
        print,
        seen.append,
    ):
        assert expression(function, 1) is None


def test_a_name_that_hides_a_builtin_is_not_taken_for_it() -> None:
    hidden: dict[str, Any] = {"len": lambda _: 7}
    exec("f = lambda x: len(x)", hidden)
    assert expression(hidden["f"], 1) is None


def test_lines_of_a_stage_are_reduced_natively_and_by_python_alike(tmp_path: Any) -> None:
    from millstream.jobs import inputs, operators

    (tmp_path / "words").write_bytes("b a b\r\nä 1\n\nx".encode())
    source = inputs.read_text(inputs.Piece(str(tmp_path / "words"), 0, 15), True)
    steps = [("flatMap", lambda x: x.split(" ")), ("map", lambda w: (w, 1)), ("reduceByKey", lambda a, b: a + b)]
    native = list(operators.apply(steps, 0, source))
    assert native == list(operators.apply(steps, 0, list(source)))
    assert native == [("b", 2), ("a", 1), ("ä", 1), ("1", 1), ("", 1), ("x", 1)]
