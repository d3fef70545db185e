"""Actions that write files; those that need Hadoop's formats refuse."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from millstream import errors
from millstream.jobs import inputs
from millstream.jobs.blocks import named_writer
from millstream.jobs.lineage import part_name
from millstream.jobs.task import write_pickled

_HADOOP = "Hadoop's output formats and Writables need a JVM"

_SAVE = "o0.saveAsTextFile"

_CODECS = {
    "org.apache.hadoop.io.compress.GzipCodec": ".gz",
    "org.apache.hadoop.io.compress.BZip2Codec": ".bz2",
    "org.apache.hadoop.io.compress.DefaultCodec": ".deflate",
    "org.apache.hadoop.io.compress.DeflateCodec": ".deflate",
}


class Output:
    """Methods of :class:`~millstream.rdd.RDD`."""

    _piped: Any

    def saveAsTextFile(self, path: str, compressionCodecClass: str | None = None) -> None:
        """Write a line for each element: a file for each partition, below a directory that must not be there yet."""
        self._save_text(path, compressionCodecClass, False)

    def _save_text(self, path: str, compressionCodecClass: str | None, again: bool) -> None:
        """Write lines; ``again``: into a directory that may be there, as batches do that are run once more."""
        ending = ""
        if compressionCodecClass is not None:
            if not compressionCodecClass.startswith("org.apache.hadoop.io.compress."):
                raise errors.java_error("java.lang.ClassNotFoundException", compressionCodecClass)
            if compressionCodecClass not in _CODECS:
                raise errors.unsupported(f"compression by {compressionCodecClass}", "only gzip, bzip2 and deflate are")
            ending = _CODECS[compressionCodecClass]
        self._save_parts(path, lambda staging: _TextWriter(staging, ending), again)

    def saveAsPickleFile(self, path: str, batchSize: int = 10) -> None:
        """Write the elements so that ``SparkContext.pickleFile`` reads them again; in a format of Millstream's own."""
        self._save_parts(path, lambda staging: _PickleWriter(staging, batchSize))

    def _save_parts(self, path: str, writer: Callable[[str], Any], again: bool = False) -> None:
        staging = _begin_output(path, again)
        directory = os.path.dirname(os.path.dirname(staging))
        try:
            self._save_staged(writer(staging))
            _remove_parts(directory)
            for name in sorted(os.listdir(staging)):
                os.replace(os.path.join(staging, name), os.path.join(directory, name))
        finally:
            shutil.rmtree(os.path.join(directory, "_temporary"), ignore_errors=True)
        with open(os.path.join(directory, "_SUCCESS"), "wb"):
            pass

    def _save_staged(self, writer: Any) -> None:
        try:
            self._piped(("withIndex", writer)).collect()
        except errors.FAILURES as error:
            failure = errors.failure_in(error)
        else:
            return
        raise errors.java_error("org.apache.spark.SparkException", "Job aborted.", _SAVE, failure)

    def saveAsHadoopDataset(
        self, conf: dict[str, str], keyConverter: str | None = None, valueConverter: str | None = None
    ) -> NoReturn:
        """Refuse: Hadoop's output formats need a JVM."""
        raise errors.unsupported("RDD.saveAsHadoopDataset", _HADOOP)

    def saveAsNewAPIHadoopDataset(
        self, conf: dict[str, str], keyConverter: str | None = None, valueConverter: str | None = None
    ) -> NoReturn:
        """Refuse: Hadoop's output formats need a JVM."""
        raise errors.unsupported("RDD.saveAsNewAPIHadoopDataset", _HADOOP)

    def saveAsHadoopFile(
        self,
        path: str,
        outputFormatClass: str,
        keyClass: str | None = None,
        valueClass: str | None = None,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        conf: dict[str, str] | None = None,
        compressionCodecClass: str | None = None,
    ) -> NoReturn:
        """Refuse: Hadoop's output formats need a JVM."""
        raise errors.unsupported("RDD.saveAsHadoopFile", _HADOOP)

    def saveAsNewAPIHadoopFile(
        self,
        path: str,
        outputFormatClass: str,
        keyClass: str | None = None,
        valueClass: str | None = None,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        conf: dict[str, str] | None = None,
    ) -> NoReturn:
        """Refuse: Hadoop's output formats need a JVM."""
        raise errors.unsupported("RDD.saveAsNewAPIHadoopFile", _HADOOP)

    def saveAsSequenceFile(self, path: str, compressionCodecClass: str | None = None) -> NoReturn:
        """Refuse: Hadoop's sequence files need a JVM."""
        raise errors.unsupported("RDD.saveAsSequenceFile", _HADOOP)


def _begin_output(path: str, again: bool) -> str:
    """Make the directory of an output, new if not ``again``, and one for its unfinished files; return that."""
    if path is None or not path:
        message = "Output path is null" if path is None else "Can not create a Path from an empty string"
        raise errors.java_error("java.lang.IllegalArgumentException", message, _SAVE)
    directory = inputs.local_path(path)
    if os.path.exists(directory) and not again:
        message = f"Output directory {inputs.uri(directory)} already exists"
        raise errors.java_error("org.apache.hadoop.mapred.FileAlreadyExistsException", message, _SAVE)
    staging = os.path.join(directory, "_temporary", uuid.uuid4().hex)
    inputs.make_directory(staging, _SAVE)
    return staging


def _remove_parts(directory: str) -> None:
    """Remove what an earlier run of a batch has written, first what says that it is whole."""
    names = os.listdir(directory)
    for name in sorted(name for name in names if name == "_SUCCESS" or name.startswith("part-")):
        os.unlink(os.path.join(directory, name))


class _PartWriter:
    """Writes a partition to a file that appears under its name when it is whole."""

    def __init__(self, directory: str, ending: str = "") -> None:
        self._directory, self._ending = directory, ending

    def __call__(self, split: int, elements: Iterable[Any]) -> Iterable[Any]:
        path = os.path.join(self._directory, part_name(split) + self._ending)
        unfinished = f"{path}.{os.getpid()}"
        try:
            self._write(unfinished, elements)
            os.replace(unfinished, path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
        return ()

    def _write(self, path: str, elements: Iterable[Any]) -> None:
        raise NotImplementedError


class _TextWriter(_PartWriter):
    def _write(self, path: str, elements: Iterable[Any]) -> None:
        lines = map(_line, elements)
        if self._ending == ".gz":
            with named_writer(path) as named, gzip.open(named, "wb") as file:
                file.writelines(lines)
        elif self._ending == ".bz2":
            with named_writer(path) as named, bz2.open(named, "wb") as file:
                file.writelines(lines)
        elif self._ending == ".deflate":
            deflate = zlib.compressobj()
            with named_writer(path) as plain:
                plain.writelines(map(deflate.compress, lines))
                plain.write(deflate.flush())
        else:
            with named_writer(path) as plain:
                plain.writelines(lines)


def _line(element: Any) -> bytes:
    if isinstance(element, bytes):
        # As text that Java has decoded and encoded again.
        return element.decode("utf-8", "replace").encode() + b"\n"
    return str(element).encode("utf-8") + b"\n"


class _PickleWriter(_PartWriter):
    def __init__(self, directory: str, batch: int) -> None:
        super().__init__(directory)
        self._batch = batch

    def _write(self, path: str, elements: Iterable[Any]) -> None:
        write_pickled(path, elements, self._batch)
