"""Every kind of file of a checkpoint, damaged in every way.

A restart names the file or gives the right result, never a wrong one, and ``checkpoint verify`` names it unless the
query goes on without it just as well.
"""

import shutil

import pytest
import waiting
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from millstream._native import checkpoint_verify

BATCHES = 13
"""Enough for a snapshot, and for a compact file in both logs of files."""

FILES = {
    "metadata": "c/metadata",
    "newest offsets": "c/offsets/12",
    "offsets before": "c/offsets/11",
    "newest commit": "c/commits/12",
    "commit before": "c/commits/11",
    "newest entry of the source log": "c/sources/0/12",
    "compact file of the source log": "c/sources/0/9.compact",
    "newest delta": "c/state/0/1/13.delta",
    "delta before": "c/state/0/1/12.delta",
    "first delta": "c/state/0/1/1.delta",
    "snapshot": "c/state/0/1/*.snapshot",
    "schema": "c/state/0/0/_metadata/schema",
    "operator metadata": "c/state/0/_metadata/metadata",
    "newest entry of the sink log": "out/_spark_metadata/12",
    "compact file of the sink log": "out/_spark_metadata/9.compact",
}

NEIGHBOURS = {
    "c/metadata": "c/commits/12",
    "c/state/0/0/_metadata/schema": "c/state/0/_metadata/metadata",
    "c/state/0/_metadata/metadata": "c/state/0/0/_metadata/schema",
    "c/offsets/11": "c/offsets/10",
    "c/commits/11": "c/commits/10",
    "c/state/0/1/1.delta": "c/state/0/1/2.delta",
}

# What Spark does without as well: it writes the files that describe state anew, repeats a batch whose commit is gone,
# and builds state from deltas where a snapshot cannot be read, or from it without older deltas.
GOES_ON = {"newest commit", "commit before", "snapshot", "schema", "operator metadata", "first delta", "delta before"}


def remove(path, _):
    path.unlink()
    side(path).unlink(missing_ok=True)


def remove_alone(path, _):
    path.unlink()


def empty(path, _):
    path.write_bytes(b"")


def cut(path, _):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_checksums(damage):
    def damaged(path, neighbour):
        side(path).unlink(missing_ok=True)
        damage(path, neighbour)

    return damaged


def flip_at(share):
    def flip(path, _):
        content = bytearray(path.read_bytes())
        content[int(share * (len(content) - 1))] ^= 0x04
        path.write_bytes(content)

    return flip


def swap(path, neighbour):
    one, other = path.read_bytes(), neighbour.read_bytes()
    path.write_bytes(other)
    neighbour.write_bytes(one)


DAMAGE = {
    "missing": remove,
    "missing, its checksums left": remove_alone,
    "empty": empty,
    "cut in half": cut,
    "a bit flipped at the beginning": flip_at(0),
    "a bit flipped in the middle": flip_at(0.5),
    "a bit flipped at the end": flip_at(1),
    "swapped with its neighbour": swap,
    "empty, without checksums": without_checksums(empty),
    "cut in half, without checksums": without_checksums(cut),
}


def side(path):
    return path.with_name(f".{path.name}.crc")


class World:
    """Input, a query that counts and one that writes files, and what they have done so far."""

    def __init__(self, spark, root):
        """Run both queries over the first files."""
        self.spark, self.root, self.saved = spark, root / "world", root / "saved"
        spark.conf.set("spark.sql.shuffle.partitions", "2")
        (self.root / "in").mkdir(parents=True)
        for number in range(BATCHES):
            self.feed(number)
            if number == BATCHES - 2:
                self.run()
        # The first batch of a run looks for stores that need a snapshot; they are made while the query lives.
        self.run(until=lambda: len(list(self.root.glob("c/state/0/*/*.snapshot"))) == 2)
        shutil.copytree(self.root, self.saved)

    def feed(self, number):
        """Add a file; each partition of the counts changes with every one."""
        path = self.root / "in" / f"{number:02}.txt"
        path.write_text("".join(f"k{key}\n" for key in range(number % 3 + 4)))

    def run(self, only=("c", "f"), until=None):
        """Run the queries over what is new, and on until a condition holds."""
        lines = self.spark.readStream.format("text").option("maxFilesPerTrigger", 1).load(str(self.root / "in"))
        counts = lines.groupBy("value").count().writeStream.format("noop").outputMode("update")
        files = lines.writeStream.format("parquet").option("path", str(self.root / "out"))
        for writer, checkpoint in ((counts, "c"), (files, "f")):
            if checkpoint not in only:
                continue
            writer = writer.option("checkpointLocation", str(self.root / checkpoint))
            if until is None:
                writer.trigger(availableNow=True).start().awaitTermination()
                continue
            query = writer.start()
            query.processAllAvailable()
            waiting.until(until)
            query.stop()

    def restore(self):
        """Undo everything since the first run."""
        shutil.rmtree(self.root)
        shutil.copytree(self.saved, self.root)

    def result(self, checkpoint):
        """What a query has come to: how often each word."""
        state = self.spark.read.format("statestore").load(str(self.root / "c"))
        counts = state.select("key.value", F.col("value.count"))
        written = self.spark.read.parquet(str(self.root / "out")).groupBy("value").count()
        return {row[0]: row[1] for row in (counts if checkpoint == "c" else written).collect()}

    def verified(self, checkpoint):
        """Findings in a checkpoint, and in the log of its sink."""
        return checkpoint_verify(self.root / checkpoint, self.root / "out" if checkpoint == "f" else None)[2]


@pytest.fixture(scope="module")
def world(server, tmp_path_factory):
    """Two queries that have run."""
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.builder.remote(f"sc://localhost:{server.port}").create()
    yield World(session, tmp_path_factory.mktemp("damage"))
    session.stop()


@pytest.fixture(scope="module")
def expected(world):
    """The results of a run without damage, and a look at whether the samples are what they are meant to be."""
    assert world.verified("c") + world.verified("f") == []
    for name in FILES.values():
        assert len(list(world.root.glob(name))) == 1, name
    world.feed(BATCHES)
    world.run()
    return {checkpoint: world.result(checkpoint) for checkpoint in ("c", "f")}


def find(world, file):
    (path,) = world.root.glob(file)
    name = str(path.relative_to(world.root))
    stem, dot, kind = path.name.partition(".")
    default = path.with_name(f"{int(stem) - 1}{dot}{kind}") if stem.isdigit() else None
    if path.suffix in (".compact", ".snapshot"):
        default = path.with_name(str(int(stem) + 1) + (".delta" if path.suffix == ".snapshot" else ""))
    return path, world.root / NEIGHBOURS[name] if name in NEIGHBOURS else default


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", FILES)
def test_damage_is_named_or_harmless(world, expected, kind, damage):
    world.restore()
    path, neighbour = find(world, FILES[kind])
    if damage.startswith("swapped") and path.read_bytes() == neighbour.read_bytes():
        pytest.skip("both are the same")
    DAMAGE[damage](path, neighbour)
    checkpoint = "f" if FILES[kind].startswith("out") else "c"
    findings = world.verified(checkpoint)
    if not (kind in GOES_ON and damage.startswith("missing")):
        texts = [f"{found}: {problem}" for _, found, problem in findings]
        wanted = [str(path), str(side(path))]
        # The newest offsets are missed by their commit.
        wanted += [str(path).replace("offsets", "commits")] if kind == "newest offsets" else []
        assert any(name in text for text in texts for name in wanted), findings
    world.feed(BATCHES)
    try:
        world.run(checkpoint)
        result = world.result(checkpoint)
    except PySparkException as error:
        text = str(error)
        assert str(path) in text or (neighbour and str(neighbour) in text) or path.name == "metadata", text
        return
    assert result == expected[checkpoint], f"{kind}, {damage}: a wrong result and no error"
