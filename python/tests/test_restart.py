"""A changed program goes on from its checkpoint, or is refused, as Spark does: ``python/handover`` is the proof."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "handover"))

from queries import QUERIES
from rounds import ROUNDS, feed
from worker import SETTINGS, Streams

KEY, VALUE = "STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE", "STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE"
OPERATORS = "STREAMING_STATEFUL_OPERATOR_NOT_MATCH_IN_STATE_METADATA"
REFUSED = {
    "refused_other_key_type": KEY,
    "refused_more_keys": KEY,
    "refused_other_value": VALUE,
    "refused_more_values": VALUE,
    "refused_stateless_now": OPERATORS,
    "refused_other_operator": OPERATORS,
    "refused_operator_more": OPERATORS,
    "refused_operator_fewer": OPERATORS,
    "refused_second_source": "There are [1] sources in the checkpoint offsets and now there are [2] sources",
    "refused_more_columns_of_a_join": VALUE,
    "refused_other_keys_of_a_join": KEY,
    "refused_other_columns": KEY,
    "refused_other_deduplication": OPERATORS,
}


def run(spark, query, name, base):
    for key, value in (SETTINGS | query.conf).items():
        spark.conf.set(key, value)
    writer = query.build(Streams(spark, base)).writeStream.format("noop").outputMode(query.mode)
    writer = writer.option("checkpointLocation", f"{base}/checkpoint-{name}")
    writer.trigger(availableNow=True).start().awaitTermination()


@pytest.fixture
def restarted(spark, tmp_path):
    """Run a query over the first round of input, and what it is changed to over the others."""

    def restart(name):
        for number in range(ROUNDS):
            feed(tmp_path, number)
            run(spark, QUERIES[name].changed if number else QUERIES[name], name, tmp_path)

    return restart


@pytest.mark.parametrize("name", [name for name in QUERIES if name.startswith("allowed_")])
def test_a_change_that_leaves_the_state_as_it_is_goes_on(restarted, name):
    restarted(name)


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_a_change_of_the_state_is_refused_with_sparks_condition(restarted, name, reason):
    with pytest.raises(Exception) as refused:
        restarted(name)
    assert reason in str(refused.value)


def test_a_refused_program_leaves_the_checkpoint_to_the_one_before(spark, restarted, tmp_path):
    with pytest.raises(Exception, match=KEY):
        restarted("refused_more_keys")
    run(spark, QUERIES["refused_more_keys"], "refused_more_keys", tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoint-refused_more_keys" / "commits").glob("[0-9]*")) == [
        "0",
        "1",
    ]


def test_each_refusal_is_among_those_compared_with_spark():
    assert REFUSED.keys() == {name for name in QUERIES if name.startswith("refused_")}
