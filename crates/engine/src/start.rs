//! The thread of a query: how it begins and how it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use millstream_formats::condition::{ExceptionClass, SparkError};
use uuid::Uuid;

use crate::definition::QueryDefinition;
use crate::manager::QueryManager;
use crate::metrics::count_end;
use crate::micro_batch::Execution;
use crate::query::{QueryIdentity, Shared, StreamingQuery, stream_failed};

/// Starts a query on a thread of its own.
///
/// # Errors
/// If the checkpoint cannot be read or written, or a query of that name or checkpoint is active. What fails later ends the query
/// and is found in [`StreamingQuery::exception`].
pub fn start(definition: QueryDefinition, manager: &Arc<QueryManager>) -> Result<Arc<StreamingQuery>, SparkError> {
    let id = millstream_formats::log::query_id(&definition.checkpoint, definition.settings.fsync)?;
    let identity = QueryIdentity { id, run_id: Uuid::new_v4(), name: definition.name.clone() };
    let shared = Arc::new(Shared::new(definition.settings.recent_progress_max));
    let query = Arc::new(StreamingQuery::new(identity.clone(), Arc::clone(&shared)));
    if let Some(active) = manager.get(id).filter(|_| definition.settings.stop_active_run) {
        tracing::warn!(query = %id, "the run {} is stopped: another one starts from its checkpoint", active.run_id());
        active.stop();
    }
    manager.add(&query)?;
    let (thread_query, thread_manager) = (Arc::clone(&query), Arc::clone(manager));
    let metrics = definition.metrics.clone();
    let started = query.run(move || {
        let failure = run_to_end(definition, &identity, &shared, &thread_manager);
        count_end(&metrics, failure.is_some());
        thread_manager.ended(&thread_query, || shared.finish(failure));
    });
    match started {
        Ok(()) => Ok(query),
        Err(error) => {
            manager.forget(&query);
            Err(SparkError::plain(ExceptionClass::Spark, format!("Cannot start a thread for the query: {error}")))
        }
    }
}

/// Runs the query; the error it ended with, if any. A panic of the engine is such an error and leaves other queries alone.
fn run_to_end(
    definition: QueryDefinition,
    identity: &QueryIdentity,
    shared: &Arc<Shared>,
    manager: &Arc<QueryManager>,
) -> Option<SparkError> {
    let temporary = definition.checkpoint_is_temporary.then(|| definition.checkpoint.clone());
    // The batch at which it failed, if it came to one.
    let mut batch = None;
    let run = AssertUnwindSafe(|| {
        let mut execution = Execution::open(definition, identity.clone(), Arc::clone(shared), Arc::clone(manager))?;
        let result = execution.run();
        batch = Some(execution.batch_id());
        execution.close();
        result
    });
    let result = catch_unwind(run).unwrap_or_else(|_| Err(SparkError::internal("the query panicked")));
    match result {
        Err(error) if !shared.signal.is_stopped() => {
            tracing::error!(query = %identity.id, name = identity.name, run = %identity.run_id, batch, "query failed: {error}");
            Some(stream_failed(identity, &error, batch))
        }
        _ => {
            if let Some(dir) = temporary
                && let Err(error) = std::fs::remove_dir_all(&dir)
            {
                tracing::warn!("cannot remove the temporary checkpoint {}: {error}", dir.display());
            }
            None
        }
    }
}
