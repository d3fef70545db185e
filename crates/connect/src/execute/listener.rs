//! The events of all queries of a session, sent to the client that runs the listeners.
//!
//! One operation stays open for it. It ends when the client removes its last listener, after the events up to then.

use millstream::QueryEvent;
use millstream_formats::condition::SparkError;
use spark_connect_proto as pb;
use spark_connect_proto::execute_plan_response::ResponseType;
use spark_connect_proto::streaming_query_listener_bus_command::Command;

use super::Execution;
use crate::convert::required;

impl Execution {
    pub(super) async fn listener_command(
        &self,
        message: pb::StreamingQueryListenerBusCommand,
    ) -> Result<(), SparkError> {
        let pb::StreamingQueryListenerBusCommand { command } = message;
        match required(command, "a command about streaming query listeners")? {
            Command::AddListenerBusListener(_) => self.send_events().await,
            Command::RemoveListenerBusListener(_) => {
                self.session.close_listener();
                return Ok(());
            }
        }
        Ok(())
    }

    async fn send_events(&self) {
        let mut closed = self.session.open_listener();
        let mut events = self.session.engine_session().streams().subscribe();
        let added =
            pb::StreamingQueryListenerEventsResult { events: Vec::new(), listener_bus_listener_added: Some(true) };
        self.send(ResponseType::StreamingQueryListenerEventsResult(added)).await;
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                _ = closed.wait_for(|closed| *closed) => None,
            };
            match event {
                Some(event) => self.send_event(&event).await,
                None => break,
            }
        }
    }

    async fn send_event(&self, event: &QueryEvent) {
        let event_type = match event {
            QueryEvent::Progress(_) => pb::StreamingQueryEventType::QueryProgressEvent,
            QueryEvent::Terminated(..) => pb::StreamingQueryEventType::QueryTerminatedEvent,
            QueryEvent::Idle(..) => pb::StreamingQueryEventType::QueryIdleEvent,
        };
        let event = pb::StreamingQueryListenerEvent { event_json: event.to_json(), event_type: event_type.into() };
        let events = pb::StreamingQueryListenerEventsResult { events: vec![event], listener_bus_listener_added: None };
        self.send(ResponseType::StreamingQueryListenerEventsResult(events)).await;
    }
}
