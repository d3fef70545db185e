//! A running socket source: the connection, its reading thread, and batches out of the buffer.

use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_intake::{LINE_BYTES_MAX, ReadEnd, read_lines};
use parking_lot::Mutex;

use super::buffer::{LineBuffer, Segment, Wake};
use crate::errors::bad_offset;
use crate::source::{Offset, Rows, Source};

/// Rows of one record batch.
const BATCH_ROWS: usize = 8192;
/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct SocketSource {
    host: String,
    port: i32,
    schema: SchemaRef,
    buffer: Arc<LineBuffer>,
    /// None before the first batch and after the stop.
    connection: Mutex<Connection>,
    /// Where the source ends, as an offset; `i64::MAX` if nowhere.
    end: AtomicI64,
    /// Rows of a batch, at most.
    rows_max: AtomicI64,
}

enum Connection {
    None,
    /// The reading thread owns the socket: when it ends, the socket is closed, and a sender that waits for room learns it.
    Open(Weak<TcpStream>),
    Stopped,
}

impl SocketSource {
    pub fn new(host: String, port: i32, schema: SchemaRef) -> Self {
        Self {
            host,
            port,
            schema,
            buffer: Arc::default(),
            connection: Mutex::new(Connection::None),
            end: AtomicI64::new(i64::MAX),
            rows_max: AtomicI64::new(i64::MAX),
        }
    }

    /// Connects and begins to read, once.
    fn connect(&self) -> Result<(), SparkError> {
        let mut connection = self.connection.lock();
        if !matches!(*connection, Connection::None) {
            return Ok(());
        }
        let stream = Arc::new(connect(&self.host, self.port)?);
        *connection = Connection::Open(Arc::downgrade(&stream));
        let (buffer, name) = (Arc::clone(&self.buffer), format!("{}:{}", self.host, self.port));
        let thread = std::thread::Builder::new().name(format!("socket {name}"));
        thread.spawn(move || take_lines(&stream, &buffer, &name)).map_err(|e| connection_error(&self.host, &e))?;
        Ok(())
    }
}

fn connect(host: &str, port: i32) -> Result<TcpStream, SparkError> {
    let port = u16::try_from(port)
        .map_err(|_| SparkError::plain(ExceptionClass::IllegalArgument, format!("port out of range:{port}")))?;
    // Java's UnknownHostException names only the host.
    let addresses = (host, port).to_socket_addrs().map_err(|_| SparkError::plain(ExceptionClass::Spark, host))?;
    let mut failure = SparkError::plain(ExceptionClass::Spark, host);
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = connection_error(host, &error),
        }
    }
    Err(failure)
}

fn connection_error(host: &str, error: &std::io::Error) -> SparkError {
    let message = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "Connection refused".to_string(),
        std::io::ErrorKind::TimedOut => "Connection timed out".to_string(),
        _ => format!("{host}: {error}"),
    };
    SparkError::plain(ExceptionClass::Spark, message)
}

/// Runs on the reading thread until the connection ends, the source is stopped or a line is too long.
fn take_lines(stream: &TcpStream, buffer: &LineBuffer, name: &str) {
    let take = |lines: millstream_intake::Lines| {
        if buffer.append(lines.into(), now_us()) { Ok(()) } else { Err(Stopped) }
    };
    match read_lines(stream, LINE_BYTES_MAX, take) {
        ReadEnd::Refused(Stopped) => return,
        ReadEnd::LineTooLong => {
            let message =
                format!("The socket source got more than {LINE_BYTES_MAX} bytes without a line end from {name}.");
            buffer.fail(SparkError::plain(ExceptionClass::Runtime, message));
            return;
        }
        ReadEnd::Broken(error) => tracing::warn!("The connection to {name} broke: {error}"),
        ReadEnd::Closed => {}
    }
    // A source that was stopped has closed the connection itself.
    if !buffer.stopped() {
        tracing::warn!("Stream closed by {name}");
    }
}

/// The source takes no more lines.
struct Stopped;

/// The time in whole milliseconds, as µs.
fn now_us() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(0).saturating_mul(1000)
}

fn parse(offset: &Offset) -> Result<i64, SparkError> {
    offset.trim().parse().map_err(|_| bad_offset("socket", offset))
}

impl Source for SocketSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn description(&self) -> String {
        format!("TextSocketV2[host: {}, port: {}]", self.host, self.port)
    }

    fn latest_offset(&self, start: Option<&Offset>, unlimited: bool) -> Result<Option<Offset>, SparkError> {
        let mut latest = self.buffer.cut(unlimited)? - 1;
        if !unlimited {
            let start = start.map_or(Ok(-1), parse)?;
            latest = latest.min(start.saturating_add(self.rows_max.load(Ordering::Acquire)));
        }
        Ok(Some(latest.min(self.end.load(Ordering::Acquire)).to_string()))
    }

    fn recoverable(&self) -> bool {
        false
    }

    fn limit_rows(&self, rows: u64) -> bool {
        self.rows_max.store(i64::try_from(rows).unwrap_or(i64::MAX), Ordering::Release);
        true
    }

    fn read(&self, start: Option<&Offset>, end: &Offset, partitions: usize) -> Result<Vec<Rows>, SparkError> {
        self.connect()?;
        let start = start.map_or(Ok(-1), parse)?;
        let parts = self.buffer.rows(start.saturating_add(1), parse(end)?.saturating_add(1))?;
        let slices: Vec<(Segment, usize, usize)> = parts.into_iter().flat_map(split).collect();
        let share = slices.len().div_ceil(partitions.max(1)).max(1);
        let schema = &self.schema;
        Ok(slices.chunks(share).map(|chunk| rows(chunk.to_vec(), Arc::clone(schema))).collect())
    }

    fn commit(&self, end: &Offset) -> Result<(), SparkError> {
        self.buffer.commit(parse(end)?.saturating_add(1))
    }

    fn fix_end(&self) -> Result<(), SparkError> {
        self.end.store(self.buffer.cut(true)? - 1, Ordering::Release);
        Ok(())
    }

    fn on_data(&self, wake: Wake) {
        self.buffer.on_data(wake);
    }

    fn stop(&self) {
        self.buffer.stop();
        // Shutting the socket down is what ends a blocked read.
        let connection = std::mem::replace(&mut *self.connection.lock(), Connection::Stopped);
        if let Connection::Open(stream) = connection
            && let Some(stream) = stream.upgrade()
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for SocketSource {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Cuts a part of a segment into record batches.
fn split((segment, from, to): (Segment, usize, usize)) -> impl Iterator<Item = (Segment, usize, usize)> {
    (from..to).step_by(BATCH_ROWS).map(move |at| (segment.clone(), at, (at + BATCH_ROWS).min(to)))
}

fn rows(slices: Vec<(Segment, usize, usize)>, schema: SchemaRef) -> Rows {
    Box::new(slices.into_iter().map(move |(segment, from, to)| {
        let (values, times) = segment.slice(from, to);
        let columns: Vec<ArrayRef> = if schema.fields().len() > 1 { vec![values, times] } else { vec![values] };
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Instant;

    use arrow::array::AsArray;

    use super::*;
    use crate::source::{OpenContext, SourceSpec};

    /// A server, a source connected to it, and what wakes when data has come.
    struct Fixture {
        peer: TcpStream,
        source: Box<dyn Source>,
        woken: mpsc::Receiver<()>,
        /// The offset reached.
        at: Option<Offset>,
    }

    fn fixture(options: &[(&str, &str)]) -> Fixture {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let options = options.iter().copied().chain([("host", "127.0.0.1"), ("port", port.as_str())]).collect();
        let spec = SourceSpec {
            format: "socket".into(),
            schema: None,
            options,
            paths: Vec::new(),
            conf: Arc::new(|_| None),
            parallelism: 2,
        };
        let context = OpenContext { metadata_dir: "unused".into(), columns: None, conf: Arc::new(|_| None) };
        let source = super::super::load(spec).unwrap().open(context).unwrap();
        let (send, woken) = mpsc::channel();
        source.on_data(Box::new(move || {
            let _ = send.send(());
        }));
        let first = source.latest_offset(None, false).unwrap();
        assert_eq!(first.as_deref(), Some("-1"), "batch 0 runs before anything has come");
        assert!(source.read(None, first.as_ref().unwrap(), 2).unwrap().is_empty());
        Fixture { peer: listener.accept().unwrap().0, source, woken, at: first }
    }

    impl Fixture {
        /// Waits until row `offset` has come, then reads and commits up to it.
        fn batch_to(&mut self, offset: &str) -> Vec<RecordBatch> {
            let deadline = Instant::now() + Duration::from_secs(20);
            let end = loop {
                let latest = self.source.latest_offset(self.at.as_ref(), false).unwrap().unwrap();
                if latest == offset {
                    break latest;
                }
                let left = deadline.saturating_duration_since(Instant::now());
                self.woken.recv_timeout(left).unwrap_or_else(|e| panic!("at {latest}, not {offset}: {e}"));
            };
            let parts = self.source.read(self.at.as_ref(), &end, 2).unwrap();
            let batches = parts.into_iter().flatten().map(Result::unwrap).collect();
            self.source.commit(&end).unwrap();
            self.at = Some(end);
            batches
        }
    }

    fn values(batches: &[RecordBatch]) -> Vec<String> {
        batches
            .iter()
            .flat_map(|b| b.column(0).as_string::<i32>().iter().map(|v| v.unwrap().to_string()).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn lines_come_in_batches_and_the_last_one_at_the_end_of_the_connection() {
        let mut fixture = fixture(&[]);
        fixture.peer.write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(values(&fixture.batch_to("1")), ["one", "two"]);
        fixture.peer.write_all(b"ee").unwrap();
        fixture.peer.shutdown(Shutdown::Both).unwrap();
        assert_eq!(values(&fixture.batch_to("2")), ["three"]);
        assert_eq!(fixture.source.latest_offset(fixture.at.as_ref(), false).unwrap(), fixture.at);
    }

    #[test]
    fn a_limit_of_rows_holds_for_each_batch_but_not_for_the_last() {
        let mut fixture = fixture(&[]);
        fixture.peer.write_all(b"one\ntwo\nthree\n").unwrap();
        fixture.peer.shutdown(Shutdown::Both).unwrap();
        assert!(fixture.source.limit_rows(2));
        assert_eq!(values(&fixture.batch_to("1")), ["one", "two"]);
        fixture.source.limit_rows(1);
        assert_eq!(values(&fixture.batch_to("2")), ["three"]);
        assert_eq!(fixture.source.latest_offset(None, true).unwrap().as_deref(), Some("2"));
    }

    #[test]
    fn a_time_comes_with_each_line_if_asked_for() {
        let mut fixture = fixture(&[("includeTimestamp", "true")]);
        fixture.peer.write_all(b"x\n").unwrap();
        let batches = fixture.batch_to("0");
        assert_eq!(batches[0].schema().field(1).name(), "timestamp");
        let time = batches[0].column(1).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(0);
        assert!(time % 1000 == 0 && (now_us() - time) < 60_000_000);
    }

    #[test]
    fn a_line_without_end_fails_the_query_in_bounded_memory() {
        let mut fixture = fixture(&[]);
        let block = vec![b'x'; 1 << 20];
        while fixture.peer.write_all(&block).is_ok() {}
        let error = fixture.source.latest_offset(fixture.at.as_ref(), false).unwrap_err();
        assert!(error.to_string().contains("without a line end"), "{error}");
    }

    #[test]
    fn a_stop_ends_the_connection() {
        let mut fixture = fixture(&[]);
        fixture.source.stop();
        assert_eq!(fixture.peer.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn no_server_is_an_error_of_the_first_batch() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let source = SocketSource::new("127.0.0.1".into(), i32::from(port), schema);
        let error = source.read(None, &"-1".to_string(), 1).err().unwrap();
        assert_eq!(error.to_string(), "Connection refused");
    }
}
