//! Commands that write or name something; those about operations and queries are read where they are run.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{Command, Options, SaveMode, TriggerSpec, Write, WriteStream, WriteTarget};
use spark_connect_proto as pb;

use super::{Convert, invalid, name, required};

impl Convert<'_> {
    /// `df.createOrReplaceTempView(…)` and its kin.
    pub fn create_view(&self, message: &pb::CreateDataFrameViewCommand) -> Result<Command, SparkError> {
        let pb::CreateDataFrameViewCommand { input, name, is_global, replace } = message;
        Ok(Command::CreateView {
            name: name.clone(),
            columns: Vec::new(),
            input: self.relation(required(input.as_ref(), "the query of a view")?)?,
            global: *is_global,
            replace: *replace,
        })
    }

    /// `df.write…`.
    pub fn write(&self, message: &pb::WriteOperation) -> Result<Command, SparkError> {
        use pb::write_operation::{BucketBy, SaveType};
        let pb::WriteOperation {
            input,
            source,
            mode,
            sort_column_names,
            partitioning_columns,
            bucket_by,
            options,
            clustering_columns,
            with_schema_evolution,
            save_type,
        } = message;
        refuse_clustering(clustering_columns)?;
        if *with_schema_evolution {
            return Err(SparkError::unsupported("withSchemaEvolution"));
        }
        let target = match save_type {
            None => WriteTarget::None,
            Some(SaveType::Path(path)) => WriteTarget::Path(path.clone()),
            Some(SaveType::Table(table)) => save_table(table)?,
        };
        let bucket_by = bucket_by
            .as_ref()
            .map(|BucketBy { bucket_column_names, num_buckets }| (*num_buckets, bucket_column_names.clone()));
        Ok(Command::Write(Write {
            input: self.relation(required(input.as_ref(), "the rows of a write")?)?,
            format: source.clone().filter(|source| !source.is_empty()),
            target,
            mode: save_mode(*mode)?,
            options: options.clone().into_iter().collect(),
            partition_by: partitioning_columns.clone(),
            sort_by: sort_column_names.clone(),
            bucket_by,
        }))
    }

    /// `df.writeTo(table)…`.
    pub fn write_v2(&self, message: &pb::WriteOperationV2) -> Result<Command, SparkError> {
        use pb::write_operation_v2::Mode;
        let pb::WriteOperationV2 {
            input,
            table_name,
            provider,
            partitioning_columns,
            options,
            table_properties,
            mode,
            overwrite_condition,
            clustering_columns,
            with_schema_evolution,
        } = message;
        refuse_clustering(clustering_columns)?;
        if *with_schema_evolution {
            return Err(SparkError::unsupported("withSchemaEvolution"));
        }
        if overwrite_condition.is_some() {
            return Err(SparkError::unsupported("writeTo(…).overwrite(condition)"));
        }
        let input = self.relation(required(input.as_ref(), "the rows of a write")?)?;
        let table = name::parts(table_name)?;
        let format = provider.clone().filter(|provider| !provider.is_empty());
        let partition_by = self.plain_columns(partitioning_columns)?;
        let options: Options = options.clone().into_iter().chain(table_properties.clone()).collect();
        let create = |replace| Command::CreateTable {
            name: table.clone(),
            schema: String::new(),
            format: format.clone(),
            options: options.clone(),
            partition_by: partition_by.clone(),
            if_not_exists: false,
            replace,
            input: Some(input.clone()),
        };
        match Mode::try_from(*mode) {
            Ok(Mode::Create) => Ok(create(false)),
            Ok(Mode::CreateOrReplace | Mode::Replace) => Ok(create(true)),
            Ok(Mode::Append) => Ok(Command::Write(Write {
                input,
                format,
                target: WriteTarget::Table(table),
                mode: SaveMode::Append,
                options,
                partition_by,
                sort_by: Vec::new(),
                bucket_by: None,
            })),
            Ok(Mode::OverwritePartitions) => Err(SparkError::unsupported("writeTo(…).overwritePartitions()")),
            _ => Err(invalid("A write has no mode.")),
        }
    }

    fn plain_columns(&self, messages: &[pb::Expression]) -> Result<Vec<String>, SparkError> {
        let columns = self.exprs(messages)?.into_iter().map(|column| match column {
            millstream_plan::ir::Expr::Attribute(attribute) => Ok(attribute.name.join(".")),
            _ => Err(SparkError::unsupported("partitionedBy with a transform")),
        });
        columns.collect()
    }

    /// `df.writeStream…start()`.
    pub fn write_stream(&self, message: &pb::WriteStreamOperationStart) -> Result<WriteStream, SparkError> {
        use pb::write_stream_operation_start::SinkDestination;
        let pb::WriteStreamOperationStart {
            input,
            format,
            options,
            partitioning_column_names,
            output_mode,
            query_name,
            foreach_writer,
            foreach_batch,
            clustering_column_names,
            trigger,
            sink_destination,
        } = message;
        refuse_clustering(clustering_column_names)?;
        let (path, table) = match sink_destination {
            None => (None, None),
            Some(SinkDestination::Path(path)) => (Some(path.clone()), None),
            Some(SinkDestination::TableName(table)) => (None, Some(name::parts(table)?)),
        };
        Ok(WriteStream {
            input: self.relation(required(input.as_ref(), "the rows of a streaming query")?)?,
            format: format.clone(),
            options: options.clone().into_iter().collect(),
            output_mode: output_mode.clone(),
            query_name: query_name.clone(),
            partition_by: partitioning_column_names.clone(),
            trigger: trigger.as_ref().map_or(TriggerSpec::Default, trigger_spec),
            path,
            table,
            foreach_batch: super::python::foreach_function(foreach_batch)?,
            foreach_writer: super::python::foreach_function(foreach_writer)?,
        })
    }
}

fn refuse_clustering(columns: &[String]) -> Result<(), SparkError> {
    if columns.is_empty() { Ok(()) } else { Err(SparkError::unsupported("clusterBy")) }
}

fn save_table(message: &pb::write_operation::SaveTable) -> Result<WriteTarget, SparkError> {
    use pb::write_operation::save_table::TableSaveMethod;
    let pb::write_operation::SaveTable { table_name, save_method } = message;
    let table = name::parts(table_name)?;
    match TableSaveMethod::try_from(*save_method) {
        Ok(TableSaveMethod::SaveAsTable) => Ok(WriteTarget::Table(table)),
        Ok(TableSaveMethod::InsertInto) => Ok(WriteTarget::Insert(table)),
        _ => Err(invalid("A write into a table has no method.")),
    }
}

fn save_mode(value: i32) -> Result<SaveMode, SparkError> {
    use pb::write_operation::SaveMode as Mode;
    match Mode::try_from(value) {
        Ok(Mode::Append) => Ok(SaveMode::Append),
        Ok(Mode::Overwrite) => Ok(SaveMode::Overwrite),
        Ok(Mode::ErrorIfExists | Mode::Unspecified) => Ok(SaveMode::ErrorIfExists),
        Ok(Mode::Ignore) => Ok(SaveMode::Ignore),
        Err(_) => Err(invalid(format!("{value} is no save mode."))),
    }
}

fn trigger_spec(message: &pb::write_stream_operation_start::Trigger) -> TriggerSpec {
    use pb::write_stream_operation_start::Trigger;
    match message {
        Trigger::ProcessingTimeInterval(interval) => TriggerSpec::ProcessingTime(interval.clone()),
        Trigger::AvailableNow(_) => TriggerSpec::AvailableNow,
        Trigger::Once(_) => TriggerSpec::Once,
        Trigger::ContinuousCheckpointInterval(interval) => TriggerSpec::Continuous(interval.clone()),
        Trigger::RealTimeBatchDuration(duration) => TriggerSpec::RealTime(duration.clone()),
    }
}
