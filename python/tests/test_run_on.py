"""``millstream run --on`` starts the program on a Spark: what it accepts, what it starts. No Java is needed here."""

import os
import stat
import subprocess
import sys
import textwrap

import pytest

from millstream import cluster_main, on_spark
from millstream.on_spark import CannotStart, Spark

BESIDE = Spark("/opt/spark/bin/python", "/opt/spark/lib/pyspark", "4.2.1")


@pytest.mark.parametrize(
    "text", ["spark://host:7077", "spark://a:1,b-2.c:65535", "spark://[::1]:7077", "local", "local[*]", "local[4,2]"]
)
def test_masters_that_spark_understands_are_taken(text):
    assert on_spark.master(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("spark://host", "no master"),
        ("spark://host:", "no master"),
        ("spark://host:0", "no master"),
        ("spark://host:65536", "no master"),
        ("spark://a:1;--conf x", "no master"),
        ("spark:/host:7077", "no master"),
        ("host:7077", "no master"),
        ("local[0]", "no master"),
        ("local[x]", "no master"),
        ("", "no master"),
        ("sc://host:15002", "Connect"),
        ("yarn", "spark-submit"),
        ("k8s://https://host", "spark-submit"),
    ],
)
def test_other_forms_are_refused_with_a_sentence(millstream, script, text, reason):
    code, out, err = millstream("run", "--on", text, script("print(1)")).finish()
    assert (code, out) == (2, "")
    assert "argument --on" in err and reason in err


def test_options_that_belong_to_the_other_engine_are_refused(millstream, script):
    app = script("print(1)")
    assert millstream("run", "--port", 4040, "--on", "local", app).finish()[0] == 2
    assert millstream("run", "--python", sys.executable, app).finish()[0] == 2
    assert millstream("run", "--on", "local", "missing.py").finish()[0] == 2


def test_the_driver_gets_the_master_and_nothing_of_connect():
    given = {
        "HOME": "/home/me",
        "MASTER": "spark://elsewhere:7077",
        "SPARK_REMOTE": "sc://x",
        "SPARK_API_MODE": "connect",
        "PYSPARK_SUBMIT_ARGS": '--master local --conf "a.b=c d" pyspark-shell',
    }
    command, environment = on_spark.driver(BESIDE, "app.py", ["--x", "y z"], "spark://h:7077", "my house", given)
    assert command[0] == BESIDE.python
    assert command[1].endswith("cluster_main.py") and command[2:] == ["app.py", "--x", "y z"]
    assert environment == {
        "HOME": "/home/me",
        "MASTER": "spark://h:7077",
        "SPARK_HOME": BESIDE.home,
        "PYSPARK_PYTHON": BESIDE.python,
        "PYSPARK_SUBMIT_ARGS": '--master local --conf "a.b=c d" --master spark://h:7077 '
        f'--conf "spark.sql.warehouse.dir={os.path.abspath("my house")}" pyspark-shell',
    }


def test_the_python_of_the_executors_stays_the_persons_choice():
    _, environment = on_spark.driver(BESIDE, "app.py", [], "local[2]", None, {"PYSPARK_PYTHON": "/usr/bin/python3.11"})
    assert environment["PYSPARK_PYTHON"] == "/usr/bin/python3.11"
    assert environment["PYSPARK_SUBMIT_ARGS"] == "--master local[2] pyspark-shell"


def _distribution(path):
    for name in ["jars/spark-core_2.13-4.2.1.jar", "python/pyspark/__init__.py", "python/lib/py4j-0.10-src.zip"]:
        path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        path.joinpath(name).touch()
    return path


def test_a_spark_distribution_is_put_on_the_path(tmp_path):
    home = _distribution(tmp_path / "spark")
    spark = on_spark.find_spark(None, {"SPARK_HOME": str(home)})
    assert (spark.python, spark.home, spark.version) == (sys.executable, str(home), "4.2.1")
    _, environment = on_spark.driver(spark, "app.py", [], "local", None, {"PYTHONPATH": "/mine"})
    assert environment["PYTHONPATH"] == f"{home}/python:{home}/python/lib/py4j-0.10-src.zip:/mine"
    for part in ("python", "jars"):
        _remove(home / part)
        with pytest.raises(CannotStart, match="SPARK_HOME"):
            on_spark.find_spark(None, {"SPARK_HOME": str(home)})


def _remove(path):
    path.rename(path.with_name("gone_" + path.name))


def _fake_python(path, answer):
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_pyspark_of_the_named_python_comes_first(tmp_path):
    full = _fake_python(tmp_path / "full", """echo '["/x/pyspark", "4.2.1"]'""")
    client = _fake_python(tmp_path / "client", "echo null")
    home = str(_distribution(tmp_path / "spark"))
    assert on_spark.find_spark(full, {"SPARK_HOME": home}) == Spark(full, "/x/pyspark", "4.2.1")
    assert on_spark.find_spark(client, {"SPARK_HOME": home}).home == home
    with pytest.raises(CannotStart, match=r"no full PySpark.*pip install pyspark=="):
        on_spark.find_spark(client, {})
    with pytest.raises(CannotStart, match="no Python interpreter"):
        on_spark.find_spark(str(tmp_path / "none"), {})


def test_a_missing_or_old_java_is_told_in_one_line(tmp_path, millstream, script, monkeypatch):
    with pytest.raises(CannotStart, match="install Java 17"):
        on_spark.check_java({"PATH": str(tmp_path)})
    with pytest.raises(CannotStart, match=r"JAVA_HOME=.* has no bin/java"):
        on_spark.check_java({"JAVA_HOME": str(tmp_path)})
    java = _fake_python(tmp_path / "java", """echo 'openjdk version "11.0.2" 2019' >&2""")
    with pytest.raises(CannotStart, match=f"{java} is Java 11"):
        on_spark.check_java({"PATH": str(tmp_path)})
    on_spark.check_java({"PATH": str(tmp_path)}, lambda _: 'openjdk version "21" 2023-09-19')
    full = _fake_python(tmp_path / "full", """echo '["/x/pyspark", "4.2.1"]'""")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    code, out, err = millstream("run", "--on", "local[2]", "--python", full, script("print(1)")).finish()
    assert (code, out) == (1, "")
    assert err.startswith("millstream: Spark runs on Java") and len(err.splitlines()) == 1


PYSPARK = """
class SparkConf:
    def __init__(self): self.pairs = {}
    def set(self, key, value):
        self.pairs[key] = value
        return self
    def setMaster(self, value): return self.set("spark.master", value)
"""


def _on_a_pretended_spark(tmp_path, text, *args):
    package = tmp_path / "lib" / "pyspark"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").touch()
    package.joinpath("conf.py").write_text(PYSPARK)
    app = tmp_path / "app.py"
    app.write_text(textwrap.dedent(text))
    environment = {"PYTHONPATH": str(package.parent), "MASTER": "spark://h:7077", "PATH": os.environ["PATH"]}
    command = [sys.executable, cluster_main.__file__, app, *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")


def test_the_program_runs_as_python_runs_it_on_the_master_of_the_command(tmp_path):
    done = _on_a_pretended_spark(
        tmp_path,
        """
        import sys
        from pyspark.conf import SparkConf
        conf = SparkConf().setMaster("local[2]").set("spark.app.name", "x")
        print(sys.argv[1:], __name__, conf.pairs, "millstream_program" in sys.modules, "program" in sys.modules)
        sys.exit(5)
        """,
        "a",
        "--on",
    )
    expected = {"spark.master": "spark://h:7077", "spark.app.name": "x"}
    assert (done.returncode, done.stdout) == (5, f"['a', '--on'] __main__ {expected} False False\n")
    assert done.stderr == "millstream: --on spark://h:7077 is used in place of the master local[2] of the program\n"


def test_an_error_of_the_program_shows_only_its_own_frames(tmp_path):
    done = _on_a_pretended_spark(tmp_path, "def f():\n    return {}['k']\n\nf()\n")
    assert done.returncode == 1
    assert "KeyError: 'k'" in done.stderr and "app.py" in done.stderr and "cluster_main" not in done.stderr
