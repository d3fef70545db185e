//! What a figure holds: atomics that any thread may update.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value that goes up and down. It has none until it is set. Clones are the same gauge.
#[derive(Clone)]
pub struct Gauge(Arc<AtomicU64>);

impl Default for Gauge {
    fn default() -> Self {
        Gauge(Arc::new(AtomicU64::new(f64::NAN.to_bits())))
    }
}

impl Gauge {
    /// Sets it; not a number: it has no value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|value| !value.is_nan())
    }
}

/// A number that only grows. Clones are the same counter.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds to it.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How values are distributed. Clones are the same histogram.
#[derive(Clone)]
pub struct Histogram(Arc<Ranges>);

struct Ranges {
    bounds: &'static [f64],
    /// One for each bound and one above.
    counts: Vec<AtomicU64>,
    /// Bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Histogram(Arc::new(Ranges { bounds, counts, sum: AtomicU64::new(0f64.to_bits()) }))
    }

    /// Counts a value.
    pub fn observe(&self, value: f64) {
        let range = self.0.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.0.counts.get(range) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let added = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // It is updated again until nobody came between, so it cannot fail.
        let _before = self.0.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    /// Upper bound and number of the values up to it; the last bound is infinite.
    pub(super) fn cumulated(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.0.bounds.iter().copied().chain([f64::INFINITY]);
        bounds.zip(&self.0.counts).scan(0, |sum, (bound, count)| {
            *sum += count.load(Ordering::Relaxed);
            Some((bound, *sum))
        })
    }

    pub(super) fn sum(&self) -> f64 {
        f64::from_bits(self.0.sum.load(Ordering::Relaxed))
    }
}

pub(super) enum Value {
    Gauge(Gauge),
    Counter(Counter),
    Histogram(Histogram),
    Asked(Box<dyn Fn() -> Option<f64> + Send + Sync>),
}

impl Value {
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Gauge(_) | Value::Asked(_) => "gauge",
            Value::Counter(_) => "counter",
            Value::Histogram(_) => "histogram",
        }
    }
}
