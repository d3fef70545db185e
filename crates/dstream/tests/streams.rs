//! What streams, windows and states give, batch by batch.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_dstream::typed::StateSpec;
use millstream_dstream::{StreamError, Time};
use proptest::prelude::*;

use support::{Bench, INTERVAL, batch, see};

#[test]
fn a_queue_gives_one_list_a_batch_and_then_nothing_at_the_next_multiples_of_the_interval() {
    let bench = Bench::new();
    let numbers = bench.ssc.queue_stream([vec![1, 2, 3], vec![4]]).unwrap();
    let doubled = see(&numbers.map(|n| n * 2).unwrap().filter(|n| *n != 4).unwrap()).unwrap();
    let counts = see(&numbers.count().unwrap()).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(3);
    assert_eq!(doubled.next(), (batch(1), vec![2, 6]));
    assert_eq!(doubled.next(), (batch(2), vec![8]));
    assert_eq!(doubled.next(), (batch(3), vec![]));
    assert_eq!([counts.elements(), counts.elements(), counts.elements()], [[3], [1], [0]]);
    bench.ssc.stop(false).unwrap();
}

#[test]
fn pairs_are_reduced_joined_and_united() {
    let bench = Bench::new();
    let left = bench.ssc.queue_stream([vec![("a", 1), ("b", 2), ("a", 3)]]).unwrap();
    let right = bench.ssc.queue_stream([vec![("a", 'x'), ("c", 'y')]]).unwrap();
    let sums = see(&left.reduce_by_key(|a, b| a + b).unwrap()).unwrap();
    let joined = see(&left.full_outer_join(&right).unwrap()).unwrap();
    let united = see(&left.union(&left).unwrap().count_by_value().unwrap()).unwrap();
    let reduced = see(&left.map(|(_, n)| n).unwrap().reduce(|a, b| a.max(b)).unwrap()).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(1);
    assert_eq!(sums.sorted(), [("a", 4), ("b", 2)]);
    assert_eq!(
        joined.sorted(),
        [("a", (Some(1), Some('x'))), ("a", (Some(3), Some('x'))), ("b", (Some(2), None)), ("c", (None, Some('y')))]
    );
    assert_eq!(united.sorted(), [(("a", 1), 2), (("a", 3), 2), (("b", 2), 2)]);
    assert_eq!(reduced.elements(), [3]);
    bench.ssc.stop(false).unwrap();
}

#[test]
fn a_stream_with_a_slide_comes_out_in_every_kth_batch_counted_from_before_the_first() {
    let bench = Bench::new();
    let numbers = bench.ssc.queue_stream((1..7).map(|n| vec![n])).unwrap();
    let window = see(&numbers.window(INTERVAL * 3, INTERVAL * 2).unwrap()).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(6);
    // Batch 1 is asked for by the first window; all later ones are asked for in turn.
    assert_eq!(window.next(), (batch(2), vec![1, 2]));
    assert_eq!(window.next(), (batch(4), vec![2, 3, 4]));
    assert_eq!(window.next(), (batch(6), vec![4, 5, 6]));
    bench.ssc.stop(false).unwrap();
}

#[test]
fn a_slide_that_is_no_multiple_is_refused_with_sparks_words() {
    let bench = Bench::new();
    let numbers = bench.ssc.queue_stream([vec![1]]).unwrap();
    let error = numbers.window(Duration::from_millis(1500), INTERVAL).err().unwrap();
    assert_eq!(
        error.to_string(),
        "The window duration of windowed DStream (1500 ms) must be a multiple of the slide duration of parent DStream (1000 ms)"
    );
    let slow = numbers.window(INTERVAL * 2, INTERVAL * 2).unwrap();
    let error = numbers.union(&slow).err().unwrap();
    assert_eq!(error.to_string(), "requirement failed: Some of the DStreams have different slide durations");
}

#[test]
fn a_slice_holds_the_batches_that_are_remembered() {
    let bench = Bench::new();
    let numbers = bench.ssc.queue_stream((1..5).map(|n| vec![n])).unwrap();
    bench.ssc.remember(INTERVAL * 10).unwrap();
    let seen = see(&numbers).unwrap();
    assert!(numbers.slice(batch(1), batch(2)).is_err(), "not before the start");
    bench.ssc.start().unwrap();
    bench.to_batch(4);
    (0..4).for_each(|_| drop(seen.next()));
    let slice = numbers.slice(Time::from_ms(batch(2).as_ms() + 300), batch(3)).unwrap();
    let elements: Vec<Vec<i32>> = slice.iter().map(|rdd| rdd.collect().unwrap()).collect();
    assert_eq!(elements, [[2], [3]]);
    bench.ssc.stop(false).unwrap();
}

#[test]
fn a_state_is_told_of_every_key_in_every_batch_and_none_removes_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    bench.ssc.checkpoint(dir.path());
    let pairs = bench.ssc.queue_stream([vec![("a", 1), ("b", 1)], vec![("a", 5)], vec![("c", 1)]]).unwrap();
    let pairs = pairs.map(|(key, n)| (key.to_owned(), n)).unwrap();
    // A key goes when nothing comes for it.
    let totals = pairs.update_state_by_key(|values: Vec<i32>, state: Option<i32>| {
        (!values.is_empty()).then(|| state.unwrap_or(0) + values.iter().sum::<i32>())
    });
    let totals = see(&totals.unwrap()).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(4);
    let own = |pairs: &[(&str, i32)]| pairs.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(totals.sorted(), own(&[("a", 1), ("b", 1)]));
    assert_eq!(totals.sorted(), own(&[("a", 6)]));
    assert_eq!(totals.sorted(), own(&[("c", 1)]));
    assert_eq!(totals.sorted(), own(&[]));
    bench.ssc.stop(false).unwrap();
}

#[test]
fn map_with_state_touches_only_keys_that_come_and_gives_up_idle_ones_every_tenth_batch() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    bench.ssc.checkpoint(dir.path());
    let batches = (1..=20).map(|n| if n == 1 { vec![(1, 10), (2, 20), (1, 1)] } else { vec![(2, n)] });
    let pairs = bench.ssc.queue_stream(batches).unwrap();
    let spec = StateSpec::new(|key: &i32, value: Option<i32>, state: &mut millstream_dstream::typed::State<i32>| {
        if state.is_timing_out() {
            return Some((*key, -1));
        }
        let total = state.get().copied().unwrap_or(0) + value.unwrap_or(0);
        state.update(total);
        Some((*key, total))
    });
    let spec = spec.initial(vec![(1, 100)]).timeout(INTERVAL * 5);
    let (mapped, states) = pairs.map_with_state_snapshots(spec).unwrap();
    let (mapped, states) = (see(&mapped).unwrap(), see(&states).unwrap());
    bench.ssc.start().unwrap();
    bench.to_batch(10);
    assert_eq!(mapped.sorted(), [(1, 110), (1, 111), (2, 20)]);
    assert_eq!(states.sorted(), [(1, 111), (2, 20)]);
    for n in 2..10 {
        let total = 20 + (2..=n).sum::<i32>();
        assert_eq!(mapped.elements(), [(2, total)], "an idle key stays for a while");
        assert_eq!(states.sorted(), [(1, 111), (2, total)]);
    }
    assert_eq!(mapped.sorted(), [(1, -1), (2, 20 + (2..=10).sum::<i32>())]);
    assert_eq!(states.sorted().len(), 1);
    bench.ssc.stop(false).unwrap();
}

/// Sums by key over the lists of the last `window` batches.
fn window_sums(lists: &[Vec<(u8, i64)>], end: usize, window: usize) -> BTreeMap<u8, i64> {
    let mut sums = BTreeMap::new();
    for n in (end + 1).saturating_sub(window).max(1)..=end {
        for (key, value) in lists.get(n - 1).map(Vec::as_slice).unwrap_or_default() {
            *sums.entry(*key).or_insert(0) += value;
        }
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn windows_with_and_without_inverse_hold_what_a_naive_model_holds(
        lists in proptest::collection::vec(proptest::collection::vec((0_u8..5, 1_i64..9), 0..6), 1..12),
        window in 1_usize..7,
        slide in 1_usize..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::new();
        bench.ssc.checkpoint(dir.path());
        let pairs = bench.ssc.queue_stream(lists.clone()).unwrap();
        let (w, s) = (INTERVAL * window as u32, INTERVAL * slide as u32);
        let plain = see(&pairs.reduce_by_key_and_window(|a, b| a + b, w, s).unwrap()).unwrap();
        let inverse = pairs.reduce_by_key_and_window_with_inverse(
            |a, b| a + b, |a, b| a - b, w, s, Some(Arc::new(|_, sum| *sum != 0)),
        );
        let inverse = see(&inverse.unwrap()).unwrap();
        let counts = see(&pairs.count_by_window(w, s).unwrap()).unwrap();
        // Asks for every batch, so that the queue gives each list to its own batch.
        let every = see(&pairs).unwrap();
        bench.ssc.start().unwrap();
        let last = lists.len() + window + 2 * slide;
        bench.to_batch(last as i64);
        for n in 1..=last {
            prop_assert_eq!(every.elements(), lists.get(n - 1).cloned().unwrap_or_default());
            if n % slide != 0 { continue; }
            let expected: Vec<(u8, i64)> = window_sums(&lists, n, window).into_iter().collect();
            let (time, mut found) = inverse.next();
            found.sort();
            prop_assert_eq!((time, &found), (batch(n as i64), &expected));
            prop_assert_eq!(plain.sorted(), expected);
            let count: usize = (1..=n).rev().take(window).map(|n| lists.get(n - 1).map_or(0, Vec::len)).sum();
            let counted = counts.elements();
            prop_assert!(counted == [count as u64] || (count == 0 && counted.is_empty()));
        }
        bench.ssc.stop(false).unwrap();
    }
}

#[test]
fn a_failed_batch_is_told_to_everyone_who_waits_and_later_batches_run() {
    let bench = Bench::new();
    let numbers = bench.ssc.queue_stream([vec![1], vec![0], vec![5]]).unwrap();
    let seen = see(&numbers.map(|n| 10 / n).unwrap()).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(3);
    assert_eq!(seen.elements(), [10]);
    assert_eq!(seen.next(), (batch(3), vec![2]));
    for _ in 0..2 {
        let error = bench.ssc.await_termination(None).unwrap_err();
        assert!(matches!(&error, StreamError::Panic(text) if text.contains("divide by zero")), "{error}");
    }
    bench.ssc.stop(false).unwrap();
}

#[test]
fn text_files_are_written_for_each_batch() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    let numbers = bench.ssc.queue_stream([vec![1, 2]]).unwrap();
    let prefix = dir.path().join("out");
    numbers.repartition(1).unwrap().save_as_text_files(prefix.to_str().unwrap(), Some("txt")).unwrap();
    let seen = see(&numbers).unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(2);
    (0..2).for_each(|_| drop(seen.next()));
    let first = dir.path().join(format!("out-{}.txt", batch(1).as_ms()));
    assert_eq!(std::fs::read_to_string(first.join("part-00000")).unwrap(), "1\n2\n");
    assert!(first.join("_SUCCESS").exists());
    assert!(dir.path().join(format!("out-{}.txt", batch(2).as_ms())).join("_SUCCESS").exists(), "empty batches, too");
    bench.ssc.stop(false).unwrap();
}

#[test]
fn a_window_with_inverse_looks_only_at_keys_that_enter_or_leave() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    bench.ssc.checkpoint(dir.path());
    let batches = (0..9).map(|n| if n == 0 { (0..50_000).collect() } else { vec![n, n + 1] });
    let pairs = bench.ssc.queue_stream(batches).unwrap().map(|key| (key, 1)).unwrap();
    let looked_at = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&looked_at);
    let keep: millstream_dstream::typed::KeepFn<i32, i32> = Arc::new(move |_, count| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        *count != 0
    });
    let window =
        pairs.reduce_by_key_and_window_with_inverse(|a, b| a + b, |a, b| a - b, INTERVAL * 20, INTERVAL, Some(keep));
    let (sender, sizes) = std::sync::mpsc::channel();
    let looked = Arc::clone(&looked_at);
    window
        .unwrap()
        .for_each_rdd(move |_, rdd| {
            assert_eq!(rdd.take(1)?.len(), 1);
            let _nobody_listens = sender.send(looked.swap(0, std::sync::atomic::Ordering::SeqCst));
            Ok(())
        })
        .unwrap();
    bench.ssc.start().unwrap();
    bench.to_batch(5);
    let looked: Vec<usize> = (0..5).map(|_| sizes.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    assert_eq!(looked, [50_000, 2, 2, 2, 2]);
    bench.ssc.stop(false).unwrap();
}
