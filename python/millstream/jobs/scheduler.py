"""Runs jobs: cuts the lineage into stages, sends tasks to workers, gathers what they give back.

The thread that asks for a job runs it: it sends tasks, waits for answers and hands out the next ones; several threads
may run jobs at once and share the workers. A stage's task that fails ends its job, as with Spark's local masters; the
other tasks of the job that run are ended with their workers.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import os
import pickle
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

from millstream import errors
from millstream.broadcast import Broadcast
from millstream.jobs import blocks, frames, lineage
from millstream.jobs.blocks import Store
from millstream.jobs.lineage import Node, Shuffled
from millstream.jobs.pool import Claim, Pool, Worker, poll_for
from millstream.jobs.task import Result, Task

_KNOWN_JOBS = 1000
_POLL_MS = 60_000


class Stage:
    """Progress of one stage."""

    def __init__(self, number: int, name: str, tasks: int) -> None:
        self.id, self.name, self.tasks = number, name, tasks
        self.active = self.completed = self.failed = 0
        self.running = True


class Job:
    """Progress of one job."""

    def __init__(self, number: int, properties: dict[str, str], tags: frozenset[str]) -> None:
        self.id = number
        self.properties = properties
        self.group = properties.get("spark.jobGroup.id")
        self.tags = tags
        self.status = "RUNNING"
        self.stages: list[Stage] = []
        self.cancelled: str | None = None
        self.claim = Claim()

    def cancel(self, reason: str) -> None:
        """End the job soon, for this reason."""
        if self.cancelled is None:
            self.cancelled = reason
            self.claim.wake()


class _Allowance:
    """How large the results of a job may be."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = self._tasks = 0

    def take(self, size: int) -> None:
        """Take note of a result of one task; raises if it is one too many."""
        self._bytes += size
        self._tasks += 1
        if 0 < self._most_bytes < self._bytes:
            raise errors.job_aborted(
                f"Job aborted due to stage failure: Total size of serialized results of {self._tasks} tasks "
                f"({_shown(self._bytes)}) is bigger than spark.driver.maxResultSize ({_shown(self._most_bytes)})"
            )


def _shown(size: int) -> str:
    """Return bytes as Spark shows them: at least two of the unit."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= 2 * unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.1f} B"


class Engine:
    """What runs the jobs of one context, and owns what they need: workers, blocks, ids."""

    def __init__(
        self,
        cores: int,
        failures: int,
        local_directory: str | None,
        environment: dict[str, str],
        most_result_bytes: int = 0,
        reuse_workers: bool = True,
    ) -> None:
        """Results of a job may have ``most_result_bytes`` in all, any number for 0."""
        name = f"millstream-{secrets.token_hex(8)}"
        self.directory = os.path.join(os.path.abspath(local_directory or tempfile.gettempdir()), name)
        self.files = os.path.join(self.directory, "files")
        self.store = Store(self.directory, self.make_directory)
        environment = {**environment, "MILLSTREAM_FILES": self.files}
        self.pool = Pool(cores, self.directory, environment, self.make_directory, reuse_workers)
        self.cores = cores
        self.most_failures = failures
        self._most_result_bytes = most_result_bytes
        self.forgotten_broadcasts: list[int] = []
        """Numbers of broadcast variables whose copies workers drop with their next task."""
        self.stopped = False
        self._stage_numbers = itertools.count()
        self._job_numbers = itertools.count()
        self._attempts = itertools.count()
        self._jobs: collections.deque[Job] = collections.deque(maxlen=_KNOWN_JOBS)
        self._updating = threading.Lock()

    def make_directory(self) -> None:
        """Make the directory for files, which is not there before it is needed."""
        if not self.stopped:
            os.makedirs(self.directory, 0o700, exist_ok=True)
            os.makedirs(self.files, exist_ok=True)

    # -------------------------------------------------------------------------------------------- jobs

    def run(
        self,
        node: Node,
        partitions: Sequence[int],
        properties: dict[str, str],
        tags: frozenset[str] = frozenset(),
        call: str = errors.COLLECT,
    ) -> list[list[Any]]:
        """Compute partitions of a node; return the elements of each."""
        if self.stopped:
            raise errors.illegal_state("Cannot call methods on a stopped SparkContext.")
        if not partitions:
            return []
        job = Job(next(self._job_numbers), properties, tags)
        self._jobs.append(job)
        try:
            self._run_map_sides(job, node)
            results: dict[int, list[Any]] = {}
            allowance = _Allowance(self._most_result_bytes)

            def received(partition: int, result: Result) -> None:
                allowance.take(len(result.value))
                results[partition] = pickle.loads(result.value)

            self._run_stage(job, node, partitions, None, received)
            job.status = "SUCCEEDED"
            return [results[partition] for partition in partitions]
        finally:
            if job.status == "RUNNING":
                job.status = "FAILED"
            job.claim.close()

    def _run_map_sides(self, job: Job, node: Node) -> None:
        for shuffle in lineage.shuffles_to_run(node):
            with shuffle.lock:
                missing = shuffle.missing()
                if missing:
                    self._run_stage(job, shuffle.parents[0], missing, shuffle, self._keep_output(shuffle))

    @staticmethod
    def _keep_output(shuffle: Shuffled) -> Callable[[int, Result], None]:
        def received(partition: int, result: Result) -> None:
            shuffle.outputs[partition] = result.value

        return received

    def known_jobs(self) -> list[Job]:
        """Return the last jobs."""
        return list(self._jobs)

    def cancel(self, which: Callable[[Job], bool], reason: Callable[[Job], str]) -> None:
        """End running jobs."""
        for job in self.known_jobs():
            if job.status == "RUNNING" and which(job):
                job.cancel(reason(job))

    def stop(self) -> None:
        """End running jobs and all processes, remove all blocks."""
        self.stopped = True
        self.cancel(lambda _: True, lambda job: f"Job {job.id} cancelled because SparkContext was shut down")
        self.pool.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -------------------------------------------------------------------------------------------- stages

    def _run_stage(
        self,
        job: Job,
        node: Node,
        partitions: Sequence[int],
        shuffle: Shuffled | None,
        received: Callable[[int, Result], None],
    ) -> None:
        stage = Stage(next(self._stage_numbers), shuffle.name if shuffle else node.name, len(partitions))
        job.stages.append(stage)
        narrow = {n.id: n for n in lineage.narrow(node)}
        variables = [b for n in narrow.values() for b in n.own_broadcasts()]
        if shuffle is not None:
            variables += shuffle.functions.broadcasts
        run = _StageRun(self, job, stage, node, shuffle, variables, received, narrow)
        try:
            run.run(partitions)
        finally:
            stage.running = False
            stage.active = 0

    def discard(self, workers: Sequence[Worker]) -> list[int]:
        """End workers and remove what their tasks have written; return how each ended."""
        statuses = self.pool.discard(workers)
        for worker in workers:
            blocks.remove_files_of(self.directory, worker.pid, worker.attempt)
        return statuses

    def task_number(self) -> int:
        """Return a new id for an attempt of a task."""
        return next(self._attempts)

    def add_updates(self, updates: list[tuple[int, Any]]) -> None:
        """Add what a task has added to accumulators."""
        from pyspark.accumulators import _accumulatorRegistry

        with self._updating:
            for number, update in updates:
                accumulator = _accumulatorRegistry.get(number)
                if accumulator is not None:
                    accumulator += update


class _StageRun:
    """One stage while it runs."""

    def __init__(
        self,
        engine: Engine,
        job: Job,
        stage: Stage,
        node: Node,
        shuffle: Shuffled | None,
        variables: list[Broadcast[Any]],
        received: Callable[[int, Result], None],
        narrow: dict[int, Node],
    ) -> None:
        self._engine, self._job, self._stage = engine, job, stage
        self._node, self._shuffle, self._received, self._narrow = node, shuffle, received, narrow
        self._variables = variables
        self._barrier = shuffle.map_barrier if shuffle is not None else node.barrier
        self._running: dict[int, tuple[Worker, int]] = {}
        """By descriptor: workers with a task, and its partition."""
        self._failures: collections.Counter[int] = collections.Counter()
        """By partition: how often its task has failed."""
        self._arrived: dict[int, str] = {}
        """Barrier tasks that wait for the others, by descriptor: what they have said."""

    def run(self, partitions: Sequence[int]) -> None:
        pending = collections.deque(partitions)
        if self._barrier and len(pending) > self._engine.pool.size:
            raise errors.job_aborted(
                "[SPARK-24819]: Barrier execution mode does not allow run a barrier stage that requires more slots "
                "than the total number of slots in the cluster currently. Please init a new cluster with more "
                "resources(e.g. CPU, GPU) or repartition the input RDD(s) to reduce the number of slots required to "
                "run this barrier stage."
            )
        pool, claim = self._engine.pool, self._job.claim
        try:
            while pending or self._running:
                self._check_cancelled()
                wanted = min(len(pending), pool.size - len(self._running))
                if wanted and not claim.wanted:
                    self._start_on(self._workers(wanted), pending)
                self._wait(pending)
        finally:
            pool.withdraw(claim)
            if self._running:
                self._engine.discard([worker for worker, _ in self._running.values()])
                self._running.clear()

    def _workers(self, wanted: int) -> list[Worker]:
        try:
            return self._engine.pool.take(wanted, self._job.claim)
        except RuntimeError as error:
            self._check_cancelled()
            raise errors.job_aborted(f"Python workers cannot be started: {error}") from None

    def _check_cancelled(self) -> None:
        if self._job.cancelled is not None:
            raise errors.job_aborted(self._job.cancelled)

    def _start_on(self, workers: Sequence[Worker], pending: collections.deque[int]) -> None:
        rest = list(workers)
        while rest:
            worker = rest.pop()
            if not pending:
                self._engine.pool.give_back(worker)
                continue
            try:
                self._send(worker, pending.popleft())
            except BaseException:
                self._engine.discard([worker, *rest])
                raise

    def _send(self, worker: Worker, partition: int) -> None:
        engine, shuffle = self._engine, self._shuffle
        forgotten = engine.forgotten_broadcasts
        paths = list(sys.path)
        worker.attempt = engine.task_number()
        task = Task(
            self._node.describe(partition),
            None if shuffle is None else (shuffle.functions.block, partition, shuffle.count()),
            partition,
            self._stage.id,
            worker.attempt,
            self._job.properties,
            self._blocks_of_variables(),
            forgotten[worker.forgotten :],
            None if paths == worker.paths else paths,
            self._barrier,
            self._failures[partition],
        )
        # A worker that died idle is found out by its answer.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            frames.send(worker.sock, pickle.dumps(task, pickle.HIGHEST_PROTOCOL))
        worker.forgotten, worker.paths = len(forgotten), paths
        self._running[worker.sock.fileno()] = (worker, partition)
        self._stage.active += 1

    def _blocks_of_variables(self) -> dict[int, blocks.Block]:
        found = {}
        for variable in self._variables:
            if variable._block is None:
                raise variable._destroyed()
            found[variable._id] = variable._block
        return found

    def _wait(self, pending: collections.deque[int]) -> None:
        claim = self._job.claim
        arrived = {descriptor: self._running[descriptor][0] for descriptor in self._arrived}
        asked = [worker for descriptor, (worker, _) in self._running.items() if descriptor not in arrived]
        ready = {descriptor for descriptor, _ in poll_for(asked, arrived.values(), claim).poll(_POLL_MS)}
        if claim.fileno() in ready:
            claim.clear()
            given = [claim.given.popleft() for _ in range(len(claim.given))]
            self._start_on(given, pending)
        for worker in asked:
            if (descriptor := worker.sock.fileno()) in ready:
                self._answered(descriptor, pending)
            elif worker.process in ready:
                self._ended(descriptor, pending)
        for descriptor, worker in arrived.items():
            if worker.process in ready and descriptor in self._running:
                self._ended(descriptor, pending)

    def _answered(self, descriptor: int, pending: collections.deque[int]) -> None:
        worker, partition = self._running[descriptor]
        try:
            kind, *what = pickle.loads(frames.receive(worker.sock))
        except (frames.Closed, ConnectionError):
            self._ended(descriptor, pending)
            return
        if kind == "barrier":
            self._arrived[descriptor] = what[0]
            if len(self._arrived) == self._stage.tasks:
                self._release_barrier()
            return
        del self._running[descriptor]
        self._stage.active -= 1
        if kind == "done":
            self._stage.completed += 1
            result: Result = what[0]
            self._keep(result)
            # The worker gets its next task before the driver looks at the result.
            self._next_task(worker, pending)
            self._engine.add_updates(result.updates)
            self._received(partition, result)
        else:
            self._stage.failed += 1
            self._engine.pool.give_back(worker)
            self._failed(partition, pending, self._failure(kind, *what))

    def _ended(self, descriptor: int, pending: collections.deque[int]) -> None:
        """Take note that a worker has ended in the middle of a task."""
        worker, partition = self._running.pop(descriptor)
        self._arrived.pop(descriptor, None)
        self._stage.active -= 1
        self._stage.failed += 1
        status = self._engine.discard([worker])[0]
        failures = self._failures[partition] + 1
        text = _crash(self._stage.id, partition, failures, worker, status)
        self._failed(partition, pending, errors.job_aborted(text))

    def _failed(self, partition: int, pending: collections.deque[int], error: Exception) -> None:
        """Try a task again if it may fail more often; else raise."""
        self._failures[partition] += 1
        if self._failures[partition] >= self._engine.most_failures:
            raise error from None
        pending.append(partition)

    def _next_task(self, worker: Worker, pending: collections.deque[int]) -> None:
        if pending and self._engine.pool.reuse:
            self._start_on([worker], pending)
        else:
            self._engine.pool.give_back(worker)

    def _keep(self, result: Result) -> None:
        for number, partition, kept in result.stored:
            node = self._narrow.get(number)
            if node is None or node.level is None or partition in node.kept:
                blocks.drop(kept)
            else:
                node.kept[partition] = kept

    def _release_barrier(self) -> None:
        by_partition = {self._running[descriptor][1]: said for descriptor, said in self._arrived.items()}
        answer = pickle.dumps([by_partition[partition] for partition in sorted(by_partition)])
        descriptors = list(self._arrived)
        self._arrived.clear()
        for descriptor in descriptors:
            # One that has ended since is noticed by its end.
            with contextlib.suppress(ConnectionError):
                frames.send(self._running[descriptor][0].sock, answer)

    def _failure(self, kind: str, text: str | None, trace: str | None) -> Exception:
        if kind == "zip" and self._shuffle is None and isinstance(self._node, lineage.Zipped):
            # PySpark pairs the elements where they are read, which is here.
            return ValueError(text)
        if kind == "zip batches":
            message = "Can only zip RDDs with same number of elements in each partition"
            return errors.job_aborted(message)
        if kind == "input":
            return errors.job_aborted(f"Job aborted due to stage failure: {text}")
        return errors.task_failure(trace or "")


def _crash(stage: int, partition: int, failures: int, worker: Worker, status: int) -> str:
    how = ""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            how = f" by signal {number} ({signal.Signals(number).name})"
    elif os.WIFEXITED(status):
        how = f" with exit code {os.WEXITSTATUS(status)}"
    lost = f"Lost task {partition}.{failures - 1} in stage {stage}.0 (TID {worker.attempt}) (localhost executor driver)"
    exited = f"Python worker exited unexpectedly (crashed){how}, process {worker.pid}"
    return (
        f"Job aborted due to stage failure: Task {partition} in stage {stage}.0 failed {failures} times, "
        f"most recent failure: {lost}: org.apache.spark.SparkException: {exited}"
    )
