"""Tables and views that are kept in memory."""

import pytest
from pyspark.errors import AnalysisException, PySparkException


@pytest.fixture
def numbers(spark, tmp_path):
    """A table of three numbers outside of the warehouse; its directory."""
    spark.range(3).write.format("json").option("path", str(tmp_path / "numbers")).saveAsTable("cached_numbers")
    yield tmp_path / "numbers"
    spark.sql("DROP TABLE IF EXISTS cached_numbers")


def test_a_cached_table_is_answered_from_memory_until_it_is_refreshed_or_written(spark, numbers):
    def count():
        return spark.table("cached_numbers").count()

    catalog = spark.catalog
    assert not catalog.isCached("cached_numbers")
    catalog.cacheTable("cached_numbers")
    assert catalog.isCached("cached_numbers") and catalog.isCached("spark_catalog.default.CACHED_NUMBERS")
    assert count() == 3
    # What others add is not seen, what this process adds is.
    (numbers / "more.json").write_text('{"id":7}\n{"id":8}\n')
    assert count() == 3
    catalog.refreshTable("cached_numbers")
    assert count() == 5
    (numbers / "more.json").write_text('{"id":7}\n')
    assert count() == 5
    spark.range(1).write.insertInto("cached_numbers")
    assert count() == 5 and catalog.isCached("cached_numbers")
    (numbers / "more.json").unlink()
    catalog.uncacheTable("cached_numbers")
    assert count() == 4 and not catalog.isCached("cached_numbers")
    # Of a table that is dropped nothing is kept.
    spark.sql("CACHE TABLE cached_numbers")
    spark.sql("DROP TABLE cached_numbers")
    spark.range(2).write.format("json").option("path", str(numbers)).mode("overwrite").saveAsTable("cached_numbers")
    assert count() == 2 and not catalog.isCached("cached_numbers")


def test_a_cached_view_keeps_its_rows_until_it_is_replaced(spark, tmp_path):
    def count(name):
        return spark.table(name).count()

    catalog = spark.catalog
    (tmp_path / "rows.json").write_text('{"id":1}\n{"id":2}\n')
    for name in ("cached_view", "cached_late"):
        spark.read.schema("id long").json(str(tmp_path)).createOrReplaceTempView(name)
    spark.sql("CACHE TABLE cached_view")
    spark.sql("CACHE LAZY TABLE cached_query AS SELECT id * 2 AS id FROM cached_view WHERE id > 1")
    catalog.cacheTable("cached_late")
    assert all(catalog.isCached(name) for name in ("cached_view", "cached_query", "cached_late"))
    (tmp_path / "rows.json").unlink()
    # It was read at once, the one that reads it needs nothing else, and the last comes too late.
    assert count("cached_view") == 2 and count("cached_query") == 1
    with pytest.raises(PySparkException, match=r"rows\.json"):
        count("cached_late")

    spark.range(7).createOrReplaceTempView("cached_view")
    assert not catalog.isCached("cached_view") and count("cached_view") == 7
    # A view goes on reading what its name meant when it was made.
    assert count("cached_query") == 1
    catalog.clearCache()
    assert not catalog.isCached("cached_query") and not catalog.isCached("cached_late")
    catalog.dropTempView("cached_late")
    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
        catalog.isCached("cached_late")


def test_what_does_not_exist_cannot_be_cached(spark):
    for action in (spark.catalog.cacheTable, spark.catalog.uncacheTable, spark.catalog.isCached):
        with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
            action("no_such_table")
    spark.sql("UNCACHE TABLE IF EXISTS no_such_table")
