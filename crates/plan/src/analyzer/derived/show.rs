//! The text of a relation: `show()` and the HTML form of notebooks.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::{Limit, LogicalPlan, lit};
use millstream_formats::condition::SparkError;
use millstream_formats::show::{Cells, Layout};
use millstream_formats::zone::Zone;
use millstream_functions::datetime::session_zone;

use super::super::Analyzer;
use super::super::rel::Rel;
use crate::ir::Relation;
use crate::whole::{Collector, WholeFunction};

/// Rows that fit into a Java array, less what Spark keeps free.
const ROWS_MAX: i32 = i32::MAX - 15 - 15;

/// Lays out rows as text.
#[derive(Debug, Clone)]
struct Show {
    /// Columns under the names users see.
    schema: SchemaRef,
    zone: Zone,
    layout: Layout,
    html: bool,
}

impl Analyzer<'_> {
    /// `show()`: one row `show_string`.
    pub(super) fn show(&self, input: &Relation, rows: i32, truncate: i32, vertical: bool) -> Result<Rel, SparkError> {
        self.shown(input, layout(rows, truncate, vertical), "show_string", false)
    }

    /// The same as HTML: one row `html_string`.
    pub(super) fn html(&self, input: &Relation, rows: i32, truncate: i32) -> Result<Rel, SparkError> {
        self.shown(input, layout(rows, truncate, false), "html_string", true)
    }

    fn shown(&self, input: &Relation, layout: Layout, name: &str, html: bool) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        if rel.streaming {
            return Err(crate::unsupported::batch_only());
        }
        let resolved = rel.finish()?;
        let function = Show { schema: resolved.schema(), zone: session_zone(&self.context)?, layout, html };
        // One row more tells whether there are more.
        let fetch = i64::try_from(layout.rows_max).unwrap_or(i64::MAX).saturating_add(1);
        let plan = Limit { skip: None, fetch: Some(Box::new(lit(fetch))), input: Arc::new(resolved.plan) };
        let limited = Rel::leaf(LogicalPlan::Limit(plan), resolved.output, false);
        self.whole(limited, Arc::new(function), vec![Field::new(name, DataType::Utf8, false)])
    }
}

fn layout(rows: i32, truncate: i32, vertical: bool) -> Layout {
    let size = |n: i32| usize::try_from(n.clamp(0, ROWS_MAX)).unwrap_or(0);
    Layout { rows_max: size(rows), truncate: size(truncate), vertical }
}

impl WholeFunction for Show {
    fn name(&self) -> &'static str {
        "Show"
    }

    fn collector(&self) -> Box<dyn Collector> {
        Box::new(Shown { show: self.clone(), rows: Vec::new() })
    }
}

/// The rows to show; the input is limited to these.
struct Shown {
    show: Show,
    rows: Vec<RecordBatch>,
}

impl Collector for Shown {
    fn push(&mut self, rows: &RecordBatch) -> Result<(), SparkError> {
        self.rows.push(rows.clone());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<RecordBatch, SparkError> {
        let Show { schema, zone, layout, html } = &self.show;
        let cells = Cells::of(schema, &self.rows, zone, layout)?;
        let text = if *html { cells.html(layout) } else { cells.text(layout) };
        let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]));
        Ok(RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(vec![text]))])?)
    }
}
