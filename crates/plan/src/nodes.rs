//! Logical operators that DataFusion does not have. Over static input they are planned as they stand; over a stream
//! `operators` plans them, and aggregates, joins and limits, as stateful operators.
//!
//! Column names in a resolved plan are internal (`#17`, unique in the query), so that no two clash.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
pub use millstream_formats::text::CalendarInterval;

/// Key of the field metadata that marks an event-time column: its watermark delay in ms.
pub const WATERMARK_DELAY_MS: &str = "spark.watermarkDelayMs";

/// Joins each row with the rows of a generator (`explode`, `LATERAL VIEW`).
///
/// Output: all input columns, then one column per field of the generator's struct, under `columns`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Generate {
    /// Input.
    pub input: Arc<LogicalPlan>,
    /// Of type `List<Struct<…>>`, see `millstream_functions::Function::Generator`.
    pub generator: Expr,
    /// A row of nulls where the list is null or empty.
    pub outer: bool,
    /// Internal names of the new columns.
    pub columns: Vec<String>,
    schema: DFSchemaRef,
}

impl Generate {
    /// A generator over `input`.
    ///
    /// # Errors
    /// If `generator` is no list of structs with as many fields as there are names.
    pub fn try_new(input: Arc<LogicalPlan>, generator: Expr, outer: bool, columns: Vec<String>) -> Result<Self> {
        use datafusion::logical_expr::ExprSchemable;
        let DataType::List(item) = generator.get_type(input.schema())? else {
            return plan_err!("a generator gives a list");
        };
        let DataType::Struct(fields) = item.data_type() else {
            return plan_err!("a generator gives a list of structs");
        };
        if fields.len() != columns.len() {
            return plan_err!("a generator of {} columns has {} names", fields.len(), columns.len());
        }
        let new = fields.iter().zip(&columns).map(|(field, name)| {
            (None, Arc::new(field.as_ref().clone().with_name(name).with_nullable(field.is_nullable() || outer)))
        });
        let all = input.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).chain(new).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(all, input.schema().metadata().clone())?);
        Ok(Self { input, generator, outer, columns, schema })
    }
}

impl PartialOrd for Generate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.columns.partial_cmp(&other.columns)
    }
}

impl UserDefinedLogicalNodeCore for Generate {
    fn name(&self) -> &str {
        "Generate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.generator.clone()]
    }

    /// What does not look at the generator's columns holds for a row of the input as well.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.columns.iter().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Generate {}, outer={}, [{}]", self.generator, self.outer, self.columns.join(", "))
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(generator), Some(input)) = (exprs.pop(), inputs.pop()) else {
            return plan_err!("Generate has one expression and one input");
        };
        Self::try_new(Arc::new(input), generator, self.outer, self.columns.clone())
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|i| *i < width).collect();
        for column in self.generator.column_refs() {
            needed.extend(self.input.schema().maybe_index_of_column(column));
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// Marks the event-time column (`withWatermark`). Rows pass unchanged; over a stream their times are observed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventTime {
    /// Input.
    pub input: Arc<LogicalPlan>,
    /// The column: a timestamp, or a window struct whose `end` counts.
    pub column: Column,
    /// How late rows may be.
    pub delay: CalendarInterval,
    schema: DFSchemaRef,
}

impl EventTime {
    /// Marks `column`; other columns lose their mark, as in Spark.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn try_new(input: Arc<LogicalPlan>, column: Column, delay: CalendarInterval) -> Result<Self> {
        let marked = input.schema().index_of_column(&column)?;
        let fields = input.schema().iter().enumerate().map(|(i, (qualifier, field))| {
            let mut metadata = field.metadata().clone();
            metadata.remove(WATERMARK_DELAY_MS);
            if i == marked {
                metadata.insert(WATERMARK_DELAY_MS.to_string(), delay.delay_ms().to_string());
            }
            (qualifier.cloned(), Arc::new(Field::clone(field).with_metadata(metadata)))
        });
        let schema = Arc::new(DFSchema::new_with_metadata(fields.collect(), input.schema().metadata().clone())?);
        Ok(Self { input, column, delay, schema })
    }
}

impl PartialOrd for EventTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.column.partial_cmp(&other.column)
    }
}

impl UserDefinedLogicalNodeCore for EventTime {
    fn name(&self) -> &str {
        "EventTimeWatermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.column.clone())]
    }

    /// As in Spark a filter on other columns comes first, so rows it drops do not move the watermark.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.column.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "EventTimeWatermark {}, {} ms", self.column, self.delay.delay_ms())
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(Expr::Column(column)), Some(input)) = (exprs.pop(), inputs.pop()) else {
            return plan_err!("EventTimeWatermark has one column and one input");
        };
        Self::try_new(Arc::new(input), column, self.delay)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut needed = output_columns.to_vec();
        needed.extend(self.schema.maybe_index_of_column(&self.column));
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// Aggregates over all rows that pass (`observe`); the rows pass unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Observe {
    /// Input.
    pub input: Arc<LogicalPlan>,
    /// Name of the observation.
    pub observation: String,
    /// Aggregates, each with the name of its metric.
    pub metrics: Vec<Expr>,
    /// Names of the metrics.
    pub names: Vec<String>,
}

impl PartialOrd for Observe {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.observation.partial_cmp(&other.observation)
    }
}

impl UserDefinedLogicalNodeCore for Observe {
    fn name(&self) -> &str {
        "CollectMetrics"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.metrics.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "CollectMetrics {}, [{}]", self.observation, self.names.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else { return plan_err!("CollectMetrics has one input") };
        Ok(Self { input: Arc::new(input), metrics: exprs, ..self.clone() })
    }
}

/// Keeps the first row of each key (`dropDuplicates`, `dropDuplicatesWithinWatermark`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Deduplicate {
    /// Input.
    pub input: Arc<LogicalPlan>,
    /// Key columns, in the order in which Spark keys its state: as given up to four, else in the order of a Scala
    /// `HashSet` of the names (checkpoint.md 13).
    pub keys: Vec<Column>,
    /// State is kept for the watermark delay only.
    pub within_watermark: bool,
}

impl UserDefinedLogicalNodeCore for Deduplicate {
    fn name(&self) -> &str {
        if self.within_watermark { "DeduplicateWithinWatermark" } else { "Deduplicate" }
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        write!(f, "{} [{}]", UserDefinedLogicalNodeCore::name(self), keys.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else { return plan_err!("Deduplicate has one input") };
        let keys = exprs.into_iter().filter_map(|e| if let Expr::Column(c) = e { Some(c) } else { None }).collect();
        Ok(Self { input: Arc::new(input), keys, within_watermark: self.within_watermark })
    }

    /// State and rows need the keys; how long a key is kept may depend on the event time.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut needed = output_columns.to_vec();
        needed.extend(self.keys.iter().filter_map(|key| schema.maybe_index_of_column(key)));
        if self.within_watermark {
            needed.extend(schema.fields().iter().position(|f| f.metadata().contains_key(WATERMARK_DELAY_MS)));
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// The last rows of rows at rest, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Tail {
    /// Input.
    pub input: Arc<LogicalPlan>,
    /// How many.
    pub rows: usize,
}

impl UserDefinedLogicalNodeCore for Tail {
    fn name(&self) -> &str {
        "Tail"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Tail {}", self.rows)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else { return plan_err!("Tail has one input") };
        Ok(Self { input: Arc::new(input), rows: self.rows })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// An aggregation with a session window among its keys: rows of the same other keys whose sessions overlap or touch form
/// one group, whose session spans them all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionAggregate {
    /// Input. Each row carries the session that it opens on its own.
    pub input: Arc<LogicalPlan>,
    /// Keys in the order of `GROUP BY`, the session among them. They keep their names in the output.
    pub keys: Vec<Column>,
    /// Which of the keys is the session, a struct of `start` and `end`.
    pub session: usize,
    /// Aggregate calls, each an alias with its internal name.
    pub aggregates: Vec<Expr>,
    schema: DFSchemaRef,
}

impl SessionAggregate {
    /// An aggregation. Output: the keys, then the aggregates.
    ///
    /// # Errors
    /// If a key is no column of `input`, or the session is none of the keys.
    pub fn try_new(input: Arc<LogicalPlan>, keys: Vec<Column>, session: usize, aggregates: Vec<Expr>) -> Result<Self> {
        if session >= keys.len() {
            return plan_err!("a session aggregation has no session among its {} keys", keys.len());
        }
        let outputs: Vec<Expr> = keys.iter().cloned().map(Expr::Column).chain(aggregates.iter().cloned()).collect();
        let fields = datafusion::logical_expr::utils::exprlist_to_fields(&outputs, &input)?;
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Self { input, keys, session, aggregates, schema })
    }
}

impl PartialOrd for SessionAggregate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.keys.partial_cmp(&other.keys)
    }
}

impl UserDefinedLogicalNodeCore for SessionAggregate {
    fn name(&self) -> &str {
        "SessionAggregate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().cloned().map(Expr::Column).chain(self.aggregates.iter().cloned()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let aggregates: Vec<String> = self.aggregates.iter().map(ToString::to_string).collect();
        write!(f, "SessionAggregate [{}], [{}]", keys.join(", "), aggregates.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.pop() else { return plan_err!("SessionAggregate has one input") };
        let mut keys = Vec::with_capacity(self.keys.len());
        let mut aggregates = Vec::with_capacity(self.aggregates.len());
        for (i, expr) in exprs.into_iter().enumerate() {
            match expr {
                Expr::Column(column) if i < self.keys.len() => keys.push(column),
                expr if i < self.keys.len() => return plan_err!("the key {expr} of a SessionAggregate is no column"),
                expr => aggregates.push(expr),
            }
        }
        Self::try_new(Arc::new(input), keys, self.session, aggregates)
    }
}
