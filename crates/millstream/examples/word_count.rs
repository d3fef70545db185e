//! Counts words from a socket, in Rust: `nc -lk 9999` in one terminal, this in another.

use millstream::prelude::*;

fn main() -> Result<(), SparkError> {
    let session = local_session()?;
    let lines = session.read_stream().format("socket").option("host", "localhost").option("port", "9999").load();
    let words = lines.select([explode(split(col("value"), lit(" "))).alias("word")]);
    let counts = words.group_by([col("word")]).count();
    let query = counts.write_stream().output_mode("complete").format("console").start()?;
    query.await_termination(None)?;
    Ok(())
}
