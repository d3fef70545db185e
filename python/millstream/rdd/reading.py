"""The part of ``SparkContext`` that reads files."""

from __future__ import annotations

from typing import Any, NoReturn

from millstream import errors
from millstream.jobs import lineage
from millstream.rdd.core import RDD

_HADOOP = "Hadoop's input formats and Writables need a JVM"


class Reading:
    """``textFile`` and its kin. Files are looked for when the partitions are first asked for."""

    _number: Any
    _live_for: Any
    _batchSize: int
    defaultParallelism: int
    defaultMinPartitions: int

    def textFile(self, name: str, minPartitions: int | None = None, use_unicode: bool = True) -> RDD[Any]:
        """Return the lines of a file, of the files of a directory, of a glob, or of a comma-separated list of them.

        As text, or as bytes if not ``use_unicode``. Files are cut into at least ``minPartitions`` pieces, at lines;
        .gz, .bz2 and .deflate are decompressed.
        """
        if not isinstance(name, str):
            raise errors.no_such_method("o0.textFile", [name, minPartitions])
        least = minPartitions or min(self.defaultParallelism, 2)
        return RDD(lineage.text_files(self._number(2), name, least, use_unicode), self, "utf8")

    def wholeTextFiles(self, path: str, minPartitions: int | None = None, use_unicode: bool = True) -> RDD[Any]:
        """Return a pair of name and content for each file."""
        least = minPartitions or self.defaultMinPartitions
        return RDD(lineage.whole_files(self._number(2), path, least, use_unicode), self, "pair")

    def binaryFiles(self, path: str, minPartitions: int | None = None) -> RDD[Any]:
        """Return a pair of name and bytes for each file."""
        least = max(minPartitions or self.defaultMinPartitions, self.defaultParallelism)
        return RDD(lineage.whole_files(self._number(), path, least, None), self, "pair")

    def binaryRecords(self, path: str, recordLength: int) -> RDD[bytes]:
        """Return the records of files whose records all have this many bytes."""
        if recordLength <= 0:
            message = "requirement failed: recordLength must be positive"
            raise errors.java_error("java.lang.IllegalArgumentException", message)
        return RDD(lineage.record_files(self._number(2), path, recordLength), self, "none")

    def pickleFile(self, name: str, minPartitions: int | None = None) -> RDD[Any]:
        """Return the elements that ``RDD.saveAsPickleFile`` has written, one partition per file."""
        self._live_for("sc")
        return RDD(lineage.pickle_files(self._number(2), name), self, self._batchSize)

    def sequenceFile(
        self,
        path: str,
        keyClass: str | None = None,
        valueClass: str | None = None,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        minSplits: int | None = None,
        batchSize: int = 0,
    ) -> NoReturn:
        """Refuse: Hadoop's sequence files need a JVM."""
        raise errors.unsupported("SparkContext.sequenceFile", _HADOOP)

    def newAPIHadoopFile(
        self,
        path: str,
        inputFormatClass: str,
        keyClass: str,
        valueClass: str,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        conf: dict[str, str] | None = None,
        batchSize: int = 0,
    ) -> NoReturn:
        """Refuse: Hadoop's input formats need a JVM."""
        raise errors.unsupported("SparkContext.newAPIHadoopFile", _HADOOP)

    def newAPIHadoopRDD(
        self,
        inputFormatClass: str,
        keyClass: str,
        valueClass: str,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        conf: dict[str, str] | None = None,
        batchSize: int = 0,
    ) -> NoReturn:
        """Refuse: Hadoop's input formats need a JVM."""
        raise errors.unsupported("SparkContext.newAPIHadoopRDD", _HADOOP)

    def hadoopFile(
        self,
        path: str,
        inputFormatClass: str,
        keyClass: str,
        valueClass: str,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        conf: dict[str, str] | None = None,
        batchSize: int = 0,
    ) -> NoReturn:
        """Refuse: Hadoop's input formats need a JVM."""
        raise errors.unsupported("SparkContext.hadoopFile", _HADOOP)

    def hadoopRDD(
        self,
        inputFormatClass: str,
        keyClass: str,
        valueClass: str,
        keyConverter: str | None = None,
        valueConverter: str | None = None,
        conf: dict[str, str] | None = None,
        batchSize: int = 0,
    ) -> NoReturn:
        """Refuse: Hadoop's input formats need a JVM."""
        raise errors.unsupported("SparkContext.hadoopRDD", _HADOOP)
