//! Spark's estimate of the rate that batches can keep up with: a PID controller.
//!
//! The error is the difference of the rate that was allowed and the rate at which the last batch was processed; its integral is the
//! backlog, seen in the scheduling delay; its derivative is the change since the last batch.

use crate::{Conf, Span, StreamError, Time};

/// One for each receiver.
pub(crate) struct PidEstimator {
    interval_ms: f64,
    proportional: f64,
    integral: f64,
    derivative: f64,
    rate_min: f64,
    last: Option<Last>,
}

struct Last {
    time: Time,
    rate: f64,
    error: f64,
}

impl PidEstimator {
    /// Reads `spark.streaming.backpressure.pid.*`.
    pub fn new(conf: &Conf, interval: Span) -> Result<Self, StreamError> {
        let number = |name: &str, default: f64| {
            let key = format!("spark.streaming.backpressure.pid.{name}");
            let value = conf.number::<f64>(&key)?.unwrap_or(default);
            crate::error::require(value >= 0.0 && value.is_finite(), || format!("{key} must not be negative"))?;
            Ok::<f64, StreamError>(value)
        };
        Ok(PidEstimator {
            interval_ms: interval.as_ms() as f64,
            proportional: number("proportional", 1.0)?,
            integral: number("integral", 0.2)?,
            derivative: number("derived", 0.0)?,
            rate_min: number("minRate", 100.0)?,
            last: None,
        })
    }

    /// The new rate, in elements per second, after a batch of `records` elements that ended at `ended`. The first batch only sets the
    /// starting point.
    pub fn compute(&mut self, ended: Time, records: u64, processing: Span, scheduling: Span) -> Option<f64> {
        if records == 0 || processing <= Span::ZERO {
            return None;
        }
        let rate = records as f64 / processing.as_ms() as f64 * 1000.0;
        let Some(last) = self.last.as_mut() else {
            self.last = Some(Last { time: ended, rate, error: 0.0 });
            return None;
        };
        if ended <= last.time {
            return None;
        }
        let seconds = (ended - last.time).as_ms() as f64 / 1000.0;
        let error = last.rate - rate;
        let backlog = scheduling.as_ms() as f64 * rate / self.interval_ms;
        let change = (error - last.error) / seconds;
        let new = last.rate - self.proportional * error - self.integral * backlog - self.derivative * change;
        let new = new.max(self.rate_min);
        *last = Last { time: ended, rate: new, error };
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Span {
        Span::from_ms(ms)
    }

    #[test]
    fn the_rate_follows_what_batches_can_do_and_sinks_with_the_backlog() {
        let mut pid = PidEstimator::new(&Conf::new(), ms(1000)).unwrap();
        assert_eq!(pid.compute(Time::from_ms(1000), 2000, ms(1000), ms(0)), None);
        assert_eq!(pid.compute(Time::from_ms(2000), 2000, ms(500), ms(0)), Some(4000.0));
        // 2000 a second were processed; a delay of one interval takes a fifth of it away.
        assert_eq!(pid.compute(Time::from_ms(3000), 2000, ms(1000), ms(1000)), Some(1600.0));
        assert_eq!(pid.compute(Time::from_ms(3000), 2000, ms(1000), ms(1000)), None, "no time has passed");
        assert_eq!(pid.compute(Time::from_ms(4000), 1, ms(1000), ms(0)), Some(100.0), "never less than the least");
    }
}
