"""Rows for a DataFrame from the elements of an RDD: their schema, and their values as Spark's JVM would take them.

Elements are converted in the workers, where an error of theirs is a failed task as in Spark. A value that is not of the
type of its column becomes null unless the schema is verified, and anything is a text where a text is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any

from pyspark.errors import PySparkValueError
from pyspark.sql import types

from millstream import errors

_SETTINGS = {
    "prefer_timestamp_ntz": ("spark.sql.timestampType", "TIMESTAMP_NTZ"),
    "infer_dict_as_struct": ("spark.sql.pyspark.inferNestedDictAsStruct.enabled", "true"),
    "infer_array_from_first_element": ("spark.sql.pyspark.legacy.inferArrayTypeFromFirstElement.enabled", "true"),
    "infer_map_from_first_pair": ("spark.sql.pyspark.legacy.inferMapTypeFromFirstPair.enabled", "true"),
}
"""What inferring a schema depends on: for each argument the setting, and its value that says yes."""

Convert = Callable[[Any], Any]


def rows_of(
    session: Any, rdd: Any, schema: Any, ratio: float | None, verify: bool | None
) -> tuple[types.StructType, list[list[Any]]]:
    """Return a schema and the rows of each partition; runs jobs. ``schema``: a type, names, or None."""
    if isinstance(schema, types.DataType):
        prepared = rdd.map(_Prepare(schema, verify is not False))
        struct = schema if isinstance(schema, types.StructType) else types.StructType().add("value", schema)
    else:
        struct = _inferred(session, rdd, ratio, schema)
        prepared = rdd.map(_AsTuple(struct))
        if schema is not None:
            _rename(struct, list(schema))
    converted = prepared.map(_Convert(struct))
    parts = rdd.ctx._run(converted._node, range(rdd.getNumPartitions()))
    for row in (row for part in parts for row in part):
        if len(row) != len(struct):
            raise errors.java_error(
                "org.apache.spark.SparkIllegalArgumentException",
                "[STRUCT_ARRAY_LENGTH_MISMATCH] Input row doesn't have expected number of values required by the "
                f"schema. {len(struct)} fields are required while {len(row)} values are provided. SQLSTATE: 2201E",
            )
    return struct, parts


def _inferred(session: Any, rdd: Any, ratio: float | None, names: Sequence[str] | None) -> types.StructType:
    first = rdd.first()
    if isinstance(first, Sized) and len(first) == 0:
        raise PySparkValueError(errorClass="CANNOT_INFER_EMPTY_SCHEMA", messageParameters={})
    values = session._client.get_config_dict(*(key for key, _ in _SETTINGS.values()))
    how = {argument: values.get(key) == yes for argument, (key, yes) in _SETTINGS.items()}
    infer = _Infer(names, how)
    if ratio is not None:
        sampled = rdd.sample(False, float(ratio)) if ratio < 0.99 else rdd
        return sampled.map(infer).reduce(types._merge_type)  # type: ignore[no-any-return]
    schema = infer(first)
    if not types._has_nulltype(schema):
        return schema
    for row in rdd.take(100)[1:]:
        schema = types._merge_type(schema, infer(row))
        if not types._has_nulltype(schema):
            return schema
    raise PySparkValueError(errorClass="CANNOT_DETERMINE_TYPE", messageParameters={})


def _rename(struct: types.StructType, names: list[str]) -> None:
    for i, name in enumerate(names):
        struct.fields[i].name = name
        struct.names[i] = name


class _Infer:
    """Infers the schema of one element."""

    def __init__(self, names: Sequence[str] | None, how: dict[str, bool]) -> None:
        self._names = None if names is None else list(names)
        self._how = how

    def __call__(self, element: Any) -> types.StructType:
        return types._infer_schema(element, names=self._names, **self._how)


class _AsTuple:
    """Makes a tuple of an element, by an inferred schema."""

    def __init__(self, struct: types.StructType) -> None:
        self._struct = struct

    def __call__(self, element: Any) -> Any:
        if not hasattr(self, "_convert"):
            self._convert = types._create_converter(self._struct)
        return self._convert(element)

    def __reduce__(self) -> Any:
        return _AsTuple, (self._struct,)


class _Prepare:
    """Verifies an element and makes a row of it, by a schema that was given."""

    def __init__(self, schema: types.DataType, verify: bool) -> None:
        self._schema, self._verify = schema, verify

    def __call__(self, element: Any) -> Any:
        whole = isinstance(self._schema, types.StructType)
        if self._verify:
            if not hasattr(self, "_check"):
                self._check = types._make_type_verifier(self._schema, name=None if whole else "field value")
            self._check(element)
        return element if whole else (element,)

    def __reduce__(self) -> Any:
        return _Prepare, (self._schema, self._verify)


class _Convert:
    """Converts a row to values of the types of its columns, on the same way as Spark: by its internal ones."""

    def __init__(self, struct: types.StructType) -> None:
        self._struct = struct

    def __call__(self, row: Any) -> Any:
        struct = self._struct
        internal = struct.toInternal(row)
        if len(internal) != len(struct):
            return tuple(internal)
        if not hasattr(self, "_converters"):
            self._converters = [_converter(field.dataType) for field in struct.fields]
        values = tuple(convert(value) for convert, value in zip(self._converters, internal, strict=True))
        return tuple(field.dataType.fromInternal(value) for field, value in zip(struct.fields, values, strict=True))

    def __reduce__(self) -> Any:
        return _Convert, (self._struct,)


# ------------------------------------------------------------------------------------------------ values


def _converter(kind: types.DataType) -> Convert:
    """Return what makes a value of a type of an internal one; nothing where it is of another type."""
    if isinstance(kind, types.UserDefinedType):
        return _converter(kind.sqlType())
    for base, convert in _PLAIN.items():
        if isinstance(kind, base):
            return convert
    if isinstance(kind, types.IntegralType):
        return _whole_number(_BITS.get(type(kind), 64))
    if isinstance(kind, types.ArrayType):
        return _list_of(_converter(kind.elementType))
    if isinstance(kind, types.MapType):
        return _map_of(_converter(kind.keyType), _converter(kind.valueType))
    if isinstance(kind, types.StructType):
        return _struct_of([_converter(field.dataType) for field in kind.fields])
    return lambda value: value


def _only(*kinds: type) -> Convert:
    return lambda value: value if isinstance(value, kinds) and not (type(value) is bool and bool not in kinds) else None


def _text(value: Any) -> str | None:
    return None if value is None else _java_text(value)


def _java_text(value: Any) -> str:
    """Return a value as Java shows it."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(map(_java_text, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_java_text(k)}={_java_text(v)}" for k, v in value.items()) + "}"
    return str(value)


def _bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, bytes | bytearray) else None


_BITS = {types.ByteType: 8, types.ShortType: 16, types.IntegerType: 32}


def _whole_number(bits: int) -> Convert:
    half = 1 << (bits - 1)

    def convert(value: Any) -> int | None:
        if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
            return None
        return (int(value) + half) % (2 * half) - half

    return convert


def _list_of(convert: Convert) -> Convert:
    return lambda value: [convert(item) for item in value] if isinstance(value, list | tuple) else None


def _map_of(key: Convert, of: Convert) -> Convert:
    return lambda value: {key(k): of(v) for k, v in value.items()} if isinstance(value, dict) else None


def _struct_of(converters: list[Convert]) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, tuple | list):
            return None
        if len(value) != len(converters):
            return tuple(value)
        return tuple(one(item) for one, item in zip(converters, value, strict=True))

    return convert


_PLAIN: dict[type, Convert] = {
    types.StringType: _text,
    types.BinaryType: _bytes,
    types.BooleanType: _only(bool),
    types.DoubleType: _only(float),
    types.FloatType: _only(float),
    types.NullType: lambda _: None,
}
