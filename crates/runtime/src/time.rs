//! Points and lengths of time, as streams count them: whole milliseconds.
//!
//! A [`Time`] is a point since the epoch, a [`Span`] a length. Texts are Spark's (`1000 ms`).

use std::fmt;
use std::ops::{Add, Mul, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in milliseconds since the epoch. A batch is named by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(i64);

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(i64);

impl Time {
    /// The beginning of 1970, UTC.
    pub const EPOCH: Time = Time(0);

    /// The point `ms` milliseconds after the epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Time(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// The last multiple of `span`, counted from `zero`, that is not after this point.
    pub fn floor(self, span: Span, zero: Time) -> Time {
        Time(zero.0 + (self.0 - zero.0).div_euclid(span.0.max(1)) * span.0)
    }

    /// The first multiple of `span`, counted from `zero`, that is after this point.
    pub fn next(self, span: Span, zero: Time) -> Time {
        self.floor(span, zero) + span
    }

    /// The points from this one to `end` (included), `step` apart.
    pub fn to(self, end: Time, step: Span) -> impl Iterator<Item = Time> {
        (self.0..=end.0).step_by(usize::try_from(step.0.max(1)).unwrap_or(1)).map(Time)
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A span of `ms` milliseconds.
    pub const fn from_ms(ms: i64) -> Self {
        Span(ms)
    }

    /// Its milliseconds.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Whether it is `n` times `of` for a whole `n`.
    pub fn is_multiple_of(self, of: Span) -> bool {
        of.0 > 0 && self.0 % of.0 == 0
    }

    /// The least multiple of this span that is at least `least`.
    pub fn at_least(self, least: Span) -> Span {
        let times = (least.0 + self.0.max(1) - 1).div_euclid(self.0.max(1)).max(1);
        Span(self.0 * times)
    }

    /// As the standard library has it; zero for negative spans.
    pub fn to_std(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl From<Duration> for Span {
    fn from(value: Duration) -> Self {
        Span(i64::try_from(value.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, rhs: Span) -> Time {
        Time(self.0.saturating_add(rhs.0))
    }
}

impl Sub<Span> for Time {
    type Output = Time;
    fn sub(self, rhs: Span) -> Time {
        Time(self.0.saturating_sub(rhs.0))
    }
}

impl Sub for Time {
    type Output = Span;
    fn sub(self, rhs: Time) -> Span {
        Span(self.0.saturating_sub(rhs.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, rhs: Span) -> Span {
        Span(self.0.saturating_add(rhs.0))
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, rhs: Span) -> Span {
        Span(self.0.saturating_sub(rhs.0))
    }
}

impl Mul<i64> for Span {
    type Output = Span;
    fn mul(self, rhs: i64) -> Span {
        Span(self.0.saturating_mul(rhs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_interval_is_the_least_multiple_of_the_slide_that_reaches_ten_seconds() {
        assert_eq!(Span::from_ms(300).at_least(Span::from_ms(10_000)), Span::from_ms(10_200));
        assert_eq!(Span::from_ms(60_000).at_least(Span::from_ms(10_000)), Span::from_ms(60_000));
    }

    #[test]
    fn the_next_batch_is_strictly_later() {
        let (second, epoch) = (Span::from_ms(1000), Time::from_ms(0));
        assert_eq!(Time::from_ms(2000).next(second, epoch), Time::from_ms(3000));
        assert_eq!(Time::from_ms(2001).floor(second, Time::from_ms(500)), Time::from_ms(1500));
    }
}
