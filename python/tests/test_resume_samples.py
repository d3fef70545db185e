"""Queries that Spark has begun go on here from its checkpoint, and come to the state that they have come to on Spark.

Each sample checkpoint is cut back to its first batch; the input of the others is then given to this engine, batch by
batch as Spark had it.
"""

import json
import pathlib
import shutil

import pytest
from checkpoints import GOLDEN, Sample, samples

from millstream._native import checkpoint_rows, checkpoint_verify

# Not stateful, clocks of their own, functions in Python, or a first batch that Spark has purged.
OTHERS = ("g_", "h_", "i_", "j_", "k_")


def cut_back(sample, base):
    """A copy of the checkpoint as it was after its first batch, its files at a new place."""
    checkpoint = pathlib.Path(shutil.copytree(sample.checkpoint, base / "checkpoint"))
    for side in checkpoint.rglob(".*.crc"):
        side.unlink()
    for log in ("offsets", "commits"):
        for path in (checkpoint / log).iterdir():
            if int(path.name) > 0:
                path.unlink()
    offsets = (checkpoint / "offsets/0").read_text().splitlines()[2:]
    for source, offset in enumerate(offsets):
        reached = json.loads(offset)["logOffset"] if offset != "-" else -1
        for path in (checkpoint / "sources" / str(source)).glob("*"):
            if int(path.name.removesuffix(".compact")) > reached:
                path.unlink()
            else:
                path.write_text(path.read_text().replace(f"file:///tmp/golden/{sample.name}", f"file://{base}"))
    for path in checkpoint.glob("state/**/*.*"):
        if path.suffix in (".delta", ".snapshot") and int(path.stem) > 1:
            path.unlink()
    return checkpoint


@pytest.mark.parametrize("name", [name for name in samples() if not name.startswith(OTHERS)])
def test_a_query_of_spark_goes_on_to_the_same_state(name, spark, tmp_path):
    sample = Sample(name)
    checkpoint = cut_back(sample, tmp_path)
    sample.write_batch(tmp_path, 0)
    for sources in sample.batches:
        for source in sources if isinstance(sources, dict) else ["input"]:
            (tmp_path / source).mkdir(exist_ok=True)
    assert (GOLDEN / name / "checkpoint").is_dir()
    # What the log of offsets says counts, not the session.
    spark.conf.set("spark.sql.shuffle.partitions", "3")
    writer = sample.build(spark, str(tmp_path)).writeStream.format("noop").outputMode(sample.mode)
    query = writer.option("checkpointLocation", str(checkpoint)).start()
    try:
        query.processAllAvailable()
        for number in range(1, len(sample.batches)):
            sample.write_batch(tmp_path, number)
            query.processAllAvailable()
    finally:
        query.stop()
    assert query.exception() is None
    last = max(int(path.name) for path in (sample.checkpoint / "offsets").glob("[0-9]*"))
    expected = checkpoint_rows(sample.checkpoint, batch=last, json=True).splitlines()
    assert sorted(checkpoint_rows(checkpoint, json=True).splitlines()) == sorted(expected)
    assert checkpoint_verify(checkpoint)[2] == []
