//! Sources and sinks, one module each, behind the two traits [`source::Source`] and [`sink::Sink`].

pub mod sink;
pub mod source;
