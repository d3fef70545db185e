//! Running a command.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream::SqlResult;
use millstream::ir::Command as IrCommand;
use millstream_formats::condition::SparkError;
use millstream_formats::types::schema_to_json;
use spark_connect_proto as pb;
use spark_connect_proto::command::CommandType;
use spark_connect_proto::execute_plan_response::{ResponseType, SqlCommandResult};
use uuid::Uuid;

use super::Execution;
use crate::convert::relation::read::SqlText;
use crate::convert::required;
use crate::result::ipc_stream;
use crate::session::ClientSession;

impl Execution {
    pub(super) async fn run_command(&self, message: pb::Command) -> Result<(), SparkError> {
        let pb::Command { command_type } = message;
        match required(command_type, "the kind of a command")? {
            CommandType::RegisterFunction(m) => self.blocking(move |session| register_function(session, &m)).await,
            CommandType::WriteOperation(m) => self.run_ir(move |session| session.convert().write(&m)).await,
            CommandType::CreateDataframeView(m) => self.run_ir(move |session| session.convert().create_view(&m)).await,
            CommandType::WriteOperationV2(m) => self.run_ir(move |session| session.convert().write_v2(&m)).await,
            CommandType::SqlCommand(m) => self.sql_command(m).await,
            CommandType::WriteStreamOperationStart(m) => self.start_stream(m).await,
            CommandType::StreamingQueryCommand(m) => self.query_command(m).await,
            CommandType::StreamingQueryManagerCommand(m) => self.manager_command(m).await,
            CommandType::StreamingQueryListenerBusCommand(m) => self.listener_command(m).await,
            CommandType::GetResourcesCommand(pb::GetResourcesCommand {}) => {
                let none = pb::GetResourcesCommandResult::default();
                self.send(ResponseType::GetResourcesCommandResult(none)).await;
                Ok(())
            }
            CommandType::CheckpointCommand(m) => self.checkpoint(m).await,
            CommandType::RemoveCachedRemoteRelationCommand(pb::RemoveCachedRemoteRelationCommand { relation }) => {
                let pb::CachedRemoteRelation { relation_id } = required(relation, "the relation to forget")?;
                self.session.engine_session().forget(&relation_id);
                Ok(())
            }
            other => Err(SparkError::unsupported(unserved(&other))),
        }
    }

    /// Reads a command and runs it; whatever rows it has are not for the client.
    async fn run_ir(
        &self,
        read: impl FnOnce(&ClientSession) -> Result<IrCommand, SparkError> + Send + 'static,
    ) -> Result<(), SparkError> {
        self.blocking(move |session| session.engine_session().run(read(session)?).map(|_| ())).await
    }

    /// A query comes back as it is, to be run by the next action; a command is run, and its rows come back.
    async fn sql_command(&self, message: pb::SqlCommand) -> Result<(), SparkError> {
        let input = sql_input(message);
        let result = self.blocking(move |session| run_sql(session, input)).await?;
        self.send(ResponseType::SqlCommandResult(SqlCommandResult { relation: Some(result) })).await;
        Ok(())
    }

    /// Computes a relation now and keeps its rows.
    async fn checkpoint(&self, message: pb::CheckpointCommand) -> Result<(), SparkError> {
        // Rows are kept in memory whichever way the program asks for: the process is the only executor.
        let pb::CheckpointCommand { relation, local: _, eager: _, storage_level: _ } = message;
        let relation = required(relation, "the relation to checkpoint")?;
        let id = Uuid::new_v4().to_string();
        let kept = id.clone();
        self.blocking(move |session| keep(session, &relation, &kept)).await?;
        let relation = Some(pb::CachedRemoteRelation { relation_id: id });
        self.send(ResponseType::CheckpointCommandResult(pb::CheckpointCommandResult { relation })).await;
        Ok(())
    }
}

fn register_function(session: &ClientSession, message: &pb::CommonInlineUserDefinedFunction) -> Result<(), SparkError> {
    let function = session.convert().python_udf(message)?;
    session.engine_session().register_function(&message.function_name, function);
    Ok(())
}

fn keep(session: &ClientSession, message: &pb::Relation, id: &str) -> Result<(), SparkError> {
    use millstream::ir::{Relation, RelationOp};
    let relation = session.convert().relation(message)?;
    let engine_session = session.engine_session();
    let rows = engine_session.execute(&relation)?;
    let schema = Arc::clone(rows.schema());
    let batches = rows.collect()?;
    let local = Relation::new(RelationOp::Local { batches, schema });
    engine_session.keep(id, engine_session.analyze(&local)?);
    Ok(())
}

/// The relation of an SQL command, made from the fields of older clients if need be.
#[expect(deprecated, reason = "clients up to 3.5 send the text beside the relation")]
fn sql_input(message: pb::SqlCommand) -> pb::Relation {
    let pb::SqlCommand { sql, args, pos_args, named_arguments, pos_arguments, input } = message;
    input.unwrap_or_else(|| {
        let text = pb::Sql { query: sql, args, pos_args, named_arguments, pos_arguments };
        pb::Relation { common: None, rel_type: Some(pb::relation::RelType::Sql(text)) }
    })
}

fn run_sql(session: &ClientSession, input: pb::Relation) -> Result<pb::Relation, SparkError> {
    let text = match &input.rel_type {
        Some(pb::relation::RelType::Sql(text)) => text,
        // Text that names DataFrames (`spark.sql("… {df}", df=df)`) is always a query.
        _ => {
            let relation = session.convert().relation(&input)?;
            session.engine_session().analyze(&relation)?;
            return Ok(input);
        }
    };
    let SqlText { text, named, positional } = session.convert().sql_text(text)?;
    match session.engine_session().sql(&text, named, positional)? {
        SqlResult::Query(_) => Ok(input),
        SqlResult::Done((schema, batches)) => local_relation(&schema, &batches),
    }
}

/// Rows as a relation that the client sends back to look at them.
fn local_relation(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<pb::Relation, SparkError> {
    let data = Some(ipc_stream(schema, batches)?);
    let schema = Some(schema_to_json(schema.fields()));
    let local = pb::LocalRelation { data, schema };
    Ok(pb::Relation { common: None, rel_type: Some(pb::relation::RelType::LocalRelation(local)) })
}

/// What the commands that are not served are called by users; a new one of the protocol breaks the build here.
fn unserved(message: &CommandType) -> &'static str {
    match message {
        CommandType::RegisterTableFunction(_) => "A user-defined table function",
        CommandType::RegisterDataSource(_) => "A data source written in Python",
        CommandType::CreateResourceProfileCommand(_) => "A resource profile",
        CommandType::MergeIntoTableCommand(_) => "MERGE INTO",
        CommandType::MlCommand(_) => "Spark ML",
        CommandType::ExecuteExternalCommand(_) => "An external command",
        CommandType::PipelineCommand(_) => "A declarative pipeline",
        CommandType::Extension(_) => "A command of a protocol extension",
        CommandType::RegisterFunction(_)
        | CommandType::WriteOperation(_)
        | CommandType::CreateDataframeView(_)
        | CommandType::WriteOperationV2(_)
        | CommandType::SqlCommand(_)
        | CommandType::WriteStreamOperationStart(_)
        | CommandType::StreamingQueryCommand(_)
        | CommandType::GetResourcesCommand(_)
        | CommandType::StreamingQueryManagerCommand(_)
        | CommandType::StreamingQueryListenerBusCommand(_)
        | CommandType::CheckpointCommand(_)
        | CommandType::RemoveCachedRemoteRelationCommand(_) => "This command",
    }
}
