//! Measures what a word costs on its way from a line to its count, on one thread: cut, paired, counted.
//!
//! Two million words, Zipf over 50 thousand, lie in memory. What is printed is the time that the thread itself ran, the least of many
//! rounds, which stays comparable on a busy machine.
//!
//! ```text
//! cargo bench -p millstream-dstream --profile dev --bench reduce_by_key
//! ```

use std::fmt::Write;

use millstream_dstream::typed::{Rdd, Text};

const VOCABULARY: usize = 50_000;
const LINES: usize = 200_000;
const WORDS_PER_LINE: usize = 10;
const ROUNDS: usize = 40;

fn lines() -> Result<Vec<Text>, std::fmt::Error> {
    let cumulative: Vec<f64> = (1..=VOCABULARY)
        .scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        })
        .collect();
    let all = cumulative.last().copied().unwrap_or_default();
    let mut random = 88_172_645_463_325_252_u64;
    let mut line = || {
        let mut text = String::new();
        for word in 0..WORDS_PER_LINE {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = (random >> 11) as f64 / (1_u64 << 53) as f64 * all;
            let rank = cumulative.partition_point(|sum| *sum < at);
            write!(text, "{}word{rank}", if word == 0 { "" } else { " " })?;
        }
        Ok(Text::from(text))
    };
    (0..LINES).map(|_| line()).collect()
}

/// ns that this thread has run.
fn ran() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One partition: all of it runs on this thread.
    let words = Rdd::from_partitions(vec![lines()?]).flat_map(|line: Text| line.split_owned(b' '));
    let pairs = words.map(|word| (word, 1_u64));
    let mut least = [f64::MAX; 3];
    for _ in 0..ROUNDS {
        let begun = ran()?;
        let count = words.count()?;
        let cut = ran()?;
        let paired = pairs.count()?;
        let made = ran()?;
        let counted = pairs.reduce_by_key(|a, b| a + b, 2).map(|(_, count)| count).reduce(|a, b| a + b)?;
        let ended = ran()?;
        if counted != Some(count) || paired != count {
            return Err(format!("{count} words were counted as {counted:?}").into());
        }
        for (least, time) in least.iter_mut().zip([cut - begun, made - cut, ended - made]) {
            *least = least.min(time / count as f64);
        }
    }
    let [cut, paired, counted] = least;
    println!(
        "ns of processor time for a word: cut {cut:.1}, cut and paired {paired:.1}, cut, paired and counted {counted:.1}"
    );
    Ok(())
}
