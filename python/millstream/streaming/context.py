"""``StreamingContext``: makes input streams, starts and stops a graph, and finds it again in a checkpoint."""

from __future__ import annotations

import atexit
import contextlib
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from pyspark.conf import SparkConf
from pyspark.storagelevel import StorageLevel

from millstream import _native
from millstream.context import SparkContext
from millstream.errors import no_such_method
from millstream.rdd import RDD
from millstream.streaming import events, serializer
from millstream.streaming.datasets import Datasets
from millstream.streaming.dstream import DStream
from millstream.streaming.failures import SPARK_EXCEPTION, StreamFailure, failure_of, raised_by
from millstream.streaming.functions import BatchFunction, calling_line, duration_ms
from millstream.streaming.listener import StreamingListener
from millstream.streaming.program import Program, Restored, read_description

__all__ = ["StreamingContext"]

_ILLEGAL_ARGUMENT = "java.lang.IllegalArgumentException"


class StreamingContext:
    """A streaming program: its input streams, the interval of its batches, and whether it runs.

    Input streams are made here and transformed as DStreams; :meth:`start` begins the batches and
    :meth:`awaitTermination` waits until :meth:`stop` or an error.

    Parameters
    ----------
    sparkContext : SparkContext
        Where the batches are computed.
    batchDuration : int or float
        Seconds of one batch.
    """

    __module__ = "pyspark.streaming.context"

    # The context that was started last, until it is stopped.
    _activeContext: ClassVar[StreamingContext | None] = None
    _startSite: ClassVar[str] = ""

    def __init__(self, sparkContext: SparkContext, batchDuration: int | None = None, jssc: Any = None) -> None:
        warnings.warn(
            "DStream is deprecated as of Spark 3.4.0. Migrate to Structured Streaming.", FutureWarning, stacklevel=2
        )
        self._sc = sparkContext
        self._jvm = sparkContext._jvm
        self._checkpoint_directory: str | None = None
        if jssc is not None:
            self._graph, self._batch_ms, self._checkpoint_directory = jssc
        else:
            assert batchDuration is not None
            self._batch_ms = duration_ms(batchDuration)
            self._graph = _native.StreamingGraph(
                Datasets(sparkContext), self._batch_ms, dict(sparkContext.getConf().getAll())
            )
        self._program = Program(self._graph)
        directory = sparkContext.getConf().get("spark.streaming.checkpoint.directory")
        if jssc is None and directory is not None:
            self.checkpoint(directory)

    @classmethod
    def getOrCreate(cls, checkpointPath: str, setupFunc: Callable[[], StreamingContext]) -> StreamingContext:
        """Go on from a checkpoint, or begin anew where there is none.

        Parameters
        ----------
        checkpointPath : str
            Checkpoint directory of an earlier run of the program. Its context is brought back with graph, functions,
            windows, state and the batches that were not finished.
        setupFunc : function
            Makes the context if there is nothing in the directory; the directory is then set as its checkpoint.
        """
        if checkpointPath is not None and not isinstance(checkpointPath, str):
            raise no_such_method("o0.tryRecoverFromCheckpoint", [checkpointPath])
        with raised_by("tryRecoverFromCheckpoint"):
            if checkpointPath is None:
                raise StreamFailure(_ILLEGAL_ARGUMENT, "Can not create a Path from a null string")
            checkpoint, restored = _read_checkpoint(checkpointPath)
        if checkpoint is None or restored is None:
            ssc = setupFunc()
            ssc.checkpoint(checkpointPath)
            return ssc
        with raised_by("None.org.apache.spark.streaming.api.java.JavaStreamingContext"):
            return cls._from_checkpoint(checkpointPath, checkpoint, restored)

    @classmethod
    def _from_checkpoint(
        cls, directory: str, checkpoint: _native.StreamingCheckpoint, restored: Restored
    ) -> StreamingContext:
        sc = SparkContext._active_spark_context
        if sc is None:
            sc = SparkContext(conf=SparkConf().setAll(restored.conf))
        graph = checkpoint.restore(Datasets(sc), dict(sc.getConf().getAll()))
        ssc = StreamingContext(sc, None, (graph, restored.batch_ms, directory))
        sc.setCheckpointDir(directory)
        try:
            ssc._program.replay(restored.calls)
            return ssc
        except Exception as error:
            failure = _unreadable(directory, error)
        raise failure

    @classmethod
    def getActive(cls) -> StreamingContext | None:
        """Return the context that is started and not stopped, or None."""
        active = StreamingContext._activeContext
        if active is not None and active._graph.state_name != "active":
            StreamingContext._activeContext = active = None
        return active

    @classmethod
    def getActiveOrCreate(
        cls, checkpointPath: str | None, setupFunc: Callable[[], StreamingContext]
    ) -> StreamingContext:
        """Return the context that runs; else go on from a checkpoint; else make one.

        Parameters
        ----------
        checkpointPath : str or None
            Checkpoint directory of an earlier run; None for never going on from one.
        setupFunc : function
            Makes the context if none runs and there is no checkpoint.
        """
        if not callable(setupFunc):
            raise TypeError("setupFunc should be callable.")
        active = cls.getActive()
        if active is not None:
            return active
        if checkpointPath is not None:
            return cls.getOrCreate(checkpointPath, setupFunc)
        return setupFunc()

    @property
    def sparkContext(self) -> SparkContext:
        """The SparkContext that computes the batches."""
        return self._sc

    def start(self) -> None:
        """Begin with the batches; the first is the next multiple of the interval."""
        with raised_by("start"):
            if self._graph.state_name == "initialized":
                self._assert_no_other_is_active()
                # As in Spark states need no checkpoints if the SparkContext knows a directory for those of RDDs.
                if self._checkpoint_directory is None and self._sc._checkpoint_directory is not None:
                    self._graph.save_datasets_to(self._sc._checkpoint_directory)
                self._sc._begin_stream()
                try:
                    self._graph.validate()
                    if self._checkpoint_directory is not None:
                        self._graph.set_program(self._described())
                except StreamFailure:
                    # As in Spark: a context that cannot be started is done with.
                    self._graph.stop(False)
                    raise
            # Before anything can be received: whatever ends the program from then on finds that it has streams.
            atexit.register(self._stop_at_exit)
            if self._stops_gracefully_on_shutdown():
                _exit_when_terminated()
            try:
                self._graph.start()
            except Exception:
                atexit.unregister(self._stop_at_exit)
                raise
        StreamingContext._activeContext = self

    def _assert_no_other_is_active(self) -> None:
        if StreamingContext.getActive() is not None:
            raise StreamFailure(
                "java.lang.IllegalStateException",
                "Only one StreamingContext may be started in this JVM. Currently running StreamingContext was started "
                f"at {StreamingContext._startSite}",
            )
        StreamingContext._startSite = calling_line()

    def _described(self) -> bytes:
        try:
            return self._program.describe(self._batch_ms, list(self._sc.getConf().getAll()))
        except Exception as error:
            failure = failure_of(error)
        raise StreamFailure("java.io.IOException", str(failure))

    def _stops_gracefully_on_shutdown(self) -> bool:
        text = self._sc.getConf().get("spark.streaming.stopGracefullyOnShutdown", "false")
        return text.strip().lower() == "true"

    def _stop_at_exit(self) -> None:
        with contextlib.suppress(Exception):
            self._stop_graph(self._stops_gracefully_on_shutdown())

    def _stop_graph(self, gracefully: bool) -> None:
        if threading.current_thread() is not threading.main_thread():
            self._graph.stop(gracefully)
            return
        failures: list[BaseException] = []

        def stop() -> None:
            try:
                self._graph.stop(gracefully)
            except BaseException as error:
                failures.append(error)

        # On a thread of its own, so that Ctrl-C ends the wait for batches that take long.
        thread = threading.Thread(target=stop, name="stop-streaming", daemon=True)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    def awaitTermination(self, timeout: int | None = None) -> None:
        """Wait until the context is stopped; an error of a batch is raised.

        Parameters
        ----------
        timeout : int or float, optional
            Seconds to wait at most.
        """
        if timeout is None:
            with raised_by("awaitTermination"):
                self._graph.await_termination(None)
        else:
            self.awaitTerminationOrTimeout(timeout)

    def awaitTerminationOrTimeout(self, timeout: int) -> bool:
        """Wait so long; return whether the context has stopped. An error of a batch is raised.

        Parameters
        ----------
        timeout : int or float
            Seconds to wait at most.
        """
        with raised_by("awaitTerminationOrTimeout"):
            return self._graph.await_termination(duration_ms(timeout))

    def stop(self, stopSparkContext: bool = True, stopGraceFully: bool = False) -> None:
        """End the batches.

        Parameters
        ----------
        stopSparkContext : bool, optional
            Whether the SparkContext ends, too.
        stopGraceFully : bool, optional
            Whether all that was received is processed first.
        """
        with raised_by("stop"):
            self._stop_graph(bool(stopGraceFully))
        StreamingContext._activeContext = None
        atexit.unregister(self._stop_at_exit)
        if stopSparkContext:
            self._sc.stop()

    def remember(self, duration: int) -> None:
        """Keep the RDDs of all streams at least so long, for use outside of the batches.

        Parameters
        ----------
        duration : int or float
            Seconds.
        """
        with raised_by("remember"):
            self._program.call("remember", duration_ms(duration))

    def checkpoint(self, directory: str) -> None:
        """Write checkpoints of graph, state and progress after each batch.

        Parameters
        ----------
        directory : str
            Where they are written; made if it is not there.
        """
        if directory is not None and not isinstance(directory, str):
            raise no_such_method("o0.checkpoint", [directory])
        with raised_by("checkpoint"):
            if directory is not None:
                if directory == "":
                    raise StreamFailure(_ILLEGAL_ARGUMENT, "Can not create a Path from an empty string")
                self._sc.setCheckpointDir(directory)
            self._graph.checkpoint(directory)
        self._checkpoint_directory = directory

    def socketTextStream(
        self, hostname: str, port: int, storageLevel: StorageLevel = StorageLevel.MEMORY_AND_DISK_2
    ) -> DStream[str]:
        r"""Make a stream of the lines that a TCP server sends, in UTF-8 and divided by ``\n``.

        Parameters
        ----------
        hostname : str
            Host of the server.
        port : int
            Port of the server.
        storageLevel : StorageLevel, optional
            How the lines are kept until their batch is computed.
        """
        level_of(storageLevel)
        with raised_by("socketTextStream"):
            node = self._program.call("socket_text", hostname, port)
        return DStream(node, self, serializer.UTF8)

    def textFileStream(self, directory: str) -> DStream[str]:
        """Make a stream of the lines of new files in a directory.

        Files are read once, and only if they are newer than the stream; they have to appear whole, by renaming. Names
        that begin with a dot are left out.
        """
        with raised_by("textFileStream"):
            node = self._program.call("text_files", directory)
        return DStream(node, self, serializer.UTF8)

    def binaryRecordsStream(self, directory: str, recordLength: int) -> DStream[bytes]:
        """Make a stream of the records of new files in a directory; files are found as by :meth:`textFileStream`.

        Parameters
        ----------
        directory : str
            Where files appear.
        recordLength : int
            Bytes of each record.
        """
        with raised_by("binaryRecordsStream"):
            node = self._program.call("record_files", directory, recordLength)
        return DStream(node, self, serializer.BYTES)

    def queueStream(self, rdds: list[Any], oneAtATime: bool = True, default: Any = None) -> DStream[Any]:
        """Make a stream from RDDs or lists.

        Parameters
        ----------
        rdds : list
            RDDs, or lists of elements.
        oneAtATime : bool, optional
            Whether each batch takes one of them, or the first batch all.
        default : RDD or list, optional
            What batches give when no more are left; else these are empty.

        Notes
        -----
        Later changes of the list are not seen.
        """
        if default and not isinstance(default, RDD):
            default = self._sc.parallelize(default)
        if not rdds and default:
            rdds = [rdds]
        if rdds and not isinstance(rdds[0], RDD):
            rdds = [self._sc.parallelize(part) for part in rdds]
        queue = list(rdds)
        # As in PySpark, a queue that never had anything is an IndexError.
        queue[0]
        # A queue that is used up gives one partition without elements: its count is 0, not nothing.
        empty = default if default else self._sc.parallelize([], 1)
        with raised_by("queueStream"):
            node = self._program.call("queue", queue, bool(oneAtATime), empty)
        return DStream(node, self, serializer.of_queue(queue))

    def transform(self, dstreams: list[DStream[Any]], transformFunc: Callable[..., RDD[Any]]) -> DStream[Any]:
        """Make a stream of what a function gives for the RDDs of several streams.

        The function is called once a batch with a list of RDDs, in the order of the streams.
        """
        function = BatchFunction(lambda _time, *rdds: transformFunc(rdds))
        with raised_by("transform"):
            if dstreams is not None and not dstreams:
                raise StreamFailure("java.util.NoSuchElementException", "head of empty list")
            node = self._program.call("transformed_all", [stream._node for stream in dstreams], function)
        return DStream(node, self, serializer.PICKLED)

    def union(self, *dstreams: DStream[Any]) -> DStream[Any]:
        """Make one stream with the elements of several, which have the same slide."""
        if not dstreams:
            raise ValueError("should have at least one DStream to union")
        if len(dstreams) == 1:
            return dstreams[0]
        if not serializer.are_same(stream._jrdd_deserializer for stream in dstreams):
            raise ValueError("All DStreams should have same serializer")
        if len({stream._slideDuration for stream in dstreams}) > 1:
            raise ValueError("All DStreams should have same slide duration")
        with raised_by("union"):
            node = self._program.call("union", [stream._node for stream in dstreams])
        return DStream(node, self, dstreams[0]._jrdd_deserializer)

    def addStreamingListener(self, streamingListener: StreamingListener) -> None:
        """Tell a listener of all events of this context from now on."""
        if not isinstance(streamingListener, StreamingListener):
            wrapper = "None.org.apache.spark.streaming.api.java.PythonStreamingListenerWrapper"
            raise no_such_method(wrapper, [streamingListener])
        self._graph.add_listener(lambda method, facts: events.deliver(streamingListener, method, facts))


def _exit_when_terminated() -> None:
    """End by SIGTERM as by ``sys.exit``, which stops the streams, unless the program has a handler of its own."""
    on_main = threading.current_thread() is threading.main_thread()
    if on_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def end_streams(seconds: float) -> bool:
    """Stop the context that runs, as the program ends; return whether nothing of it calls Python any more.

    A function that does not come back within this time cannot be ended, and the interpreter must not end before it.
    """
    active = StreamingContext.getActive()
    if active is not None:
        active._stop_at_exit()
    deadline = time.monotonic() + seconds
    while _native.streaming_calls() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _native.streaming_calls()


def _read_checkpoint(directory: str) -> tuple[_native.StreamingCheckpoint | None, Restored | None]:
    """Read the newest checkpoint, if there is one, and the program in it."""
    try:
        checkpoint = _native.read_streaming_checkpoint(directory)
        return checkpoint, checkpoint and read_description(checkpoint.program)
    except Exception as error:
        failure = _unreadable(directory, error)
    raise failure


def _unreadable(directory: str, error: Exception) -> StreamFailure:
    return StreamFailure(SPARK_EXCEPTION, f"Failed to read checkpoint from directory {directory}", failure_of(error))


def level_of(storage: StorageLevel) -> tuple[bool, bool, bool, bool, int]:
    """Return a storage level as plain values."""
    if not isinstance(storage, StorageLevel):
        raise TypeError("storageLevel must be of type pyspark.StorageLevel")
    return (storage.useDisk, storage.useMemory, storage.useOffHeap, storage.deserialized, storage.replication)
