"""The server and an unmodified client: what clients trip over."""

import uuid

import grpc
import pyspark.sql.connect.proto as pb
import pyspark.sql.connect.proto.base_pb2_grpc as rpc
import pytest
from pyspark.errors import AnalysisException, ParseException, SparkNoSuchElementException
from pyspark.errors.exceptions.connect import SparkConnectGrpcException
from pyspark.sql.connect.session import SparkSession

from millstream._native import Server


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        yield rpc.SparkConnectServiceStub(channel)


def request(session_id, end=3, reattachable=True):
    plan = pb.Plan(root=pb.Relation(range=pb.Range(start=0, end=end, step=1)))
    options = [pb.ExecutePlanRequest.RequestOption(reattach_options=pb.ReattachOptions(reattachable=reattachable))]
    return pb.ExecutePlanRequest(
        session_id=session_id, plan=plan, operation_id=str(uuid.uuid4()), request_options=options
    )


def test_an_empty_result_has_its_schema(spark):
    empty = spark.range(0)
    assert empty.collect() == [] and empty.toPandas().shape == (0, 1)
    assert spark.createDataFrame([], "a int, b string").toArrow().num_rows == 0


def test_a_stream_that_broke_is_continued_after_the_last_response(stub):
    session_id = str(uuid.uuid4())
    execute = request(session_id)
    first = stub.ExecutePlan(execute)
    begun = [next(first), next(first)]
    first.cancel()
    again = pb.ReattachExecuteRequest(
        session_id=session_id, operation_id=execute.operation_id, last_response_id=begun[-1].response_id
    )
    rest = list(stub.ReattachExecute(again))
    kinds = [r.WhichOneof("response_type") or "schema" for r in [*begun, *rest]]
    assert kinds == ["schema", "arrow_batch", "result_complete"]
    assert len({r.response_id for r in [*begun, *rest]}) == 3
    assert all(r.session_id == session_id for r in rest)
    released = pb.ReleaseExecuteRequest(
        session_id=session_id, operation_id=execute.operation_id, release_all=pb.ReleaseExecuteRequest.ReleaseAll()
    )
    assert stub.ReleaseExecute(released).operation_id == execute.operation_id
    with pytest.raises(grpc.RpcError, match="OPERATION_NOT_FOUND"):
        list(stub.ReattachExecute(again))


def test_an_operation_id_is_used_once(stub):
    execute = request(str(uuid.uuid4()))
    assert list(stub.ExecutePlan(execute))
    with pytest.raises(grpc.RpcError, match="OPERATION_ALREADY_EXISTS"):
        list(stub.ExecutePlan(execute))


def test_errors_raise_the_class_of_spark_with_condition_and_state(spark):
    with pytest.raises(AnalysisException) as unresolved:
        spark.range(1).select("nope").collect()
    assert unresolved.value.getCondition() == "UNRESOLVED_COLUMN.WITH_SUGGESTION"
    assert unresolved.value.getSqlState() == "42703"
    assert "`nope`" in str(unresolved.value)
    with pytest.raises(ParseException) as syntax:
        spark.sql("selec 1")
    assert syntax.value.getCondition() == "PARSE_SYNTAX_ERROR"
    with pytest.raises(SparkNoSuchElementException):
        spark.conf.get("no.such.key")


def test_long_messages_arrive_whole(spark):
    name = "x" * 5000
    with pytest.raises(AnalysisException, match=name):
        spark.range(1).select(name).collect()


def test_what_is_not_served_says_so(spark):
    with pytest.raises(SparkConnectGrpcException, match="as-of join is not supported by Millstream") as unsupported:
        spark.range(3)._joinAsOf(spark.range(3), "id", "id").collect()
    assert unsupported.value.getCondition() == "UNSUPPORTED_FEATURE"
    assert spark.range(2).count() == 2


def test_large_local_data_is_uploaded_in_chunks(spark):
    rows = [(i, "x" * 1000) for i in range(2500)]
    assert spark.createDataFrame(rows, "i int, s string").count() == 2500


def test_big_plans_are_compressed_and_deep(spark):
    frame = spark.range(1)
    for i in range(120):
        frame = frame.withColumn(f"c{i}", frame.id + i)
    assert frame.collect()[0].c119 == 119


def test_interrupting_ends_an_operation(spark):
    assert spark.interruptAll() == []


def test_a_released_session_is_closed_for_good(server):
    session = SparkSession.builder.remote(f"sc://localhost:{server.port}").create()
    session.range(1).collect()
    session_id = session.session_id
    session.stop()
    late = SparkSession.builder.remote(f"sc://localhost:{server.port}/;session_id={session_id}").create()
    with pytest.raises(Exception, match="SESSION_CLOSED"):
        late.range(1).collect()


def test_a_token_is_asked_for(tmp_path):
    server = Server("127.0.0.1", 0, "secret", warehouse=tmp_path)
    try:
        opened = SparkSession.builder.remote(f"sc://localhost:{server.port}/;token=secret").create()
        assert opened.range(2).count() == 2
        opened.stop()
        refused = SparkSession.builder.remote(f"sc://localhost:{server.port}/;token=wrong").create()
        with pytest.raises(Exception, match="token"):
            refused.range(2).count()
    finally:
        server.stop(5.0)


def test_other_machines_need_a_token(tmp_path):
    with pytest.raises(ValueError, match="token"):
        Server("0.0.0.0", 0, warehouse=tmp_path)
