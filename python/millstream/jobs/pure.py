"""Recognises small pure functions, so that a chain of them can run without Python.

:func:`expression` takes what :mod:`~millstream.jobs.bytecode` has read of a function and keeps it if all of it is known
to the native :class:`CombineStage`: arithmetic, comparisons, tuples, a few functions of texts and numbers. Names of
the function's surroundings are replaced by what they stand for. Kinds of its expressions:

``("argument", i)``, ``("constant", value)``, ``("tuple", [a, …])``, ``("item", a, i)``, ``("binary", "+", a, b)``,
``("compare", "<", a, b)``, ``("not", a)``, ``("negative", a)``, ``("call", name, [a, …])``.

What an expression means for values is the native stage's to say; where it is not sure, Python does.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType
from typing import Any

from millstream._native import CombineStage
from millstream.jobs.bytecode import Expression, walk

_METHODS = {"split": (0, 1), "strip": (0,), "lower": (0,), "upper": (0,), "startswith": (1,), "endswith": (1,)}
"""Methods of ``str``, and how many arguments each may have."""

_FUNCTIONS = ("len", "int", "str")
_ARITHMETIC = ("+", "-", "*", "/", "//", "%")
_OPERATOR_MODULE = {operator.add: "+", operator.sub: "-", operator.mul: "*", operator.mod: "%", operator.floordiv: "//"}


class _UnknownError(Exception):
    """Something that is not known to be pure."""


def expression(function: Callable[..., Any], arity: int) -> Expression | None:
    """Return what a function of so many arguments gives, as an expression; None if that is not known."""
    arguments = [("argument", i) for i in range(arity)]
    try:
        if isinstance(function, FunctionType):
            found = walk(function.__code__, arity)
            return None if found is None else _Resolving(function).resolved(found)
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


class _Resolving:
    """Turns the expression of a function's code into one that the native stage knows."""

    def __init__(self, function: FunctionType) -> None:
        self._function = function

    def resolved(self, of: Expression) -> Expression:
        """Return the expression; raises if any part is not known."""
        kind, *parts = of
        if kind == "argument":
            return of
        if kind in ("constant", "global", "free"):
            return _constant(self._value(of))
        if kind == "tuple":
            return ("tuple", self._all(parts[0]))
        if kind == "item":
            at = self.resolved(parts[1])
            if at[0] != "constant" or type(at[1]) is not int:
                raise _UnknownError
            return ("item", self.resolved(parts[0]), at[1])
        if kind == "binary" and parts[0] in _ARITHMETIC:
            return ("binary", parts[0], *self._all(parts[1:]))
        if kind == "compare":
            return self._comparison(parts[0], self._all(parts[1:]))
        if kind == "unary" and parts[0] in ("not", "-"):
            return ({"not": "not", "-": "negative"}[parts[0]], self.resolved(parts[1]))
        if kind == "call":
            return _call(self._value(parts[0]), self._all(parts[1]))
        if kind == "method":
            return _method(parts[1], [self.resolved(parts[0]), *self._all(parts[2])])
        raise _UnknownError

    def _all(self, parts: Iterable[Expression]) -> list[Expression]:
        return [self.resolved(part) for part in parts]

    @staticmethod
    def _comparison(sign: str, operands: list[Expression]) -> Expression:
        if sign == "not in":
            return ("not", ("compare", "in", *operands))
        if sign in ("is", "is not"):
            raise _UnknownError
        return ("compare", sign, *operands)

    def _value(self, of: Expression) -> Any:
        """Return what a constant, a global name or a variable of an enclosing function stands for."""
        kind, name = of[0], of[1]
        if kind == "constant":
            return name
        if kind == "free":
            cells = dict(zip(self._function.__code__.co_freevars, self._function.__closure__ or (), strict=True))
            try:
                return cells[name].cell_contents
            except (KeyError, ValueError):
                raise _UnknownError from None
        if kind == "global":
            if name in self._function.__globals__:
                return self._function.__globals__[name]
            if hasattr(builtins, name):
                return getattr(builtins, name)
        raise _UnknownError


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
