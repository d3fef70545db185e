"""The part of ``SparkContext`` that is about the thread which runs a job: properties, groups, tags, cancelling."""

from __future__ import annotations

import threading
from typing import Any

from millstream import dataframes, errors

GROUP = "spark.jobGroup.id"
DESCRIPTION = "spark.job.description"
INTERRUPT = "spark.job.interruptOnCancel"


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.properties: dict[str, str] = {}
        self.tags: frozenset[str] = frozenset()


class ThreadProperties:
    """``setLocalProperty``, ``setJobGroup``, job tags and what cancels jobs by them."""

    _engine: Any
    _live: Any
    _live_for: Any

    def _begin_properties(self) -> None:
        self._thread = _OfThread()
        self._of_batches: dict[str, str] = {}
        """Properties that jobs of streams have: those of the thread that has started the stream."""

    def _begin_stream(self) -> None:
        """Take the properties of this thread for the batches of a stream; a job group is left out."""
        kept = {k: v for k, v in self._thread.properties.items() if k not in (GROUP, DESCRIPTION)}
        self._of_batches = {**kept, INTERRUPT: "false"} if kept else {}

    def _begin_batch(self) -> None:
        """Give this thread, which runs a batch, the properties of its stream."""
        self._thread.properties = dict(self._of_batches)

    def _job_properties(self) -> tuple[dict[str, str], frozenset[str]]:
        return dict(self._thread.properties), self._thread.tags

    def _on_live_context(self, method: str = "sc") -> _OfThread:
        self._live_for(method)
        return self._thread

    def setLocalProperty(self, key: str, value: str | None) -> None:
        """Set a property of the jobs that this thread runs from now on; None takes it away."""
        properties = self._on_live_context("setLocalProperty").properties
        if value is None:
            properties.pop(key, None)
        else:
            properties[key] = str(value)

    def getLocalProperty(self, key: str) -> str | None:
        """Return a property of this thread, or None."""
        return self._on_live_context("getLocalProperty").properties.get(key)

    def setJobGroup(self, groupId: str, description: str, interruptOnCancel: bool = False) -> None:
        """Put the jobs that this thread runs from now on into a group."""
        self._on_live_context("setJobGroup")
        self.setLocalProperty(GROUP, groupId)
        self.setLocalProperty(DESCRIPTION, description)
        self.setLocalProperty(INTERRUPT, str(interruptOnCancel).lower())

    def setJobDescription(self, value: str) -> None:
        """Describe the jobs that this thread runs from now on."""
        self.setLocalProperty(DESCRIPTION, value)

    def setInterruptOnCancel(self, interruptOnCancel: bool) -> None:
        """Say whether cancelling interrupts tasks; their processes are ended in any case."""
        self.setLocalProperty(INTERRUPT, str(interruptOnCancel).lower())

    def addJobTag(self, tag: str) -> None:
        """Tag the jobs that this thread runs from now on."""
        thread = self._on_live_context()
        thread.tags = thread.tags | {_checked(tag)}
        self._for_session("addTag", tag)

    def removeJobTag(self, tag: str) -> None:
        """Take a tag away from this thread."""
        thread = self._on_live_context()
        thread.tags = thread.tags - {_checked(tag)}
        self._for_session("removeTag", tag)

    def getJobTags(self) -> set[str]:
        """Return the tags of this thread."""
        return set(self._on_live_context().tags)

    def clearJobTags(self) -> None:
        """Take all tags away from this thread."""
        self._on_live_context().tags = frozenset()
        self._for_session("clearTags")

    def cancelJobGroup(self, groupId: str) -> None:
        """End the running jobs of a group."""
        self._live.cancel(
            lambda job: job.group == groupId,
            lambda job: f"[SPARK_JOB_CANCELLED] Job {job.id} cancelled part of cancelled job group {groupId}",
        )

    def cancelJobsWithTag(self, tag: str) -> None:
        """End the running jobs that have a tag."""
        _checked(tag)
        self._live.cancel(
            lambda job: tag in job.tags,
            lambda job: f"[SPARK_JOB_CANCELLED] Job {job.id} cancelled part of cancelled job tags {tag}",
        )
        self._for_session("interruptTag", tag)

    def cancelAllJobs(self) -> None:
        """End all running jobs."""
        self._live.cancel(
            lambda _: True,
            lambda job: f"[SPARK_JOB_CANCELLED] Job {job.id} cancelled as part of cancellation of all jobs",
        )
        self._for_session("interruptAll")

    @staticmethod
    def _for_session(method: str, *arguments: str) -> None:
        """Do the same for what runs in the session of the program."""
        session = dataframes.active_session()
        if session is not None:
            getattr(session, method)(*arguments)


def _checked(tag: str) -> str:
    problem = None
    if tag is None:
        problem = "Spark job tag cannot be null."
    elif "," in tag:
        problem = "Spark job tag cannot contain ','."
    elif not tag:
        problem = "Spark job tag cannot be an empty string."
    if problem is not None:
        raise errors.java_error("java.lang.IllegalArgumentException", problem)
    return tag
