//! A server: a port, the service on it, and the threads that answer.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use millstream::Engine;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;

use crate::auth::TokenCheck;
use crate::service::{Service, SparkConnectServiceServer};
use crate::session::Sessions;

/// Bytes of a message, in either direction; clients have the same limit.
const MESSAGE_BYTES_MAX: usize = 128 << 20;
/// Stack of the threads that read and analyze plans: deep plans are walked by recursion. Only what is used is ever taken
/// from memory.
pub const STACK_BYTES: usize = 256 << 20;
/// Threads for what blocks: analysis, and one for each call that waits for a query.
const BLOCKING_THREADS_MAX: usize = 4096;
/// How long open calls may go on when the server stops.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// Where to listen, and whom to let in.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Name or address of the interface.
    pub host: String,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// What clients must show. Needed for every interface but loopback.
    pub token: Option<String>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The name of the interface has no address.
    #[error("cannot find the address of `{host}`: {source}")]
    Host {
        /// The name.
        host: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Other machines could connect without a token.
    #[error(
        "`{host}` can be reached from other machines: listening there needs a token (--token, or the environment variable \
         SPARK_CONNECT_AUTHENTICATE_TOKEN)"
    )]
    TokenNeeded {
        /// The interface.
        host: String,
    },
    /// The port is taken, or may not be used.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Interface and port.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// No threads.
    #[error("cannot start the threads of the server: {0}")]
    Threads(std::io::Error),
}

/// A running server. Stops when dropped.
pub struct Server {
    address: SocketAddr,
    sessions: Arc<Sessions>,
    stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens; when this returns, clients can connect.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn start(engine: Arc<Engine>, options: &ServerOptions) -> Result<Self, ServerError> {
        let address = resolve(options)?;
        let token = options.token.as_deref().filter(|token| !token.is_empty());
        if !address.ip().is_loopback() && token.is_none() {
            return Err(ServerError::TokenNeeded { host: options.host.clone() });
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_stack_size(STACK_BYTES)
            .thread_name("connect")
            .enable_all()
            .build()
            .map_err(ServerError::Threads)?;
        let bind = |source| ServerError::Bind { address, source };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let sessions = Arc::new(Sessions::new(engine));
        let (stop, stopped) = watch::channel(false);
        runtime.spawn(serve(listener, Arc::clone(&sessions), TokenCheck::new(token), stopped));
        runtime.spawn(Arc::clone(&sessions).maintain());
        Ok(Self { address, sessions, stop, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops all streaming queries and ends the streams of listeners, and serves on. Blocks until the queries have ended.
    pub fn stop_queries(&self) {
        self.sessions.stop_queries();
    }

    /// Ends all sessions and their queries, then the server. Blocks until that is done; not for use on a runtime's thread.
    pub fn stop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        self.stop.send_replace(true);
        self.sessions.end_all();
        runtime.shutdown_timeout(STOP_GRACE);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn resolve(options: &ServerOptions) -> Result<SocketAddr, ServerError> {
    let unknown = |source| ServerError::Host { host: options.host.clone(), source };
    if let Ok(ip) = options.host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, options.port));
    }
    let addresses: Vec<_> = (options.host.as_str(), options.port).to_socket_addrs().map_err(unknown)?.collect();
    // Clients try IPv4 for names too; a name with both is served there.
    let chosen = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    chosen.copied().ok_or_else(|| unknown(std::io::ErrorKind::NotFound.into()))
}

async fn serve(listener: TcpListener, sessions: Arc<Sessions>, token: TokenCheck, mut stopped: watch::Receiver<bool>) {
    let service = SparkConnectServiceServer::new(Service::new(sessions))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let connections = TcpListenerStream::new(listener);
    let stop = async move {
        // An error means that the server was dropped: a stop too.
        let _stopped = stopped.wait_for(|stopped| *stopped).await;
    };
    let served = tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .add_service(InterceptedService::new(service, token))
        .serve_with_incoming_shutdown(connections, stop)
        .await;
    if let Err(error) = served {
        tracing::error!("the server ended: {error}");
    }
}
