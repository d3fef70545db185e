"""Contexts: one at a time, what they are told, and what is left of one that was stopped."""

import os

import pytest
from pyspark.conf import SparkConf

from millstream.context import SparkContext
from millstream.errors import Py4JJavaError


def test_there_is_one_context_and_a_stopped_one_says_so():
    with SparkContext("local", "short") as context:
        rdd = context.parallelize([1])
        directory = context._engine.directory
        assert not os.path.exists(directory)
        assert SparkContext.getOrCreate() is context and rdd.count() == 1
        assert os.stat(directory).st_mode & 0o777 == 0o700
        with pytest.raises(ValueError, match=r"Cannot run multiple SparkContexts at once; .*app=short, master=local"):
            SparkContext("local", "another")
    for use in (rdd.count, lambda: context.parallelize([1]), lambda: context.defaultParallelism):
        with pytest.raises(AttributeError):
            use()
    assert not os.path.exists(directory)
    context.stop()


def test_a_context_that_cannot_begin_leaves_room_for_another():
    with pytest.raises(Py4JJavaError, match="Could not parse Master URL: 'nonsense'"):
        SparkContext("nonsense", "app")
    with pytest.raises(Py4JJavaError, match=r"spark.python.profile is not supported"):
        SparkContext(conf=SparkConf(False).set("spark.python.profile", "true"))
    with SparkContext("local[3]", "next") as context:
        assert (context.defaultParallelism, context.defaultMinPartitions) == (3, 2)


def test_settings_come_from_arguments_then_conf_then_the_environment(monkeypatch):
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--master local[7] --conf spark.a=1 --conf spark.b=1 pyspark-shell")
    conf = SparkConf(False).set("spark.b", "2").set("spark.app.name", "of conf").set("spark.default.parallelism", "5")
    with SparkContext(appName="of argument", conf=conf, environment={"COLOUR": "red"}) as context:
        told = dict(context.getConf().getAll())
        assert (context.master, context.appName, context.defaultParallelism) == ("local[7]", "of argument", 5)
        assert (told["spark.a"], told["spark.b"], told["spark.executorEnv.COLOUR"]) == ("1", "2", "red")
        assert context.parallelize([1], 1).map(lambda _: os.environ["COLOUR"]).collect() == ["red"]
        assert context.parallelize(range(10), 2).map(lambda x: (x, 1)).groupByKey().getNumPartitions() == 5


def test_files_and_modules_reach_functions(tmp_path):
    (tmp_path / "numbers.txt").write_text("7")
    (tmp_path / "module_of_test.py").write_text("def twice(x):\n    return 2 * x\n")

    def use(x):
        import module_of_test

        from millstream.files import SparkFiles

        with open(SparkFiles.get("numbers.txt")) as file:
            return module_of_test.twice(x) + int(file.read())

    with SparkContext("local[2]", "files") as context:
        context.addFile(str(tmp_path / "numbers.txt"))
        context.addPyFile(f"file://{tmp_path}/module_of_test.py")
        assert context.parallelize([1, 2], 2).map(use).collect() == [9, 11]
        assert context.listFiles == [f"file:{tmp_path}/numbers.txt", f"file:{tmp_path}/module_of_test.py"]
        with pytest.raises(Py4JJavaError, match="FileNotFoundException"):
            context.addFile(str(tmp_path / "nothing"))
