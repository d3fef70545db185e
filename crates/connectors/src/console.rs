//! The console sink: the first rows of each batch as a table on the standard output of the process.
//!
//! | option | default |
//! |---|---|
//! | `numRows` | 20: rows shown |
//! | `truncate` | true: cells are cut at 20 characters |
//!
//! A batch is printed when it is committed, in one write. Only the rows that can be shown are held. Not here: the layout of the
//! table (`millstream_formats::show`).

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_formats::condition::SparkError;
use millstream_formats::show::{Cells, Layout};
use millstream_formats::zone::Zone;
use parking_lot::Mutex;

use crate::files;
use crate::memory::push_partition;
use crate::options::warn_unknown;
use crate::sink::{BatchWriter, OutputMode, Sink, SinkSpec};

/// Where the tables go.
type Output = Arc<Mutex<dyn Write + Send>>;

/// Prints batches.
pub struct ConsoleSink {
    settings: Settings,
    output: Output,
}

#[derive(Clone)]
struct Settings {
    layout: Layout,
    zone: Zone,
}

/// Opens the sink on the standard output.
pub(crate) fn open(spec: SinkSpec) -> Result<Arc<dyn Sink>, SparkError> {
    Ok(Arc::new(ConsoleSink { settings: settings(&spec)?, output: Arc::new(Mutex::new(std::io::stdout())) }))
}

fn settings(spec: &SinkSpec) -> Result<Settings, SparkError> {
    warn_unknown(&spec.options, "console sink", &["numRows", "truncate", "checkpointLocation", "path", "queryName"]);
    let rows_max = usize::try_from(spec.options.int("numRows", 20)?).unwrap_or(0);
    let truncate = if spec.options.bool("truncate", true)? { 20 } else { 0 };
    Ok(Settings { layout: Layout { rows_max, truncate, vertical: false }, zone: files::zone(&spec.conf)? })
}

impl Sink for ConsoleSink {
    fn description(&self) -> String {
        "org.apache.spark.sql.execution.streaming.ConsoleTable$@1".into()
    }

    fn begin(
        &self,
        batch_id: i64,
        schema: SchemaRef,
        _mode: OutputMode,
    ) -> Result<Option<Box<dyn BatchWriter>>, SparkError> {
        Ok(Some(Box::new(ConsoleWriter {
            settings: self.settings.clone(),
            output: Arc::clone(&self.output),
            batch_id,
            schema,
            partitions: Vec::new(),
        })))
    }
}

struct ConsoleWriter {
    settings: Settings,
    output: Output,
    batch_id: i64,
    schema: SchemaRef,
    /// Rows by partition, no more of each than can be shown and one, which tells that there are more.
    partitions: Vec<Vec<RecordBatch>>,
}

impl BatchWriter for ConsoleWriter {
    fn write(&mut self, partition: usize, rows: RecordBatch) -> Result<(), SparkError> {
        let held: usize = self.partitions.get(partition).map_or(0, |p| p.iter().map(RecordBatch::num_rows).sum());
        let wanted = (self.settings.layout.rows_max + 1).saturating_sub(held).min(rows.num_rows());
        if wanted > 0 {
            push_partition(&mut self.partitions, partition, rows.slice(0, wanted));
        }
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), SparkError> {
        let rows: Vec<RecordBatch> = self.partitions.into_iter().flatten().collect();
        let table = Cells::of(&self.schema, &rows, &self.settings.zone, &self.settings.layout)?;
        let table = table.text(&self.settings.layout);
        let rule = "-------------------------------------------";
        let text = format!("{rule}\nBatch: {}\n{rule}\n{table}\n", self.batch_id);
        let mut output = self.output.lock();
        // A closed output must not end the query: the console shows what it can, as Java's `println` does.
        let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn show(options: &[(&str, &str)], words: &[&str]) -> String {
        let fields = vec![Field::new("word", DataType::Utf8, true), Field::new("count", DataType::Int64, false)];
        let schema = Arc::new(Schema::new(fields));
        let spec = SinkSpec {
            format: "console".into(),
            options: options.iter().copied().collect(),
            path: None,
            partition_by: Vec::new(),
            schema: Arc::clone(&schema),
            mode: OutputMode::Append,
            query_name: None,
            conf: Arc::new(|_| None),
        };
        let output: Arc<Mutex<Vec<u8>>> = Arc::default();
        let sink = ConsoleSink { settings: settings(&spec).unwrap(), output: Arc::clone(&output) as Output };
        let mut writer = sink.begin(3, Arc::clone(&schema), OutputMode::Append).unwrap().unwrap();
        let columns = |w: &str| -> Vec<arrow::array::ArrayRef> {
            vec![Arc::new(StringArray::from(vec![w])), Arc::new(Int64Array::from(vec![1]))]
        };
        // Partitions arrive in any order.
        for (partition, word) in words.iter().enumerate().rev() {
            writer.write(partition, RecordBatch::try_new(Arc::clone(&schema), columns(word)).unwrap()).unwrap();
        }
        writer.commit().unwrap();
        let bytes = output.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_batch_is_shown_as_spark_shows_it() {
        let expected = "-------------------------------------------\nBatch: 3\n-------------------------------------------\n\
                        +-----+-----+\n| word|count|\n+-----+-----+\n|hello|    1|\n|    a|    1|\n+-----+-----+\n\n";
        assert_eq!(show(&[], &["hello", "a"]), expected);
    }

    #[test]
    fn long_cells_and_many_rows_are_cut_unless_told_otherwise() {
        let long = "x".repeat(21);
        let text = show(&[("numRows", "1")], &[&long, "b"]);
        assert!(text.contains(&format!("|{}...|", "x".repeat(17))), "{text}");
        assert!(text.ends_with("only showing top 1 row\n\n"), "{text}");
        assert!(show(&[("truncate", "false")], &[&long]).contains(&format!("|{long}|")));
        assert!(!text.contains("|b"), "{text}");
    }
}
