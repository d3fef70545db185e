"""Writes small functions of a program into the loop that would call them.

A call of a Python function costs as much as what most small functions do. One that is a single expression of parts
which are known to have no effects (:data:`_METHODS`, :data:`_FUNCTIONS`, operators, attributes, texts) is written out
in the loop instead, as Python does the same with it there: every operator and method is looked up on the value at hand,
global names and variables of enclosing functions are read each time. An element that raises there is given to the
function itself (:func:`again`), so that the traceback is the function's own.
"""

from __future__ import annotations

import builtins
import functools
import operator
import re
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, NamedTuple, NoReturn

from millstream.jobs.bytecode import Expression, walk


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


_METHODS = _words(
    """
    split rsplit splitlines partition rpartition strip lstrip rstrip removeprefix removesuffix lower upper title
    capitalize casefold swapcase startswith endswith replace find rfind index rindex count join format zfill center
    ljust rjust expandtabs translate encode decode isdigit isalpha isalnum isspace isupper islower isnumeric isdecimal
    isidentifier istitle isascii hex get keys values items copy union intersection difference symmetric_difference
    issubset issuperset isdisjoint bit_length is_integer conjugate total_seconds date time isoformat timestamp weekday
    isoweekday toordinal utcoffset asDict
    """
)
"""Methods of plain types that leave the object as it is."""

_FUNCTIONS = _words(
    """
    abs all any ascii bin bool bytes chr complex dict divmod enumerate float format frozenset hash hex int isinstance
    issubclass len list max min oct ord pow range repr reversed round set slice sorted str sum tuple type zip
    """
)
"""Built-in functions that leave their arguments as they are."""

_BINARY = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.and_: "&",
    operator.or_: "|",
    operator.xor: "^",
}
_LONGEST = 1000
_PLAIN_TEXT = re.compile(r"[\w \-+*/.,;:<>=!?#@%&|^~()\[\]]*")


class Inlined(NamedTuple):
    """A function as text."""

    text: str
    names: tuple[str, ...]
    """Names in the text, besides those of the arguments."""
    values: tuple[Any, ...]
    """What they stand for."""


class _UnknownError(Exception):
    """Something that may have effects, or has no text."""


def inlined(function: Any, arguments: tuple[str, ...], prefix: str) -> Inlined | None:
    """Return a function as text; None if only a call will do.

    ``arguments`` are the names of variables that hold its arguments, ``prefix`` begins all other names.
    """
    if isinstance(function, FunctionType):
        return _of_function(function, arguments, prefix)
    if isinstance(function, operator.itemgetter) and len(arguments) == 1:
        _, items = function.__reduce__()  # type: ignore[misc]
        if len(items) == 1:
            return Inlined(f"{arguments[0]}[{prefix}_i]", (f"{prefix}_i",), items)
    try:
        sign = _BINARY.get(function)
    except TypeError:
        return None
    if sign is not None and len(arguments) == 2:
        return Inlined(f"{arguments[0]} {sign} {arguments[1]}", (), ())
    return None


def _of_function(function: FunctionType, arguments: tuple[str, ...], prefix: str) -> Inlined | None:
    template = _template(function.__code__, arguments, prefix)
    if template is None or any(name in function.__globals__ for name in template.builtins):
        return None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    found = {"builtin": vars(builtins).get, "cell": cells.get, "constant": lambda value: value}
    values = [function.__globals__ if kind == "globals" else found[kind](what) for kind, what in template.bindings]
    return Inlined(template.text, template.names, tuple(values))


class _Template(NamedTuple):
    text: str
    names: tuple[str, ...]
    bindings: tuple[tuple[str, Any], ...]
    """By name: kind, and what it is to be looked up by."""
    builtins: tuple[str, ...]
    """Names that must not be hidden by global ones."""


@functools.lru_cache(maxsize=4096)
def _template(code: CodeType, arguments: tuple[str, ...], prefix: str) -> _Template | None:
    found = walk(code, len(arguments))
    if found is None:
        return None
    try:
        return _Writing(arguments, prefix).template(found)
    except _UnknownError:
        return None


class _Writing:
    """Writes one expression as text."""

    def __init__(self, arguments: tuple[str, ...], prefix: str) -> None:
        self._arguments, self._prefix = arguments, prefix
        self._names: list[str] = []
        self._bindings: list[tuple[str, Any]] = []

    def template(self, of: Expression) -> _Template:
        text = self._text(of)
        if len(text) > _LONGEST:
            raise _UnknownError
        hidden = tuple(what for kind, what in self._bindings if kind == "builtin")
        return _Template(text, tuple(self._names), tuple(self._bindings), hidden)

    def _bound(self, kind: str, what: Any) -> str:
        """Return a name for something from outside the text."""
        name = f"{self._prefix}_{len(self._names)}"
        self._names.append(name)
        self._bindings.append((kind, what))
        return name

    def _text(self, of: Expression) -> str:
        return _WRITERS[of[0]](self, *of[1:]) if of[0] in _WRITERS else _unknown()

    def _all(self, parts: tuple[Expression, ...]) -> str:
        return ", ".join(map(self._text, parts))

    def _argument(self, at: int) -> str:
        return self._arguments[at]

    def _constant(self, value: Any) -> str:
        if value is None or type(value) is bool or (type(value) is int and 0 <= value < 1 << 30):
            return repr(value)
        return self._bound("constant", value)

    def _global(self, name: str) -> str:
        if hasattr(builtins, name):
            return self._bound("builtin", name)
        return f"{self._bound('globals', None)}[{self._bound('constant', name)}]"

    def _free(self, name: str) -> str:
        return f"{self._bound('cell', name)}.cell_contents"

    def _attribute(self, of: Expression, name: str) -> str:
        if name.startswith("_"):
            raise _UnknownError
        return f"{self._text(of)}.{name}" if of[0] != "constant" else _unknown()

    def _item(self, of: Expression, at: Expression) -> str:
        where = ":".join(map(self._text, at[1])) if at[0] == "slice" else self._text(at)
        return f"{self._text(of)}[{where}]"

    def _tuple(self, parts: tuple[Expression, ...]) -> str:
        return f"({self._all(parts)}{',' if len(parts) == 1 else ''})"

    def _list(self, parts: tuple[Expression, ...]) -> str:
        return f"[{self._all(parts)}]"

    def _binary(self, sign: str, one: Expression, other: Expression) -> str:
        return f"({self._text(one)} {sign} {self._text(other)})"

    def _unary(self, sign: str, of: Expression) -> str:
        return f"({sign} {self._text(of)})"

    def _choice(self, condition: Expression, one: Expression, other: Expression) -> str:
        return f"({self._text(one)} if {self._text(condition)} else {self._text(other)})"

    def _call(self, function: Expression, parts: tuple[Expression, ...]) -> str:
        if function[0] != "global" or function[1] not in _FUNCTIONS:
            raise _UnknownError
        return f"{self._text(function)}({self._all(parts)})"

    def _method(self, of: Expression, name: str, parts: tuple[Expression, ...]) -> str:
        if name not in _METHODS:
            raise _UnknownError
        return f"{self._parenthesised(of)}.{name}({self._all(parts)})"

    def _parenthesised(self, of: Expression) -> str:
        return f"({self._text(of)})" if of[0] == "constant" else self._text(of)

    def _format(self, of: Expression, conversion: str, specification: Expression | None) -> str:
        return f"f'{self._piece(of, conversion, specification)}'"

    def _piece(self, of: Expression, conversion: str, specification: Expression | None) -> str:
        text = f"({self._text(of)})" + (f"!{conversion}" if conversion else "")
        if specification is not None:
            parts = specification[1] if specification[0] == "text" else (specification,)
            if any(part[0] == "format" and part[3] is not None for part in parts):
                raise _UnknownError
            text += ":" + self._pieces(parts)
        return "{" + text + "}"

    def _pieces(self, parts: tuple[Expression, ...]) -> str:
        return "".join(self._piece(*part[1:]) if part[0] == "format" else self._plain(part) for part in parts)

    def _plain(self, part: Expression) -> str:
        if part[0] != "constant" or type(part[1]) is not str:
            raise _UnknownError
        if _PLAIN_TEXT.fullmatch(part[1]) and part[1].isascii():
            return part[1]
        return "{" + self._bound("constant", part[1]) + "}"

    def _joined(self, parts: tuple[Expression, ...]) -> str:
        return f"f'{self._pieces(parts)}'"


def _unknown() -> NoReturn:
    raise _UnknownError


_WRITERS: dict[str, Callable[..., str]] = {
    "argument": _Writing._argument,
    "constant": _Writing._constant,
    "global": _Writing._global,
    "free": _Writing._free,
    "attribute": _Writing._attribute,
    "item": _Writing._item,
    "tuple": _Writing._tuple,
    "list": _Writing._list,
    "binary": _Writing._binary,
    "compare": _Writing._binary,
    "unary": _Writing._unary,
    "choice": _Writing._choice,
    "either": _Writing._binary,
    "call": _Writing._call,
    "method": _Writing._method,
    "format": _Writing._format,
    "text": _Writing._joined,
}


def again(error: Exception, function: Callable[..., Any], *arguments: Any) -> NoReturn:
    """Raise what a function raises for arguments for which its text in a loop has raised ``error``."""
    try:
        function(*arguments)
    except BaseException as raised:
        _without(raised, error)
        raise
    # It has raised once: that counts, whatever came after.
    raise error


def _without(raised: BaseException, error: BaseException) -> None:
    """Take an exception out of those in whose handling another one was raised."""
    seen = set()
    while raised.__context__ is not None and id(raised) not in seen:
        seen.add(id(raised))
        if raised.__context__ is error:
            raised.__context__ = None
            return
        raised = raised.__context__
