"""The part of ``SparkContext`` that brings files and modules to functions of the program."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from typing import Any

from millstream import dataframes, errors
from millstream.files import SparkFiles
from millstream.jobs import inputs


class AddedFiles:
    """``addFile``, ``addPyFile``, ``addArchive`` and their lists."""

    PACKAGE_EXTENSIONS: Any
    _engine: Any
    _live: Any
    _live_for: Any

    def _begin_files(self) -> None:
        self._files_directory: str = self._engine.files
        SparkFiles._root_directory = self._files_directory
        self._added: list[str] = []
        self._archives: list[str] = []
        self._added_for_sessions: list[tuple[str, str]] = []
        self._python_includes: list[str] = []
        self._own_paths = [self._files_directory]
        sys.path.insert(1, self._files_directory)

    def _end_files(self) -> None:
        for path in self._own_paths:
            if path in sys.path:
                sys.path.remove(path)

    def addFile(self, path: str, recursive: bool = False) -> None:
        """Make a file (with ``recursive`` a directory) available to functions by ``SparkFiles.get(name)``."""
        self._add(path, recursive, False)

    def _add(self, path: str, recursive: bool, python: bool) -> None:
        local = inputs.local_path(path)
        self._live.make_directory()
        target = os.path.join(self._engine.files, os.path.basename(local))
        if not os.path.exists(local):
            raise errors.java_error("java.io.FileNotFoundException", f"File {inputs.uri(local)} does not exist")
        if os.path.isdir(local):
            if not recursive:
                message = (
                    f"[UNSUPPORTED_ADD_FILE.DIRECTORY] Don't support add file. The file {inputs.uri(local)}/ is a "
                    'directory, consider to set "spark.sql.legacy.addSingleFileInAddFile" to "false". SQLSTATE: 0A000'
                )
                raise errors.job_aborted(message, "o0.addFile")
            shutil.copytree(local, target, dirs_exist_ok=True)
        elif os.path.abspath(local) != target:
            shutil.copy2(local, target)
        if inputs.uri(local) not in self._added:
            self._added.append(inputs.uri(local))
            self._tell_session(local, "pyfile" if python else "file")

    def _tell_session(self, path: str, kind: str) -> None:
        """Bring a file to the functions of DataFrames, too."""
        self._added_for_sessions.append((path, kind))
        session = dataframes.active_session()
        if session is not None and not os.path.isdir(path):
            session.addArtifacts(path, **{kind: True})

    def addPyFile(self, path: str) -> None:
        """Make a Python file or a package in a zip importable for functions of the program."""
        self._add(path, False, True)
        name = os.path.basename(path)
        if name[-4:].lower() in self.PACKAGE_EXTENSIONS:
            self._python_includes.append(name)
            package = os.path.join(self._engine.files, name)
            self._own_paths.append(package)
            sys.path.insert(1, package)
        importlib.invalidate_caches()

    def addArchive(self, path: str) -> None:
        """Make the contents of an archive available below ``SparkFiles.get(name)``; ``path#name`` renames it."""
        path, _, name = path.partition("#")
        local = inputs.local_path(path)
        self._live.make_directory()
        target = os.path.join(self._engine.files, name or os.path.basename(local))
        shutil.unpack_archive(local, target)
        self._archives.append(inputs.uri(local) + (f"#{name}" if name else ""))

    @property
    def listFiles(self) -> list[str]:
        """The files that were added."""
        self._live_for("sc")
        return list(self._added)

    @property
    def listArchives(self) -> list[str]:
        """The archives that were added."""
        self._live_for("sc")
        return list(self._archives)
