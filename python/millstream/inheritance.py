"""Threads that begin with the local properties and tags of the thread that starts them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from millstream import dataframes


def _captured(session: Any) -> Callable[[], None]:
    """Return what gives another thread the properties and tags of this one."""
    from millstream.context import SparkContext

    context = SparkContext._active_spark_context
    held = None if context is None else context._job_properties()
    session = session or dataframes.active_session()
    tags = set() if session is None else set(session.getTags())

    def give() -> None:
        if context is not None and held is not None:
            context._thread.properties, context._thread.tags = dict(held[0]), held[1]
        for tag in tags:
            session.addTag(tag)

    return give


class InheritableThread(threading.Thread):
    """A thread whose jobs have the local properties and tags of the thread that starts it."""

    __module__ = "pyspark.util"

    def __init__(self, target: Callable[..., Any], *args: Any, session: Any = None, **kwargs: Any) -> None:
        self._session = session
        self._give: Callable[[], None] | None = None

        def run(*a: Any, **k: Any) -> Any:
            assert self._give is not None
            self._give()
            return target(*a, **k)

        super().__init__(None, run, *args, **kwargs)

    def start(self) -> None:
        """Start the thread with what this one has now."""
        self._give = _captured(self._session)
        super().start()


def inheritable_thread_target(f: Any = None) -> Any:
    """Decorate the target of a thread: it gets the local properties and tags that are set now.

    With a session in place of the function, return the decorator.
    """
    if not callable(f) or hasattr(f, "addTag"):
        return functools.partial(_target, session=f)
    return _target(f, None)


def _target(function: Callable[..., Any], session: Any) -> Callable[..., Any]:
    give = _captured(session)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        give()
        return function(*args, **kwargs)

    return run
