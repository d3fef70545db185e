"""``millstream run --on MASTER``: the same program on a real Spark, by the PySpark installed on this machine.

The process becomes the program's driver (``exec``): its exit code, its output and Ctrl-C are the program's own. What is
decided here is only which interpreter and which Spark are started, and the environment that tells PySpark the master.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from millstream import program
from millstream._native import SPARK_VERSION

JAVA_MIN = 17
"""The oldest Java that Spark 4 runs on."""

_HOST = r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\])"
_LOCAL = re.compile(r"local(\[(\*|[1-9]\d*)(,[1-9]\d*)?\])?")
_SPARK = re.compile(rf"spark://{_HOST}:\d{{1,5}}(,{_HOST}:\d{{1,5}})*")

_PROBE = """
import json, os
try:
    import pyspark
    home = os.path.dirname(pyspark.__file__)
    jars = any(name.startswith("spark-core") for name in os.listdir(os.path.join(home, "jars")))
except (ImportError, OSError):
    print(json.dumps(None))
else:
    print(json.dumps([home, pyspark.__version__] if jars else None))
"""


class CannotStart(Exception):
    """Why a program cannot be started on a Spark: a sentence for the person who typed the command."""


@dataclass(frozen=True)
class Spark:
    """A Spark with its PySpark, and the interpreter that runs it."""

    python: str
    home: str
    version: str | None
    """None where the directory does not say."""
    paths: tuple[str, ...] = ()
    """Where the interpreter finds this PySpark, if it is not one of its own packages."""


def master(text: str) -> str:
    """Check a master URL; give it back.

    Raises ``ValueError`` with a sentence for forms that Spark would not understand, or that belong to another command.
    """
    ports = (int(port) for port in re.findall(r":(\d+)(?=,|$)", text))
    if _LOCAL.fullmatch(text) or (_SPARK.fullmatch(text) and all(0 < port < 65536 for port in ports)):
        return text
    if text.startswith("sc://"):
        raise ValueError(f"'{text}' is a Spark Connect server: run the program with SPARK_REMOTE={text} instead")
    if text.startswith(("yarn", "k8s://", "mesos://")):
        raise ValueError(f"'{text}' is not supported; use Spark's own spark-submit for it")
    raise ValueError(f"'{text}' is no master: use spark://HOST:PORT or local[N]")


def run(script: str, args: list[str], on: str, python: str | None = None, warehouse: str | None = None) -> int:
    """Become the driver of the program; return an exit code only if that cannot be."""
    if sentence := program.missing(script):
        print(sentence, file=sys.stderr)
        return 2
    try:
        spark = find_spark(python, os.environ)
        check_java(os.environ)
    except CannotStart as error:
        print(f"millstream: {error}", file=sys.stderr)
        return 1
    if spark.version and not _same_line(spark.version, SPARK_VERSION):
        print(
            f"millstream: PySpark {spark.version} is started; checkpoints are those of Spark {SPARK_VERSION}",
            file=sys.stderr,
        )
    command, environment = driver(spark, script, args, on, warehouse, os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, environment)


def driver(
    spark: Spark, script: str, args: list[str], on: str, warehouse: str | None, environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Give the command that runs the program on a Spark, and its environment."""
    environment = {name: value for name, value in environ.items() if name not in _OF_CONNECT}
    environment["MASTER"] = on
    environment["SPARK_HOME"] = spark.home
    environment["PYSPARK_SUBMIT_ARGS"] = _submit_args(on, warehouse, environ.get("PYSPARK_SUBMIT_ARGS", ""))
    # Executors on this machine must be of the same Python as the driver; on other machines the person says which.
    environment.setdefault("PYSPARK_PYTHON", spark.python)
    if spark.paths:
        before = [environ["PYTHONPATH"]] if environ.get("PYTHONPATH") else []
        environment["PYTHONPATH"] = os.pathsep.join([*spark.paths, *before])
    main = Path(__file__).with_name("cluster_main.py")
    return [spark.python, str(main), script, *args], environment


_OF_CONNECT = {
    "SPARK_REMOTE",
    "SPARK_LOCAL_REMOTE",
    "SPARK_API_MODE",
    "SPARK_CONNECT_MODE_ENABLED",
    "SPARK_SKIP_CONNECT_COMPAT_TESTS",
}
"""What would make PySpark a Connect client."""


def _submit_args(on: str, warehouse: str | None, given: str) -> str:
    """Put the master behind the arguments for ``spark-submit`` that the person has set: the last one counts."""
    kept = given.strip().removesuffix("pyspark-shell").strip()
    wanted = f"--master {on}"
    if warehouse is not None:
        path = os.path.abspath(warehouse).replace("\\", "\\\\").replace('"', '\\"')
        wanted += f' --conf "spark.sql.warehouse.dir={path}"'
    return " ".join(filter(None, [kept, wanted, "pyspark-shell"]))


def find_spark(python: str | None, environ: Mapping[str, str]) -> Spark:
    """Find a full PySpark: that of ``--python``, of ``SPARK_HOME``, or of this interpreter, in this order.

    Raises ``CannotStart`` if there is none.
    """
    interpreter = sys.executable
    if python is not None:
        found = shutil.which(python)
        if found is None:
            raise CannotStart(f"there is no Python interpreter '{python}'")
        interpreter = os.path.abspath(found)
        if installed := _installed(interpreter):
            return installed
    if home := environ.get("SPARK_HOME"):
        return _distribution(interpreter, home)
    if python is None and (installed := _installed(interpreter)):
        return installed
    whose = "this interpreter" if python is None else interpreter
    raise CannotStart(
        f"{whose} has no full PySpark (pyspark-client has no Spark in it). Install one beside it, "
        f"`python3 -m venv spark && spark/bin/pip install pyspark=={SPARK_VERSION}`, and say --python "
        "spark/bin/python; or set SPARK_HOME to a Spark distribution"
    )


def _installed(interpreter: str) -> Spark | None:
    """Look for a PySpark with its jars among the packages of an interpreter."""
    # In a directory of no meaning, so that no `pyspark` there is taken for it.
    environment = {k: v for k, v in os.environ.items() if k not in ("SPARK_HOME", "PYTHONPATH")}
    try:
        done = subprocess.run(
            [interpreter, "-c", _PROBE], capture_output=True, text=True, cwd="/", env=environment, check=False
        )
    except OSError as error:
        raise CannotStart(f"{interpreter} cannot be run: {error}") from None
    if done.returncode != 0:
        raise CannotStart(f"{interpreter} cannot be run: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    return Spark(interpreter, found[0], found[1]) if found else None


def _distribution(interpreter: str, home: str) -> Spark:
    """Look at what ``SPARK_HOME`` names: a Spark distribution, or the package ``pyspark`` of some Python."""
    root = Path(home).absolute()
    core = next(root.glob("jars/spark-core*.jar"), None)
    if core is None:
        raise CannotStart(f"SPARK_HOME={home} holds no Spark (there is no jars/spark-core*.jar)")
    if root.joinpath("python", "pyspark").is_dir():
        paths = [root / "python", *sorted(root.glob("python/lib/py4j-*-src.zip"))]
    elif root.joinpath("sql", "session.py").is_file():
        paths = [root.parent]
    else:
        raise CannotStart(f"SPARK_HOME={home} holds no PySpark (there is no python/pyspark)")
    version = re.search(r"-(\d+\.\d+\.\d+[^-]*)\.jar$", core.name)
    return Spark(interpreter, str(root), version.group(1) if version else None, tuple(map(str, paths)))


def _same_line(one: str, other: str) -> bool:
    """Whether two versions differ in their last number only: what such versions write is the same."""
    return one.split(".")[:2] == other.split(".")[:2]


def check_java(environ: Mapping[str, str], version: Callable[[str], str] | None = None) -> None:
    """Raise ``CannotStart`` if Spark would find no Java, or one that is too old."""
    home = environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java", path=environ.get("PATH"))
    remedy = f"install Java {JAVA_MIN} (Debian: apt install openjdk-17-jre-headless), or set JAVA_HOME"
    if java is None or not os.access(java, os.X_OK):
        where = f"JAVA_HOME={home} has no bin/java" if home else "there is no `java`"
        raise CannotStart(f"Spark runs on Java, and {where}: {remedy}")
    text = (version or _java_version)(java)
    number = re.search(r'version "(?:1\.)?(\d+)', text)
    if number and int(number.group(1)) < JAVA_MIN:
        raise CannotStart(f"Spark needs Java {JAVA_MIN} or newer, and {java} is Java {number.group(1)}: {remedy}")


def _java_version(java: str) -> str:
    try:
        return subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError as error:
        raise CannotStart(f"{java} cannot be run: {error}") from None
