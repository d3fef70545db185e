"""What runs: jobs and stages of a context, for ``sc.statusTracker()``."""

from __future__ import annotations

from typing import Any, NamedTuple


class SparkJobInfo(NamedTuple):
    """A job."""

    __module__ = "pyspark.core.status"

    jobId: int
    stageIds: list[int]
    status: str
    """``RUNNING``, ``SUCCEEDED`` or ``FAILED``."""


class SparkStageInfo(NamedTuple):
    """A stage."""

    __module__ = "pyspark.core.status"

    stageId: int
    currentAttemptId: int
    name: str
    numTasks: int
    numActiveTasks: int
    numCompletedTasks: int
    numFailedTasks: int


class SparkExecutorInfo(NamedTuple):
    """Where tasks run."""

    __module__ = "pyspark.core.status"

    host: str
    port: int
    cacheSize: int
    numRunningTasks: int
    usedOnHeapStorageMemory: int = 0
    usedOffHeapStorageMemory: int = 0
    totalOnHeapStorageMemory: int = 0
    totalOffHeapStorageMemory: int = 0


class StatusTracker:
    """Tells which jobs and stages run, and how far they are; knows the last thousand."""

    __module__ = "pyspark.core.status"

    def __init__(self, jtracker: Any) -> None:
        self._scheduler = jtracker

    def getJobIdsForGroup(self, jobGroup: str | None = None) -> list[int]:
        """Return the ids of the known jobs of a group; of those without a group for None."""
        return [job.id for job in self._scheduler.known_jobs() if job.group == jobGroup]

    def getActiveStageIds(self) -> list[int]:
        """Return the ids of the stages that run."""
        jobs = self._scheduler.known_jobs()
        return sorted(stage.id for job in jobs for stage in list(job.stages) if stage.running)

    def getActiveJobsIds(self) -> list[int]:
        """Return the ids of the jobs that run."""
        return sorted(job.id for job in self._scheduler.known_jobs() if job.status == "RUNNING")

    def getJobInfo(self, jobId: int) -> SparkJobInfo | None:
        """Return what is known of a job, or None."""
        for job in self._scheduler.known_jobs():
            if job.id == jobId:
                return SparkJobInfo(job.id, [stage.id for stage in list(job.stages)], job.status)
        return None

    def getStageInfo(self, stageId: int) -> SparkStageInfo | None:
        """Return what is known of a stage, or None."""
        for job in self._scheduler.known_jobs():
            for stage in list(job.stages):
                if stage.id == stageId:
                    counts = (stage.tasks, stage.active, stage.completed, stage.failed)
                    return SparkStageInfo(stage.id, 0, stage.name, *counts)
        return None

    def getExecutorInfos(self) -> list[SparkExecutorInfo]:
        """Return the one executor there is: this machine."""
        jobs = self._scheduler.known_jobs()
        running = sum(stage.active for job in jobs for stage in list(job.stages))
        return [SparkExecutorInfo("localhost", 0, 0, running)]
