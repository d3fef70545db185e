"""Checkpoints that tests look into: the schemas of state, and queries of sample checkpoints that Spark has made."""

import importlib.util
import json
import os
import pathlib
import struct
import sys
import types

SHARED = pathlib.Path(os.environ.get("MILLSTREAM_SHARED", pathlib.Path(__file__).parents[3] / "shared"))
GOLDEN = SHARED / "golden" / "checkpoints"


def schemas(checkpoint):
    """The fields of key and value of every store, by the directory of the store."""
    found = {}
    for path in sorted(pathlib.Path(checkpoint, "state").rglob("schema")):
        found[str(path.parents[1].relative_to(pathlib.Path(checkpoint, "state")))] = schema(path)
    return found


def schema(path):
    """Key and value of a schema file, version 2: each a list of name, type and metadata of its fields."""
    data = path.read_bytes()

    def text(at):
        (length,) = struct.unpack_from(">H", data, at)
        return data[at + 2 : at + 2 + length].decode(), at + 2 + length

    version, at = text(0)
    assert version == "v2", path
    structs = []
    for _ in range(2):
        (chunks,), at = struct.unpack_from(">i", data, at), at + 4
        whole = ""
        for _ in range(chunks):
            part, at = text(at)
            whole += part
        structs.append([plain(field) for field in json.loads(whole)["fields"]])
    assert at == len(data), path
    return structs


def plain(field):
    """A field without the flags that depend on rules of Spark's optimizer."""
    return field["name"], plain_type(field["type"]), field["metadata"]


def plain_type(of):
    """A type without its flags."""
    if isinstance(of, dict):
        return {
            key: [plain(field) for field in value] if key == "fields" else plain_type(value)
            for key, value in of.items()
            if key not in ("containsNull", "valueContainsNull")
        }
    return of


class Sample:
    """A sample checkpoint and the program that made it."""

    def __init__(self, name):
        """Load the program without running it."""
        self.name, self.dir = name, GOLDEN / name
        common = types.ModuleType("_common")
        common.main = self._main
        spec = importlib.util.spec_from_file_location(f"sample_{name}", self.dir / "program.py")
        before, path = sys.modules.get("_common"), list(sys.path)
        sys.modules["_common"] = common
        try:
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        finally:
            sys.path[:] = path
            if before is None:
                del sys.modules["_common"]
            else:
                sys.modules["_common"] = before

    def _main(self, batches, build, mode, confs=None, writer=None, after=None):
        self.batches, self.build, self.mode, self.confs = batches, build, mode, confs or {}

    @property
    def checkpoint(self):
        """Where Spark's checkpoint lies."""
        return self.dir / "checkpoint"

    def write_batch(self, base, number):
        """Write the input of a batch as Spark has read it."""
        batch = self.batches[number]
        for source, rows in (batch if isinstance(batch, dict) else {"input": batch}).items():
            if rows is None:
                continue
            path = pathlib.Path(base, source, f"b{number:04}.txt")
            path.parent.mkdir(exist_ok=True, parents=True)
            lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            # A query that runs must not see the half of it.
            temporary = path.with_name(f"_{path.name}")
            temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            os.utime(temporary, (1_700_000_000 + 10 * number,) * 2)
            temporary.rename(path)


def samples():
    """Names of the samples with a program in Python, none if they are not there."""
    return sorted(path.parent.name for path in GOLDEN.glob("*/program.py"))
