"""Queries with every kind of state become on Millstream what they became on Spark 4.2.1: rows, logs, and state.

``golden/handover.json`` is what ``python/handover/check.py --orders SSS --save`` has written.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "handover"))

import check
from queries import QUERIES

EXPECTED = json.loads(pathlib.Path(__file__).with_name("golden").joinpath("handover.json").read_text(encoding="utf-8"))


def test_queries_become_what_they_became_on_spark(tmp_path, capsys):
    names = [name for name in EXPECTED if name in QUERIES]
    assert len(names) >= 10
    command = [sys.executable, "-m", "millstream.cli", "run"]
    with check.Engine(command, {}, tmp_path / "log") as engine:
        found = [check.play("MMM", tmp_path, names, {"M": engine}, number) for number in range(check.ROUNDS)]
        dumps = engine.ask(state=[str(tmp_path / "MMM" / f"checkpoint-{name}") for name in names])
        states = {("MMM", name): json.loads(dump) for name, dump in zip(names, dumps, strict=True)}
    wanted = [{name: EXPECTED[name]["rounds"][number] for name in names} for number in range(check.ROUNDS)]
    states |= {("SSS", name): EXPECTED[name]["state"] for name in names}
    judge = check.Judge({"SSS": wanted, "MMM": found}, states, {name: QUERIES[name].opaque for name in names})
    different = [name for name in names if not judge.same(name, "MMM")]
    assert not different, capsys.readouterr().out[:20000]
