"""Small functions as expressions, read off their byte code.

:func:`walk` goes through the instructions with a stack of expressions in place of values. Whatever it does not know
makes the whole function unknown: stores, loops, cells of its own, keyword arguments. What it gives depends on the code
alone, so it is done once for each function of a program; what names stand for is for its callers to find out.

An expression is a tuple, kind first. Its parts are evaluated from left to right, at most once on the way to the result:

``("argument", i)``, ``("constant", value)``, ``("global", name)``, ``("free", name)``, ``("attribute", a, name)``,
``("item", a, b)``, ``("slice", (a, …))``, ``("tuple", (a, …))``, ``("list", (a, …))``, ``("binary", "+", a, b)``,
``("compare", "<", a, b)`` (also ``in``, ``not in``, ``is``, ``is not``), ``("unary", "not", a)``,
``("call", function, (a, …))``, ``("method", a, name, (b, …))``, ``("text", (part, …))``,
``("format", a, conversion, specification)``, ``("choice", condition, a, b)``, ``("either", "and", a, b)``.
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
_JUMPS = {
    "POP_JUMP_IF_FALSE": False,
    "POP_JUMP_IF_TRUE": True,
    "POP_JUMP_FORWARD_IF_FALSE": False,
    "POP_JUMP_FORWARD_IF_TRUE": True,
}
"""Jumps forward, and the truth that they are taken for."""

_NONE_JUMPS = {
    "POP_JUMP_IF_NONE": True,
    "POP_JUMP_IF_NOT_NONE": False,
    "POP_JUMP_FORWARD_IF_NONE": True,
    "POP_JUMP_FORWARD_IF_NOT_NONE": False,
}
_KEEPING_JUMPS = {"JUMP_IF_FALSE_OR_POP": False, "JUMP_IF_TRUE_OR_POP": True}
_MOST_BRANCHES = 8
_NOTHING = ("RESUME", "NOP", "CACHE", "COPY_FREE_VARS", "PRECALL", "PUSH_NULL", "NOT_TAKEN")
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
        self._instructions = list(dis.get_instructions(code))
        self._places_of = {instruction.offset: at for at, instruction in enumerate(self._instructions)}
        self._branches = 0
        self._places = {name: i for i, name in enumerate(code.co_varnames[:arity])}
        self._stack: list[Any] = []

    def result(self) -> Expression:
        """Return what the function returns."""
        return self._from(0, [])

    def _from(self, at: int, stack: list[Any]) -> Expression:
        """Return what the function returns that has come to this instruction with these expressions."""
        self._stack = stack
        while at < len(self._instructions):
            instruction = self._instructions[at]
            name = instruction.opname
            if name == "RETURN_VALUE":
                found = self._pop()
                if self._stack:
                    break
                return found
            if name == "RETURN_CONST":
                return ("constant", instruction.argval)
            if name == "JUMP_FORWARD":
                at = self._places_of[instruction.argval]
                continue
            if "JUMP" in name:
                return self._branch(at, instruction)
            if name == "TO_BOOL":
                following = self._instructions[at + 1].opname
                if "JUMP" not in following and following != "UNARY_NOT":
                    self._stack.append(("unary", "not", ("unary", "not", self._pop())))
            elif name not in _NOTHING:
                self._step(name, instruction)
            at += 1
        raise _UnknownError

    def _branch(self, at: int, instruction: dis.Instruction) -> Expression:
        self._branches += 1
        name, target = instruction.opname, self._places_of.get(instruction.argval, -1)
        if target <= at or self._branches > _MOST_BRANCHES:
            raise _UnknownError
        tested = condition = self._pop()
        stack = self._stack
        copied = bool(stack) and stack[-1] is tested
        if not all(map(_is_at_hand, stack[:-1] if copied else stack)):
            # It would be evaluated after the condition.
            raise _UnknownError
        if name in _KEEPING_JUMPS:
            truth, jumping = _KEEPING_JUMPS[name], [*stack, tested]
        elif name in _NONE_JUMPS:
            truth, jumping = _NONE_JUMPS[name], stack
            condition = ("compare", "is", tested, ("constant", None))
        elif name in _JUMPS:
            truth, jumping = _JUMPS[name], stack
        else:
            raise _UnknownError
        taken = self._from(target, list(jumping))
        # What was copied to be tested is taken away by the next instruction.
        passed = self._from(at + 1, [*stack[:-1], _TESTED] if copied else list(stack))
        kept = copied or name in _KEEPING_JUMPS
        if kept and taken is tested and condition is tested:
            return ("either", "or" if truth else "and", tested, passed)
        if kept and not _is_at_hand(tested):
            raise _UnknownError
        return ("choice", condition, taken, passed) if truth else ("choice", condition, passed, taken)

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
            # A new one each time: parts of an expression are told apart by identity.
            return ("argument", self._places[name])
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
        elif name == "COPY" and instruction.arg == 1:
            copied = self._pop()
            self._stack += [copied, copied]
        elif name == "POP_TOP" and self._stack[-1:] == [_TESTED]:
            self._stack.pop()
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
        if any(isinstance(one, _Method) or one is _TESTED for one in taken):
            raise _UnknownError
        return taken


_TESTED = ("tested",)
"""Stands for an expression that was tested and is to be taken off the stack."""


def _is_at_hand(one: Any) -> bool:
    """Whether it makes no difference when an expression is evaluated."""
    of = one[0] if isinstance(one, _Method) else one
    return of[0] in ("argument", "constant", "global", "free")


def _is_method(instruction: dis.Instruction) -> bool:
    """Whether `LOAD_ATTR` loads a method to call it, as since Python 3.12."""
    return hasattr(dis, "hasarg") and bool((instruction.arg or 0) & 1)
