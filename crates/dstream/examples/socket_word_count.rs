//! Counts words from a socket, batch by batch.
//!
//! ```text
//! nc -lk 9999 &
//! cargo run --example socket_word_count -- localhost 9999
//! ```

use std::time::Duration;

use millstream_dstream::StreamError;
use millstream_dstream::typed::StreamingContext;

fn main() -> Result<(), StreamError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(port)) = (arguments.next(), arguments.next().and_then(|port| port.parse().ok())) else {
        eprintln!("usage: socket_word_count HOST PORT");
        std::process::exit(2);
    };
    let ssc = StreamingContext::new(Duration::from_secs(1))?;
    let lines = ssc.socket_text_stream(&host, port)?;
    let words = lines.flat_map(|line| line.split_owned(b' '))?;
    words.map(|word| (word, 1))?.reduce_by_key(|a, b| a + b)?.print(10)?;
    ssc.start()?;
    ssc.await_termination(None)?;
    Ok(())
}
