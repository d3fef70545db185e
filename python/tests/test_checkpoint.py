"""``millstream checkpoint``: what it shows, what it finds, and with which code it ends."""

import json
import pathlib
import shutil

import pytest
from checkpoints import GOLDEN
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from waiting import until

SAMPLE = pathlib.Path(__file__).parents[2] / "crates" / "state" / "testdata" / "a_wordcount" / "checkpoint"


@pytest.fixture
def checkpoint(millstream):
    """Run the command; exit code, standard output and standard error."""
    return lambda *args: millstream("checkpoint", *args).finish()


@pytest.fixture
def sample(tmp_path):
    """A checkpoint of Spark to be damaged."""
    return pathlib.Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


def test_show_names_query_batch_operators_and_the_size_of_their_state(checkpoint):
    code, out, err = checkpoint("show", SAMPLE)
    assert (code, err) == (0, "")
    for line in [
        "query        409b33cc-c48b-43f5-a779-a409856d4ea6",
        "batch        4, committed",
        'source 0     {"logOffset":4}',
        "operator 0: stateStoreSave, version 5",
        "        total    11    448      10          0",
    ]:
        assert line in out.splitlines()


def test_state_shows_the_rows_of_the_batch_asked_for(checkpoint):
    code, out, _ = checkpoint("state", SAMPLE, "--batch", 0, "--operator", 0, "--store", "default")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("|0") or line.startswith("|1")] == [
        "|0        |a       |2          |",
        "|0        |c       |1          |",
        "|1        |b       |1          |",
    ]
    code, out, _ = checkpoint("state", SAMPLE, "--json", "--limit", 3)
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, len(rows)) == (0, 3)
    assert rows[0] == {"operator": 0, "store": "default", "partition": 0, "key": {"word": "a"}, "value": {"count": 4}}


def test_verify_is_silent_about_a_good_checkpoint_of_this_engine(checkpoint, spark, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.txt").write_text("1\n2\n3\n")
    rows = spark.readStream.format("text").option("maxFilesPerTrigger", 1).load(str(tmp_path / "in"))
    counts = rows.groupBy((F.col("value").cast("int") % 3).alias("key")).count()
    writer = counts.writeStream.format("noop").outputMode("update").option("checkpointLocation", str(tmp_path / "c"))
    writer.trigger(availableNow=True).start().awaitTermination()
    code, out, _ = checkpoint("verify", tmp_path / "c")
    assert (code, out.count("\n")) == (0, 1), out
    assert out.startswith("good: nothing wrong; ")
    assert "3 rows of state read" in out
    code, out, err = checkpoint("show", tmp_path / "c")
    assert (code, err) == (0, "")
    assert "key    (_groupingexpression:int)" in out


@pytest.mark.parametrize(
    ("file", "damage", "found"),
    [
        ("state/0/1/3.delta", lambda path: path.unlink(), "3.delta does not exist"),
        ("state/0/1/3.delta", lambda path: flip(path, 40), "3.delta: it is damaged: its 86 bytes are not those"),
        ("offsets/4", lambda path: path.write_bytes(b""), "offsets/4: it is damaged: its 0 bytes are not those"),
        ("sources/0/4", lambda path: (path.unlink(), side(path).unlink()), "sources/0/4: it is missing although"),
        ("commits/4", lambda path: path.unlink(), "commits/.4.crc: its file is gone"),
        ("metadata", lambda path: (side(path).unlink(), path.write_text("{}")), "metadata: it is damaged: Invalid"),
    ],
)
def test_verify_names_the_damaged_file_and_ends_with_1(checkpoint, sample, file, damage, found):
    damage(sample / file)
    code, out, _ = checkpoint("verify", sample)
    assert code == 1
    assert found in out, out
    assert out.splitlines()[-1].startswith("not usable: ")


def test_verify_finds_two_deltas_in_each_others_place(checkpoint, sample):
    swap(sample / "state/0/0/2.delta", sample / "state/0/0/3.delta")
    code, out, _ = checkpoint("verify", sample)
    assert code == 1
    for name in ("2.delta", "3.delta"):
        assert any(f"{name}: it is damaged" in line for line in out.splitlines()), out


def test_flipped_bits_without_a_checksum_file_are_found_inside_the_delta(checkpoint, sample):
    path = sample / "state/0/0/2.delta"
    side(path).unlink()
    flip(path, 30)
    code, out, _ = checkpoint("verify", sample)
    assert code == 1
    assert "2.delta: it is damaged: the" in out
    assert "LZ4 block at byte 0" in out


def test_commands_name_what_they_cannot_read(checkpoint, sample):
    flip(sample / "state/0/0/2.delta", 40)
    for action in ("show", "state"):
        code, out, err = checkpoint(action, sample)
        assert (code, out) == (1, "")
        assert str(sample / "state/0/0/2.delta") in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["show", "nowhere"], "nowhere does not exist"),
        (["verify", "."], "is no checkpoint"),
        (["state", SAMPLE, "--operator", "7"], "has no operator 7"),
        (["state", SAMPLE, "--store", "left"], "no store left; the stores: default"),
        (["state", SAMPLE, "--limit", "-1"], "invalid"),
        (["mend", SAMPLE], "invalid choice"),
    ],
)
def test_wrong_arguments_end_with_2(checkpoint, args, said):
    code, out, err = checkpoint(*args)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the sample checkpoints of Spark are not there")
def test_every_sample_checkpoint_is_shown_and_good(checkpoint):
    from millstream._native import checkpoint_rows, checkpoint_summary, checkpoint_verify

    paths = sorted(GOLDEN.glob("*/checkpoint"))
    assert len(paths) > 15
    for path in paths:
        assert checkpoint_summary(path).startswith("query ")
        assert checkpoint_rows(path) is not None
        assert checkpoint_verify(path)[2] == [], path


def side(path):
    return path.with_name(f".{path.name}.crc")


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def swap(one, two):
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def test_a_second_start_from_the_checkpoint_of_an_active_query_is_refused(spark, tmp_path):
    spark.conf.set("spark.sql.streaming.stopActiveRunOnRestart", "false")
    writer = spark.readStream.format("rate").load().writeStream.format("noop")
    writer = writer.option("checkpointLocation", str(tmp_path / "c"))
    query = writer.start()
    try:
        with pytest.raises(PySparkException, match=r"IllegalStateException.*Cannot start query with id"):
            writer.start()
        assert query.isActive
    finally:
        query.stop()


def test_a_snapshot_of_state_is_due_after_as_many_deltas_as_the_setting_says(spark, tmp_path):
    spark.conf.set("spark.sql.shuffle.partitions", "1")
    spark.conf.set("spark.sql.streaming.stateStore.minDeltasForSnapshot", "2")
    (tmp_path / "in").mkdir()

    def run(wait):
        """A batch for each file that is new; the first one begins maintenance, the end of the query ends it."""
        lines = spark.readStream.format("text").option("maxFilesPerTrigger", 1).load(str(tmp_path / "in"))
        counts = lines.groupBy("value").count().writeStream.format("noop").outputMode("update")
        query = counts.option("checkpointLocation", str(tmp_path / "c")).start()
        query.processAllAvailable()
        wait()
        query.stop()

    def snapshots():
        return [path.name for path in (tmp_path / "c/state/0/0").glob("*.snapshot")]

    for number in range(3):
        (tmp_path / "in" / f"{number}.txt").write_text("a\n")
    run(lambda: None)
    assert snapshots() == []
    (tmp_path / "in/3.txt").write_text("a\n")
    run(lambda: until(snapshots))
