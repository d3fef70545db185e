//! The door to the figures of a process: `GET /metrics` over HTTP.
//!
//! It listens on loopback unless told otherwise, since whoever reaches it may read names of queries and figures; there is nothing to
//! change. It ends with its last owner. At most [`CONNECTIONS_MAX`] connections are served at once, others wait to be accepted, and one on
//! which nothing happens for [`IDLE_MAX`] is closed.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::serve::Listener;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use crate::metrics::{Group, process_group};
use crate::{Registry, Worker};

/// Connections that are served at once.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may be silent, or not take its answer.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// Pause after a connection could not be accepted, because there are no files left: what is open may be closed meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Where it listens if nothing is said.
const LOOPBACK: &str = "127.0.0.1";

/// Where figures shall be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Name or address of an interface; `None`: loopback.
    pub host: Option<String>,
    /// 0: a free one.
    pub port: u16,
}

/// Why figures cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The port is in use, or the interface not of this machine.
    #[error("Cannot serve metrics on {host}:{port}: {source}")]
    Listen {
        /// As it was given.
        host: String,
        /// As it was given.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no thread left.
    #[error("Cannot start the thread that serves metrics: {0}")]
    Thread(#[source] io::Error),
}

/// Serves the figures of a registry until it is dropped.
pub struct Endpoint {
    address: SocketAddr,
    /// Figures of the process itself, if it is the endpoint of one.
    _process: Option<Group>,
    /// Dropping the sender ends the server.
    running: Option<(oneshot::Sender<()>, Worker)>,
}

impl Endpoint {
    /// Serves a registry.
    ///
    /// # Errors
    /// The port is in use; the host is not of this machine; there is no thread left.
    pub fn open(registry: Registry, options: &EndpointOptions) -> Result<Self, EndpointError> {
        let host = options.host.as_deref().unwrap_or(LOOPBACK);
        let failed = |source| EndpointError::Listen { host: host.to_owned(), port: options.port, source };
        let listener = listen(host, options.port).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(EndpointError::Thread)?;
        let (sender, stop) = oneshot::channel::<()>();
        let worker = Worker::spawn("metrics", None, move || runtime.block_on(serve(registry, listener, stop)));
        Ok(Endpoint { address, _process: None, running: Some((sender, worker.map_err(EndpointError::Thread)?)) })
    }

    /// The endpoint of this process over [`Registry::process`]: the one that is there, else a new one, whose address goes to stderr if its
    /// port is a free one that nobody knows. Whoever holds it keeps it running.
    ///
    /// # Errors
    /// Those of [`Endpoint::open`].
    pub fn of_process(options: &EndpointOptions) -> Result<Arc<Self>, EndpointError> {
        static OPEN: Mutex<Weak<Endpoint>> = Mutex::new(Weak::new());
        let mut open = OPEN.lock();
        if let Some(endpoint) = open.upgrade() {
            if ![0, endpoint.address.port()].contains(&options.port) {
                let (address, port) = (endpoint.address, options.port);
                tracing::warn!("metrics are served on {address} already, and not also on port {port}");
            }
            return Ok(endpoint);
        }
        let registry = Registry::process();
        let mut endpoint = Endpoint::open(registry.clone(), options)?;
        endpoint._process = Some(process_group(&registry));
        let endpoint = Arc::new(endpoint);
        if options.port == 0 {
            eprintln!("millstream: metrics on http://{}/metrics", endpoint.address);
        }
        *open = Arc::downgrade(&endpoint);
        Ok(endpoint)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some((stop, worker)) = self.running.take() {
            drop(stop);
            if let Err(panic) = worker.join() {
                tracing::error!(panic, "the thread that serves metrics panicked");
            }
        }
    }
}

fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let listener = TcpListener::bind(addresses.as_slice())?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(registry: Registry, listener: TcpListener, stop: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot serve metrics"),
    };
    let router = Router::new().route("/metrics", get(metrics)).with_state(registry);
    let bounded = Bounded { listener, free: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
    let server = async { axum::serve(bounded, router).await };
    // Ends at once: a scrape that is under way is worth no wait. Its tasks end with the runtime.
    tokio::select! {
        ended = server => if let Err(error) = ended { tracing::error!(%error, "metrics are no longer served") },
        _ = stop => {}
    }
}

async fn metrics(State(registry): State<Registry>) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], registry.text())
}

/// Accepts a connection when one of those that are served has ended.
struct Bounded {
    listener: tokio::net::TcpListener,
    free: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed; without a permit the connection would just not be counted.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = Connection { stream, idle: Box::pin(sleep(IDLE_MAX)), _permit: permit };
                    return (connection, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for metrics");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that is closed when nothing happens on it.
struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Does something with the stream: what succeeds begins the time anew, what waits may find it over.
    fn with_stream<T>(
        &mut self,
        context: &mut Context<'_>,
        action: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match action(Pin::new(&mut self.stream), context) {
            Poll::Ready(result) => {
                self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
                Poll::Ready(result)
            }
            Poll::Pending => match self.idle.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with_stream(context, |stream, context| stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with_stream(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::metrics::Metric;

    const ROWS: Metric = Metric::new("rows_total", "Rows so far.");

    fn free_port() -> EndpointOptions {
        EndpointOptions { host: None, port: 0 }
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_scrape_gives_the_figures_and_anything_else_is_refused() {
        let registry = Registry::default();
        let group = registry.group(&[("query", "q")]);
        group.counter(ROWS, &[]).add(7);
        let endpoint = Endpoint::open(registry, &free_port()).unwrap();
        assert!(endpoint.address().ip().is_loopback());
        let answer = ask(endpoint.address(), "GET /metrics");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.ends_with("rows_total{query=\"q\"} 7\n"), "{answer}");
        assert!(ask(endpoint.address(), "GET /").starts_with("HTTP/1.1 404"));
        assert!(ask(endpoint.address(), "POST /metrics").starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn a_port_in_use_is_an_error_that_names_it_and_the_port_is_free_after_the_end() {
        let first = Endpoint::open(Registry::default(), &free_port()).unwrap();
        let options = EndpointOptions { host: Some("localhost".to_owned()), port: first.address().port() };
        let error = Endpoint::open(Registry::default(), &options).err().unwrap().to_string();
        assert!(error.starts_with(&format!("Cannot serve metrics on localhost:{}", options.port)), "{error}");
        // A connection that says nothing does not hold up the end.
        let silent = std::net::TcpStream::connect(first.address()).unwrap();
        drop(first);
        Endpoint::open(Registry::default(), &options).unwrap();
        drop(silent);
    }

    #[test]
    fn more_connections_than_are_served_wait_for_their_turn() {
        let endpoint = Endpoint::open(Registry::default(), &free_port()).unwrap();
        let mut silent: Vec<_> =
            (0..CONNECTIONS_MAX).map(|_| std::net::TcpStream::connect(endpoint.address()).unwrap()).collect();
        let mut waiting = std::net::TcpStream::connect(endpoint.address()).unwrap();
        waiting.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        waiting.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut answer = String::new();
        assert!(waiting.read_to_string(&mut answer).is_err(), "{answer}");
        silent.pop();
        waiting.set_read_timeout(None).unwrap();
        waiting.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
