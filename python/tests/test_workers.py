"""Worker processes meet functions that end them, fork, print, and give what cannot be given."""

import multiprocessing
import os
import select
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyspark import BarrierTaskContext, SparkConf

from millstream.context import SparkContext
from millstream.errors import Py4JJavaError


@pytest.fixture(scope="module")
def contexts():
    yield
    if SparkContext._active_spark_context is not None:
        SparkContext._active_spark_context.stop()


@pytest.fixture
def sc(contexts):
    return SparkContext.getOrCreate(SparkConf(loadDefaults=False).setMaster("local[2]"))


def context_of_its_own(master, **settings):
    if SparkContext._active_spark_context is not None:
        SparkContext._active_spark_context.stop()
    conf = SparkConf(loadDefaults=False)
    for key, value in settings.items():
        conf.set(key.replace("_", "."), value)
    return SparkContext(master, "workers", conf=conf)


def fails(action, match):
    with pytest.raises(Py4JJavaError, match=match) as caught:
        action()
    return caught.value


# ------------------------------------------------------------------------------------------------ ends of processes


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (lambda _: os._exit(3), "with exit code 3"),
        (lambda _: os._exit(0), "with exit code 0"),
        (lambda _: os.kill(os.getpid(), signal.SIGKILL), r"by signal 9 \(SIGKILL\)"),
        (lambda _: os.kill(os.getpid(), signal.SIGSEGV), r"by signal 11 \(SIGSEGV\)"),
    ],
)
def test_a_worker_that_ends_is_named_and_replaced(sc, end, how):
    text = (
        r"Task 0 in stage \d+\.0 failed 1 times, most recent failure: Lost task 0\.0 in stage \d+\.0 \(TID \d+\) "
        rf".*Python worker exited unexpectedly \(crashed\) {how}, process \d+"
    )
    error = fails(lambda: sc.parallelize([1], 1).foreach(end), text)
    assert error.java_exception.toString().startswith("org.apache.spark.SparkException: Job aborted")
    fails(lambda: sc.parallelize([(1, 1)], 1).map(lambda x: (x, end(x))).groupByKey().collect(), how)
    assert sc.parallelize(range(100), 8).map(lambda x: x + 1).sum() == 5050


def test_a_task_whose_worker_ends_is_run_again_where_the_master_says_so(contexts, tmp_path):
    marks = str(tmp_path)

    def ends_twice(x):
        if len(os.listdir(marks)) < 2:
            open(os.path.join(marks, str(os.getpid())), "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    with context_of_its_own("local[2,3]") as context:
        assert context.parallelize(range(4), 2).map(ends_twice).collect() == [0, 1, 2, 3]
        rdd = context.parallelize([1], 1)
        fails(lambda: rdd.foreach(lambda _: os._exit(1)), r"failed 3 times, .*Lost task 0\.2 ")


def test_a_worker_that_ended_while_idle_fails_nothing(sc):
    pids = set(sc.parallelize(range(2), 2).map(lambda _: os.getpid()).collect())
    for pid in pids:
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        assert select.select([descriptor], [], [], 30)[0], "the worker lives on"
        os.close(descriptor)
    assert sc.parallelize(range(4), 4).map(lambda x: x + 1).collect() == [1, 2, 3, 4]
    assert not pids & set(sc.parallelize(range(4), 4).map(lambda _: os.getpid()).collect())


def test_the_end_of_a_worker_is_noticed_though_a_child_of_it_lives_on(sc, tmp_path):
    mark = str(tmp_path / "child")

    def leave_a_child(_):
        child = os.fork()
        if child == 0:
            signal.pause()
        with open(mark, "w") as file:
            file.write(str(child))
        os._exit(7)

    try:
        fails(lambda: sc.parallelize([1], 1).foreach(leave_a_child), "with exit code 7")
        assert sc.parallelize(range(4), 4).count() == 4
    finally:
        with open(mark) as file:
            os.kill(int(file.read()), signal.SIGKILL)


def test_files_of_a_task_that_failed_or_ended_are_removed(sc):
    def too_late(end):
        def function(split, elements):
            yield from ((x, os.urandom(100_000)) for x in elements)
            end()

        return function

    def ours():
        return [name for name in os.listdir(sc._engine.directory) if "-of-" in name]

    before = ours()
    for end in (lambda: os._exit(1), lambda: 1 // 0):
        pairs = sc.parallelize(range(200), 1).mapPartitionsWithIndex(too_late(end))
        fails(lambda pairs=pairs: pairs.groupByKey(2).count(), "exit code 1|ZeroDivisionError")
        assert ours() == before


# ------------------------------------------------------------------------------------------------ exceptions


def recurse(x):
    return recurse(x)


class TwoArguments(Exception):
    def __init__(self, one, other):
        super().__init__(one)


class NoText(Exception):
    def __str__(self):
        raise ValueError("no text")


def raising(error):
    def function(_):
        raise error()

    return function


@pytest.mark.parametrize(
    ("function", "last"),
    [
        (lambda _: sys.exit(4), "SystemExit: 4"),
        (lambda _: sys.exit("bye"), "SystemExit: bye"),
        (raising(lambda: KeyboardInterrupt("k")), "KeyboardInterrupt: k"),
        (raising(lambda: GeneratorExit("g")), "GeneratorExit: g"),
        (recurse, "RecursionError: maximum recursion depth exceeded"),
        (raising(lambda: TwoArguments(1, 2)), "TwoArguments: 1"),
        (raising(NoText), r"NoText: <exception str\(\) failed>"),
        (lambda _: threading.Lock(), "cannot pickle '_thread.lock' object"),
        (lambda _: (i for i in [1]), "cannot pickle 'generator' object"),
    ],
)
def test_whatever_is_raised_reaches_the_driver_with_its_traceback(sc, function, last):
    error = fails(
        lambda: sc.parallelize([1], 1).map(function).collect(), rf"(?s)\[PYTHON_EXCEPTION\].*Traceback.*{last}"
    )
    assert error.java_exception.toString().startswith("org.apache.spark.api.python.PythonException: ")
    assert sc.parallelize([1], 1).count() == 1


class NotLoaded:
    def __reduce__(self):
        return int, ("zz",)


def test_what_cannot_be_deserialised_raises_in_the_driver(sc):
    with pytest.raises(ValueError, match="invalid literal for int"):
        sc.parallelize([1], 1).map(lambda _: NotLoaded()).collect()
    assert sc.parallelize([1], 1).map(lambda _: lambda: 5).collect()[0]() == 5


def test_results_are_no_larger_than_allowed(contexts):
    with context_of_its_own("local[1]", spark_driver_maxResultSize="1m") as context:
        texts = context.parallelize(range(4), 4).map(lambda _: os.urandom(600_000))
        fails(
            texts.collect,
            r"results of 2 tasks \(117\d\.\d KiB\) is bigger than spark.driver.maxResultSize .1024\.0 KiB\)",
        )
        assert texts.map(len).collect() == [600_000] * 4
        assert texts.map(lambda text: (1, text)).groupByKey().mapValues(len).collect() == [(1, 4)]
    with pytest.raises(Py4JJavaError, match="Failed to parse byte string: big"):
        context_of_its_own("local[1]", spark_driver_maxResultSize="big")


def test_large_results_arrive_whole(sc):
    (text,) = sc.parallelize([1], 1).map(lambda _: b"x" * 50_000_000).collect()
    assert len(text) == 50_000_000


def test_the_memory_of_a_worker_has_a_limit_where_one_is_set(contexts):
    with context_of_its_own("local[1]", spark_executor_pyspark_memory="2g") as context:
        fails(lambda: context.parallelize([1], 1).map(lambda _: len(bytes(2 << 30))).collect(), "MemoryError")
        assert context.parallelize([1], 1).map(lambda _: len(bytes(1 << 20))).collect() == [1 << 20]


def test_each_task_has_a_worker_of_its_own_where_they_are_not_reused(contexts):
    with context_of_its_own("local[2]", spark_python_worker_reuse="false") as context:
        pids = context.parallelize(range(6), 6).map(lambda _: os.getpid()).collect()
        assert len(set(pids)) == 6
        assert context.parallelize([(1, 2), (1, 3)], 2).reduceByKey(lambda a, b: a + b).collect() == [(1, 5)]
    with context_of_its_own("local[2]") as context:
        assert len(set(context.parallelize(range(6), 6).map(lambda _: os.getpid()).collect())) <= 2


# ------------------------------------------------------------------------------------------------ processes and threads


def in_processes(_):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2])


def in_threads(_):
    with ThreadPoolExecutor(2) as executor:
        return list(executor.map(abs, [-1, -2]))


def in_a_fork(_):
    child = os.fork()
    if child == 0:
        os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_functions_may_start_processes_and_threads(sc):
    rdd = sc.parallelize([1], 1)
    assert rdd.map(in_processes).collect() == [[1, 2]]
    assert rdd.map(in_threads).collect() == [[1, 2]]
    assert rdd.map(in_a_fork).collect() == [3]


def test_a_fork_that_comes_back_from_its_function_gives_no_second_answer(sc):
    def both_come_back(x):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return x

    for _ in range(3):
        assert sc.parallelize(range(2), 2).map(both_come_back).collect() == [0, 1]
        assert sc.parallelize(range(4), 4).map(lambda x: -x).collect() == [0, -1, -2, -3]


PRINTING = """
import sys
from pyspark import SparkContext
sc = SparkContext("local[1]")
def loud(x):
    print("out", x)
    print("err", x, file=sys.stderr)
    return x
print("driver", sc.parallelize([7], 1).map(loud).collect())
def silent(x):
    sys.stdout.close()
    return x
print("driver", sc.parallelize([8], 1).map(silent).collect(), sc.parallelize([9], 1).count())
"""


def test_what_workers_print_is_seen_on_standard_error(millstream, script):
    code, out, err = millstream("run", script(PRINTING)).finish()
    assert (code, out) == (0, "driver [7]\ndriver [8] 1\n"), err
    assert "out 7\n" in err and "err 7\n" in err


def test_a_barrier_task_that_ends_does_not_leave_the_others_waiting(sc):
    def ends(_, elements):
        context = BarrierTaskContext.get()
        if context.partitionId() == 1:
            os._exit(9)
        context.barrier()
        return elements

    def ends_after_the_barrier(_, elements):
        context = BarrierTaskContext.get()
        context.barrier()
        if context.partitionId() == 0:
            os._exit(9)
        context.barrier()
        return elements

    for function in (ends, ends_after_the_barrier):
        rdd = sc.parallelize(range(2), 2).barrier().mapPartitionsWithIndex(function)
        fails(rdd.collect, "with exit code 9")
    assert sc.parallelize(range(4), 2).barrier().mapPartitions(list).collect() == [0, 1, 2, 3]
