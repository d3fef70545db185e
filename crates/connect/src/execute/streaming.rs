//! Starting a streaming query, and what a program asks of one or of all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream::{StreamingQuery, started_event_json};
use millstream_formats::condition::{ExceptionClass, SparkError};
use spark_connect_proto as pb;
use spark_connect_proto::execute_plan_response::ResponseType;
use spark_connect_proto::streaming_query_command::{self as ask, Command};
use spark_connect_proto::streaming_query_command_result::{self as answer, ResultType};
use spark_connect_proto::streaming_query_manager_command::{self as ask_manager, Command as ManagerCommand};
use spark_connect_proto::streaming_query_manager_command_result as manager_answer;
use spark_connect_proto::streaming_query_manager_command_result::ResultType as ManagerResult;
use uuid::Uuid;

use super::{Execution, blocking};
use crate::convert::required;

/// How long one thread waits for the end of a query before it looks whether the client is still there.
const WAIT: Duration = Duration::from_millis(500);

impl Execution {
    pub(super) async fn start_stream(&self, message: pb::WriteStreamOperationStart) -> Result<(), SparkError> {
        let started = self.blocking(move |session| {
            let write = session.convert().write_stream(&message)?;
            let query = session.engine_session().start_stream(&write)?;
            let listened = session.engine_session().streams().has_listeners();
            let event = listened.then(|| started_event_json(query.identity(), now_ms()));
            Ok((query, event))
        });
        let (query, query_started_event_json) = started.await?;
        let result = pb::WriteStreamOperationStartResult {
            query_id: Some(instance_id(&query)),
            name: query.name().unwrap_or_default().to_string(),
            query_started_event_json,
        };
        self.send(ResponseType::WriteStreamOperationStartResult(result)).await;
        Ok(())
    }

    pub(super) async fn query_command(&self, message: pb::StreamingQueryCommand) -> Result<(), SparkError> {
        let pb::StreamingQueryCommand { query_id, command } = message;
        let query_id = required(query_id, "the id of a streaming query")?;
        let query = self.query(&query_id)?;
        let result_type = self.ask(query, required(command, "a command to a streaming query")?).await?;
        let result = pb::StreamingQueryCommandResult { query_id: Some(query_id), result_type };
        self.send(ResponseType::StreamingQueryCommandResult(result)).await;
        Ok(())
    }

    fn query(&self, message: &pb::StreamingQueryInstanceId) -> Result<Arc<StreamingQuery>, SparkError> {
        let pb::StreamingQueryInstanceId { id, run_id } = message;
        let ids = (Uuid::parse_str(id), Uuid::parse_str(run_id));
        let query = match ids {
            (Ok(id), Ok(run_id)) => self.session.engine_session().streams().find(id, run_id),
            _ => None,
        };
        query.ok_or_else(|| {
            SparkError::new(
                ExceptionClass::IllegalArgument,
                "STREAMING_QUERY_NOT_FOUND",
                "42K0A",
                format!("Streaming query {id} with run id {run_id} is not found in this session."),
            )
        })
    }

    async fn ask(&self, query: Arc<StreamingQuery>, command: Command) -> Result<Option<ResultType>, SparkError> {
        Ok(Some(match command {
            Command::Status(_) => ResultType::Status(status(&query)),
            Command::LastProgress(_) => recent(query.last_progress().iter().map(|progress| progress.to_json())),
            Command::RecentProgress(_) => recent(query.recent_progress().iter().map(|progress| progress.to_json())),
            Command::Stop(_) => {
                blocking(move || {
                    query.stop();
                    Ok(())
                })
                .await?;
                return Ok(None);
            }
            Command::ProcessAllAvailable(_) => {
                blocking(move || query.process_all_available()).await?;
                return Ok(None);
            }
            Command::Explain(ask::ExplainCommand { extended }) => {
                let text = query.explain(extended);
                let result = text.unwrap_or_else(|| "No physical plan. Waiting for data.".to_string());
                ResultType::Explain(answer::ExplainResult { result })
            }
            Command::Exception(_) => ResultType::Exception(exception(&query)),
            Command::AwaitTermination(ask::AwaitTerminationCommand { timeout_ms }) => {
                let terminated = wait(timeout_ms, move |time| query.await_termination(Some(time))).await?;
                ResultType::AwaitTermination(answer::AwaitTerminationResult { terminated })
            }
        }))
    }

    pub(super) async fn manager_command(&self, message: pb::StreamingQueryManagerCommand) -> Result<(), SparkError> {
        let pb::StreamingQueryManagerCommand { command } = message;
        let command = required(command, "a command about streaming queries")?;
        let result_type = self.ask_manager(command).await?;
        let result = pb::StreamingQueryManagerCommandResult { result_type };
        self.send(ResponseType::StreamingQueryManagerCommandResult(result)).await;
        Ok(())
    }

    async fn ask_manager(&self, command: ManagerCommand) -> Result<Option<ManagerResult>, SparkError> {
        let streams = self.session.engine_session().streams();
        Ok(match command {
            ManagerCommand::Active(_) => {
                let active_queries = streams.active().iter().map(|query| instance(query)).collect();
                Some(ManagerResult::Active(manager_answer::ActiveResult { active_queries }))
            }
            ManagerCommand::GetQuery(id) => {
                let query = Uuid::parse_str(&id).ok().and_then(|id| streams.get(id));
                query.map(|query| ManagerResult::Query(instance(&query)))
            }
            ManagerCommand::AwaitAnyTermination(ask_manager::AwaitAnyTerminationCommand { timeout_ms }) => {
                let streams = Arc::clone(streams);
                let terminated = wait(timeout_ms, move |time| streams.await_any_termination(Some(time))).await?;
                Some(ManagerResult::AwaitAnyTermination(manager_answer::AwaitAnyTerminationResult { terminated }))
            }
            ManagerCommand::ResetTerminated(_) => {
                streams.reset_terminated();
                Some(ManagerResult::ResetTerminated(true))
            }
            ManagerCommand::AddListener(_) | ManagerCommand::RemoveListener(_) | ManagerCommand::ListListeners(_) => {
                return Err(SparkError::unsupported("A streaming query listener that runs in the server"));
            }
        })
    }
}

/// Waits in slices, so that no thread waits on for a client that has gone.
async fn wait(
    timeout_ms: Option<i64>,
    ended: impl Fn(Duration) -> Result<bool, SparkError> + Send + Sync + 'static,
) -> Result<bool, SparkError> {
    let timeout = timeout_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let ended = Arc::new(ended);
    loop {
        let left = deadline.map_or(WAIT, |deadline| deadline.saturating_duration_since(Instant::now()).min(WAIT));
        let ended = Arc::clone(&ended);
        let has_ended = blocking(move || ended(left)).await?;
        if has_ended || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(has_ended);
        }
    }
}

fn instance_id(query: &StreamingQuery) -> pb::StreamingQueryInstanceId {
    pb::StreamingQueryInstanceId { id: query.id().to_string(), run_id: query.run_id().to_string() }
}

fn instance(query: &StreamingQuery) -> manager_answer::StreamingQueryInstance {
    manager_answer::StreamingQueryInstance { id: Some(instance_id(query)), name: query.name().map(str::to_string) }
}

fn status(query: &StreamingQuery) -> answer::StatusResult {
    let is_active = query.is_active();
    let millstream::QueryStatus { message, data_available, trigger_active } = query.status();
    answer::StatusResult {
        status_message: message,
        is_data_available: data_available,
        is_trigger_active: trigger_active,
        is_active,
    }
}

fn recent(progress: impl Iterator<Item = String>) -> ResultType {
    ResultType::RecentProgress(answer::RecentProgressResult { recent_progress_json: progress.collect() })
}

/// The text begins with a class name and a colon: the client shows what stands behind the first colon.
fn exception(query: &StreamingQuery) -> answer::ExceptionResult {
    match query.exception() {
        None => answer::ExceptionResult::default(),
        Some(error) => answer::ExceptionResult {
            exception_message: Some(format!("org.apache.spark.sql.streaming.StreamingQueryException: {error}")),
            error_class: error.condition().map(str::to_string),
            stack_trace: Some(error.cause().map(ToString::to_string).unwrap_or_default()),
        },
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
