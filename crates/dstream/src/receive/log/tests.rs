use super::*;

const CONTEXT: &str = "one";

fn path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("receivedData/log-{segment}"))
}

fn options(sync: bool) -> LogOptions {
    let (context, rolling) = (CONTEXT.to_owned(), Span::from_ms(60_000));
    LogOptions { context, sync, ignores_loss: false, rolling, clock: Clock::System }
}

fn begin(dir: &Path) -> Log {
    Log::open(dir, options(true), None).unwrap().0
}

fn go_on(dir: &Path, expected: &Position) -> Result<(Log, Replay), StreamError> {
    Log::open(dir, options(false), Some(expected))
}

fn counts(count: u64) -> BTreeMap<usize, u64> {
    BTreeMap::from([(0, count)])
}

fn numbers(replay: &Replay) -> Vec<u64> {
    replay.blocks.get(&0).map(|blocks| blocks.keys().copied().collect()).unwrap_or_default()
}

/// Two blocks of which a batch has the first.
fn written(dir: &Path) -> Position {
    let log = begin(dir);
    log.store(0, 2, b"a\nb\n").unwrap();
    log.allot(Time::from_ms(1000), &counts(1)).unwrap();
    log.store(0, 1, b"c\n").unwrap();
    log.position()
}

#[test]
fn blocks_and_batches_are_read_again_and_an_end_that_was_being_written_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let _all = written(dir.path());
    let whole = std::fs::read(path(dir.path(), 0)).unwrap();
    for length in 0..whole.len() {
        std::fs::write(path(dir.path(), 0), &whole[..length]).unwrap();
        let (log, replay) = go_on(dir.path(), &Position::new()).unwrap();
        let blocks = numbers(&replay);
        assert!([vec![], vec![0]].contains(&blocks), "{length}: {blocks:?}");
        let next = blocks.len() as u64;
        assert_eq!(log.position().get(&0).map_or(0, |reached| reached.next), next);
        log.store(0, 1, b"d\n").unwrap();
        drop(log);
        let (_, replay) = go_on(dir.path(), &Position::new()).unwrap();
        assert_eq!(replay.blocks[&0][&next], (1, b"d\n".to_vec()));
        (1..4).for_each(|segment| drop(std::fs::remove_file(path(dir.path(), segment))));
    }
    std::fs::write(path(dir.path(), 0), &whole).unwrap();
    let (log, replay) = go_on(dir.path(), &Position::new()).unwrap();
    assert_eq!((numbers(&replay), replay.batches[&Time::from_ms(1000)][&0]), (vec![0, 1], (0, 1)));
    log.clean(&counts(1)).unwrap();
    assert!(path(dir.path(), 0).exists(), "the last block has no batch");
    log.clean(&counts(2)).unwrap();
    assert!(!path(dir.path(), 0).exists(), "nothing in it is needed");
    let (_, replay) = go_on(dir.path(), &Position::from([(0, Reached { needed: 2, allotted: 1, next: 2 })])).unwrap();
    assert_eq!((numbers(&replay), replay.reached[&0].next), (vec![], 2), "what is gone stays counted");
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let _all = written(dir.path());
    let whole = std::fs::read(path(dir.path(), 0)).unwrap();
    for at in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        std::fs::write(path(dir.path(), 0), damaged).unwrap();
        let error = go_on(dir.path(), &Position::new()).err().unwrap().to_string();
        assert!(error.contains("receivedData/log-0"), "bit {at}: {error}");
        assert!(!path(dir.path(), 1).exists());
    }
}

#[test]
fn sectors_that_were_never_written_end_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = begin(dir.path());
    log.store(0, 1, b"a\n").unwrap();
    log.store(0, 1, &[b"x".repeat(5000).as_slice(), b"\n"].concat()).unwrap();
    drop(log);
    let mut bytes = std::fs::read(path(dir.path(), 0)).unwrap();
    bytes[1024..].fill(0);
    std::fs::write(path(dir.path(), 0), bytes).unwrap();
    let (_, replay) = go_on(dir.path(), &Position::new()).unwrap();
    assert_eq!(numbers(&replay), [0]);
}

#[test]
fn rows_that_are_gone_are_an_error_whichever_segment_is_cut_or_missing() {
    let dir = tempfile::tempdir().unwrap();
    let position = written(dir.path());
    for segment in 1..3 {
        let (log, _) = go_on(dir.path(), &position).unwrap();
        log.store(0, 1, format!("{segment}\n").as_bytes()).unwrap();
        log.allot(Time::from_ms(1000 + segment), &counts(1)).unwrap();
    }
    let (log, _) = go_on(dir.path(), &position).unwrap();
    let position = log.position();
    assert_eq!(position[&0], Reached { needed: 0, allotted: 3, next: 4 });
    drop(log);
    let all: Vec<Vec<u8>> = (0..3).map(|segment| std::fs::read(path(dir.path(), segment)).unwrap()).collect();
    let mut ignored = 0;
    let ignoring_loss = || {
        let open =
            || Log::open(dir.path(), LogOptions { ignores_loss: true, ..options(false) }, Some(&position)).unwrap();
        let (log, replay) = open();
        // What comes is not taken for what is gone.
        log.store(0, 1, b"new\n").unwrap();
        assert!(replay.reached[&0].next >= 4 && replay.reached[&0].allotted >= 3);
        drop(log);
        let (_, replay) = open();
        assert_eq!(replay.blocks[&0].last_key_value().unwrap().1.1, b"new\n");
        (4..6).for_each(|segment| drop(std::fs::remove_file(path(dir.path(), segment))));
    };
    for segment in 0..3_u64 {
        let at = path(dir.path(), segment);
        for content in [None, Some(&all[segment as usize][..60]), Some(&[]), Some(&all[(segment as usize + 1) % 3])] {
            match content {
                None => std::fs::remove_file(&at).unwrap(),
                Some(content) => std::fs::write(&at, content).unwrap(),
            }
            let error = go_on(dir.path(), &position).err().unwrap().to_string();
            assert!(error.contains("receivedData"), "segment {segment}: {error}");
            if error.contains("ignoreLoss") {
                ignored += 1;
                ignoring_loss();
            }
        }
        std::fs::write(&at, &all[segment as usize]).unwrap();
    }
    assert!(ignored >= 6, "{ignored}");
    std::fs::remove_dir_all(dir.path().join("receivedData")).unwrap();
    assert!(go_on(dir.path(), &position).err().unwrap().to_string().contains("rows are gone"));
}

#[test]
fn another_context_and_a_newer_form_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let position = written(dir.path());
    let error = Log::open(dir.path(), LogOptions { context: "two".to_owned(), ..options(false) }, Some(&position))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("log-0") && error.contains("another context"), "{error}");
    let mut bytes = std::fs::read(path(dir.path(), 0)).unwrap();
    bytes[8] += 1;
    std::fs::write(path(dir.path(), 0), bytes).unwrap();
    let error = go_on(dir.path(), &position).err().unwrap().to_string();
    assert!(error.contains("log-0") && error.contains("form 3"), "{error}");
}

#[test]
fn what_could_not_be_written_is_written_again_and_counts_once() {
    const NO_SPACE: i32 = 28;
    for step in ["write", "sync"] {
        let dir = tempfile::tempdir().unwrap();
        let log = begin(dir.path());
        let plan = faults::FaultPlan::below(dir.path());
        log.store(0, 1, b"a\n").unwrap();
        plan.arm(&format!("received::{step}"), 1, faults::Fault::FailsOnce(NO_SPACE));
        let error = log.store(0, 1, b"b\n").unwrap_err().to_string();
        assert!(error.contains("log-0") && error.contains("No space left"), "{error}");
        log.store(0, 1, b"b\n").unwrap();
        plan.arm(&format!("received::{step}"), 1, faults::Fault::FailsOnce(NO_SPACE));
        log.allot(Time::from_ms(1), &counts(2)).unwrap_err();
        log.store(0, 1, b"c\n").unwrap();
        log.allot(Time::from_ms(2), &counts(3)).unwrap();
        let (_, replay) = go_on(dir.path(), &log.position()).unwrap();
        let texts: Vec<&[u8]> = replay.blocks[&0].values().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(texts, [b"a\n", b"b\n", b"c\n"]);
        let batches: Vec<(u64, u64)> =
            replay.batches.values().map(|batch| batch[&0]).filter(|range| range.1 > 0).collect();
        assert_eq!(batches, [(0, 3)], "{step}");
    }
}
