//! Prometheus' text format: all samples of a name stand together, below its meaning and type.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Metric;
use super::value::Value;

/// Labels as the format has them, after those that are there already: `query="words",phase="addBatch"`.
pub(super) fn label_text(before: &str, labels: &[(&str, &str)]) -> String {
    let mut text = before.to_owned();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        put(&mut text, format_args!("{comma}{name}=\"{value}\""));
    }
    text
}

/// Samples by their names.
#[derive(Default)]
pub(super) struct Families(BTreeMap<&'static str, Family>);

struct Family {
    metric: Metric,
    kind: &'static str,
    samples: String,
}

impl Families {
    pub fn add(&mut self, metric: Metric, labels: &str, value: &Value) {
        let mut samples = String::new();
        match value {
            Value::Gauge(gauge) => sample(&mut samples, metric.name, "", labels, gauge.get()),
            Value::Asked(ask) => sample(&mut samples, metric.name, "", labels, ask()),
            Value::Counter(counter) => {
                put(&mut samples, format_args!("{}{} {}\n", metric.name, braced(labels), counter.get()));
            }
            Value::Histogram(histogram) => {
                let mut count = 0;
                for (bound, number) in histogram.cumulated() {
                    let labels = label_text(labels, &[("le", &number_text(bound))]);
                    put(&mut samples, format_args!("{}_bucket{} {number}\n", metric.name, braced(&labels)));
                    count = number;
                }
                sample(&mut samples, metric.name, "_sum", labels, Some(histogram.sum()));
                put(&mut samples, format_args!("{}_count{} {count}\n", metric.name, braced(labels)));
            }
        }
        if !samples.is_empty() {
            let new = || Family { metric, kind: value.kind(), samples: String::new() };
            self.0.entry(metric.name).or_insert_with(new).samples.push_str(&samples);
        }
    }

    pub fn into_text(self) -> String {
        let mut text = String::new();
        for Family { metric, kind, samples } in self.0.into_values() {
            let Metric { name, help } = metric;
            put(&mut text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}"));
        }
        text
    }
}

fn sample(text: &mut String, name: &str, suffix: &str, labels: &str, value: Option<f64>) {
    if let Some(value) = value {
        put(text, format_args!("{name}{suffix}{} {}\n", braced(labels), number_text(value)));
    }
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn number_text(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _written = text.write_fmt(what);
}
