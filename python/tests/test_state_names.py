"""State is described under the names that Spark would write, whatever columns are called inside the engine."""

import json

import pytest
from checkpoints import Sample, samples, schemas
from pyspark.sql import functions as F

MARK = {"spark.watermarkDelayMs": 10000}
WINDOW = [("start", "timestamp", {}), ("end", "timestamp", {})]


def window(kind):
    return {"type": "struct", "fields": WINDOW}, {f"spark.{kind}": True, **MARK}


@pytest.fixture
def stream(spark, tmp_path):
    """Stream a directory of JSON rows with a time, a key and a value."""
    rows = [{"t": "2024-01-01T00:00:01Z", "k": "a", "v": 1}, {"t": "2024-01-01T00:00:02Z", "k": None, "v": 2}]
    directory = tmp_path / "in"
    directory.mkdir()
    (directory / "0.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    return spark.readStream.schema("t timestamp, k string, v int").json(str(directory)).withWatermark("t", "10 seconds")


def described(rows, mode, checkpoint):
    """Run the query over what there is; the schemas of its state."""
    writer = rows.writeStream.format("noop").outputMode(mode).option("checkpointLocation", str(checkpoint))
    writer.trigger(availableNow=True).start().awaitTermination()
    return schemas(checkpoint)


def test_keys_have_the_names_of_columns_and_buffers_those_of_spark(stream, tmp_path):
    renamed = stream.withColumnRenamed("k", "renamed").groupBy(
        F.col("renamed").alias("seen as"), (F.col("v") % 2).alias("odd")
    )
    rows = renamed.agg(F.avg("v"), F.first("v"), F.approx_count_distinct("v", 0.3))
    (key, value) = described(rows, "update", tmp_path / "c")["0/0"]
    assert key == [("renamed", "string", {}), ("_groupingexpression", "integer", {})]
    names = [name for name, *_ in value]
    assert names[:5] == ["sum", "count", "first", "valueSet", "MS[0]"]


def test_windows_and_sessions_are_described_with_their_marks(stream, tmp_path):
    windows = stream.groupBy(F.window("t", "5 seconds"), "k").count()
    (key, _) = described(windows, "append", tmp_path / "windows")["0/0"]
    assert key == [("window", *window("timeWindow")), ("k", "string", {})]
    sessions = stream.groupBy(F.session_window("t", "5 seconds"), "k").count()
    (key, value) = described(sessions, "append", tmp_path / "sessions")["0/0"]
    assert key == [("k", "string", {}), ("sessionStartTime", "timestamp", {})]
    assert value == [("session_window", *window("sessionWindow")), ("k", "string", {}), ("count", "long", {})]


def test_deduplications_and_limits_are_described_as_spark_does(stream, tmp_path):
    found = described(stream.dropDuplicates(["k", "t"]).limit(5), "append", tmp_path / "c")
    assert found["0/0"] == [[("key", "void", {})], [("value", "long", {})]]
    assert found["1/0"] == [[("k", "string", {}), ("t", "timestamp", MARK)], [("__dummy__", "void", {})]]
    found = described(stream.dropDuplicatesWithinWatermark(["k"]), "append", tmp_path / "within")
    assert found["0/0"] == [[("k", "string", {})], [("expiresAtMicros", "long", {})]]


def test_the_sides_of_a_join_are_described_by_their_columns(stream, tmp_path):
    other = stream.selectExpr("t AS u", "k AS l", "v + 1 AS w")
    found = described(stream.join(other, F.expr("k = l AND t = u")), "append", tmp_path / "c")
    keys = [("field0", "string", {}), ("field1", "timestamp", {})]
    assert found["0/0/left-keyToNumValues"] == [keys, [("value", "long", {})]]
    (key, value) = found["0/0/right-keyWithIndexToValue"]
    assert key == [*keys, ("index", "long", {})]
    assert value == [("u", "timestamp", MARK), ("l", "string", {}), ("w", "integer", {}), ("matched", "boolean", {})]


@pytest.mark.parametrize("name", [name for name in samples() if not name.startswith(("g_", "h_", "i_"))])
def test_state_is_described_as_in_the_sample_checkpoint(name, spark, tmp_path):
    sample = Sample(name)
    for number in range(len(sample.batches)):
        sample.write_batch(tmp_path, number)
    spark.conf.set("spark.sql.shuffle.partitions", sample.confs.get("spark.sql.shuffle.partitions", "2"))
    found = described(sample.build(spark, str(tmp_path)), sample.mode, tmp_path / "c")
    assert found == schemas(sample.checkpoint)
