//! The global watermark of a query: from what its watermark operators saw, by Spark's two policies.
//!
//! It never goes back. The maxima of the single operators are not in the checkpoint, as in Spark: after a restart an operator
//! that has not yet seen a row counts as 0.

use millstream_operators::stream_plan::EventTimeStats;

/// How several event-time watermarks become one (`spark.sql.streaming.multipleWatermarkPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatermarkPolicy {
    /// The smallest: no row is dropped that any of them would take.
    Min,
    /// The largest.
    Max,
}

/// Follows the event times of a query from batch to batch. All times in ms since the epoch.
#[derive(Debug)]
pub struct WatermarkTracker {
    policy: WatermarkPolicy,
    /// One per watermark operator, in plan order; none until it has run in a batch.
    operators: Vec<Option<i64>>,
    current_ms: i64,
}

impl WatermarkTracker {
    /// Begins at `current_ms`: 0 for a new query, else what the checkpoint says.
    pub fn new(policy: WatermarkPolicy, current_ms: i64) -> Self {
        Self { policy, operators: Vec::new(), current_ms }
    }

    /// The watermark, ms.
    pub fn current_ms(&self) -> i64 {
        self.current_ms
    }

    /// Takes in what the operators saw in a batch.
    pub fn observe(&mut self, stats: &[EventTimeStats]) {
        self.operators.resize(stats.len(), None);
        for (operator, seen) in self.operators.iter_mut().zip(stats) {
            let before = *operator;
            *operator = Some(match (seen.count, before) {
                (0, before) => before.unwrap_or(0),
                (_, None) => seen.max_ms - seen.delay_ms,
                (_, Some(before)) => before.max(seen.max_ms - seen.delay_ms),
            });
        }
        let known = self.operators.iter().flatten().copied();
        let chosen = match self.policy {
            WatermarkPolicy::Min => known.min(),
            WatermarkPolicy::Max => known.max(),
        };
        self.current_ms = self.current_ms.max(chosen.unwrap_or(self.current_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(max_ms: i64, delay_ms: i64) -> EventTimeStats {
        EventTimeStats { count: 1, min_ms: max_ms, max_ms, avg_ms: max_ms as f64, delay_ms }
    }

    const NOTHING: EventTimeStats = EventTimeStats { count: 0, min_ms: 0, max_ms: 0, avg_ms: 0.0, delay_ms: 0 };

    #[test]
    fn the_smallest_of_two_watermarks_counts_and_never_goes_back() {
        let mut tracker = WatermarkTracker::new(WatermarkPolicy::Min, 0);
        tracker.observe(&[saw(30_000, 5_000), NOTHING]);
        assert_eq!(tracker.current_ms(), 0, "the second has seen nothing yet");
        tracker.observe(&[NOTHING, saw(26_000, 10_000)]);
        assert_eq!(tracker.current_ms(), 16_000);
        tracker.observe(&[saw(1_000, 5_000), saw(2_000, 10_000)]);
        assert_eq!(tracker.current_ms(), 16_000);
    }

    #[test]
    fn the_largest_counts_under_policy_max() {
        let mut tracker = WatermarkTracker::new(WatermarkPolicy::Max, 0);
        tracker.observe(&[saw(30_000, 5_000), NOTHING]);
        assert_eq!(tracker.current_ms(), 25_000);
    }

    #[test]
    fn a_restarted_query_stands_still_until_every_operator_has_seen_rows() {
        let mut tracker = WatermarkTracker::new(WatermarkPolicy::Min, 16_000);
        tracker.observe(&[saw(90_000, 5_000), NOTHING]);
        assert_eq!(tracker.current_ms(), 16_000);
    }

    #[test]
    fn times_before_the_epoch_do_not_take_the_watermark_below_zero() {
        let mut tracker = WatermarkTracker::new(WatermarkPolicy::Min, 0);
        tracker.observe(&[saw(-50_000, 1_000)]);
        assert_eq!(tracker.current_ms(), 0);
    }
}
