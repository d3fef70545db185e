//! What each item has brought so far, from the orders that appear as JSON files in a directory. Killed and started again, it goes on
//! where it stopped, without a file lost or counted twice.
//!
//! ```text
//! mkdir -p /tmp/orders/in
//! cargo run -p millstream-dstream --example order_totals -- /tmp/orders/in /tmp/orders/checkpoint &
//! echo '{"item":"tea","price":3.5,"parcel":{"pieces":2}}' > /tmp/orders/in/1.json
//! ```

use std::time::Duration;

use millstream_dstream::typed::{DStream, StreamingContext};
use millstream_dstream::{Clock, Conf, StreamError, Time};
use serde::Deserialize;

/// A line of a file.
#[derive(Clone, Deserialize)]
pub struct Order {
    item: String,
    price: f64,
    parcel: Parcel,
}

/// Where it goes.
#[derive(Clone, Deserialize)]
pub struct Parcel {
    pieces: u32,
}

/// The stream of items and what they have brought, after each batch.
pub fn totals(ssc: &StreamingContext, directory: &str) -> Result<DStream<(String, f64)>, StreamError> {
    let reader = ssc.read_stream("json").schema_of::<Order>()?;
    let orders = reader.option("maxFilesPerTrigger", 10).option("mode", "FAILFAST").load(directory)?.rows::<Order>()?;
    let sales = orders.map(|order| (order.item, order.price * f64::from(order.parcel.pieces)))?;
    sales.update_state_by_key(|sales: Vec<f64>, before: Option<f64>| {
        Some(before.unwrap_or(0.0) + sales.iter().sum::<f64>())
    })
}

/// A batch as text: a line for each item, in their order.
pub fn table(time: Time, mut totals: Vec<(String, f64)>) -> String {
    totals.sort_by(|a, b| a.0.cmp(&b.0));
    let lines = totals.iter().map(|(item, total)| format!("{item:<10}{total:>10.2}\n"));
    format!("--- {time}\n{}", lines.collect::<String>())
}

fn main() -> Result<(), StreamError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(input), Some(checkpoint)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: order_totals DIRECTORY CHECKPOINT");
        std::process::exit(2);
    };
    let interval = Duration::from_secs(1);
    let ssc = StreamingContext::get_or_create(checkpoint, interval, Conf::new(), Clock::System, |ssc| {
        totals(ssc, &input)?.for_each_rdd(|time, rdd| {
            print!("{}", table(time, rdd.collect()?));
            Ok(())
        })
    })?;
    ssc.start()?;
    ssc.await_termination(None)?;
    Ok(())
}
