//! The examples give what they promise.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

#[allow(dead_code, missing_docs, reason = "its `main` is not called")]
#[path = "../examples/order_totals.rs"]
mod order_totals;

use millstream_dstream::typed::Rdd;

use support::{Bench, batch, see};

#[test]
fn the_totals_of_orders_are_those_of_all_files_so_far() {
    let dir = tempfile::tempdir().unwrap();
    let (input, checkpoint) = (dir.path().join("in"), dir.path().join("checkpoint"));
    std::fs::create_dir(&input).unwrap();
    let bench = Bench::new();
    bench.ssc.checkpoint(checkpoint);
    let seen = see(&order_totals::totals(&bench.ssc, input.to_str().unwrap()).unwrap()).unwrap();
    bench.ssc.start().unwrap();
    let files = [
        "{\"item\":\"tea\",\"price\":3.5,\"parcel\":{\"pieces\":2}}\n{\"item\":\"jam\",\"price\":4,\"parcel\":{\"pieces\":1}}\n",
        "{\"item\":\"tea\",\"price\":3.25,\"parcel\":{\"pieces\":1}}\n",
    ];
    let expected = ["jam             4.00\ntea             7.00\n", "jam             4.00\ntea            10.25\n"];
    for (n, (file, expected)) in (1..).zip(files.iter().zip(expected)) {
        std::fs::write(input.join(format!("{n}.json")), file).unwrap();
        bench.to_batch(n);
        let (time, totals) = seen.next();
        assert_eq!(order_totals::table(time, totals), format!("--- {}\n{expected}", batch(n)));
    }
}

#[test]
fn streams_of_one_type_are_joined_and_batches_saved_for_another_program() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("out");
    let bench = Bench::new();
    let streams: Vec<_> = (0..3).map(|n| bench.ssc.queue_stream([vec![n, n + 10]]).unwrap()).collect();
    let all = bench.ssc.union(&streams).unwrap();
    all.save_as_object_files(prefix.to_str().unwrap(), Some("rows")).unwrap();
    let firsts = bench.ssc.transform(&streams, |_, rdds| {
        let firsts = rdds.iter().map(Rdd::first).collect::<Result<Vec<_>, _>>()?;
        Ok(Rdd::from_partitions(vec![firsts.into_iter().flatten().collect()]))
    });
    let (all, firsts) = (see(&all).unwrap(), see(&firsts.unwrap()).unwrap());
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    assert_eq!((all.sorted(), firsts.elements()), (vec![0, 1, 2, 10, 11, 12], vec![0, 1, 2]));
    let directory = dir.path().join(format!("out-{}.rows", batch(1).as_ms()));
    let mut saved = Rdd::<i32>::load_object_file(&directory).unwrap().collect().unwrap();
    saved.sort_unstable();
    assert_eq!(saved, [0, 1, 2, 10, 11, 12]);
    assert!(Rdd::<String>::load_object_file(&directory).is_err());
    assert!(Rdd::<i32>::load_object_file(dir.path()).is_err());
}
