//! An execution and the responses it has made, kept until the client has them.
//!
//! One task produces responses ([`Operation::send`]), at most one stream at a time delivers them
//! ([`attach`]). A stream may break and another take its place at any response that is still kept: a
//! reattachable operation keeps what was delivered until the client releases it, at most [`DELIVERED_BYTES_MAX`]. The
//! producer waits while [`WAITING_BYTES_MAX`] lie undelivered, so a client that does not read holds up nothing but its own
//! operation. An operation without a stream ends after a while ([`Operation::abandoned`]), one that is not reattachable at
//! once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::Stream;
use parking_lot::Mutex;
use prost::Message;
use spark_connect_proto::ExecutePlanResponse;
use spark_connect_proto::execute_plan_response::{ResponseType, ResultComplete};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tonic::Status;
use uuid::Uuid;

use crate::status::{canceled, invalid_cursor, status};

/// Bytes of responses that may wait for the client.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes of delivered responses kept for another attempt.
const DELIVERED_BYTES_MAX: usize = 10 << 20;

/// An execution.
pub struct Operation {
    id: String,
    session_id: String,
    server_side_session_id: String,
    tags: Vec<String>,
    reattachable: bool,
    state: Mutex<State>,
    /// Woken at each change of `state`: the producer waits for room, the stream for responses.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Responses that are kept; the first of them has number `first`.
    kept: VecDeque<Kept>,
    first: u64,
    /// Id of the last response that is no longer kept.
    dropped: Option<String>,
    /// How many have been delivered at least once.
    delivered: u64,
    /// Bytes of the kept responses that have been delivered, and of those that have not.
    delivered_bytes: usize,
    waiting_bytes: usize,
    end: Option<Result<(), Status>>,
    /// Which stream delivers; an older one ends.
    attachment: u64,
    attached: bool,
    detached_since: Option<Instant>,
    task: Option<AbortHandle>,
}

struct Kept {
    response: ExecutePlanResponse,
    bytes: usize,
}

impl Operation {
    /// An operation that has produced nothing.
    pub fn new(id: String, session: (&str, &str), tags: Vec<String>, reattachable: bool) -> Arc<Self> {
        let state = State { detached_since: Some(Instant::now()), ..State::default() };
        Arc::new(Self {
            id,
            session_id: session.0.to_string(),
            server_side_session_id: session.1.to_string(),
            tags,
            reattachable,
            state: Mutex::new(state),
            changed: Notify::new(),
        })
    }

    /// The id the client gave it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the client has tagged it so.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|t| t == tag)
    }

    /// Whether another stream may take the place of a broken one.
    pub fn reattachable(&self) -> bool {
        self.reattachable
    }

    /// Whether it still produces.
    pub fn running(&self) -> bool {
        self.state.lock().end.is_none()
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<Result<(), Status>> {
        self.state.lock().end.clone()
    }

    /// Names the task that [`Operation::cancel`] ends.
    pub fn runs_in(&self, task: AbortHandle) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            task.abort();
        }
        state.task = Some(task);
    }

    /// An empty response of this operation.
    pub fn response(&self, response_type: Option<ResponseType>) -> ExecutePlanResponse {
        ExecutePlanResponse {
            session_id: self.session_id.clone(),
            server_side_session_id: self.server_side_session_id.clone(),
            operation_id: self.id.clone(),
            response_id: Uuid::new_v4().to_string(),
            response_type,
            ..ExecutePlanResponse::default()
        }
    }

    /// Hands a response to the client; waits while too much lies undelivered.
    pub async fn send(&self, response: ExecutePlanResponse) {
        let bytes = response.encoded_len();
        let mut kept = Some(Kept { response, bytes });
        loop {
            let room = self.changed.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            {
                let mut state = self.state.lock();
                if state.end.is_some() {
                    return;
                }
                if state.waiting_bytes < WAITING_BYTES_MAX {
                    state.waiting_bytes += bytes;
                    state.kept.extend(kept.take());
                    drop(state);
                    self.changed.notify_waiters();
                    return;
                }
            }
            room.await;
        }
    }

    /// The end: a last response that says so, or the error.
    pub async fn finish(&self, result: Result<(), Status>) {
        if result.is_ok() {
            self.send(self.response(Some(ResponseType::ResultComplete(ResultComplete {})))).await;
        }
        self.end_with(result);
    }

    /// Ends it for good; whether it was running.
    pub fn cancel(&self) -> bool {
        let task = self.state.lock().task.take();
        if let Some(task) = task {
            task.abort();
        }
        self.end_with(Err(status(&canceled(), None)))
    }

    fn end_with(&self, result: Result<(), Status>) -> bool {
        let first = {
            let mut state = self.state.lock();
            let first = state.end.is_none();
            state.end.get_or_insert(result);
            first
        };
        self.changed.notify_waiters();
        first
    }

    /// Forgets the responses up to and including this one.
    pub fn release_until(&self, response_id: &str) {
        let mut state = self.state.lock();
        if let Some(position) = state.kept.iter().position(|kept| kept.response.response_id == response_id) {
            for _ in 0..=position {
                state.drop_first();
            }
        }
    }

    /// Whether it has been without a stream for longer than `grace`.
    pub fn abandoned(&self, grace: Duration) -> bool {
        let state = self.state.lock();
        !state.attached && state.detached_since.is_some_and(|since| since.elapsed() > grace)
    }

    fn detach(&self, attachment: u64) {
        let mut state = self.state.lock();
        if state.attachment == attachment {
            state.attached = false;
            state.detached_since = Some(Instant::now());
            drop(state);
            if !self.reattachable {
                self.cancel();
            }
        }
    }
}

impl State {
    fn drop_first(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            let counter = if self.first < self.delivered { &mut self.delivered_bytes } else { &mut self.waiting_bytes };
            *counter = counter.saturating_sub(kept.bytes);
            self.dropped = Some(kept.response.response_id);
            self.first += 1;
        }
    }

    /// Takes note that the response before `next` went out; drops delivered ones from the oldest on until they fit.
    fn deliver(&mut self, next: u64, bytes: usize, bytes_max: usize) {
        if next > self.delivered {
            self.delivered = next;
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            self.delivered_bytes += bytes;
        }
        while self.delivered_bytes > bytes_max && self.first < self.delivered {
            self.drop_first();
        }
    }

    /// The number of the response after this one.
    fn position_after(&self, response_id: Option<&str>) -> Option<u64> {
        match response_id {
            None => (self.first == 0).then_some(0),
            Some(id) if self.dropped.as_deref() == Some(id) => Some(self.first),
            Some(id) => {
                let position = self.kept.iter().position(|kept| kept.response.response_id == id)?;
                Some(self.first + u64::try_from(position).ok()? + 1)
            }
        }
    }
}

/// One stream's hold on an operation; given up when dropped.
struct Attachment {
    operation: Arc<Operation>,
    number: u64,
    next: u64,
    ended: bool,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.operation.detach(self.number);
    }
}

impl Attachment {
    /// What to deliver now; none if there is nothing yet.
    fn poll(&mut self) -> Option<Option<Result<ExecutePlanResponse, Status>>> {
        let mut state = self.operation.state.lock();
        if state.attachment != self.number {
            let error = invalid_cursor("DISCONNECTED", "The cursor has been disconnected by the server.");
            return Some(Some(Err(status(&error, None))));
        }
        let Some(offset) = self.next.checked_sub(state.first) else {
            let error = invalid_cursor("POSITION_NOT_AVAILABLE", "The cursor position is no longer available.");
            return Some(Some(Err(status(&error, None))));
        };
        if let Some(kept) = usize::try_from(offset).ok().and_then(|offset| state.kept.get(offset)) {
            let (response, bytes) = (kept.response.clone(), kept.bytes);
            self.next += 1;
            state.deliver(self.next, bytes, if self.operation.reattachable { DELIVERED_BYTES_MAX } else { 0 });
            return Some(Some(Ok(response)));
        }
        state.end.clone().map(|end| end.err().map(Err))
    }

    async fn next(&mut self) -> Option<Result<ExecutePlanResponse, Status>> {
        if self.ended {
            return None;
        }
        let operation = Arc::clone(&self.operation);
        loop {
            let change = operation.changed.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            if let Some(item) = self.poll() {
                self.ended = !matches!(item, Some(Ok(_)));
                operation.changed.notify_waiters();
                return item;
            }
            change.await;
        }
    }
}

/// The responses after `last_response_id`, from the first on if there is none, as they come. Takes the place of an earlier
/// stream.
///
/// # Errors
/// `INVALID_CURSOR` if that response is not kept.
pub fn attach(
    operation: Arc<Operation>,
    last_response_id: Option<&str>,
) -> Result<impl Stream<Item = Result<ExecutePlanResponse, Status>> + Send + 'static, Status> {
    let attachment = {
        let mut state = operation.state.lock();
        let next = state.position_after(last_response_id).ok_or_else(|| {
            let error = invalid_cursor("POSITION_NOT_FOUND", "The cursor position is not found.");
            status(&error.with("responseId", last_response_id.unwrap_or_default()), None)
        })?;
        state.attachment += 1;
        state.attached = true;
        state.detached_since = None;
        Attachment { operation: Arc::clone(&operation), number: state.attachment, next, ended: false }
    };
    operation.changed.notify_waiters();
    Ok(futures::stream::unfold(attachment, |mut attachment| async move {
        let item = attachment.next().await?;
        Some((item, attachment))
    }))
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use spark_connect_proto::execute_plan_response::ArrowBatch;

    use super::*;

    fn operation(reattachable: bool) -> Arc<Operation> {
        Operation::new("op".into(), ("session", "server"), Vec::new(), reattachable)
    }

    fn batch(operation: &Operation, bytes: usize) -> ExecutePlanResponse {
        let batch = ArrowBatch { data: vec![0; bytes].into(), ..ArrowBatch::default() };
        operation.response(Some(ResponseType::ArrowBatch(batch)))
    }

    #[tokio::test]
    async fn a_second_stream_goes_on_after_the_last_response_the_client_has() {
        let operation = operation(true);
        let sent: Vec<_> = (0..3).map(|_| batch(&operation, 1)).collect();
        for response in &sent {
            operation.send(response.clone()).await;
        }
        let mut first = Box::pin(attach(operation.clone(), None).expect("attach"));
        assert_eq!(first.next().await.expect("one").expect("ok"), sent[0]);
        operation.finish(Ok(())).await;
        operation.release_until(&sent[0].response_id);
        let second = attach(operation.clone(), Some(&sent[0].response_id)).expect("reattach");
        let rest: Vec<_> = second.collect().await;
        assert_eq!(rest.len(), 3);
        assert_eq!(rest[0].as_ref().expect("ok"), &sent[1]);
        assert!(matches!(rest[2].as_ref().expect("ok").response_type, Some(ResponseType::ResultComplete(_))));
        let error = first.next().await.expect("an error").expect_err("disconnected");
        assert!(error.message().contains("INVALID_CURSOR.DISCONNECTED"), "{error}");
        assert!(attach(operation, Some("unknown")).is_err());
    }

    #[tokio::test]
    async fn the_producer_waits_for_a_client_that_does_not_read() {
        let operation = operation(false);
        operation.send(batch(&operation, WAITING_BYTES_MAX)).await;
        let producer = tokio::spawn({
            let operation = operation.clone();
            async move { operation.send(batch(&operation, 1)).await }
        });
        // On the one thread of this runtime it runs now, until it waits.
        tokio::task::yield_now().await;
        assert!(!producer.is_finished());
        let mut stream = Box::pin(attach(operation.clone(), None).expect("attach"));
        assert!(stream.next().await.is_some());
        producer.await.expect("the producer goes on");
        drop(stream);
        assert!(!operation.running(), "an operation that is not reattachable ends with its stream");
    }

    #[tokio::test]
    async fn canceling_ends_the_stream_with_an_error() {
        let operation = operation(true);
        let stream = attach(operation.clone(), None).expect("attach");
        assert!(operation.cancel() && !operation.cancel());
        let items: Vec<_> = stream.collect().await;
        assert!(items[0].as_ref().expect_err("canceled").message().contains("OPERATION_CANCELED"));
    }
}
