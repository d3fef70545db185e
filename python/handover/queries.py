"""Queries for every stateful operator whose state Spark keeps in its default store.

Each is a function of the streams that gives a table, declared with its output mode. Those declared as ``changed`` begin
as another one and run in their own form from the second round on: what Spark allows and refuses at a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pyspark.sql import functions as F


@dataclass
class Query:
    """What runs, and what it becomes after the first round."""

    build: Callable
    mode: str
    conf: dict = field(default_factory=dict)
    opaque: bool = False
    """Whether Spark itself writes state in an order that means nothing: only what comes out of it is compared."""
    changed: Query | None = None


QUERIES: dict[str, Query] = {}


def query(mode="append", opaque=False, **conf):
    """Declare a query; its settings are written without the leading ``spark.sql.`` and with ``_`` for each dot."""

    def add(build):
        QUERIES[build.__name__] = Query(build, mode, _settings(conf), opaque)
        return build

    return add


def changed(name, mode=None, **conf):
    """Declare what a query is from the second round on."""

    def add(build):
        before = QUERIES[name]
        after = Query(build, mode or before.mode, _settings(conf))
        QUERIES[build.__name__] = Query(before.build, before.mode, before.conf, before.opaque, after)
        return build

    return add


def _settings(conf):
    return {"spark.sql." + key.replace("_", "."): value for key, value in conf.items()}


# Aggregation.


@query("update")
def count(s):
    return s.left.groupBy("lk").count()


@query("complete")
def complete(s):
    return s.right.groupBy("rk").agg(F.sum("rv"), F.avg("rv"), F.min("rk"), F.first("rv"), F.stddev("rv"))


@query("update")
def without_keys(s):
    return s.left.groupBy().agg(F.count("*"), F.sum("lv"), F.max("lk"))


@query("complete")
def sums(s):
    columns = ["n", "by", "sh", "l", "f", "d", "dec1", "dec2", "dec3"]
    sums = [F.sum(c).alias(f"sum_{c}") for c in columns] + [F.avg(c).alias(f"avg_{c}") for c in columns]
    tries = [F.expr(f"try_{f}({c})") for f in ("sum", "avg") for c in ("l", "d", "dec1", "dec3")]
    return s.wide.groupBy("k", "n").agg(F.count(F.lit(1)), F.count("l"), *sums, *tries)


@query("update")
def extremes(s):
    columns = ["b", "by", "sh", "l", "f", "d", "s", "dec1", "dec3", "dt", "tn", "wt", "bin", "st", "ai"]
    return s.wide.groupBy("k").agg(*[f(c) for c in columns for f in (F.min, F.max)])


@query("complete")
def firsts_and_lasts(s):
    columns = ["b", "l", "d", "s", "dec1", "dec3", "dt", "tn", "bin", "st", "ai", "m"]
    plain = [f(c) for c in columns for f in (F.first, F.last)]
    ignoring = [F.first("s", True), F.last("st", True), F.any_value("l", True), F.expr("last(dec3) IGNORE NULLS")]
    return s.wide.groupBy("k").agg(*plain, *ignoring, F.max_by("s", "d"), F.min_by("st", "l"))


@query("update")
def moments(s):
    one = ["stddev", "stddev_pop", "var_samp", "var_pop", "skewness", "kurtosis"]
    two = [
        "covar_pop",
        "covar_samp",
        "corr",
        "regr_count",
        "regr_avgx",
        "regr_avgy",
        "regr_sxx",
        "regr_syy",
        "regr_sxy",
    ]
    two += ["regr_slope", "regr_intercept", "regr_r2"]
    return s.wide.groupBy("k").agg(*[F.expr(f"{f}(d)") for f in one], *[F.expr(f"{f}(d, l)") for f in two])


@query("update")
def bits_and_truths(s):
    functions = [
        "bit_and(l)",
        "bit_or(sh)",
        "bit_xor(by)",
        "bool_and(b)",
        "bool_or(b)",
        "every(b)",
        "some(b)",
        "count_if(b)",
    ]
    return s.wide.groupBy("k").agg(*[F.expr(f) for f in functions], F.product("f"))


@query("update")
def collections(s):
    functions = [
        "collect_list(s)",
        "collect_set(n)",
        "array_agg(l)",
        "collect_list(st)",
        "collect_set(s)",
        "collect_list(d)",
    ]
    functions += ["listagg(s, ',')", "collect_list(named_struct('a', k, 'b', dec3))"]
    return s.wide.groupBy("n").agg(*[F.expr(f) for f in functions])


@query("update", opaque=True)
def quantiles(s):
    functions = ["percentile(d, 0.5)", "percentile(l, array(0.25, 0.75), 1)", "median(n)", "mode(s)", "mode(l, true)"]
    functions += ["percentile_cont(0.5) WITHIN GROUP (ORDER BY d)", "percentile_disc(0.5) WITHIN GROUP (ORDER BY l)"]
    return s.wide.groupBy("k").agg(*[F.expr(f) for f in functions])


@query("update")
def sketches(s):
    functions = ["approx_count_distinct(s)", "approx_count_distinct(d, 0.1)", "approx_count_distinct(st)"]
    functions += ["percentile_approx(d, 0.5)", "percentile_approx(l, array(0.1, 0.9), 100)", "histogram_numeric(d, 3)"]
    functions += ["hex(count_min_sketch(s, 0.5d, 0.5d, 1))"]
    return s.wide.groupBy("k").agg(*[F.expr(f) for f in functions])


@query("update")
def bitmaps(s):
    functions = ["length(bitmap_construct_agg(bitmap_bit_position(abs(l) % 1000)))"]
    functions += ["bitmap_count(bitmap_construct_agg(bitmap_bit_position(n)))"]
    return s.wide.groupBy("k").agg(*[F.expr(f) for f in functions])


@query("update")
def keys_of_all_types(s):
    keys = ["k", "n", "b", "by", "sh", "l", "f", "d", "s", "dec1", "dec2", "dec3", "dt", "tn", "wt", "bin", "ai", "st"]
    return s.wide.groupBy(*keys).count()


@query("update")
def over_aggregates(s):
    return s.sql(
        "SELECT upper(lk) AS u, (sum(lv) + sum(lv)) / count(*) AS x, count(*) AS c,"
        " sum(lv + 1) FILTER (WHERE lv > 1) AS y, max(lv) - min(lv) AS spread"
        " FROM left_rows WHERE lv IS NOT NULL GROUP BY upper(lk), upper(lk) HAVING count(*) > 0"
    )


@query("update")
def constant_keys(s):
    return s.sql("SELECT 'all' AS c, lk, count(1) AS n, sum(2) AS m FROM left_rows GROUP BY 'all', lk")


@query("complete")
def grouping_sets(s):
    return s.left.rollup("lk", "lv").agg(F.count("*"), F.sum("lv"), F.grouping_id())


@query("update")
def select_distinct(s):
    return s.sql("SELECT DISTINCT lk, lv FROM left_rows")


@query("complete")
def ordered(s):
    return s.left.groupBy("lk").agg(F.sum("ln").alias("total")).orderBy(F.desc("total"), "lk").limit(3)


@query("update")
def generated(s):
    return s.wide.select("k", F.explode("ai").alias("e")).groupBy("e").agg(F.count("k"), F.sum("e"))


@query("update")
def of_joined_table(s):
    names = s.spark.createDataFrame([("a", "Anna", 1.5), ("b", "Bo", 2.5)], "id string, name string, weight double")
    return s.left.join(names, F.expr("lk = id"), "left").groupBy("name").agg(F.sum("weight"), F.sum("lv"))


@query("complete")
def union_with_itself(s):
    both = s.left.select("lk", "lv").union(s.left.selectExpr("upper(lk)", "lv * 2"))
    return both.union(s.right.select("rk", "rn")).groupBy("lk").agg(F.sum("lv"), F.count("*"))


# Windows.


@query()
def windows(s):
    return s.late.groupBy(F.window("lt", "10 seconds", "5 seconds"), "lk").agg(F.sum("lv"), F.max("lk"))


@query("update")
def windows_updated(s):
    return s.late.groupBy("lk", F.window("lt", "10 seconds")).agg(F.count("*"), F.avg("ln"))


@query("complete")
def windows_complete(s):
    window = F.window("lt", "10 seconds", "10 seconds", "3 seconds")
    return s.late.groupBy(window).agg(F.count("*"), F.collect_set("lk"))


@query()
def windows_of_windows(s):
    inner = s.late.groupBy(F.window("lt", "5 seconds")).count()
    return inner.groupBy(F.window("window", "10 seconds")).agg(F.sum("count"), F.count("*"))


@query()
def windows_of_some_rows(s):
    return s.late.where("lk <> 'c'").groupBy(F.window("lt", "10 seconds")).agg(F.sum("lv"))


@query()
def by_event_time(s):
    return s.late.groupBy("lt", "lk").agg(F.first("lv"))


@query()
def windows_by_field(s):
    groups = s.late.groupBy(F.window("lt", "10 seconds").alias("w"), F.length("lk").alias("size"))
    return groups.agg(F.sum("lv").alias("v")).select("w.end", "size", "v").where("v > 1")


@query()
def sessions(s):
    return s.late.groupBy(F.session_window("lt", "5 seconds"), "lk").count()


@query()
def sessions_with_gaps(s):
    gap = F.when(F.col("lk") == "a", "2 seconds").otherwise("8 seconds")
    return s.late.groupBy("lk", F.session_window("lt", gap)).agg(F.sum("lv"), F.max("ln"), F.first("lv"))


@query("complete")
def sessions_complete(s):
    return s.late.groupBy("lk", F.session_window("lt", "5 seconds"), "lv").agg(F.count("*"), F.collect_list("ln"))


# Deduplication and limit.


@query()
def distinct_columns(s):
    return s.left.dropDuplicates(["lk", "lv"])


@query()
def distinct_by_hash_order(s):
    return s.wide.select("k", "n", "b", "sh", "l", "s", "dec1").dropDuplicates()


@query()
def distinct_in_time(s):
    return s.late.dropDuplicates(["lk", "lt"])


@query()
def distinct_within(s):
    return s.late.dropDuplicatesWithinWatermark(["lk"])


@query()
def distinct_all_within(s):
    return s.late.select("lt", "lk", "lv").dropDuplicatesWithinWatermark()


@query()
def limit(s):
    return s.left.limit(8)


@query()
def limit_of_distinct(s):
    # Which rows these are depends on the order of partitions, which is nobody's promise.
    return s.left.dropDuplicates(["lk"]).limit(4).select(F.lit(1))


# Joins of streams.

NEAR = "lk = rk AND rt BETWEEN lt - INTERVAL 5 SECONDS AND lt + INTERVAL 5 SECONDS"


@query()
def join_without_time(s):
    return s.left.join(s.right, F.expr("lk = rk AND lv <= rn")).select("lk", "rv")


@query()
def join_inner(s):
    return s.late.join(s.late_right, F.expr(NEAR)).select("lt", "lk", "lv", "rv")


@query()
def join_left(s):
    return s.late.join(s.late_right, F.expr(NEAR), "leftOuter").select("lt", "lk", "lv", "rv")


@query()
def join_right(s):
    return s.late.join(s.late_right, F.expr(NEAR), "rightOuter").select("lt", "lk", "lv", "rv")


@query()
def join_full(s):
    return s.late.join(s.late_right, F.expr("lk = rk AND lt = rt"), "fullOuter")


@query()
def join_semi(s):
    return s.late.join(s.late_right, F.expr(NEAR), "leftSemi").select("lk", "lv")


@query()
def join_on_several(s):
    keys = "lk = rk AND lv = rn AND rt >= lt AND rt <= lt + INTERVAL 20 SECONDS"
    return s.late.join(s.late_right, F.expr(keys), "leftOuter").select("lk", "rv", "ln")


@query()
def join_on_expressions(s):
    keys = "upper(lk) = upper(rk) AND lv + 1 = rn + 1 AND rt >= lt AND rt <= lt + INTERVAL 20 SECONDS"
    return s.late.join(s.late_right, F.expr(keys)).selectExpr("lv * 2 AS twice", "rv + 1 AS more")


@query()
def join_on_null_keys(s):
    return s.left.join(s.right, F.expr("lk <=> rk AND lv > 1")).select("lk", "lv", "rv")


@query()
def join_left_on_null_keys(s):
    keys = "lk <=> rk AND rt BETWEEN lt - INTERVAL 5 SECONDS AND lt + INTERVAL 5 SECONDS"
    return s.late.join(s.late_right, F.expr(keys), "leftOuter").select("lk", "lv", "rv")


@query()
def join_on_types(s):
    return s.left.join(s.right, F.expr("ln = rv")).select("lk", "rk")


@query()
def join_filtered(s):
    joined = s.late.join(s.late_right, F.expr(NEAR))
    return joined.where("lv > 1 AND rn < 5 AND (lv > rn OR ln > rv) AND lk <> 'zz'").select("lk", "rv")


@query()
def join_filtered_to_inner(s):
    return s.late.join(s.late_right, F.expr(NEAR), "leftOuter").where("rv > 0").select("lk", "rt")


@query()
def join_on_key_filtered(s):
    return s.left.join(s.right, F.expr("lk = rk")).where("lk = 'a'").select("lk", "lv", "rn")


@query()
def join_with_itself(s):
    other = s.stream("left").selectExpr("lk AS ok", "lv AS ov").withColumn("extra", F.lit(1))
    return s.left.join(other, F.expr("lk = ok AND lv < ov")).select("lk", "lv", "ov", "extra")


@query()
def join_of_projected(s):
    left = s.late.withColumn("sum", F.expr("lv + 1")).withColumn("text", F.concat("lk", F.lit("!"))).drop("lv")
    right = s.late_right.selectExpr("rk", "rt AS at", "rn * 2 AS two", "rv")
    joined = left.join(right, F.expr("lk = rk AND at BETWEEN lt AND lt + INTERVAL 20 SECONDS"))
    return joined.select("text", "sum", "two")


@query()
def join_on_windows(s):
    left = s.late.groupBy(F.window("lt", "10 seconds")).agg(F.sum("lv").alias("l"))
    right = s.late_right.groupBy(F.window("rt", "10 seconds")).agg(F.count("*").alias("r"))
    return left.join(right, "window", "leftOuter")


@query()
def join_using(s):
    right = s.right.selectExpr("rk AS lk", "rv")
    return s.left.join(right, ["lk"]).select("lk", "lv", "rv")


@query()
def join_of_three(s):
    third = s.stream("left").selectExpr("lk AS k3", "ln AS n3")
    return s.left.join(s.right, F.expr("lk = rk")).join(third, F.expr("lk = k3 AND lv < 5")).select("lv", "rv", "n3")


# Several operators in one query.


@query()
def distinct_then_windows(s):
    kept = s.late.dropDuplicates(["lk", "lt"])
    return kept.groupBy(F.window("lt", "10 seconds"), "lk").agg(F.sum("lv"), F.count("*"))


@query()
def distinct_within_then_sessions(s):
    kept = s.late.dropDuplicatesWithinWatermark(["lk", "lv"])
    return kept.groupBy(F.session_window("lt", "6 seconds"), "lk").agg(F.max("lv"))


@query()
def join_then_windows(s):
    joined = s.late.join(s.late_right, F.expr(NEAR))
    return joined.groupBy(F.window("lt", "10 seconds"), "lk").agg(F.sum("rv"), F.count("*"))


@query()
def join_left_then_windows(s):
    joined = s.late.join(s.late_right, F.expr(NEAR), "leftOuter")
    return joined.groupBy(F.window("lt", "10 seconds")).agg(F.sum("rv"), F.count("*"))


@query()
def join_then_distinct(s):
    return s.late.join(s.late_right, F.expr(NEAR)).select("lk", "lt").dropDuplicates(["lk", "lt"])


@query("update")
def distinct_then_count(s):
    return s.left.dropDuplicates(["lk", "lv"]).groupBy("lk").count()


@query(streaming_multipleWatermarkPolicy="max")
def watermark_of_the_fastest(s):
    both = s.late.select("lt", "lk").union(s.late_right.select("rt", "rk"))
    return both.groupBy(F.window("lt", "10 seconds"), "lk").count()


# Changes of a program between two runs. Allowed:


@changed("count")
def allowed_filter_and_names(s):
    return s.left.where("lv IS NULL OR lv <> 1").groupBy("lk").count().withColumnRenamed("count", "n")


@changed("windows", shuffle_partitions="7", streaming_multipleWatermarkPolicy="max")
def allowed_settings(s):
    return windows(s)


@changed("distinct_within")
def allowed_other_delay(s):
    return s.left.withWatermark("lt", "30 seconds").dropDuplicatesWithinWatermark(["lk"])


@changed("sums")
def allowed_expression_over_sums(s):
    return sums(s).withColumn("more", F.expr("sum_l + 1"))


@changed("limit")
def allowed_other_limit(s):
    return s.left.limit(13)


@changed("join_without_time")
def allowed_other_condition(s):
    return s.left.join(s.right, F.expr("lk = rk AND lv > rn")).select("lk", "rv")


@changed("count", "complete")
def allowed_update_to_complete(s):
    return s.left.groupBy("lk").count()


# Refused:


@changed("count")
def refused_other_key_type(s):
    return s.left.groupBy("lv").count()


@changed("count")
def refused_more_keys(s):
    return s.left.groupBy("lk", "lv").count()


@changed("count")
def refused_other_value(s):
    return s.left.groupBy("lk").agg(F.max("lk"))


@changed("count")
def refused_more_values(s):
    return s.left.groupBy("lk").agg(F.count("*"), F.sum("lv"))


@changed("count")
def refused_stateless_now(s):
    return s.left.select("lk")


@changed("count")
def refused_other_operator(s):
    return s.left.dropDuplicates(["lk"])


@changed("count")
def refused_operator_more(s):
    return s.left.dropDuplicates(["lk", "lv"]).groupBy("lk").count()


@changed("distinct_then_count")
def refused_operator_fewer(s):
    return s.left.groupBy("lk").count()


@changed("count")
def refused_second_source(s):
    return s.left.select("lk").union(s.right.select("rk")).groupBy("lk").count()


@changed("join_inner")
def refused_more_columns_of_a_join(s):
    return s.late.join(s.late_right, F.expr(NEAR)).select("lt", "lk", "lv", "rv", "rn")


@changed("join_on_several")
def refused_other_keys_of_a_join(s):
    keys = "lk = rk AND rt >= lt AND rt <= lt + INTERVAL 20 SECONDS"
    return s.late.join(s.late_right, F.expr(keys), "leftOuter").select("lk", "rv", "ln")


@changed("distinct_columns")
def refused_other_columns(s):
    return s.left.dropDuplicates(["lk"])


@changed("distinct_in_time")
def refused_other_deduplication(s):
    return s.late.dropDuplicatesWithinWatermark(["lk", "lt"])
