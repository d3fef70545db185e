//! The input, the queries over it, and what must come out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream::prelude::*;
use serde_json::Value;

/// Event time of the first file, ms; each file is a second later, its events up to three seconds earlier or later.
const BASE_MS: i64 = 1_700_000_000_000;
const WINDOW_MS: i64 = 10_000;
const EVENTS_PER_FILE: i64 = 8;

/// Random numbers that a seed determines.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    id: i64,
    kind: &'static str,
    user: String,
    at_ms: i64,
    n: i64,
}

impl Row {
    fn json(&self) -> String {
        let Self { id, kind, user, at_ms, n } = self;
        format!("{{\"id\":{id},\"kind\":\"{kind}\",\"user\":\"{user}\",\"at_ms\":{at_ms},\"n\":{n}}}\n")
    }
}

/// The rows of which a file is the home: those in it, and those that come one file later.
fn rows_from(seed: u64, file: i64) -> (Vec<Row>, Vec<Row>) {
    let mut random = Random::new(seed ^ (file as u64 + 1) << 20);
    let (mut now, mut next) = (Vec::new(), Vec::new());
    for event in 0..EVENTS_PER_FILE {
        let id = file * EVENTS_PER_FILE + event;
        let at_ms = BASE_MS + file * 1000 + random.below(6000) as i64 - 3000;
        let (user, n) = (format!("u{}", random.below(4)), random.below(100) as i64);
        let row = |kind| Row { id, kind, user: user.clone(), at_ms, n };
        now.push(row("view"));
        for kind in ["view", "click", "click"] {
            // Half of the clicks and a third of the repetitions, in this file or the next.
            match random.below(6) {
                0 => now.push(row(kind)),
                1 => next.push(row(kind)),
                _ => {}
            }
        }
    }
    (now, next)
}

/// The rows of a file; a closing one ends every window of those before it.
fn rows(seed: u64, file: i64, closing: bool) -> Vec<Row> {
    if closing {
        let at_ms = BASE_MS + 1_000_000_000;
        return ["view", "click"].map(|kind| Row { id: -file, kind, user: "last".into(), at_ms, n: 0 }).into();
    }
    let late = if file > 0 { rows_from(seed, file - 1).1 } else { Vec::new() };
    late.into_iter().chain(rows_from(seed, file).0).collect()
}

/// The directories of a run, and the input so far.
pub struct World {
    pub root: PathBuf,
    pub seed: u64,
    files: i64,
    rows: Vec<Row>,
}

pub const QUERIES: [&str; 3] = ["totals", "pairs", "copy"];

impl World {
    pub fn new(root: &Path, seed: u64) -> Self {
        for dir in ["in", "checkpoint", "out", "new"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        Self { root: root.to_path_buf(), seed, files: 0, rows: Vec::new() }
    }

    pub fn files(&self) -> i64 {
        self.files
    }

    /// Ends every window. With two files, since after a restart Spark closes nothing before there is new data.
    pub fn close(&mut self) {
        (0..2).for_each(|_| self.add_file(true));
    }

    /// Adds a file to the input.
    pub fn add_file(&mut self, closing: bool) {
        let rows = rows(self.seed, self.files, closing);
        let text: String = rows.iter().map(Row::json).collect();
        let (new, path) = (self.root.join("new/file"), self.root.join(format!("in/{:06}.json", self.files)));
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
        self.files += 1;
        self.rows.extend(rows);
    }

    /// Where a query keeps its logs and state.
    pub fn checkpoint(&self, query: &str) -> PathBuf {
        checkpoint(&self.root, query)
    }

    /// Fails if a query has put out what it must not, or, `complete`, not everything that it must.
    pub fn verify(&self, query: &str, complete: bool) -> Result<(), String> {
        let found = read_sink(&self.root.join("out").join(query))?;
        let expected = match query {
            "totals" => self.expected_totals(),
            "pairs" => self.expected_pairs(),
            _ => self.expected_copy(),
        };
        for (row, count) in &found {
            let wanted = expected.get(row).copied().unwrap_or(0);
            if *count > wanted {
                return Err(format!("{query}: {row} is there {count} times instead of {wanted}"));
            }
        }
        let missing = expected.iter().find(|(row, wanted)| found.get(*row).copied().unwrap_or(0) < **wanted);
        match missing {
            Some((row, wanted)) if complete => {
                Err(format!("{query}: {row} is missing; {wanted} of {} rows expected", expected.len()))
            }
            _ => Ok(()),
        }
    }

    fn expected_totals(&self) -> BTreeMap<String, usize> {
        let mut views: Vec<&Row> = self.rows.iter().filter(|row| row.kind == "view" && row.id >= 0).collect();
        views.sort();
        views.dedup();
        let mut totals: BTreeMap<(i64, &str), (i64, i64)> = BTreeMap::new();
        for view in views {
            let start = view.at_ms.div_euclid(WINDOW_MS) * WINDOW_MS;
            let total = totals.entry((start, &view.user)).or_default();
            *total = (total.0 + 1, total.1 + view.n);
        }
        let row = |((start, user), (count, sum))| format!("count={count} start={start} total={sum} user={user}");
        totals.into_iter().map(|total| (row(total), 1)).collect()
    }

    fn expected_pairs(&self) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
        for row in &self.rows {
            let count = counts.entry(row.id).or_default();
            if row.kind == "view" { count.0 += 1 } else { count.1 += 1 }
        }
        let pairs = counts.into_iter().map(|(id, (views, clicks))| (format!("id={id}"), views * clicks));
        pairs.filter(|(_, count)| *count > 0).collect()
    }

    fn expected_copy(&self) -> BTreeMap<String, usize> {
        let mut copy = BTreeMap::new();
        for Row { id, kind, user, at_ms, n } in &self.rows {
            *copy.entry(format!("at_ms={at_ms} id={id} kind={kind} n={n} user={user}")).or_default() += 1;
        }
        copy
    }
}

pub fn checkpoint(root: &Path, query: &str) -> PathBuf {
    root.join("checkpoint").join(query)
}

/// A session as the queries want it.
pub fn session(fsync: bool) -> Arc<Session> {
    let session = local_session().unwrap();
    for (key, value) in [
        ("spark.sql.shuffle.partitions", "2"),
        ("spark.sql.streaming.minBatchesToRetain", "2"),
        ("spark.millstream.checkpoint.fsync", if fsync { "true" } else { "false" }),
    ] {
        session.conf().set(key, value).unwrap();
    }
    session
}

/// Starts one of the queries on the files below `root`.
pub fn start(
    session: &Arc<Session>,
    root: &Path,
    query: &str,
    trigger: TriggerSpec,
) -> Result<Arc<StreamingQuery>, SparkError> {
    let text = |path: PathBuf| path.to_str().unwrap().to_string();
    let events = |kind: &str| {
        let rows = session.read_stream().format("json").schema("id LONG, kind STRING, user STRING, at_ms LONG, n LONG");
        let rows = rows.option("maxFilesPerTrigger", "1").path(&text(root.join("in"))).load();
        let rows = rows.with_column("at", expr("timestamp_millis(at_ms)"));
        if kind.is_empty() { rows } else { rows.filter(expr(&format!("kind = '{kind}'"))) }
    };
    let result = match query {
        "totals" => events("view")
            .with_watermark("at", "10 seconds")
            .drop_duplicates(&["id", "at"])
            .group_by([window(col("at"), "10 seconds", None), col("user")])
            .agg([expr("count(*) AS count"), expr("sum(n) AS total")])
            .select(["unix_millis(window.start) AS start", "user", "count", "total"].map(expr)),
        "pairs" => {
            let side = |kind, name: &str| {
                events(kind).with_watermark("at", "10 seconds").select([col("id"), col("at"), col("n").alias(name)])
            };
            side("view", "views").join(side("click", "clicks"), &["id", "at"], JoinKind::Inner).select([col("id")])
        }
        _ => events("").select(["id", "kind", "user", "at_ms", "n"].map(col)),
    };
    result
        .write_stream()
        .format("json")
        .query_name(query)
        .option("checkpointLocation", &text(checkpoint(root, query)))
        .path(&text(root.join("out").join(query)))
        .trigger(trigger)
        .start()
}

/// Runs one of the queries over all files that are there.
pub fn drain(session: &Arc<Session>, root: &Path, query: &str) -> Result<(), SparkError> {
    start(session, root, query, TriggerSpec::AvailableNow)?.await_termination(None).map(drop)
}

/// The rows that count in a directory of the file sink, with how often each is there: by its log and nothing else.
fn read_sink(dir: &Path) -> Result<BTreeMap<String, usize>, String> {
    let log = dir.join("_spark_metadata");
    let mut files: BTreeMap<i64, (bool, PathBuf)> = BTreeMap::new();
    for entry in fs::read_dir(&log).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (number, compact) = name.strip_suffix(".compact").map_or((name.as_str(), false), |number| (number, true));
        if let Ok(number) = number.parse() {
            let known = files.entry(number).or_insert((compact, entry.path()));
            if compact {
                *known = (true, entry.path());
            }
        }
    }
    let first = files.iter().rev().find(|(_, (compact, _))| *compact).map_or(0, |(number, _)| *number);
    let mut rows = BTreeMap::new();
    for (expected, (number, (_, path))) in (first..).zip(files.range(first..)) {
        if expected != *number {
            return Err(format!("{}: file {expected} is missing", log.display()));
        }
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut lines = text.lines();
        if lines.next() != Some("v1") {
            return Err(format!("{} does not begin with a version", path.display()));
        }
        for line in lines {
            let entry: Value = serde_json::from_str(line).map_err(|e| format!("{}: {e}", path.display()))?;
            read_data(&entry, &mut rows)?;
        }
    }
    Ok(rows)
}

fn read_data(entry: &Value, rows: &mut BTreeMap<String, usize>) -> Result<(), String> {
    let path = entry["path"].as_str().and_then(|path| path.strip_prefix("file://")).ok_or("an entry without a path")?;
    let text = fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    if entry["size"].as_u64() != Some(text.len() as u64) {
        return Err(format!("{path} has {} bytes, its entry says {}", text.len(), entry["size"]));
    }
    for line in text.lines() {
        let row: BTreeMap<String, Value> = serde_json::from_str(line).map_err(|e| format!("{path}: {e}: {line}"))?;
        let fields = row.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        });
        *rows.entry(fields.collect::<Vec<_>>().join(" ")).or_default() += 1;
    }
    Ok(())
}
