//! Figures of what runs, for whoever scrapes the process.
//!
//! A stream has a [`Group`] of figures in the [`Registry`] of the process, under labels that tell it from others; they go with the group.
//! To update a figure costs an atomic store, so streams do it once a batch, never per row. What only others know, such as the memory of
//! the process, is asked for when somebody scrapes ([`Group::asked`]). [`Registry::text`] is Prometheus' text format; the door to it
//! is [`Endpoint`](crate::Endpoint).
//!
//! Names follow Prometheus' conventions: base units (seconds, bytes), counters end with `_total`. A figure that has no value yet, such as
//! the delay of the last batch before there was one, is left out.

mod process;
mod text;
mod value;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

pub(crate) use self::process::group as process_group;
use self::text::{Families, label_text};
use self::value::Value;
pub use self::value::{Counter, Gauge, Histogram};

/// Name and meaning of a figure. The meaning is one sentence.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// `millstream_query_state_rows`.
    pub name: &'static str,
    /// What scrapers show beside it.
    pub help: &'static str,
}

impl Metric {
    /// A figure of this name and meaning.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Metric { name, help }
    }
}

/// Ends of the ranges of durations of batches, s: from a batch of a few rows to one that holds up everything.
pub const BATCH_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// All figures of a process, or of a test. Clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Groups>>);

#[derive(Default)]
struct Groups {
    next: u64,
    groups: Vec<(u64, Arc<Samples>)>,
    /// Those that belong to no group.
    lasting: Arc<Samples>,
}

/// Figures of one stream.
#[derive(Default)]
struct Samples {
    list: Mutex<Vec<Sample>>,
}

struct Sample {
    metric: Metric,
    /// `query="words",phase="addBatch"`.
    labels: String,
    value: Value,
}

impl Registry {
    /// The registry of the process.
    pub fn process() -> Self {
        static PROCESS: OnceLock<Registry> = OnceLock::new();
        PROCESS.get_or_init(Registry::default).clone()
    }

    /// A group without figures. All that it gets have these labels.
    pub fn group(&self, labels: &[(&str, &str)]) -> Group {
        let mut groups = self.0.lock();
        let (number, samples) = (groups.next, Arc::<Samples>::default());
        groups.next += 1;
        groups.groups.push((number, Arc::clone(&samples)));
        Group { registry: self.clone(), number, labels: label_text("", labels), samples }
    }

    /// A counter that stays: the same one each time it is asked for. For what is to be seen after its stream has ended.
    pub fn counter(&self, metric: Metric, labels: &[(&str, &str)]) -> Counter {
        let labels = label_text("", labels);
        let lasting = Arc::clone(&self.0.lock().lasting);
        let mut list = lasting.list.lock();
        let same = list.iter().find(|sample| sample.metric.name == metric.name && sample.labels == labels);
        if let Some(Sample { value: Value::Counter(counter), .. }) = same {
            return counter.clone();
        }
        let counter = Counter::default();
        list.push(Sample { metric, labels, value: Value::Counter(counter.clone()) });
        counter
    }

    /// All figures in Prometheus' text format, version 0.0.4.
    pub fn text(&self) -> String {
        // Only the list is copied under the lock: figures that are asked for may take a lock of their stream, which may be starting or
        // ending a group at this moment.
        let groups: Vec<Arc<Samples>> = {
            let groups = self.0.lock();
            let of_groups = groups.groups.iter().map(|(_, samples)| samples);
            of_groups.chain([&groups.lasting]).map(Arc::clone).collect()
        };
        let mut families = Families::default();
        for samples in groups {
            for sample in samples.list.lock().iter() {
                families.add(sample.metric, &sample.labels, &sample.value);
            }
        }
        families.into_text()
    }
}

/// The figures of one stream. They go when it is dropped.
pub struct Group {
    registry: Registry,
    number: u64,
    labels: String,
    samples: Arc<Samples>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.registry.0.lock().groups.retain(|(number, _)| *number != self.number);
    }
}

impl Group {
    fn add(&self, metric: Metric, labels: &[(&str, &str)], value: Value) {
        let labels = label_text(&self.labels, labels);
        self.samples.list.lock().push(Sample { metric, labels, value });
    }

    /// A figure that goes up and down.
    pub fn gauge(&self, metric: Metric, labels: &[(&str, &str)]) -> Gauge {
        let gauge = Gauge::default();
        self.add(metric, labels, Value::Gauge(gauge.clone()));
        gauge
    }

    /// A figure that only grows. Its name ends with `_total`.
    pub fn counter(&self, metric: Metric, labels: &[(&str, &str)]) -> Counter {
        let counter = Counter::default();
        self.add(metric, labels, Value::Counter(counter.clone()));
        counter
    }

    /// How values are distributed over ranges that end at `bounds`, in rising order.
    pub fn histogram(&self, metric: Metric, labels: &[(&str, &str)], bounds: &'static [f64]) -> Histogram {
        let histogram = Histogram::new(bounds);
        self.add(metric, labels, Value::Histogram(histogram.clone()));
        histogram
    }

    /// A figure that is asked for at each scrape; `None`: there is none now. The function must neither wait nor scrape.
    pub fn asked(
        &self,
        metric: Metric,
        labels: &[(&str, &str)],
        ask: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.add(metric, labels, Value::Asked(Box::new(ask)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Metric = Metric::new("rows_total", "Rows so far.");
    const DELAY: Metric = Metric::new("delay_seconds", "Delay of the last batch.");
    const DURATION: Metric = Metric::new("duration_seconds", "Durations of batches.");

    #[test]
    fn the_text_names_each_figure_once_and_all_its_streams() {
        let registry = Registry::default();
        let first = registry.group(&[("query", "a \"quoted\"\nname\\")]);
        let second = registry.group(&[("query", "b")]);
        first.counter(ROWS, &[]).add(3);
        let delay = second.gauge(DELAY, &[("phase", "x")]);
        second.counter(ROWS, &[]).add(4);
        assert_eq!(
            registry.text(),
            "# HELP rows_total Rows so far.\n# TYPE rows_total counter\n\
             rows_total{query=\"a \\\"quoted\\\"\\nname\\\\\"} 3\nrows_total{query=\"b\"} 4\n",
            "what has no value yet is left out"
        );
        delay.set(0.25);
        drop(first);
        assert_eq!(
            registry.text(),
            "# HELP delay_seconds Delay of the last batch.\n# TYPE delay_seconds gauge\n\
             delay_seconds{query=\"b\",phase=\"x\"} 0.25\n\
             # HELP rows_total Rows so far.\n# TYPE rows_total counter\nrows_total{query=\"b\"} 4\n",
            "the figures of the first went with it"
        );
        drop(second);
        assert_eq!(registry.text(), "");
    }

    #[test]
    fn a_counter_without_a_group_stays_and_is_one_for_all() {
        let registry = Registry::default();
        registry.counter(ROWS, &[("result", "failed")]).add(1);
        registry.counter(ROWS, &[("result", "failed")]).add(1);
        registry.counter(ROWS, &[("result", "stopped")]).add(1);
        assert!(
            registry.text().ends_with("rows_total{result=\"failed\"} 2\nrows_total{result=\"stopped\"} 1\n"),
            "{}",
            registry.text()
        );
    }

    #[test]
    fn a_histogram_counts_each_value_in_its_range_and_all_above() {
        let registry = Registry::default();
        let group = registry.group(&[]);
        let durations = group.histogram(DURATION, &[], &[0.1, 1.0]);
        [0.1, 0.5, 0.75, 30.0].into_iter().for_each(|seconds| durations.observe(seconds));
        assert_eq!(
            registry.text(),
            "# HELP duration_seconds Durations of batches.\n# TYPE duration_seconds histogram\n\
             duration_seconds_bucket{le=\"0.1\"} 1\nduration_seconds_bucket{le=\"1\"} 3\n\
             duration_seconds_bucket{le=\"+Inf\"} 4\nduration_seconds_sum 31.35\nduration_seconds_count 4\n"
        );
    }

    #[test]
    fn what_is_asked_for_may_be_infinite_or_missing() {
        let registry = Registry::default();
        let group = registry.group(&[]);
        group.asked(DELAY, &[("stream", "0")], || Some(f64::INFINITY));
        group.asked(DELAY, &[("stream", "1")], || None);
        assert!(registry.text().ends_with("gauge\ndelay_seconds{stream=\"0\"} +Inf\n"), "{}", registry.text());
    }
}
