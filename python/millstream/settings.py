"""The settings of a context: where they come from, and what a master means."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from types import FrameType
from typing import Any

from pyspark.conf import SparkConf

from millstream import errors
from millstream.jobs.options import Options

SYSTEM_PROPERTIES: dict[str, str] = {}
"""What ``SparkContext.setSystemProperty`` has set."""

SESSION_OPTIONS: dict[str, Any] = {}
"""Options that the program has given the builder of its session; a context made later has them, too."""

_LOCAL = r"local\[\s*(\*|[0-9]+)\s*(?:,\s*([0-9]+)\s*)?\]"
_CLUSTERS = r"(spark|mesos|k8s|sc)://|yarn$|local-cluster\["


def true(text: str) -> bool:
    """Whether a setting says yes."""
    return text.strip().lower() == "true"


def caller() -> FrameType:
    """Return the nearest frame that is not of this package."""
    frame = sys._getframe(1)
    here = os.path.dirname(os.path.abspath(__file__)) + os.sep
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return frame


def user_name() -> str:
    """Return the name of the user, by the password database."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def submitted() -> dict[str, str]:
    """Return the settings of the environment variable ``PYSPARK_SUBMIT_ARGS``."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--master")
    parser.add_argument("--name")
    parser.add_argument("--conf", action="append", default=[])
    parser.add_argument("--py-files")
    try:
        words = shlex.split(os.environ.get("PYSPARK_SUBMIT_ARGS", ""))
        found, _ = parser.parse_known_args(words)
    except (ValueError, SystemExit):
        return {}
    values = dict(pair.split("=", 1) for pair in found.conf if "=" in pair)
    named = {"spark.master": found.master, "spark.app.name": found.name, "spark.submit.pyFiles": found.py_files}
    values.update((key, value) for key, value in named.items() if value)
    return values


def of_program(
    master: str | None,
    name: str | None,
    home: str | None,
    environment: dict[str, Any] | None,
    conf: SparkConf | None,
) -> SparkConf:
    """Return the settings of a context: arguments before ``conf`` before properties before defaults."""
    settled = SparkConf(loadDefaults=False)
    for key, value in [*submitted().items(), *SYSTEM_PROPERTIES.items(), *SESSION_OPTIONS.items()]:
        if key.startswith("spark.") and key != "spark.remote":
            settled.set(key, value)
    for key, value in conf.getAll() if conf is not None else []:
        settled.set(key, value)
    given = {"spark.master": master, "spark.app.name": name, "spark.home": home}
    for key, argument in given.items():
        if argument:
            settled.set(key, argument)
    for key, value in (environment or {}).items():
        settled.setExecutorEnv(key, value)
    # As spark-submit has it.
    settled.setIfMissing("spark.master", "local[*]")
    settled.setIfMissing("spark.app.name", os.path.basename(sys.argv[0]) or "millstream")
    settled.setIfMissing("spark.submit.deployMode", "client")
    settled.setIfMissing("spark.driver.host", "localhost")
    settled.setIfMissing("spark.executor.id", "driver")
    settled.setIfMissing("spark.rdd.compress", "True")
    settled.setIfMissing("spark.serializer.objectStreamReset", "100")
    return settled


def most_failures(master: str) -> int:
    """Return how often a task may fail: once, unless the master is ``local[N,F]``."""
    match = re.fullmatch(_LOCAL, master)
    return max(1, int(match[2])) if match is not None and match[2] else 1


_UNITS = {"": 0, "b": 0, "k": 10, "kb": 10, "m": 20, "mb": 20, "g": 30, "gb": 30, "t": 40, "tb": 40, "p": 50, "pb": 50}


def _byte_size(text: str, unit: str) -> int:
    """Return a size in bytes; a number alone counts in this unit."""
    match = re.fullmatch(r"([0-9]+)([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        message = (
            "Size must be specified as bytes (b), kibibytes (k), mebibytes (m), gibibytes (g), tebibytes (t), or "
            f"pebibytes(p). E.g. 50b, 100k, or 250m.\nFailed to parse byte string: {text.strip()}"
        )
        raise errors.java_error("java.lang.NumberFormatException", message)
    return int(match[1]) << _UNITS[match[2] or unit]


def most_result_bytes(conf: SparkConf) -> int:
    """Return how large the results of a job may be, 0 for any size."""
    return _byte_size(conf.get("spark.driver.maxResultSize", "1g"), "b")


_MEBIBYTES = {"g": 1024.0, "m": 1.0, "t": 1048576.0, "k": 1.0 / 1024}
_RECOGNIZE = ("true", "inline", "false")


def of_workers(conf: SparkConf) -> Options:
    """Return what the settings of a context say to its workers."""
    memory = conf.get("spark.python.worker.memory", "512m").strip()
    try:
        mebibytes = float(memory[:-1]) * _MEBIBYTES[memory[-1:].lower()]
    except (ValueError, KeyError):
        raise ValueError("invalid format: " + memory) from None
    recognize = conf.get("spark.millstream.python.recognizeFunctions", "true").strip().lower()
    if recognize not in _RECOGNIZE:
        message = (
            f"'{recognize}' in spark.millstream.python.recognizeFunctions is invalid. "
            f"It must be one of {', '.join(_RECOGNIZE)}"
        )
        raise errors.java_error("java.lang.IllegalArgumentException", message)
    # For all of an executor's workers; one runs a task at a time on each of its cores.
    every = _byte_size(conf.get("spark.executor.pyspark.memory", "0"), "m")
    address = every // max(1, int(conf.get("spark.executor.cores", "1")))
    return Options(recognize, true(conf.get("spark.shuffle.spill", "true")), int(mebibytes * (1 << 20)), address)


def cores(master: str) -> int:
    """Return the number of workers that a master means."""
    every = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if master == "local":
        return 1
    match = re.fullmatch(_LOCAL, master)
    if match is not None:
        number = every if match[1] == "*" else int(match[1])
        if number < 1:
            raise errors.job_aborted(
                f"Asked to run locally with {number} threads", "None.org.apache.spark.api.java.JavaSparkContext"
            )
        return number
    if re.match(_CLUSTERS, master):
        return every
    raise errors.job_aborted(
        f"Could not parse Master URL: '{master}'",
        "None.org.apache.spark.api.java.JavaSparkContext",
    )
