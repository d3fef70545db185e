"""Small functions as expressions, read off their byte code.

:func:`walk` goes through the instructions with a stack of expressions in place of values. Whatever it does not know
makes the whole function unknown: jumps, stores, loops, cells of its own, keyword arguments. What it gives depends on
the code alone, so it is done once for each function of a program; what names stand for is for its callers to find out.

An expression is a tuple, kind first. Every part of it is evaluated once, from left to right:

``("argument", i)``, ``("constant", value)``, ``("global", name)``, ``("free", name)``, ``("attribute", a, name)``,
``("item", a, b)``, ``("slice", (a, …))``, ``("tuple", (a, …))``, ``("list", (a, …))``, ``("binary", "+", a, b)``,
``("compare", "<", a, b)`` (also ``in``, ``not in``, ``is``, ``is not``), ``("unary", "not", a)``,
``("call", function, (a, …))``, ``("method", a, name, (b, …))``, ``("text", (part, …))``,
``("format", a, conversion, specification)``.
"""

from __future__ import annotations

import dis
import functools
import inspect
from types import CodeType
from typing import Any

Expression = tuple[Any, ...]

_OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>", "@")
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_OLD_OPCODES = {
    "BINARY_ADD": "+",
    "BINARY_SUBTRACT": "-",
    "BINARY_MULTIPLY": "*",
    "BINARY_TRUE_DIVIDE": "/",
    "BINARY_FLOOR_DIVIDE": "//",
    "BINARY_MODULO": "%",
    "BINARY_POWER": "**",
    "BINARY_AND": "&",
    "BINARY_OR": "|",
    "BINARY_XOR": "^",
    "BINARY_LSHIFT": "<<",
    "BINARY_RSHIFT": ">>",
    "BINARY_MATRIX_MULTIPLY": "@",
}
"""Python 3.10 has an instruction for each operator."""

_UNARY = {"UNARY_NOT": "not", "UNARY_NEGATIVE": "-", "UNARY_POSITIVE": "+", "UNARY_INVERT": "~"}
_CONVERSIONS = ("", "s", "r", "a")
_NOTHING = ("RESUME", "NOP", "CACHE", "COPY_FREE_VARS", "PRECALL", "PUSH_NULL", "TO_BOOL", "NOT_TAKEN")
_ARGUMENTS = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
_TWO_ARGUMENTS = ("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW")
_CALLS = ("CALL", "CALL_METHOD", "CALL_FUNCTION")
_UNUSUAL = (
    inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_ITERABLE_COROUTINE
)


class _UnknownError(Exception):
    """Something that has no expression."""


@functools.lru_cache(maxsize=4096)
def walk(code: CodeType, arity: int) -> Expression | None:
    """Return what a function with this code and so many arguments gives; None if that is not known."""
    if (
        code.co_argcount != arity
        or code.co_kwonlyargcount
        or code.co_flags & _UNUSUAL
        or code.co_cellvars
        or getattr(code, "co_exceptiontable", b"")
    ):
        return None
    try:
        return _Walk(code, arity).result()
    except _UnknownError:
        return None


class _Method(tuple[Expression, str]):
    """A method that is about to be called: the object's expression and the name."""


class _Walk:
    """One walk through the instructions of a function."""

    def __init__(self, code: CodeType, arity: int) -> None:
        self._code = code
        self._places = {name: ("argument", i) for i, name in enumerate(code.co_varnames[:arity])}
        self._stack: list[Any] = []

    def result(self) -> Expression:
        """Return what the function returns."""
        for instruction in dis.get_instructions(self._code):
            name = instruction.opname
            if name == "RETURN_VALUE":
                found = self._pop()
                if self._stack:
                    break
                return found
            if name == "RETURN_CONST":
                return ("constant", instruction.argval)
            if name not in _NOTHING:
                self._step(name, instruction)
        raise _UnknownError

    def _step(self, name: str, instruction: dis.Instruction) -> None:
        if name.startswith("LOAD_"):
            self._load(name, instruction)
        elif name in _CALLS:
            self._call(int(instruction.arg or 0))
        elif name.startswith("BUILD_"):
            self._build(name, int(instruction.arg or 0))
        elif name in ("FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC"):
            self._format(name, int(instruction.arg or 0))
        else:
            self._operate(name, instruction)

    def _load(self, name: str, instruction: dis.Instruction) -> None:
        value = instruction.argval
        if name in _ARGUMENTS:
            self._stack.append(self._argument(value))
        elif name in _TWO_ARGUMENTS:
            self._stack += [self._argument(one) for one in value]
        elif name in ("LOAD_CONST", "LOAD_SMALL_INT"):
            self._stack.append(("constant", value))
        elif name == "LOAD_DEREF":
            self._stack.append(("free", value))
        elif name == "LOAD_GLOBAL":
            self._stack.append(("global", value))
        elif name == "LOAD_METHOD" or (name == "LOAD_ATTR" and _is_method(instruction)):
            self._stack.append(_Method((self._pop(), value)))
        elif name == "LOAD_ATTR":
            self._stack.append(("attribute", self._pop(), value))
        else:
            raise _UnknownError

    def _argument(self, name: str) -> Expression:
        try:
            return self._places[name]
        except KeyError:
            raise _UnknownError from None

    def _call(self, count: int) -> None:
        operands = tuple(self._take(count))
        called = self._stack.pop() if self._stack else None
        if isinstance(called, _Method):
            of, name = called
            self._stack.append(("method", of, name, operands))
        elif called is not None:
            self._stack.append(("call", called, operands))
        else:
            raise _UnknownError

    def _build(self, name: str, count: int) -> None:
        kinds = {"BUILD_TUPLE": "tuple", "BUILD_LIST": "list", "BUILD_STRING": "text", "BUILD_SLICE": "slice"}
        if name not in kinds:
            raise _UnknownError
        self._stack.append((kinds[name], tuple(self._take(count))))

    def _format(self, name: str, flags: int) -> None:
        specified = name == "FORMAT_WITH_SPEC" or (name == "FORMAT_VALUE" and flags & 4)
        specification = self._pop() if specified else None
        value, conversion = self._pop(), ""
        if name == "FORMAT_VALUE":
            conversion = _CONVERSIONS[flags & 3]
        elif value[0] == "converted":
            _, value, conversion = value
        self._stack.append(("format", value, conversion, specification))

    def _operate(self, name: str, instruction: dis.Instruction) -> None:
        if name == "BINARY_SUBSCR" or (name == "BINARY_OP" and instruction.argrepr == "[]"):
            self._stack.append(("item", *self._take(2)))
        elif name == "BINARY_SLICE":
            of, *bounds = self._take(3)
            self._stack.append(("item", of, ("slice", tuple(bounds))))
        elif name == "BINARY_OP" and instruction.argrepr in _OPERATORS:
            self._stack.append(("binary", instruction.argrepr, *self._take(2)))
        elif name in _OLD_OPCODES:
            self._stack.append(("binary", _OLD_OPCODES[name], *self._take(2)))
        elif name == "COMPARE_OP":
            sign = str(instruction.argval).removeprefix("bool(").removesuffix(")")
            if sign not in _COMPARISONS:
                raise _UnknownError
            self._stack.append(("compare", sign, *self._take(2)))
        elif name in ("CONTAINS_OP", "IS_OP"):
            sign = {"CONTAINS_OP": ("in", "not in"), "IS_OP": ("is", "is not")}[name][int(instruction.arg or 0)]
            self._stack.append(("compare", sign, *self._take(2)))
        elif name in _UNARY:
            self._stack.append(("unary", _UNARY[name], self._pop()))
        elif name == "CONVERT_VALUE":
            self._stack.append(("converted", self._pop(), _CONVERSIONS[int(instruction.arg or 0)]))
        else:
            raise _UnknownError

    def _pop(self) -> Expression:
        return self._take(1)[0]

    def _take(self, count: int) -> list[Expression]:
        """Take the topmost expressions off the stack."""
        if count > len(self._stack):
            raise _UnknownError
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        if any(isinstance(one, _Method) for one in taken):
            raise _UnknownError
        return taken


def _is_method(instruction: dis.Instruction) -> bool:
    """Whether `LOAD_ATTR` loads a method to call it, as since Python 3.12."""
    return hasattr(dis, "hasarg") and bool((instruction.arg or 0) & 1)
