# Everything a person types. `make demo` and `make test` work on a fresh machine with Rust, Python 3.10+ and make.
#
# The cargo target directory lies outside the clone, so that a first build is paid for once per machine.

CACHE ?= $(HOME)/.cache/millstream
export CARGO_TARGET_DIR ?= $(CACHE)/target
PYTHON ?= python3
SHARED ?= ../shared
BIN := .venv/bin

.PHONY: build demo test lint conformance dstreams doctests bench bench-spark torture torture-dstreams crashes spark-handover \
	spark-handover-cluster clean

# A repeat with nothing changed takes seconds: pip and cargo find their work done.
build: $(BIN)/maturin
	$(BIN)/maturin develop --quiet

$(BIN)/maturin: python/requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r python/requirements.txt
	touch $@

demo: build
	$(BIN)/python examples/demo.py

test: build
	cargo test --workspace --quiet
	$(BIN)/python -m pytest -q python/tests

lint: $(BIN)/maturin
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

# The conformance corpus stands beside the project; see its README.
conformance: build
	@test -d $(SHARED)/conformance || { echo "$(SHARED)/conformance is not there: nothing to compare with" >&2; exit 2; }
	$(BIN)/python bench/with_server.py $(BIN)/python $(SHARED)/conformance/runner.py --remote {remote} \
		--skip-tag python_worker --timeout 60 --report $(CACHE)/conformance.json $(ARGS)

# The corpus of DStream and RDD programs, each in a process of its own.
dstreams: build
	@test -d $(SHARED)/dstreams || { echo "$(SHARED)/dstreams is not there: nothing to compare with" >&2; exit 2; }
	$(BIN)/python $(SHARED)/dstreams/runner.py --launcher "$(abspath $(BIN))/millstream run" \
		--report $(CACHE)/dstreams.json $(ARGS)

doctests: build
	@test -f $(SHARED)/tools/connect_doctests.py || { echo "$(SHARED)/tools is not there: nothing to run" >&2; exit 2; }
	$(BIN)/python bench/with_server.py $(BIN)/python $(SHARED)/tools/connect_doctests.py {remote} \
		--failures $(CACHE)/doctests.txt $(ARGS)

bench: build
	cargo bench --workspace --quiet --profile dev --benches
	$(BIN)/python bench/word_count.py
	$(BIN)/python bench/micro_batch.py
	$(BIN)/python bench/dstream_word_count.py
	$(BIN)/python bench/rdd_word_count.py

# Kills a process with three queries at random instants and checks what came out: make torture RUNS=1000 SEED=1.
torture:
	MILLSTREAM_TORTURE_RUNS=$(or $(RUNS),1000) MILLSTREAM_TORTURE_SEED=$(or $(SEED),$(shell date +%s)) \
		cargo test --quiet -p millstream --test recovery -- torture::a_process --nocapture

# The same for a DStream program, of which now and then only a worker process is killed: make torture-dstreams RUNS=200 SEED=1.
torture-dstreams: build
	MILLSTREAM_TORTURE_RUNS=$(or $(RUNS),200) MILLSTREAM_TORTURE_SEED=$(or $(SEED),$(shell date +%s)) \
		$(BIN)/python -m pytest -q -s python/tests/test_dstream_torture.py

# Every pair of crashes, of which make test tries a share: one at any step that changes a file, another during recovery.
crashes:
	MILLSTREAM_CRASHES=all cargo test --quiet -p millstream --test recovery -- crashes --nocapture
	MILLSTREAM_CRASHES=all cargo test --quiet -p millstream-dstream --test crashes -- crash:: --nocapture

# The same programs on the real Spark beside it; needs Java 17.
bench-spark: build $(CACHE)/spark/bin/python
	$(BIN)/python bench/word_count.py --spark $(CACHE)/spark/bin/python
	$(BIN)/python bench/micro_batch.py --spark $(CACHE)/spark/bin/python
	$(BIN)/python bench/dstream_word_count.py --spark $(CACHE)/spark/bin/python
	$(BIN)/python bench/rdd_word_count.py --spark $(CACHE)/spark/bin/python

# Queries handed from Millstream to the real Spark and back, from one checkpoint; needs Java 17. Says what was compared.
spark-handover: build $(CACHE)/spark/bin/python
	$(BIN)/python python/handover/check.py --millstream $(BIN)/millstream --spark $(CACHE)/spark/bin/python $(ARGS)

# The same for one query of each kind of state, with a Spark standalone cluster of two workers on this machine.
spark-handover-cluster: build $(CACHE)/spark/bin/python
	$(BIN)/python python/handover/check.py --millstream $(BIN)/millstream --spark $(CACHE)/spark/bin/python --cluster \
		--queries count,firsts_and_lasts,windows,sessions,distinct_in_time,distinct_within,limit,join_left,join_full,distinct_then_windows \
		$(ARGS)

$(CACHE)/spark/bin/python:
	$(PYTHON) -m venv $(CACHE)/spark
	$@ -m pip install --quiet --disable-pip-version-check pyspark==4.2.1

clean:
	rm -rf .venv
