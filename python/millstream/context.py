"""``SparkContext``: where programs make RDDs, broadcast variables and accumulators from.

There is one at a time. It runs in the process of the program and owns an :class:`~millstream.jobs.scheduler.Engine`,
whose worker processes start with the first context that a program makes itself, or with the first job.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NoReturn

from pyspark import accumulators
from pyspark.accumulators import Accumulator, AccumulatorParam
from pyspark.conf import SparkConf
from pyspark.errors import PySparkRuntimeError
from pyspark.profiler import BasicProfiler, MemoryProfiler, UDFBasicProfiler
from pyspark.serializers import CloudPickleSerializer

from millstream import dataframes, errors, settings
from millstream.added_files import AddedFiles
from millstream.broadcast import Broadcast
from millstream.jobs import blocks, inputs, lineage
from millstream.jobs.lineage import Node, Source, grouped_blocks
from millstream.jobs.scheduler import Engine
from millstream.rdd.core import RDD
from millstream.rdd.reading import Reading
from millstream.status import StatusTracker
from millstream.thread_properties import ThreadProperties

_SERIALIZER = CloudPickleSerializer()
_PROFILES = ("spark.python.profile", "spark.python.profile.memory")


class SparkContext(Reading, AddedFiles, ThreadProperties):
    """The entry to RDDs.

    Parameters are PySpark's. ``local[N]`` as master runs N worker processes, ``local[*]`` (also any cluster's address:
    the engine is this process) one per core. ``gateway`` and ``jsc`` are refused: there is no JVM.
    """

    __module__ = "pyspark.core.context"

    _active_spark_context: ClassVar[SparkContext | None] = None
    _lock: ClassVar[threading.RLock] = threading.RLock()
    _next_accum_id: ClassVar[int] = 0
    _gateway: ClassVar[None] = None
    _jvm: ClassVar[None] = None

    PACKAGE_EXTENSIONS: Iterable[str] = (".zip", ".egg", ".jar")

    def __init__(
        self,
        master: str | None = None,
        appName: str | None = None,
        sparkHome: str | None = None,
        pyFiles: list[str] | None = None,
        environment: dict[str, Any] | None = None,
        batchSize: int = 0,
        serializer: Any = _SERIALIZER,
        conf: SparkConf | None = None,
        gateway: Any = None,
        jsc: Any = None,
        profiler_cls: Any = BasicProfiler,
        udf_profiler_cls: Any = UDFBasicProfiler,
        memory_profiler_cls: Any = MemoryProfiler,
        *,
        _eager: bool = True,
    ) -> None:
        SparkContext._assert_on_driver()
        if gateway is not None or jsc is not None:
            raise errors.unsupported("SparkContext(gateway=…, jsc=…)", "there is no JVM")
        with SparkContext._lock:
            self._claim_place()
            try:
                self._begin(master, appName, sparkHome, environment, conf)
                self._batchSize = batchSize
                self._unbatched_serializer = serializer
                for path in pyFiles or []:
                    self.addPyFile(path)
                for path in self._conf.get("spark.submit.pyFiles", "").split(","):
                    if path:
                        self.addPyFile(path)
            except BaseException:
                self.stop()
                raise
        if _eager:
            self._engine.pool.warm()

    def _claim_place(self) -> None:
        other = SparkContext._active_spark_context
        frame = settings.caller()
        self._callsite = (frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno)
        if other is not None and other is not self:
            function, file, line = other._callsite
            raise ValueError(
                f"Cannot run multiple SparkContexts at once; existing SparkContext(app={other.appName}, "
                f"master={other.master}) created by {function} at {file}:{line} "
            )
        SparkContext._active_spark_context = self

    def _begin(
        self,
        master: str | None,
        name: str | None,
        home: str | None,
        environment: dict[str, Any] | None,
        conf: SparkConf | None,
    ) -> None:
        self._conf = settings.of_program(master, name, home, environment, conf)
        self.master: str = self._conf.get("spark.master")
        self.appName: str = self._conf.get("spark.app.name")
        self.sparkHome = self._conf.get("spark.home", None)
        self.environment: dict[str, str] = {**(environment or {})}
        prefix = "spark.executorEnv."
        self.environment.update((k[len(prefix) :], v) for k, v in self._conf.getAll() if k.startswith(prefix))
        self.environment["PYTHONHASHSEED"] = os.environ.get("PYTHONHASHSEED", "0")
        if any(settings.true(self._conf.get(key, "false")) for key in _PROFILES):
            raise errors.unsupported("spark.python.profile", "functions of RDDs are not profiled")
        cores = settings.cores(self.master)
        failures = settings.most_failures(self.master)
        environment = {**self.environment, **settings.of_workers(self._conf).encoded()}
        if settings.true(self._conf.get("spark.python.worker.faulthandler.enabled", "false")):
            environment["PYTHONFAULTHANDLER"] = "1"
        directory, most_bytes = self._conf.get("spark.local.dir", None), settings.most_result_bytes(self._conf)
        reuse = settings.true(self._conf.get("spark.python.worker.reuse", "true"))
        self._engine: Engine = Engine(cores, failures, directory, environment, most_bytes, reuse)
        self._cores = cores
        self._start_time = int(time.time() * 1000)
        self._conf.set("spark.app.id", self.applicationId)
        self._conf.set("spark.app.startTime", str(self._start_time))
        self._conf.setIfMissing("spark.app.submitTime", str(self._start_time))
        self._conf.setIfMissing("spark.submit.pyFiles", "")
        self.pythonExec = os.environ.get("PYSPARK_PYTHON", sys.executable)
        self.pythonVer = f"{sys.version_info[0]}.{sys.version_info[1]}"
        self._checkpoint_directory: str | None = None
        self._checkpoints_wanted: set[int] = set()
        self._next_broadcast = 0
        self._last_rdd = -1
        self._begin_files()
        self._begin_properties()

    @property
    def _live(self) -> Engine:
        """The engine; raises what PySpark raises of a context that was stopped."""
        return self._live_for("sc")

    def _live_for(self, method: str) -> Engine:
        """Return the engine; PySpark asks the JVM's context for a method, which is None when it was stopped."""
        if self._engine is None:
            raise AttributeError(f"'NoneType' object has no attribute {method!r}")
        return self._engine

    @classmethod
    def getOrCreate(cls, conf: SparkConf | None = None) -> SparkContext:
        """Return the active context; make one from the settings if there is none."""
        with SparkContext._lock:
            if SparkContext._active_spark_context is None:
                SparkContext(conf=conf or SparkConf())
            assert SparkContext._active_spark_context is not None
            return SparkContext._active_spark_context

    @staticmethod
    def _assert_on_driver() -> None:
        from pyspark.taskcontext import TaskContext

        if TaskContext.get() is not None:
            raise PySparkRuntimeError(errorClass="CONTEXT_ONLY_VALID_ON_DRIVER", messageParameters={})

    def __getnewargs__(self) -> NoReturn:
        raise PySparkRuntimeError(errorClass="CONTEXT_ONLY_VALID_ON_DRIVER", messageParameters={})

    def __repr__(self) -> str:
        return f"<SparkContext master={self.master} appName={self.appName}>"

    def _repr_html_(self) -> str:
        rows = {"Version": f"v{self.version}", "Master": self.master, "AppName": self.appName}
        cells = "".join(f"<dt>{name}</dt><dd><code>{value}</code></dd>" for name, value in rows.items())
        return f"<div><p><b>SparkContext</b></p><dl>{cells}</dl></div>"

    def __enter__(self) -> SparkContext:
        """Return the context: ``with SparkContext(…) as sc``."""
        return self

    def __exit__(self, type: Any, value: Any, trace: Any) -> None:
        """Stop the context at the end of the statement."""
        self.stop()

    def stop(self) -> None:
        """End running jobs and the worker processes; another context may be made then."""
        engine, self._engine = getattr(self, "_engine", None), None  # type: ignore[assignment]
        if engine is not None:
            engine.stop()
            self._end_files()
            settings.SESSION_OPTIONS.clear()
        with SparkContext._lock:
            if SparkContext._active_spark_context is self:
                SparkContext._active_spark_context = None
        if engine is not None:
            dataframes.context_ends()

    # -------------------------------------------------------------------------------------------- facts

    @property
    def version(self) -> str:
        """Version of Spark whose behaviour programs find."""
        from millstream._native import SPARK_VERSION

        self._live_for("version")
        return SPARK_VERSION

    @property
    def applicationId(self) -> str:
        """Name of this run."""
        self._live_for("sc")
        return f"local-{self._start_time}"

    @property
    def startTime(self) -> int:
        """When the context was made, ms since the epoch."""
        self._live_for("startTime")
        return self._start_time

    @property
    def uiWebUrl(self) -> str | None:
        """Nothing: there is no web page."""
        self._live_for("sc")
        return None

    @property
    def defaultParallelism(self) -> int:
        """How many partitions ``parallelize`` makes: ``spark.default.parallelism``, else the number of workers."""
        return int(self._conf.get("spark.default.parallelism", self._live.cores))

    @property
    def defaultMinPartitions(self) -> int:
        """Least number of partitions of files: the default parallelism, but two at most."""
        return min(self.defaultParallelism, 2)

    @property
    def resources(self) -> dict[str, Any]:
        """Resources of this context besides cores: none."""
        self._live_for("resources")
        return {}

    def getConf(self) -> SparkConf:
        """Return a copy of the settings."""
        conf = SparkConf(loadDefaults=False)
        conf.setAll(self._conf.getAll())
        return conf

    def sparkUser(self) -> str:
        """Name of the user."""
        self._live_for("sc")
        return os.environ.get("SPARK_USER") or os.environ.get("USER") or settings.user_name()

    def setLogLevel(self, logLevel: str) -> None:
        """Log from this level on: ALL, DEBUG, ERROR, FATAL, INFO, OFF, TRACE or WARN."""
        from millstream import _native

        self._live_for("setLogLevel")
        if logLevel is None:
            raise errors.java_error(
                "java.lang.NullPointerException", 'Cannot invoke a method of "logLevel": it is null'
            )
        try:
            _native.set_log_level(logLevel)
        except ValueError:
            message = (
                f"requirement failed: Supplied level {logLevel} did not match one of: "
                "ALL,DEBUG,ERROR,WARN,INFO,OFF,FATAL,TRACE"
            )
            raise errors.java_error("java.lang.IllegalArgumentException", message, "setLogLevel") from None

    @classmethod
    def setSystemProperty(cls, key: str, value: str) -> None:
        """Set a property that contexts made later find among their settings, if it begins with ``spark.``."""
        settings.SYSTEM_PROPERTIES[key] = value

    @classmethod
    def getSystemProperty(cls, key: str) -> str | None:
        """Return a property that was set, or None."""
        return settings.SYSTEM_PROPERTIES.get(key)

    def statusTracker(self) -> StatusTracker:
        """Return what tells which jobs and stages run."""
        return StatusTracker(self._live_for("statusTracker"))

    # -------------------------------------------------------------------------------------------- making RDDs

    def _number(self, count: int = 1) -> int:
        """Return a number for an RDD that Spark's JVM makes so many RDDs for, the last of which has it."""
        self._last_rdd += count
        return self._last_rdd

    def emptyRDD(self) -> RDD[Any]:
        """Return an RDD without partitions."""
        self._live_for("emptyRDD")
        return RDD(Source(self._number(), [], "EmptyRDD"), self, "none")

    def range(self, start: int, end: int | None = None, step: int = 1, numSlices: int | None = None) -> RDD[int]:
        """Return the numbers from ``start`` to before ``end``; from 0 to before ``start`` if it stands alone."""
        if end is None:
            start, end = 0, start
        return self.parallelize(range(start, end, step), numSlices)

    def parallelize(self, c: Iterable[Any], numSlices: int | None = None) -> RDD[Any]:
        """Distribute a collection; without ``numSlices`` into :attr:`defaultParallelism` partitions."""
        slices = int(numSlices) if numSlices is not None else self.defaultParallelism
        if isinstance(c, range) and len(c) and slices > 0:
            return self._parallelize_range(c, slices)
        elements = list(c)
        batch = max(1, min(len(elements) // slices, self._batchSize or 1024))
        if slices < 1:
            raise errors.java_error("java.lang.IllegalArgumentException", "Positive number of partitions required")
        # Batches are dealt out, not elements.
        count = -(-len(elements) // batch)
        cuts = [min(i * count // slices * batch, len(elements)) for i in range(slices + 1)]
        store = self._live.store
        described = [
            ("block", [store.put(blocks.dumps_of_program(elements[cuts[i] : cuts[i + 1]]))])
            if cuts[i] < cuts[i + 1]
            else ("empty",)
            for i in range(slices)
        ]
        return RDD(Source(self._number(), described), self, batch)

    def _parallelize_range(self, c: range, slices: int) -> RDD[int]:
        def start(i: int) -> int:
            return c[0] + int(i * len(c) / slices) * c.step

        described = [("range", start(i), start(i + 1), c.step) for i in range(slices)]
        return RDD(Source(self._number(2), described, "PythonRDD"), self, self._batchSize)

    def union(self, rdds: Sequence[RDD[Any]]) -> RDD[Any]:
        """Return the elements of several RDDs, one after another."""
        first = rdds[0]
        self._live_for("union")
        if any(rdd._jrdd_deserializer != first._jrdd_deserializer for rdd in rdds):
            rdds = [rdd._reserialized(self._batchSize) for rdd in rdds]
        nodes = [rdd._node for rdd in rdds]
        return RDD(lineage.Union(self._number(), nodes), self, rdds[0]._jrdd_deserializer)

    def _from_text_blocks(self, blocks_of_lines: Sequence[Any], use_unicode: bool = True) -> RDD[str]:
        """Return the lines of blocks of bytes, each of which holds whole lines: one partition per block.

        Of very large blocks, which are cut where a block interval has much data, several make a partition.
        """
        store = self._live.store
        parts = [store.put(bytes(block)) for block in blocks_of_lines]
        described = [("lines", group, use_unicode) for group in grouped_blocks(parts, self._cores)]
        return RDD(Source(self._number(), described, "BlockRDD"), self, "utf8")

    def _load(self, directory: str | os.PathLike[str]) -> RDD[Any]:
        """Return the RDD that ``RDD._save`` has written."""
        from millstream.rdd.persistence import load

        return load(self, os.fspath(directory))

    # -------------------------------------------------------------------------------------------- variables

    def _new_broadcast_id(self) -> int:
        self._next_broadcast += 1
        return self._next_broadcast - 1

    def broadcast(self, value: Any) -> Broadcast[Any]:
        """Send a value to each worker once; functions read it as ``variable.value``."""
        self._live_for("broadcast")
        return Broadcast(self, value)

    def accumulator(self, value: Any, accum_param: AccumulatorParam[Any] | None = None) -> Accumulator[Any]:
        """Return a variable that tasks can only add to; numbers need no ``accum_param`` that says what adding is."""
        if accum_param is None:
            if isinstance(value, int):
                accum_param = accumulators.INT_ACCUMULATOR_PARAM
            elif isinstance(value, float):
                accum_param = accumulators.FLOAT_ACCUMULATOR_PARAM
            elif isinstance(value, complex):
                accum_param = accumulators.COMPLEX_ACCUMULATOR_PARAM
            else:
                raise TypeError(f"No default accumulator param for type {type(value)}")
        with SparkContext._lock:
            SparkContext._next_accum_id += 1
            return Accumulator(SparkContext._next_accum_id - 1, value, accum_param)

    # -------------------------------------------------------------------------------------------- checkpoints

    def setCheckpointDir(self, dirName: str) -> None:
        """Name the directory for checkpoints of RDDs; those of this context have one of their own in it."""
        import uuid

        self._live_for("sc")
        directory = os.path.join(inputs.local_path(dirName), str(uuid.uuid4()))
        inputs.make_directory(directory, "o0.setCheckpointDir")
        self._checkpoint_directory = directory

    def getCheckpointDir(self) -> str | None:
        """Return the directory for checkpoints, or None."""
        self._live_for("sc")
        return None if self._checkpoint_directory is None else inputs.uri(self._checkpoint_directory)

    # -------------------------------------------------------------------------------------------- jobs

    def runJob(
        self, rdd: RDD[Any], partitionFunc: Any, partitions: Sequence[int] | None = None, allowLocal: bool = False
    ) -> list[Any]:
        """Run a function on the chosen partitions (by default all); return what it gives, as one list."""
        mapped = rdd.mapPartitions(partitionFunc)
        chosen = range(rdd.getNumPartitions()) if partitions is None else list(partitions)
        try:
            return [element for part in self._run(mapped._node, chosen) for element in part]
        except errors.FAILURES as error:
            failure = errors.failure_in(error)
        raise errors.called_by(errors.RUN_JOB, failure)

    def _run(self, node: Node, partitions: Sequence[int]) -> list[list[Any]]:
        """Run a job on an RDD's node; make the checkpoints that were asked for."""
        engine = self._live
        properties, tags = self._job_properties()
        count = node.count()
        for partition in partitions:
            if not 0 <= partition < count:
                message = (
                    f"Attempting to access a non-existent partition: {partition}. Total number of partitions: {count}"
                )
                raise errors.java_error("java.lang.IllegalArgumentException", message)
        results = engine.run(node, list(partitions), properties, tags)
        if self._checkpoints_wanted:
            from millstream.rdd.persistence import make_checkpoints

            make_checkpoints(self, node)
        return results

    def show_profiles(self) -> NoReturn:
        """Fail as PySpark does where functions are not profiled: here they never are."""
        raise PySparkRuntimeError(errorClass="INCORRECT_CONF_FOR_PROFILE", messageParameters={})

    def dump_profiles(self, path: str) -> NoReturn:
        """Fail as PySpark does where functions are not profiled: here they never are."""
        raise PySparkRuntimeError(errorClass="INCORRECT_CONF_FOR_PROFILE", messageParameters={})
