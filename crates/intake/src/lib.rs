//! Lines of text from a peer: what the socket source of queries and the receivers of streams have in common.
//!
//! Reading blocks, in a thread of the caller's own; shutting the socket down ends it. What comes is handed over in chunks of whole lines,
//! and the next chunk is read when the caller has taken the last: a caller that waits holds up the peer. Not here: what is kept, how
//! much of it, and what happens when a connection is lost.

mod lines;

use std::io::{Error, ErrorKind, Read, Result as IoResult};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

pub use lines::{LineCutter, Lines};

/// Longest line, unless the caller says otherwise: a line can only be held whole.
pub const LINE_BYTES_MAX: usize = 64 << 20;
/// Bytes asked of the socket at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Connects to the first address of a host that answers; each has `timeout` to do so.
///
/// # Errors
/// The host is not known, or the last address's error.
pub fn connect(host: &str, port: u16, timeout: Duration) -> IoResult<TcpStream> {
    let mut last = Error::new(ErrorKind::NotFound, format!("{host}: no such host"));
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Why reading has ended.
#[derive(Debug)]
pub enum ReadEnd<E> {
    /// The peer has closed the connection; a last line without end was handed over.
    Closed,
    /// The connection broke.
    Broken(Error),
    /// A line is longer than it may be.
    LineTooLong,
    /// The caller took no more.
    Refused(E),
}

/// Reads lines until the connection ends, a line has more than `line_bytes_max` bytes, or `take` gives an error.
pub fn read_lines<E>(
    mut stream: &TcpStream,
    line_bytes_max: usize,
    mut take: impl FnMut(Lines) -> Result<(), E>,
) -> ReadEnd<E> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut cutter = LineCutter::default();
    loop {
        let size = match stream.read(&mut chunk) {
            Ok(size) => size,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return ReadEnd::Broken(error),
        };
        let lines = if size == 0 { cutter.finish() } else { cutter.cut(chunk.get(..size).unwrap_or_default()) };
        if lines.count() > 0
            && let Err(refused) = take(lines)
        {
            return ReadEnd::Refused(refused);
        }
        if size == 0 {
            return ReadEnd::Closed;
        }
        if cutter.carried_bytes() > line_bytes_max {
            return ReadEnd::LineTooLong;
        }
    }
}
