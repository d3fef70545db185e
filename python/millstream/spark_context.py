"""What ``spark.sparkContext`` is to Structured Streaming programs: a few facts, and the level of the log."""

from __future__ import annotations

import os
import time
from typing import Any, NoReturn

from pyspark.conf import SparkConf

from millstream import _native
from millstream.hooks import NO_DSTREAMS

_START_MS = int(time.time() * 1000)


class SparkContextView:
    """The part of ``SparkContext`` that needs no RDDs."""

    PACKAGE_EXTENSIONS = (".zip", ".egg", ".jar")

    def __init__(self, session: Any) -> None:
        self._session = session

    @property
    def version(self) -> str:
        """Version of Spark."""
        return self._session.version

    @property
    def appName(self) -> str:
        """Name of the program."""
        return self._session.conf.get("spark.app.name", "millstream")

    @property
    def applicationId(self) -> str:
        """Id of this run of the program."""
        return f"local-{_START_MS}"

    @property
    def master(self) -> str:
        """Where the program runs: always here."""
        return "local[*]"

    @property
    def defaultParallelism(self) -> int:
        """How many partitions are computed at once."""
        return os.cpu_count() or 1

    @property
    def startTime(self) -> int:
        """When the program began, ms since the epoch."""
        return _START_MS

    @property
    def uiWebUrl(self) -> None:
        """Nothing: there is no web page."""
        return None

    @property
    def pythonVer(self) -> str:
        """Version of Python, major and minor."""
        import platform

        return ".".join(platform.python_version_tuple()[:2])

    def sparkUser(self) -> str:
        """Name of the user."""
        return os.environ.get("SPARK_USER") or os.environ.get("USER") or ""

    def setLogLevel(self, logLevel: str) -> None:
        """Log from this level on: ALL, DEBUG, ERROR, FATAL, INFO, OFF, TRACE or WARN."""
        _native.set_log_level(logLevel)

    def getConf(self) -> SparkConf:
        """Return the settings of the session."""
        conf = SparkConf(loadDefaults=False)
        conf.setMaster(self.master).setAppName(self.appName)
        for key, value in self._session.conf.getAll.items():
            conf.set(key, value)
        return conf

    def addPyFile(self, path: str) -> None:
        """Make a Python file or package importable where functions of the program run."""
        self._session.addArtifacts(path, pyfile=True)

    def addFile(self, path: str, recursive: bool = False) -> None:
        """Send a file to where functions of the program run."""
        self._session.addArtifacts(path, file=True)

    def addJobTag(self, tag: str) -> None:
        """Tag what this thread runs from now on."""
        self._session.addTag(tag)

    def removeJobTag(self, tag: str) -> None:
        """Take a tag away."""
        self._session.removeTag(tag)

    def cancelJobsWithTag(self, tag: str) -> None:
        """Interrupt what runs under a tag."""
        self._session.interruptTag(tag)

    def cancelAllJobs(self) -> None:
        """Interrupt everything that runs."""
        self._session.interruptAll()

    def setJobDescription(self, value: str) -> None:
        """Describe the following jobs; shown nowhere."""

    def setCheckpointDir(self, dirName: str) -> None:
        """Name a directory for checkpoints of RDDs, of which there are none."""

    def stop(self) -> None:
        """End the session and its queries."""
        self._session.stop()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(NO_DSTREAMS.format(name=f"SparkContext.{name}"))
