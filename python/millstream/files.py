"""Files that a program adds to its context (``sc.addFile``) and finds again in its functions."""

from __future__ import annotations

import os
from typing import ClassVar


class SparkFiles:
    """Resolves the names of files that were added by :meth:`SparkContext.addFile`; has class methods only."""

    __module__ = "pyspark.core.files"

    _root_directory: ClassVar[str | None] = None

    def __init__(self) -> None:
        raise NotImplementedError("Do not construct SparkFiles objects")

    @classmethod
    def get(cls, filename: str) -> str:
        """Return the absolute path of a file that was added."""
        return os.path.abspath(os.path.join(cls.getRootDirectory(), filename))

    @classmethod
    def getRootDirectory(cls) -> str:
        """Return the directory that holds the files that were added."""
        # Workers inherit the variable.
        root = cls._root_directory or os.environ.get("MILLSTREAM_FILES")
        if root is None:
            raise RuntimeError("SparkFiles needs an active SparkContext")
        return root
