"""Broadcast variables: a value that is sent to each worker once, however many tasks use it."""

from __future__ import annotations

import errno
import os
import pickle
import threading
import weakref
from typing import Any, BinaryIO, ClassVar, Generic, NoReturn, TypeVar

from millstream.jobs import blocks
from millstream.jobs.blocks import Block

T = TypeVar("T")


class Referenced(threading.local):
    """The broadcast variables that functions refer to that this thread serialises just now."""

    def __init__(self) -> None:
        self.variables: dict[int, Broadcast[Any]] | None = None


_referenced = Referenced()


class Broadcast(Generic[T]):
    """A read-only value that is at hand in every task.

    Made by :meth:`SparkContext.broadcast`; :attr:`value` gives it in the driver and in functions of RDDs.
    """

    __module__ = "pyspark.core.broadcast"

    _known: ClassVar[dict[int, Block]] = {}
    """In a worker: the serialised values of variables that its tasks refer to."""
    _loaded: ClassVar[dict[int, Any]] = {}
    """In a worker: values that were used."""

    def __init__(self, sc: Any = None, value: T | None = None, pickle_registry: Any = None, path: Any = None) -> None:
        """Serialise the value; only for :meth:`SparkContext.broadcast`."""
        self._sc = sc
        self._id = sc._new_broadcast_id()
        engine = sc._live
        self._block: Block | None = engine.store.put(blocks.dumps_of_broadcast(value))
        # Nobody can use it any more when this object is gone: functions that do hold it.
        weakref.finalize(self, _forget, self._id, self._block, engine.forgotten_broadcasts).atexit = False

    @classmethod
    def _in_worker(cls, number: int) -> Broadcast[T]:
        variable = cls.__new__(cls)
        variable._sc = None
        variable._id = number
        variable._block = cls._known.get(number)
        return variable

    @classmethod
    def _take(cls, known: dict[int, Block], forgotten: list[int]) -> None:
        """Prepare a worker for a task that refers to these variables."""
        for number in forgotten:
            cls._known.pop(number, None)
            cls._loaded.pop(number, None)
        cls._known.update(known)

    @property
    def value(self) -> T:
        """The value; a copy of its own in each process."""
        if self._sc is not None:
            if not hasattr(self, "_value"):
                if self._block is None:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"broadcast_{self._id}")
                self._value: T = blocks.load(self._block)
            return self._value
        if self._id not in Broadcast._loaded:
            if self._block is None:
                raise RuntimeError(f"broadcast variable {self._id} has not come with the task")
            Broadcast._loaded[self._id] = blocks.load(self._block)
        return Broadcast._loaded[self._id]  # type: ignore[no-any-return]

    def dump(self, value: T, f: BinaryIO) -> None:
        """Write a value to a file as it is sent."""
        f.write(blocks.dumps(value))
        f.close()

    def load(self, file: BinaryIO) -> T:
        """Read a value that :meth:`dump` wrote."""
        return pickle.load(file)  # type: ignore[no-any-return]

    def load_from_path(self, path: str) -> T:
        """Read a value from a file that :meth:`dump` wrote."""
        with open(path, "rb") as file:
            return self.load(file)

    def unpersist(self, blocking: bool = False) -> None:
        """Drop the copies of workers; they get the value again if they use it again."""
        self._on_driver("unpersisted")
        self._assert_not_destroyed()
        self._sc._live.forgotten_broadcasts.append(self._id)

    def destroy(self, blocking: bool = False) -> None:
        """Drop all data of the variable; tasks cannot use it any more."""
        self._on_driver("destroyed")
        if self._sc._engine is None:
            from millstream.errors import java_error

            raise java_error("java.lang.NullPointerException", "the context was stopped", f"o{self._id}.destroy")
        self._assert_not_destroyed()
        self._sc._live.forgotten_broadcasts.append(self._id)
        blocks.drop([self._block] if self._block is not None else [])
        self._block = None

    def _assert_not_destroyed(self) -> None:
        if self._block is None:
            from millstream.errors import java_error

            message = f"[INTERNAL_ERROR_BROADCAST] {self._destroyed_text()}  SQLSTATE: XX000"
            raise java_error("org.apache.spark.SparkException", message, f"o{self._id}.call")

    def _on_driver(self, operation: str) -> None:
        if self._sc is None:
            from pyspark.errors import PySparkRuntimeError

            raise PySparkRuntimeError(
                errorClass="INVALID_BROADCAST_OPERATION", messageParameters={"operation": operation}
            )

    def _destroyed(self) -> Exception:
        from millstream.errors import JavaException, java_error

        cause = JavaException("org.apache.spark.SparkException", self._destroyed_text())
        return java_error("org.apache.spark.SparkException", "Task not serializable", cause=cause)

    def _destroyed_text(self) -> str:
        destroyed = "destroyed (destroy at NativeMethodAccessorImpl.java:0)"
        return f"Attempted to use Broadcast({self._id}) after it was {destroyed}"

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        if self._sc is None:
            return _in_worker, (self._id,)
        if _referenced.variables is None:
            # Not for a task: into a checkpoint, say. The value does not come along.
            return _not_loaded, (self._id,)
        _referenced.variables[self._id] = self
        return _in_worker, (self._id,)


def _not_loaded(number: int) -> NoReturn:
    from pyspark.errors import PySparkRuntimeError

    raise PySparkRuntimeError(errorClass="BROADCAST_VARIABLE_NOT_LOADED", messageParameters={"variable": str(number)})


def _in_worker(number: int) -> Broadcast[Any]:
    # By a function: the class is not what its module says outside of a program.
    return Broadcast._in_worker(number)


def _forget(number: int, block: Block, forgotten: list[int]) -> None:
    blocks.drop([block])
    forgotten.append(number)


class collecting:
    """Collects the broadcast variables that functions refer to that are serialised inside the ``with`` statement."""

    def __enter__(self) -> dict[int, Broadcast[Any]]:
        self._outer = _referenced.variables
        _referenced.variables = {}
        return _referenced.variables

    def __exit__(self, *_: object) -> None:
        _referenced.variables = self._outer
