"""The classes of ``pyspark.streaming`` have what PySpark's have, and say in the same words what is wrong."""

import ast
import importlib
import importlib.util
import inspect
import pathlib
import textwrap

import pytest

# PySpark's own source is read, not imported.
PYSPARK = pathlib.Path(importlib.util.find_spec("pyspark").origin).parent / "streaming"


def _methods(module, name):
    """Public methods of a class in PySpark's source, without overloads: parameters and their defaults as text."""
    tree = ast.parse((PYSPARK / f"{module}.py").read_text())
    [found] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    methods = {}
    for node in found.body:
        if isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_")):
            if any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list):
                continue
            arguments = node.args
            defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
            shown = [
                argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}"
                for argument, default in zip(arguments.args, defaults, strict=True)
            ]
            methods[node.name] = [*shown, *([f"*{arguments.vararg.arg}"] if arguments.vararg else [])]
    return methods


def _own(function):
    arguments = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].args
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    shown = [
        argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}"
        for argument, default in zip(arguments.args, defaults, strict=True)
    ]
    return [*shown, *([f"*{arguments.vararg.arg}"] if arguments.vararg else [])]


@pytest.mark.parametrize(
    ("module", "name"), [("context", "StreamingContext"), ("dstream", "DStream"), ("listener", "StreamingListener")]
)
def test_every_public_method_has_pysparks_parameters_and_a_docstring(module, name):
    expected = _methods(module, name)
    assert len(expected) > 5
    own = getattr(importlib.import_module(f"millstream.streaming.{module}"), name)
    for method, parameters in expected.items():
        found = inspect.getattr_static(own, method)
        function = getattr(found, "fget", None) or getattr(found, "__func__", found)
        assert _own(function) == parameters, method
        assert method == "__init__" or inspect.getdoc(function), method


def test_files_of_a_batch_are_named_by_its_milliseconds():
    from datetime import datetime

    from millstream.streaming.functions import rddToFileName

    time = datetime.fromtimestamp(1700000000.5)
    assert rddToFileName("a", None, time) == "a-1700000000500"
    assert rddToFileName("a", "txt", 1700000000000) == "a-1700000000000.txt"
