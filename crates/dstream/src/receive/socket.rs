//! Lines from a TCP socket.

use std::net::Shutdown;
use std::time::Duration;

use millstream_intake::{LINE_BYTES_MAX, ReadEnd, connect, read_lines};

use super::lines::OpenText;
use super::{Receiver, ReceiverControl, Store};

/// How long a host may take to answer. The context can be stopped meanwhile, but then the thread goes on for so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a server and takes lines until the connection is lost; then it starts anew.
///
/// A line that is too long ends it with an error: it can only be held whole.
pub(crate) struct SocketReceiver {
    pub host: String,
    pub port: u16,
}

impl Receiver<OpenText> for SocketReceiver {
    fn name(&self) -> &str {
        "SocketReceiver"
    }

    fn receive(&mut self, store: &mut Store<OpenText>) -> ReceiverControl {
        let stream = match connect(&self.host, self.port, CONNECT_TIMEOUT) {
            Ok(stream) => stream,
            Err(error) => return restart(&format!("Error connecting to {}:{}", self.host, self.port), Some(error)),
        };
        match stream.try_clone() {
            Ok(closer) => store.on_stop(move || drop(closer.shutdown(Shutdown::Both))),
            Err(error) => return restart("Error receiving data", Some(error)),
        }
        match read_lines(&stream, LINE_BYTES_MAX, |lines| store.store(lines)) {
            ReadEnd::Closed => restart("Socket data stream had no more data", None),
            ReadEnd::Broken(error) => restart("Error receiving data", Some(error)),
            ReadEnd::LineTooLong => ReceiverControl::Fail {
                message: format!(
                    "A line from {}:{} is longer than {LINE_BYTES_MAX} bytes; it can only be received whole",
                    self.host, self.port
                ),
            },
            ReadEnd::Refused(control) => control,
        }
    }
}

fn restart(message: &str, error: Option<std::io::Error>) -> ReceiverControl {
    ReceiverControl::Restart { message: message.to_owned(), error: error.map(|error| error.to_string()) }
}
