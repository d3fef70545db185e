//! Measures word count from a socket: 20 million words by default, Zipf over 50 thousand, `split → (word, 1) → reduce_by_key`.
//!
//! The server runs in this process and sends as fast as it is read. What is printed: words per second from the first byte to the
//! end of the batch that had the last word, and the time that all cores together spent on a word, server and system included: on a busy
//! machine only that says something.
//!
//! ```text
//! cargo bench -p millstream-dstream --profile dev -- [MILLIONS_OF_WORDS] [BATCH_MS]
//! ```

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use millstream_dstream::typed::{StreamingContext, Text};
use millstream_dstream::{Event, StreamError};

const VOCABULARY: usize = 50_000;
const WORDS_PER_LINE: usize = 10;
/// Words that are made once and sent again and again.
const SAMPLE: usize = 2_000_000;

/// A little generator, so that every run has the same words.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn sample() -> Vec<u8> {
    let mut cumulative = Vec::with_capacity(VOCABULARY);
    let mut sum = 0.0;
    for rank in 1..=VOCABULARY {
        sum += 1.0 / rank as f64;
        cumulative.push(sum);
    }
    let mut random = Random(88_172_645_463_325_252);
    let mut text = Vec::new();
    for n in 0..SAMPLE {
        let at = random.next() * sum;
        let rank = cumulative.partition_point(|c| *c < at);
        text.extend_from_slice(format!("word{rank}").as_bytes());
        text.push(if (n + 1) % WORDS_PER_LINE == 0 { b'\n' } else { b' ' });
    }
    text
}

/// Processor time of this process so far, in seconds; none where the system does not tell.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    // A tick is 1/100 s on every Linux that matters.
    Some(ticks.iter().sum::<f64>() / 100.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let millions: usize = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let batch_ms: u64 = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let rounds = (millions * 1_000_000).div_ceil(SAMPLE);
    let words = (rounds * SAMPLE) as u64;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let text = sample();
    println!("{words} words, {} MB, batches of {batch_ms} ms", text.len() * rounds / 1_000_000);
    let feeder = std::thread::spawn(move || -> std::io::Result<Instant> {
        let (mut socket, _) = listener.accept()?;
        let begun = Instant::now();
        for _ in 0..rounds {
            socket.write_all(&text)?;
        }
        Ok(begun)
    });

    let ssc = StreamingContext::new(Duration::from_millis(batch_ms))?;
    let (counted, counts_of_batches) = channel();
    let lines = ssc.socket_text_stream("127.0.0.1", port)?;
    let counts = lines.flat_map(|line: Text| line.split_owned(b' '))?.map(|word| (word, 1_u64))?;
    counts.reduce_by_key(|a, b| a + b)?.for_each_rdd(move |_, rdd| {
        let batch = rdd.map(|(_, count)| count).reduce(|a, b| a + b)?.unwrap_or(0);
        // Nobody listens any more once all words were counted.
        let _sent = counted.send(batch);
        Ok::<(), StreamError>(())
    })?;
    ssc.add_listener(move |event: &Event| {
        if let Event::BatchCompleted(batch) = event
            && batch.records() > 0
        {
            let processing = batch.processing_delay().map_or(0, |delay| delay.as_ms());
            let waited = batch.scheduling_delay().map_or(0, |delay| delay.as_ms());
            println!("batch: {:>8} lines, waited {waited:>5} ms, ran {processing:>5} ms", batch.records());
        }
    });
    let before = processor_seconds();
    ssc.start()?;
    let mut done = 0;
    while done < words {
        done += counts_of_batches.recv()?;
    }
    let ended = Instant::now();
    let after = processor_seconds();
    let begun = feeder.join().map_err(|_| "the feeder panicked")??;
    ssc.stop(false)?;
    let seconds = (ended - begun).as_secs_f64();
    println!("{:.1} M words/s over {seconds:.2} s", words as f64 / 1e6 / seconds);
    if let (Some(before), Some(after)) = (before, after) {
        println!("{:.0} ns of processor time for a word", (after - before) * 1e9 / words as f64);
    }
    Ok(())
}
