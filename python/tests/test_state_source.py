"""State as rows: the sources ``statestore`` and ``state-metadata``, over checkpoints of Spark and of this engine."""

import datetime
import json
import pathlib

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

TESTDATA = pathlib.Path(__file__).parents[2] / "crates" / "state" / "testdata"
COUNTS = TESTDATA / "a_wordcount" / "checkpoint"
JOIN = TESTDATA / "d2_join_outer" / "checkpoint"


@pytest.fixture
def state(spark):
    """Read state with options."""
    spark.conf.set("spark.sql.session.timeZone", "UTC")

    def read(path, source="statestore", **options):
        return spark.read.format(source).options(**options).load(str(path))

    return read


def rows(frame):
    """Rows as plain tuples in order."""
    return sorted(map(plain, frame.collect()), key=repr)


def plain(value):
    return tuple(map(plain, value)) if isinstance(value, (tuple, list)) else value


def at(second):
    return datetime.datetime(2024, 1, 1, 0, 0, second)


def test_state_of_a_batch_is_key_value_and_partition(state):
    frame = state(COUNTS, batchId=0)
    fields = {field["name"]: field for field in json.loads(frame.schema.json())["fields"]}
    assert list(fields) == ["key", "value", "partition_id"]
    assert fields["key"]["type"]["fields"] == [{"metadata": {}, "name": "word", "nullable": False, "type": "string"}]
    assert fields["partition_id"] == {"metadata": {}, "name": "partition_id", "nullable": True, "type": "integer"}
    assert rows(frame) == [(("a",), (2,), 0), (("b",), (1,), 1), (("c",), (1,), 0)]
    assert state(COUNTS).count() == 11
    wanted = state(COUNTS).where("key.word = 'a'").selectExpr("value.count + 1 AS n", "partition_id")
    assert rows(wanted) == [(5, 0)]


def test_a_side_of_a_join_is_read_as_its_rows(state):
    assert rows(state(JOIN, joinSide="left")) == [
        (("d", 4), (at(30), "d", 4, "l4"), 1),
        (("d", 4), (at(32), "d", 4, "l5"), 1),
    ]
    assert rows(state(JOIN, storeName="right-keyWithIndexToValue")) == [
        (("d", 4, 0), (at(31), "d", 4, 40, True), 1),
        (("e", 5, 0), (at(32), "e", 5, 50, False), 0),
    ]


def test_the_change_feed_tells_updates_and_removals_by_batch(state):
    feed = state(JOIN, storeName="left-keyToNumValues", readChangeFeed="true", changeStartBatchId=0)
    assert feed.columns == ["batch_id", "change_type", "key", "value", "partition_id"]
    changes = rows(feed)
    assert len(changes) == 11
    assert changes[:3] == [
        (0, "update", ("a", 1), (1,), 0),
        (0, "update", ("a", 1), (2,), 0),
        (0, "update", ("b", 2), (1,), 0),
    ]
    assert any(kind == "delete" and value is None for _, kind, _, value, _ in changes)
    one = state(COUNTS, readChangeFeed="true", changeStartBatchId=1, changeEndBatchId=1)
    assert {row[0] for row in rows(one)} == {1}


def test_metadata_is_one_row_for_each_store(state):
    frame = state(JOIN, "state-metadata")
    stores = ["left-keyToNumValues", "left-keyWithIndexToValue", "right-keyToNumValues", "right-keyWithIndexToValue"]
    assert rows(frame) == [(0, "symmetricHashJoin", store, 2, 0, 7, None) for store in stores]
    assert frame.select("_numColsPrefixKey").first()[0] == 0
    assert state(JOIN.parent / "nowhere", "state-metadata").collect() == []


@pytest.mark.parametrize(
    ("options", "condition"),
    [
        ({"batchId": 9}, "STDS_COMMITTED_BATCH_UNAVAILABLE"),
        ({"batchId": -1}, "STDS_INVALID_OPTION_VALUE.IS_NEGATIVE"),
        ({"operatorId": -1}, "STDS_INVALID_OPTION_VALUE.IS_NEGATIVE"),
        ({"operatorId": 1}, "STDS_FAILED_TO_READ_STATE_SCHEMA"),
        ({"storeName": " "}, "STDS_INVALID_OPTION_VALUE.IS_EMPTY"),
        ({"joinSide": "LEFT"}, "STDS_INVALID_OPTION_VALUE.WITH_MESSAGE"),
        ({"joinSide": "left"}, "STDS_FAILED_TO_READ_STATE_SCHEMA"),
        ({"joinSide": "left", "storeName": "x"}, "STDS_CONFLICT_OPTIONS"),
        ({"stateVarName": "v"}, "STDS_INVALID_OPTION_VALUE.WITH_MESSAGE"),
        ({"readChangeFeed": "true"}, "STDS_REQUIRED_OPTION_UNSPECIFIED"),
        ({"readChangeFeed": "true", "changeStartBatchId": 0, "batchId": 1}, "STDS_CONFLICT_OPTIONS"),
        (
            {"readChangeFeed": "true", "changeStartBatchId": 3, "changeEndBatchId": 1},
            "STDS_INVALID_OPTION_VALUE.WITH_MESSAGE",
        ),
        ({"changeStartBatchId": 0}, "STDS_INVALID_OPTION_VALUE.WITH_MESSAGE"),
        ({"snapshotStartBatchId": 0}, "STDS_REQUIRED_OPTION_UNSPECIFIED"),
        ({"snapshotStartBatchId": 9, "snapshotPartitionId": 0}, "STDS_INVALID_OPTION_VALUE.WITH_MESSAGE"),
        (
            {"snapshotStartBatchId": 0, "snapshotPartitionId": 9},
            "CANNOT_LOAD_STATE_STORE.SNAPSHOT_PARTITION_ID_NOT_FOUND",
        ),
        ({"snapshotStartBatchId": 0, "snapshotPartitionId": 0}, "CANNOT_LOAD_STATE_STORE.UNCATEGORIZED"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_sparks_conditions(state, options, condition):
    with pytest.raises(PySparkException) as raised:
        state(COUNTS, **options).collect()
    assert raised.value.getCondition() == condition


def test_what_is_no_checkpoint_is_refused(spark, state, tmp_path):
    for read, condition in [
        (lambda: state(tmp_path).collect(), "STDS_COMMITTED_BATCH_UNAVAILABLE"),
        (lambda: spark.read.format("statestore").load().collect(), "STDS_REQUIRED_OPTION_UNSPECIFIED"),
        (lambda: spark.read.format("state-metadata").load().collect(), "STDS_REQUIRED_OPTION_UNSPECIFIED"),
        (lambda: spark.read.format("statestore").schema("a int").load(str(COUNTS)).schema, "_LEGACY_ERROR_TEMP_2242"),
        (lambda: spark.readStream.format("statestore").load(str(COUNTS)).schema, "_LEGACY_ERROR_TEMP_2049"),
    ]:
        with pytest.raises(PySparkException) as raised:
            read()
        assert raised.value.getCondition() == condition


def test_the_state_of_a_query_of_this_engine_is_read_by_batch_and_from_a_snapshot(spark, state, tmp_path):
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    (tmp_path / "in").mkdir()
    for number in range(13):
        (tmp_path / "in" / f"{number:02}.txt").write_text(f"k{number % 3}\n")
    lines = spark.readStream.format("text").option("maxFilesPerTrigger", 1).load(str(tmp_path / "in"))
    writer = lines.groupBy(F.col("value").alias("word")).count().writeStream.format("noop").outputMode("update")
    checkpoint = tmp_path / "c"
    query = writer.option("checkpointLocation", str(checkpoint)).trigger(availableNow=True).start()
    query.awaitTermination()
    counts = {row.key.value: row.value["count"] for row in state(checkpoint).collect()}
    assert counts == {"k0": 5, "k1": 4, "k2": 4}
    assert {row.value["count"] for row in state(checkpoint, batchId=2).collect()} == {1}
    (metadata,) = state(checkpoint, "state-metadata").collect()
    assert metadata[:6] == (0, "stateStoreSave", "default", 2, 0, 12)
    snapshots = list((checkpoint / "state/0/1").glob("*.snapshot"))
    for snapshot in snapshots:
        start = int(snapshot.stem) - 1
        replayed = state(checkpoint, snapshotStartBatchId=start, snapshotPartitionId=1)
        assert rows(replayed) == rows(state(checkpoint).where("partition_id = 1"))
