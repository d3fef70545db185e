"""Recognises small pure functions by their byte code, so that a chain of them can run without Python.

:func:`expression` walks the instructions of a function with a stack of expressions in place of values. Whatever it does
not know makes the whole function unknown: jumps, stores, attributes, calls of anything but a few functions of texts and
numbers. An expression is a tuple, kind first:

``("argument", i)``, ``("constant", value)``, ``("tuple", [a, …])``, ``("item", a, i)``, ``("binary", "+", a, b)``,
``("compare", "<", a, b)``, ``("not", a)``, ``("negative", a)``, ``("call", name, [a, …])``.

What an expression means for values is the native :class:`CombineStage`'s to say; where it is not sure, Python does.
"""

from __future__ import annotations

import builtins
import dis
import inspect
import operator
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType
from typing import Any

from millstream._native import CombineStage

Expression = tuple[Any, ...]

_METHODS = {"split": (0, 1), "strip": (0,), "lower": (0,), "upper": (0,), "startswith": (1,), "endswith": (1,)}
"""Methods of ``str``, and how many arguments each may have."""

_FUNCTIONS = ("len", "int", "str")
_ARITHMETIC = ("+", "-", "*", "/", "//", "%")
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_OPERATOR_MODULE = {operator.add: "+", operator.sub: "-", operator.mul: "*", operator.mod: "%", operator.floordiv: "//"}
_OLD_OPCODES = {
    "BINARY_ADD": "+",
    "BINARY_SUBTRACT": "-",
    "BINARY_MULTIPLY": "*",
    "BINARY_TRUE_DIVIDE": "/",
    "BINARY_FLOOR_DIVIDE": "//",
    "BINARY_MODULO": "%",
}
"""Python 3.10 has an instruction for each operator."""

_NOTHING = ("RESUME", "NOP", "CACHE", "COPY_FREE_VARS", "PRECALL", "PUSH_NULL", "TO_BOOL", "NOT_TAKEN")
_UNUSUAL = (
    inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
    | inspect.CO_VARARGS
    | inspect.CO_VARKEYWORDS
    | inspect.CO_ITERABLE_COROUTINE
)


class _UnknownError(Exception):
    """Something that is not known to be pure."""


def expression(function: Callable[..., Any], arity: int) -> Expression | None:
    """Return what a function of so many arguments gives, as an expression; None if that is not known."""
    arguments = [("argument", i) for i in range(arity)]
    try:
        if isinstance(function, FunctionType):
            return _Walk(function, arity).result()
        if isinstance(function, MethodDescriptorType) and function.__objclass__ is str:
            return _method(function.__name__, arguments)
        if isinstance(function, BuiltinFunctionType | type):
            return _call(function, arguments)
    except _UnknownError:
        return None
    return None


def _constant(value: Any) -> Expression:
    if value is None or type(value) in (bool, float) or (type(value) is int and -(2**63) <= value < 2**63):
        return ("constant", value)
    if type(value) is str and not any("\ud800" <= c <= "\udfff" for c in value):
        return ("constant", value)
    if type(value) is tuple:
        return ("tuple", [_constant(item) for item in value])
    raise _UnknownError


def _method(name: str, operands: list[Expression]) -> Expression:
    if len(operands) - 1 not in _METHODS.get(name, ()):
        raise _UnknownError
    return ("call", name, operands)


def _call(function: Any, operands: list[Expression]) -> Expression:
    try:
        sign = _OPERATOR_MODULE.get(function)
    except TypeError:
        raise _UnknownError from None
    if sign is not None and len(operands) == 2:
        return ("binary", sign, *operands)
    for name in _FUNCTIONS:
        if function is getattr(builtins, name) and len(operands) == 1:
            return ("call", name, operands)
    raise _UnknownError


class _Method(tuple[Expression, str]):
    """A method that is about to be called: the object's expression and the name."""


class _Callable:
    """A function that is about to be called."""

    def __init__(self, function: Any) -> None:
        self.function = function


class _Walk:
    """One walk through the instructions of a function."""

    def __init__(self, function: FunctionType, arity: int) -> None:
        code = function.__code__
        if (
            code.co_argcount != arity
            or code.co_kwonlyargcount
            or code.co_flags & _UNUSUAL
            or code.co_cellvars
            or getattr(code, "co_exceptiontable", b"")
        ):
            raise _UnknownError
        self._function = function
        self._places = {name: ("argument", i) for i, name in enumerate(code.co_varnames[:arity])}
        self._stack: list[Any] = []

    def result(self) -> Expression:
        """Return what the function returns."""
        for instruction in dis.get_instructions(self._function):
            name = instruction.opname
            if name == "RETURN_VALUE":
                return self._pop()
            if name == "RETURN_CONST":
                return _constant(instruction.argval)
            if name not in _NOTHING:
                self._step(name, instruction)
        raise _UnknownError

    def _step(self, name: str, instruction: dis.Instruction) -> None:
        if name.startswith("LOAD_"):
            self._load(name, instruction)
        elif name in ("CALL", "CALL_METHOD", "CALL_FUNCTION"):
            self._call(int(instruction.arg or 0))
        elif name == "BUILD_TUPLE":
            self._stack.append(("tuple", self._take(int(instruction.arg or 0))))
        else:
            self._operate(name, instruction)

    def _load(self, name: str, instruction: dis.Instruction) -> None:
        value = instruction.argval
        if name in ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK"):
            self._stack.append(self._argument(value))
        elif name in ("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"):
            self._stack += [self._argument(one) for one in value]
        elif name in ("LOAD_CONST", "LOAD_SMALL_INT"):
            self._stack.append(_constant(value))
        elif name == "LOAD_DEREF":
            self._push_value(self._free(value))
        elif name == "LOAD_GLOBAL":
            self._push_value(self._global(value))
        elif name == "LOAD_METHOD" or (name == "LOAD_ATTR" and _is_method(instruction)):
            self._stack.append(_Method((self._pop(), value)))
        else:
            raise _UnknownError

    def _argument(self, name: str) -> Expression:
        try:
            return self._places[name]
        except KeyError:
            raise _UnknownError from None

    def _free(self, name: str) -> Any:
        cells = dict(zip(self._function.__code__.co_freevars, self._function.__closure__ or (), strict=True))
        try:
            return cells[name].cell_contents
        except (KeyError, ValueError):
            raise _UnknownError from None

    def _global(self, name: str) -> Any:
        if name in self._function.__globals__:
            return self._function.__globals__[name]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        raise _UnknownError

    def _push_value(self, value: Any) -> None:
        """Push a value from outside the function: a constant if it is one, else something to call."""
        try:
            self._stack.append(_constant(value))
        except _UnknownError:
            self._stack.append(_Callable(value))

    def _call(self, count: int) -> None:
        operands = self._take(count)
        called = self._stack.pop() if self._stack else None
        if isinstance(called, _Method):
            of, name = called
            self._stack.append(_method(name, [of, *operands]))
        elif isinstance(called, _Callable):
            self._stack.append(_call(called.function, operands))
        else:
            raise _UnknownError

    def _operate(self, name: str, instruction: dis.Instruction) -> None:
        if name == "BINARY_SUBSCR" or (name == "BINARY_OP" and instruction.argrepr == "[]"):
            of, at = self._take(2)
            if at[0] != "constant" or type(at[1]) is not int:
                raise _UnknownError
            self._stack.append(("item", of, at[1]))
        elif name == "BINARY_OP" and instruction.argrepr in _ARITHMETIC:
            self._stack.append(("binary", instruction.argrepr, *self._take(2)))
        elif name in _OLD_OPCODES:
            self._stack.append(("binary", _OLD_OPCODES[name], *self._take(2)))
        elif name == "COMPARE_OP":
            sign = str(instruction.argval).removeprefix("bool(").removesuffix(")")
            if sign not in _COMPARISONS:
                raise _UnknownError
            self._stack.append(("compare", sign, *self._take(2)))
        elif name == "CONTAINS_OP":
            contains = ("compare", "in", *self._take(2))
            self._stack.append(("not", contains) if instruction.arg else contains)
        elif name == "UNARY_NOT":
            self._stack.append(("not", self._pop()))
        elif name == "UNARY_NEGATIVE":
            self._stack.append(("negative", self._pop()))
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
        if any(isinstance(one, _Method | _Callable) for one in taken):
            raise _UnknownError
        return taken


def _is_method(instruction: dis.Instruction) -> bool:
    """Whether `LOAD_ATTR` loads a method to call it, as since Python 3.12."""
    return hasattr(dis, "hasarg") and bool((instruction.arg or 0) & 1)


def combine_stage(steps: Iterable[tuple[Any, ...]], merge: Callable[..., Any]) -> CombineStage | None:
    """Return the native form of element-wise operators that end in a reduction by key; None if one is not known."""
    known = []
    for step in steps:
        if step[0] not in ("map", "flatMap", "filter", "mapValues"):
            return None
        found = expression(step[1], 1)
        if found is None:
            return None
        known.append((step[0], found))
    merged = expression(merge, 2)
    return None if merged is None else CombineStage(known, merged)
