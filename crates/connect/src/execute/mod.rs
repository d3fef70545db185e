//! `ExecutePlan`: from a request to a running operation.

mod command;
mod listener;
mod relation;
mod streaming;

use std::sync::Arc;

use futures::FutureExt;
use millstream_formats::condition::{ExceptionClass, SparkError};
use spark_connect_proto as pb;
use spark_connect_proto::execute_plan_response::ResponseType;
use tonic::Status;
use uuid::Uuid;

use crate::operation::Operation;
use crate::plan::{PlanOp, plan_op};
use crate::session::ClientSession;
use crate::status::{invalid_handle, status};

/// One running operation and whom it runs for.
pub(crate) struct Execution {
    pub(crate) session: Arc<ClientSession>,
    pub(crate) operation: Arc<Operation>,
    /// Whether the client puts batches together that come in pieces.
    pub(crate) chunking: bool,
}

impl Execution {
    async fn send(&self, response_type: ResponseType) {
        self.operation.send(self.operation.response(Some(response_type))).await;
    }

    /// Runs something that blocks, with the session, off the threads of the server.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ClientSession) -> Result<T, SparkError> + Send + 'static,
    ) -> Result<T, SparkError> {
        let session = Arc::clone(&self.session);
        blocking(move || work(&session)).await
    }

    async fn run(&self, plan: PlanOp) -> Result<(), SparkError> {
        match plan {
            PlanOp::Relation(relation) => self.run_relation(*relation).await,
            PlanOp::Command(command) => self.run_command(*command).await,
        }
    }
}

/// Runs something that blocks off the threads of the server.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SparkError> + Send + 'static,
) -> Result<T, SparkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(SparkError::internal(format!("The request could not be worked on: {panic}"))),
    }
}

/// Begins an operation in a task of its own.
///
/// # Errors
/// A request that names no plan, or an operation that exists.
pub(crate) fn start(session: Arc<ClientSession>, request: pb::ExecutePlanRequest) -> Result<Arc<Operation>, Status> {
    let pb::ExecutePlanRequest {
        session_id: _,
        client_observed_server_side_session_id: _,
        user_context: _,
        operation_id,
        plan,
        client_type: _,
        request_options,
        tags,
    } = request;
    let refuse = |error: SparkError| status(&error, None);
    let id = operation_id.unwrap_or_else(|| Uuid::new_v4().to_string());
    if Uuid::parse_str(&id).is_err() {
        let sentence = "Handle must be an UUID string of the format '00112233-4455-6677-8899-aabbccddeeff'";
        return Err(refuse(invalid_handle("FORMAT", &id, sentence)));
    }
    let (reattachable, chunking) = options(&request_options);
    let plan = plan_op(plan).map_err(refuse)?;
    let operation = Operation::new(id, (session.id(), session.server_side_id()), tags, reattachable);
    session.begin(&operation).map_err(refuse)?;
    let execution = Execution { session, operation: Arc::clone(&operation), chunking };
    let task = tokio::spawn(async move {
        let work = std::panic::AssertUnwindSafe(execution.run(plan)).catch_unwind();
        let result = work.await.unwrap_or_else(|_| {
            Err(SparkError::plain(ExceptionClass::Spark, "The operation ended with a panic of the server."))
        });
        let result = result.map_err(|error| execution.session.errors.status(error));
        execution.operation.finish(result).await;
    });
    operation.runs_in(task.abort_handle());
    Ok(operation)
}

/// Whether the operation is reattachable, and whether big batches may be cut.
fn options(options: &[pb::execute_plan_request::RequestOption]) -> (bool, bool) {
    use pb::execute_plan_request::request_option::RequestOption as Choice;
    let (mut reattachable, mut chunking) = (false, false);
    for pb::execute_plan_request::RequestOption { request_option } in options {
        match request_option {
            Some(Choice::ReattachOptions(pb::ReattachOptions { reattachable: wanted })) => reattachable = *wanted,
            Some(Choice::ResultChunkingOptions(options)) => {
                // The preferred size is a wish; this server only cuts what does not fit into a message.
                let pb::ResultChunkingOptions { allow_arrow_batch_chunking, preferred_arrow_chunk_size: _ } = options;
                chunking = *allow_arrow_batch_chunking;
            }
            // An extension that is not known changes nothing of what the plan means.
            Some(Choice::Extension(_)) | None => {}
        }
    }
    (reattachable, chunking)
}
