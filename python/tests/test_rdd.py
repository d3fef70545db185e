"""RDDs give what PySpark gives, in its order; expected orders here were recorded from PySpark 4.2.1."""

import contextlib
import gc
import gzip
import os
import pickle
import random
import threading
import time
from collections import Counter
from operator import add

import pytest
from waiting import until

from millstream.context import SparkContext
from millstream.errors import Py4JJavaError
from millstream.jobs import inputs, operators
from millstream.jobs.blocks import INLINE_BYTES
from millstream.rdd import portable_hash


@pytest.fixture(scope="module")
def shared():
    with SparkContext("local[2]", "tests") as context:
        yield context


@pytest.fixture
def sc(shared):
    yield shared
    shared.setLocalProperty("spark.jobGroup.id", None)


# ------------------------------------------------------------------------------------------------ placement and order


def test_collections_are_cut_at_batches(sc):
    assert [len(part) for part in sc.parallelize(list(range(11)), 4).glom().collect()] == [2, 4, 2, 3]
    assert [len(part) for part in sc.parallelize(range(11), 4).glom().collect()] == [2, 3, 3, 3]
    assert sc.parallelize([], 3).glom().collect() == [[], [], []]
    assert sc.range(10, 0, -3).collect() == [10, 7, 4, 1]


def test_a_repartition_deals_batches_of_ten_as_spark_does(sc):
    assert sc.parallelize(range(25), 5).repartition(4).glom().collect() == [
        [10, 11, 12, 13, 14],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [],
        [15, 16, 17, 18, 19, 20, 21, 22, 23, 24],
    ]
    parts = sc.parallelize(range(1000), 8).repartition(16).glom().collect()
    assert parts[0][:7] == [120, 121, 122, 123, 124, 245, 246]
    assert sorted(x for part in parts for x in part) == list(range(1000))


def test_pairs_of_a_cartesian_product_come_by_batches(sc):
    pairs = sc.parallelize(range(6), 1).cartesian(sc.parallelize(range(3), 1)).collect()
    assert pairs[:3] == [(0, 0), (0, 1), (0, 2)] and pairs[3:7] == [(1, 0), (2, 0), (1, 1), (1, 2)]
    assert len(set(pairs)) == 18


def test_keys_come_by_partition_and_then_by_first_appearance(sc):
    pairs = sc.parallelize([(-(i % 13), i) for i in range(100)], 5)
    parts = pairs.reduceByKey(add, 3).keys().glom().collect()
    assert [{k % 3 if k != -1 else -2 % 3 for k in part} for part in parts] == [{0}, {1}, {2}]
    assert parts[0] == [0, -3, -6, -9, -12]


def test_equal_partitioners_make_joins_and_unions_narrow(sc):
    a = sc.parallelize([(i, i) for i in range(10)], 2).partitionBy(3)
    b = sc.parallelize([(i, -i) for i in range(12)], 2).partitionBy(3)
    assert a.union(b).getNumPartitions() == 3 and a.union(b).partitioner == a.partitioner
    assert a.join(b).getNumPartitions() == 3
    assert a.mapValues(abs).partitioner == a.partitioner and a.map(tuple).partitioner is None
    assert a.partitionBy(3) is a and a.union(sc.parallelize([(1, 2)], 1)).getNumPartitions() == 4
    assert dict(a.join(b).collect()) == {i: (i, -i) for i in range(10)}


def test_unions_can_be_nested_deeply(sc):
    union = sc.parallelize([0], 1)
    for number in range(1, 1500):
        union = union.union(sc.parallelize([number], 1))
    assert union.getNumPartitions() == 1500 and union.sum() == sum(range(1500))


def test_sorting_agrees_with_sorted(sc):
    numbers = [(i * 37) % 101 for i in range(300)]
    for key in (lambda x: x, lambda x: -x, str, lambda x: (x % 7, x)):
        for ascending in (True, False):
            assert sc.parallelize(numbers, 4).sortBy(key, ascending).map(key).collect() == sorted(
                map(key, numbers), reverse=not ascending
            )


def test_samples_are_those_of_pysparks_sampler(sc):
    from pyspark.rddsampler import RDDSampler

    expected = [
        x
        for split in range(2)
        for x in RDDSampler(False, 0.3, 42).func(split, iter(range(50 * split, 50 * split + 50)))
    ]
    assert sc.parallelize(range(100), 2).sample(False, 0.3, 42).collect() == expected
    parts = sc.parallelize(range(40), 3).randomSplit([1, 2, 1], 9)
    assert sorted(x for part in parts for x in part.collect()) == list(range(40))


# ------------------------------------------------------------------------------------------------ functions


def test_chains_of_operators_are_what_their_functions_say():
    steps = {
        "map": (lambda x: (x[0] + 1, x[1]), lambda f, xs: [f(x) for x in xs]),
        "filter": (lambda x: x[0] % 3, lambda f, xs: [x for x in xs if f(x)]),
        "flatMap": (lambda x: [x, (x[1], x[0])][: x[0] % 3], lambda f, xs: [y for x in xs for y in f(x)]),
        "mapValues": (lambda v: v * 2, lambda f, xs: [(k, f(v)) for k, v in xs]),
        "flatMapValues": (lambda v: range(v % 3), lambda f, xs: [(k, w) for k, v in xs for w in f(v)]),
        "withIndex": (lambda i, xs: ((i + k, v) for k, v in xs), lambda f, xs: list(f(4, xs))),
    }
    rng = random.Random(3)
    for _ in range(100):
        kinds = rng.choices(list(steps), k=rng.randrange(1, 40))
        pairs = [(rng.randrange(9), rng.randrange(9)) for _ in range(20)]
        expected = pairs
        for kind in kinds:
            expected = steps[kind][1](steps[kind][0], expected)[:1000]
            if len(expected) == 1000:
                break
        else:
            assert list(operators.apply([(kind, steps[kind][0]) for kind in kinds], 4, pairs)) == expected


def test_variables_are_captured_when_functions_are_first_needed(sc):
    def results():
        x = 1
        used = sc.parallelize([1, 2], 1).map(lambda v: v + x)
        used.collect()
        shuffled = sc.parallelize([(1, 1)], 1).mapValues(lambda v: v + x).reduceByKey(add)
        fresh = sc.parallelize([1, 2], 1).map(lambda v: v + x)
        x = 10
        return used.collect(), used.map(abs).collect(), shuffled.collect(), fresh.collect()

    assert results() == ([2, 3], [11, 12], [(1, 2)], [11, 12])


def test_each_task_has_functions_of_its_own(sc):
    seen = []

    def number(x):
        seen.append(x)
        return len(seen)

    assert sc.parallelize(range(4), 4).map(number).collect() == [1, 1, 1, 1]
    assert seen == []


class Point:
    def __init__(self, x):
        self.x = x


def test_objects_come_back_as_what_they_were(sc):
    local = type("Local", (), {"__eq__": lambda self, other: type(self) is type(other), "__hash__": lambda self: 7})
    back = sc.parallelize([local(), local(), Point(2)], 2).collect()
    assert type(back[0]) is local and type(back[2]) is Point and back[2].x == 2
    assert sc.parallelize([local(), local()], 2).map(lambda x: (x, 1)).reduceByKey(add).values().collect() == [2]
    assert [f(1) for f in sc.parallelize([lambda x: x + 1]).collect()] == [2]


def test_take_computes_no_more_than_needed(sc):
    computed = sc.accumulator(0)

    def see(x):
        computed.add(1)
        return x

    assert sc.parallelize(range(1000), 10).map(see).take(3) == [0, 1, 2]
    assert computed.value == 3


# ------------------------------------------------------------------------------------------------ errors


def test_a_failing_task_raises_with_its_traceback_and_the_context_goes_on(sc):
    with pytest.raises(Py4JJavaError, match=r"(?s)Traceback.*test_rdd.py.*ZeroDivisionError") as caught:
        sc.parallelize([1, 0], 2).map(lambda x: 1 // x).collect()
    assert caught.value.java_exception.toString().startswith("org.apache.spark.api.python.PythonException: ")
    assert type(caught.value).__module__ == "py4j.protocol"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert sc.parallelize([1, 2]).count() == 2


def test_a_worker_that_ends_fails_the_job_and_is_replaced(sc):
    with pytest.raises(Py4JJavaError, match=r"crashed\) with exit code 3"):
        sc.parallelize([1], 1).foreach(lambda _: os._exit(3))
    with pytest.raises(Py4JJavaError, match="SIGKILL"):
        sc.parallelize([1], 1).foreach(lambda _: os.kill(os.getpid(), 9))
    assert sc.parallelize(range(100), 8).map(lambda x: x + 1).sum() == 5050


def test_workers_are_started_anew_if_they_all_end(sc):
    assert sc.parallelize(range(2), 2).count() == 2
    sc._engine.pool._zygote.kill()
    sc._engine.pool._zygote.wait()
    with contextlib.suppress(Py4JJavaError):
        sc.parallelize(range(2), 2).count()
    assert sc.parallelize(range(10), 5).map(lambda x: x + 1).sum() == 55


def test_stop_iteration_fails_the_task(sc):
    for action in (
        lambda r: r.map(lambda _: next(iter(()))).collect(),
        lambda r: r.filter(lambda _: next(iter(()))).count(),
        lambda r: r.map(lambda x: (x, x)).reduceByKey(lambda a, b: next(iter(()))).collect(),
    ):
        with pytest.raises(Py4JJavaError, match="StopIteration"):
            action(sc.parallelize([1, 1, 2], 1))


def test_functions_cannot_refer_to_rdds_or_the_context(sc):
    rdd = sc.parallelize([1])
    with pytest.raises(pickle.PicklingError, match="RDD_TRANSFORM_ONLY_VALID_ON_DRIVER"):
        rdd.map(lambda x: rdd.count()).collect()
    with pytest.raises(pickle.PicklingError, match="CONTEXT_ONLY_VALID_ON_DRIVER"):
        rdd.map(lambda x: (x, sc.applicationId)).reduceByKey(add)


def test_unequal_zips_fail_where_pyspark_notices(sc):
    one, other = sc.parallelize(range(6), 2), sc.parallelize(range(7), 2)
    with pytest.raises(ValueError, match=r"items in batches: \(3, 4\)"):
        one.zip(other).collect()
    with pytest.raises(Py4JJavaError, match="items in batches"):
        one.zip(other).map(str).collect()
    with pytest.raises(Py4JJavaError, match="same number of elements"):
        sc.parallelize(list(range(6)), 2).zip(sc.parallelize(list(range(60)), 2)).collect()


def test_driver_side_functions_raise_their_own_exceptions(sc):
    mixed = sc.parallelize([1, "a"], 2)
    for action in (mixed.max, lambda: mixed.reduce(add), lambda: mixed.sortBy(lambda x: x)):
        with pytest.raises(TypeError):
            action()
    with pytest.raises(ValueError, match="empty RDD"):
        sc.parallelize([], 2).reduce(add)
    with pytest.raises(ValueError, match="RDD is empty"):
        sc.emptyRDD().first()


def test_hadoop_formats_are_refused_at_once(sc):
    with pytest.raises(Py4JJavaError, match="saveAsSequenceFile is not supported"):
        sc.parallelize([(1, 2)]).saveAsSequenceFile("/nowhere")
    with pytest.raises(Py4JJavaError, match="No FileSystem for scheme"):
        sc.textFile("foo://x/y").count()


# ------------------------------------------------------------------------------------------------ jobs


def test_jobs_of_several_threads_share_the_workers(sc):
    results = {}

    def run(number):
        rdd = sc.parallelize(range(50), 5).map(lambda x: (x % 7, x + number)).reduceByKey(add)
        results[number] = sum(rdd.values().collect())

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {number: sum(range(50)) + 50 * number for number in range(8)}


def test_a_group_of_jobs_can_be_cancelled(sc):
    caught = []

    def run():
        sc.setJobGroup("slow", "sleeps")
        try:
            sc.parallelize(range(2), 2).foreach(lambda _: time.sleep(600))
        except Py4JJavaError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    tracker = sc.statusTracker()
    until(lambda: tracker.getActiveStageIds(), "the job runs")
    assert tracker.getJobInfo(tracker.getJobIdsForGroup("slow")[0]).status == "RUNNING"
    sc.cancelJobGroup("slow")
    thread.join(30)
    assert "cancelled job group slow" in str(caught[0])
    assert sc.parallelize([1, 2, 3]).sum() == 6


def test_barrier_tasks_wait_for_one_another(sc):
    def meet(elements):
        from pyspark.taskcontext import BarrierTaskContext

        context = BarrierTaskContext.get()
        context.barrier()
        yield context.allGather(str(sum(elements)))

    assert sc.parallelize(range(4), 2).barrier().mapPartitions(meet).collect() == [["1", "5"], ["1", "5"]]
    with pytest.raises(Py4JJavaError, match="SPARK-24819"):
        sc.parallelize(range(4), 4).barrier().mapPartitions(meet).collect()


def test_tasks_know_where_they_are(sc):
    def where(_):
        from pyspark import TaskContext

        context = TaskContext.get()
        return context.partitionId(), context.attemptNumber(), context.getLocalProperty("colour")

    sc.setLocalProperty("colour", "blue")
    assert sc.parallelize(range(2), 2).map(where).collect() == [(0, 0, "blue"), (1, 0, "blue")]
    sc.setLocalProperty("colour", None)
    assert sc.parallelize(range(1), 1).map(where).collect() == [(0, 0, None)]


# ------------------------------------------------------------------------------------------------ keeping


def counted(sc):
    runs = sc.accumulator(0)

    def see(x):
        runs.add(1)
        return x

    return runs, see


def test_what_is_kept_or_shuffled_is_computed_once(sc):
    runs, see = counted(sc)
    cached = sc.parallelize(range(10), 2).map(see).cache()
    assert [cached.sum(), cached.map(lambda x: x).count(), runs.value] == [45, 10, 10]
    cached.unpersist()
    assert [cached.count(), runs.value] == [10, 20]
    runs, see = counted(sc)
    shuffled = sc.parallelize(range(10), 2).map(see).map(lambda x: (x % 2, x)).reduceByKey(add)
    assert [sorted(shuffled.collect()), shuffled.count(), runs.value] == [[(0, 20), (1, 25)], 2, 10]
    shuffled.cleanShuffleDependencies()
    assert [shuffled.count(), runs.value] == [2, 20]


def test_a_kept_partition_is_whole_though_only_its_beginning_was_asked_for(sc):
    runs, see = counted(sc)
    cached = sc.parallelize(range(10), 1).map(see).cache()
    assert [cached.take(1), cached.collect(), runs.value] == [[0], list(range(10)), 10]


def test_large_partitions_are_files_that_go_when_they_are_not_needed(sc):
    def files():
        return [name for name in os.listdir(sc._engine.directory) if name != "files"]

    gc.collect()
    before = set(files())
    big = sc.parallelize(range(4), 2).map(lambda x: (x, os.urandom(INLINE_BYTES))).cache()
    grouped = big.groupByKey(2)
    assert grouped.count() == 4 and set(files()) > before
    data = os.urandom(INLINE_BYTES * 2)
    lines = sc._from_text_blocks([data])
    held = lines.map(lambda line: (line, data[0]))
    variable = sc.broadcast(data)
    assert held.count() == sc.parallelize([data], 1).map(lambda x: len(x.splitlines())).sum()
    assert sc.parallelize([1], 1).map(lambda _: variable.value == data).collect() == [True]
    grouped = lines = held = variable = None
    gc.collect()
    big.unpersist()
    assert set(files()) == before


def test_a_checkpoint_cuts_the_lineage(sc, tmp_path):
    sc.setCheckpointDir(str(tmp_path))
    runs, see = counted(sc)
    rdd = sc.parallelize([(i, i) for i in range(6)], 2).map(see).reduceByKey(add, 3)
    rdd.checkpoint()
    assert not rdd.isCheckpointed()
    derived = rdd.mapValues(lambda v: v + 1)
    assert sorted(derived.collect()) == [(i, i + 1) for i in range(6)]
    assert rdd.isCheckpointed() and rdd.getCheckpointFile().startswith(f"file:{tmp_path}/")
    assert rdd._node.parents == () and rdd.partitioner is not None
    assert [sorted(rdd.collect()), runs.value] == [[(i, i) for i in range(6)], 6]


def test_a_local_checkpoint_keeps_the_elements(sc):
    runs, see = counted(sc)
    rdd = sc.parallelize(range(6), 3).map(see)
    rdd.localCheckpoint()
    assert rdd.isLocallyCheckpointed() and not rdd.isCheckpointed()
    assert [rdd.collect(), rdd.isCheckpointed(), rdd.collect(), runs.value] == [list(range(6)), True, list(range(6)), 6]


def test_what_is_saved_is_loaded_with_its_partitions(sc, tmp_path):
    state = sc.parallelize([(str(i), i) for i in range(20)], 4).partitionBy(3)
    state.mapValues(lambda v: v + 1)._save(tmp_path / "state")
    loaded = sc._load(tmp_path / "state")
    assert loaded.mapValues(lambda v: v - 1).glom().collect() == state.glom().collect()
    assert loaded.partitioner == state.partitioner and loaded.partitionBy(3, portable_hash) is loaded
    assert os.listdir(tmp_path) == ["state"]


# ------------------------------------------------------------------------------------------------ variables


def test_broadcast_variables_reach_tasks_until_they_are_destroyed(sc):
    variable = sc.broadcast({"a": os.urandom(INLINE_BYTES * 2)})
    lengths = sc.parallelize(["a", "a"], 2).map(lambda k: len(variable.value[k]))
    assert lengths.collect() == [INLINE_BYTES * 2] * 2
    variable.unpersist()
    assert lengths.collect() == [INLINE_BYTES * 2] * 2
    variable.destroy()
    with pytest.raises(Py4JJavaError, match="destroyed"):
        lengths.collect()
    with pytest.raises(Py4JJavaError, match="destroyed"):
        sc.parallelize(["a"]).map(lambda k: variable.value[k]).collect()


def test_accumulators_cannot_be_read_in_tasks(sc):
    total = sc.accumulator(1)
    sc.parallelize(range(5), 2).foreach(lambda x: total.add(x))
    assert total.value == 11
    with pytest.raises(Py4JJavaError, match="cannot be accessed inside tasks"):
        sc.parallelize([1]).map(lambda _: total.value).collect()


# ------------------------------------------------------------------------------------------------ files


def test_every_way_to_cut_a_file_gives_each_line_once(tmp_path):
    rng = random.Random(5)
    for number in range(40):
        ends = [b"\n"] if number % 2 else [b"\n", b"\r\n", b"\r"]
        text = b"".join(b"x" * rng.randrange(4) + rng.choice(ends) for _ in range(rng.randrange(40))) + b"end" * (
            number % 3
        )
        path = tmp_path / "text"
        path.write_bytes(text)
        expected = [line.decode() for line in text.splitlines()]
        for least in (1, 2, 3, 5, 8, 13, 50):
            pieces = inputs.text_pieces(str(path), least)
            assert [line for piece in pieces for line in inputs.read_text(piece, True)] == expected


def test_long_files_are_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "_READ_BYTES", 7)
    path = tmp_path / "text"
    for text in (
        b"one\r\ntwo\rthree\nfour and more\r",
        b"\xef\xbb\xbfa\nb",
        b"",
        b"\n\n",
        b"\xff\xfe bad \xe2\x82\xac\n",
    ):
        path.write_bytes(text)
        for least in (1, 2, 3, 7):
            pieces = inputs.text_pieces(str(path), least)
            read = [line for piece in pieces for line in inputs.read_text(piece, True)]
            assert read == [line.decode("utf-8", "replace") for line in text.removeprefix(b"\xef\xbb\xbf").splitlines()]


def test_files_are_found_by_lists_globs_and_directories(sc, tmp_path):
    for name in ("a.txt", "b.txt", "_hidden", ".hidden"):
        (tmp_path / name).write_text(name + "\n")
    (tmp_path / "c.gz").write_bytes(gzip.compress(b"packed\n"))
    assert sc.textFile(str(tmp_path)).collect() == ["a.txt", "b.txt", "packed"]
    assert sc.textFile(f"file://{tmp_path}/{{a,b}}.txt").count() == 2
    assert sc.textFile(f"{tmp_path}/b.txt,{tmp_path}/*.txt").collect() == ["b.txt", "a.txt", "b.txt"]
    with pytest.raises(Py4JJavaError, match="InvalidInputException: Input path does not exist: file:/"):
        sc.textFile(f"{tmp_path}/no").count()
    with pytest.raises(Py4JJavaError, match="matches 0 files"):
        sc.textFile(f"{tmp_path}/no*").count()


def test_text_is_saved_and_read_back_and_never_overwritten(sc, tmp_path):
    for codec, ending in ((None, ""), ("org.apache.hadoop.io.compress.GzipCodec", ".gz")):
        out = tmp_path / f"out{ending}"
        sc.parallelize(["ü", 1, None, b"x\xff"], 2).saveAsTextFile(str(out), codec)
        assert sorted(os.listdir(out)) == ["_SUCCESS", f"part-00000{ending}", f"part-00001{ending}"]
        assert sc.textFile(str(out)).collect() == ["ü", "1", "None", "x\ufffd"]
        with pytest.raises(Py4JJavaError, match="FileAlreadyExistsException"):
            sc.parallelize([1]).saveAsTextFile(str(out))
    with pytest.raises(Py4JJavaError, match="ZeroDivisionError"):
        sc.parallelize([1, 0], 2).map(lambda x: 1 // x).saveAsTextFile(str(tmp_path / "failed"))
    assert not (tmp_path / "failed" / "_SUCCESS").exists()


def test_blocks_of_bytes_are_lines(sc):
    rdd = sc._from_text_blocks([b"a b\nc\n", memoryview(b"d\r\n\xff\n"), b""])
    assert rdd.glom().collect() == [["a b", "c"], ["d", "\ufffd"], []]
    counts = rdd.flatMap(lambda line: line.split(" ")).map(lambda w: (w, 1)).reduceByKey(lambda a, b: a + b)
    assert dict(counts.collect()) == Counter(["a", "b", "c", "d", "\ufffd"])


def test_a_function_of_partitions_is_given_what_another_has_returned(sc):
    def twice(elements):
        return [sum(elements), sum(elements)]

    assert sc.range(4, numSlices=2).mapPartitions(twice).collect() == [1, 1, 5, 5]
    assert sc.parallelize([1, 2], 1).mapPartitions(lambda it: [3, 4]).mapPartitions(twice).collect() == [7, 7]
    assert sc.parallelize([1, 2], 1).mapPartitions(twice).collect() == [3, 0]
    assert sc.range(3, numSlices=1).map(int).mapPartitions(twice).collect() == [3, 0]
