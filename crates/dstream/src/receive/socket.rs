//! Lines from a TCP socket.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::lines::{LineCutter, OpenText};
use super::{LINE_BYTES_MAX, Receiver, ReceiverControl, Store};

/// Bytes that are read at once, at most.
const CHUNK_BYTES: usize = 256 << 10;
/// How long a host may take to answer. The context can be stopped meanwhile, but then the thread goes on for so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a server and takes lines until the connection is lost; then it starts anew.
pub(crate) struct SocketReceiver {
    pub host: String,
    pub port: u16,
}

impl SocketReceiver {
    fn connect(&self) -> std::io::Result<TcpStream> {
        let mut last = std::io::Error::new(ErrorKind::NotFound, format!("{}: no such host", self.host));
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn read(&self, stream: &mut TcpStream, store: &mut Store<OpenText>) -> Result<(), ReceiverControl> {
        let mut cutter = LineCutter::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let size = match stream.read(&mut chunk) {
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(restart("Error receiving data", Some(error))),
            };
            if size == 0 {
                return cutter.finish().map_or(Ok(()), |last| store.store(last));
            }
            store.store(cutter.cut(chunk.get(..size).unwrap_or_default()))?;
            if cutter.carried_bytes() > LINE_BYTES_MAX {
                let message = format!(
                    "A line from {}:{} is longer than {LINE_BYTES_MAX} bytes; it can only be received whole",
                    self.host, self.port
                );
                return Err(ReceiverControl::Fail { message });
            }
        }
    }
}

impl Receiver<OpenText> for SocketReceiver {
    fn name(&self) -> &str {
        "SocketReceiver"
    }

    fn receive(&mut self, store: &mut Store<OpenText>) -> ReceiverControl {
        let mut stream = match self.connect() {
            Ok(stream) => stream,
            Err(error) => return restart(&format!("Error connecting to {}:{}", self.host, self.port), Some(error)),
        };
        match stream.try_clone() {
            Ok(closer) => store.on_stop(move || drop(closer.shutdown(Shutdown::Both))),
            Err(error) => return restart("Error receiving data", Some(error)),
        }
        match self.read(&mut stream, store) {
            Ok(()) => restart("Socket data stream had no more data", None),
            Err(control) => control,
        }
    }
}

fn restart(message: &str, error: Option<std::io::Error>) -> ReceiverControl {
    ReceiverControl::Restart { message: message.to_owned(), error: error.map(|error| error.to_string()) }
}
