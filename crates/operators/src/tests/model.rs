//! Streaming aggregation against a model that keeps every group in a map: random batches, modes, watermarks and restarts.

use std::collections::BTreeMap;

use datafusion::common::Column;
use datafusion::prelude::col;

use super::{Row, TestQuery, counts, events, with_watermark};
use crate::stream_plan::OutputMode;

/// A linear congruential generator: enough for test data, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

const KEYS: [Option<&str>; 5] = [None, Some("a"), Some("b"), Some("cc"), Some("dddddddddd")];

/// Groups by time (s) and key: how many values are known, and their sum.
type Groups = BTreeMap<(i64, Option<&'static str>), (i64, Option<i64>)>;

struct Model {
    mode: OutputMode,
    groups: Groups,
}

impl Model {
    fn batch(&mut self, rows: &[Row], late_s: i64, evict_s: i64) -> Vec<String> {
        let late = |time: i64| self.mode != OutputMode::Complete && time <= late_s;
        let rows: Vec<&Row> = rows.iter().filter(|r| !late(r.2)).collect();
        for (key, value, time) in rows.iter().copied() {
            let group = self.groups.entry((*time, *key)).or_insert((0, None));
            if let Some(value) = value {
                *group = (group.0 + 1, Some(group.1.unwrap_or(0) + value));
            }
        }
        let closed = |time: i64| self.mode != OutputMode::Complete && time <= evict_s;
        let touched = |key: &(i64, Option<&str>)| rows.iter().any(|r| (r.2, r.0) == *key);
        let mut out: Vec<String> = self
            .groups
            .iter()
            .filter(|(key, _)| match self.mode {
                OutputMode::Complete => true,
                OutputMode::Update => touched(key),
                OutputMode::Append => closed(key.0),
            })
            .map(|((time, key), (count, sum))| {
                let time = format!("1970-01-01T00:{:02}:{:02}Z", time / 60, time % 60);
                format!("{time},{},{count},{}", key.unwrap_or(""), sum.map_or(String::new(), |s| s.to_string()))
            })
            .collect();
        out.sort();
        self.groups.retain(|key, _| !(self.mode != OutputMode::Complete && key.0 <= evict_s));
        out
    }
}

fn check(seed: u64, mode: OutputMode, partitions: usize) {
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let plan = || {
        let keys = ["#t", "#k"].map(|name| col(Column::new_unqualified(name)));
        with_watermark(events(), 0).aggregate(keys, counts()).unwrap()
    };
    let mut query = TestQuery::start(plan(), mode, dir.path(), partitions);
    let mut model = Model { mode, groups: Groups::new() };
    let (mut late_s, mut evict_s) = (0, 0);
    for batch in 0..12 {
        let count = random.below(12);
        let rows: Vec<Row> = (0..count)
            .map(|_| {
                let value = (random.below(4) > 0).then(|| random.below(100) as i64 - 50);
                (KEYS[random.below(5) as usize], value, evict_s - 3 + random.below(12) as i64)
            })
            .filter(|r| r.2 > 0)
            .collect();
        query.watermark_ms = late_s * 1000;
        let found = query.batch_at(&[&rows], evict_s * 1000).unwrap();
        let expected = model.batch(&rows, late_s, evict_s);
        assert_eq!(found, expected, "seed {seed}, {mode:?}, {partitions} partitions, batch {batch}");
        assert_eq!(query.plan.progress()[0].rows_total as usize, model.groups.len(), "seed {seed}, batch {batch}");
        late_s = evict_s;
        evict_s += random.below(4) as i64;
        if random.below(4) == 0 {
            let next = query.next;
            query = TestQuery::start(plan(), mode, dir.path(), partitions);
            query.plan.restore(next).unwrap();
            query.next = next;
        }
    }
}

#[test]
fn an_aggregation_agrees_with_a_map_over_random_batches_watermarks_and_restarts() {
    for seed in 0..8 {
        for mode in [OutputMode::Append, OutputMode::Update, OutputMode::Complete] {
            check(seed, mode, 1 + (seed % 7) as usize);
        }
    }
}
