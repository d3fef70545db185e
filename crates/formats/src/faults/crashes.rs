//! A crash at every step by which something changes its files, and another at each while it recovers. For tests.
//!
//! What is to survive implements [`Recovers`]: how it runs from what is on disk, and what must be there when it has run to its end.
//! [`Crashes`] knows the directories that it writes, counts its steps and tries the crashes:
//!
//! ```
//! use millstream_formats::faults::crashes::{Aftermath, Crashes, Recovers};
//! use millstream_formats::files::{FileError, Writer};
//! use std::path::{Path, PathBuf};
//!
//! struct Counter(PathBuf);
//!
//! impl Recovers for Counter {
//!     type Error = FileError;
//!
//!     fn run(&self) -> Result<(), FileError> {
//!         let writer = Writer { role: "commits", fsync: true };
//!         (0..3).map(|n| self.0.join(n.to_string())).filter(|file| !file.exists()).try_for_each(|file| writer.create(&file, b""))
//!     }
//!
//!     fn check(&self, what: &str) {
//!         assert!((0..3).all(|n| self.0.join(n.to_string()).exists()), "{what}");
//!     }
//!
//!     fn aftermaths(&self) -> &[Aftermath] {
//!         &[Aftermath::Crash, Aftermath::PowerCut]
//!     }
//! }
//!
//! let (dir, aside) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! let crashes = Crashes::below(dir.path(), &["commits"], aside.path());
//! let counter = Counter(dir.path().join("commits"));
//! let steps = crashes.steps(&counter)?;
//! assert!(steps.contains_key("commits::sync_dir"));
//! crashes.everywhere(&counter, &steps)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Everything else below the directory is input and stays. What fails is a panic that names the steps. Not here: processes that
//! are killed at instants that are no step.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Fault, FaultPlan, Step, power_cut};

/// The steps of a run, and how often each is reached.
pub type Steps = BTreeMap<String, usize>;

/// Something that goes on from what is on disk.
pub trait Recovers {
    /// Why a run ended early.
    type Error: Debug;

    /// Runs from what is on disk to the end. When it returns, nothing that it started changes files any more.
    ///
    /// # Errors
    /// What a crash, or anything else, makes of it.
    fn run(&self) -> Result<(), Self::Error>;

    /// Panics, naming `what`, if what is on disk is not what a run without a crash leaves.
    fn check(&self, what: &str);

    /// What a crash may leave that recovery is tried from: all that was written, unless this says more.
    fn aftermaths(&self) -> &[Aftermath] {
        &[Aftermath::Crash]
    }

    /// Called with what a first crash left, before anything recovers: for promises about what was acknowledged.
    fn left(&self, _left: &Left<'_>) {}

    /// Whether a crash anywhere makes the run an error: not if some files are changed in the background.
    fn fails_wherever_it_crashes(&self) -> bool {
        true
    }

    /// Whether the first crash is tried when its step is reached for the `hit`-th time (from 1) of so many.
    fn is_tried(&self, _hit: usize, _hits: usize) -> bool {
        true
    }

    /// Whether a second crash is tried.
    fn is_tried_again(&self, _pair: &Pair) -> bool {
        true
    }
}

/// What is left of the files that were written before a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// All: only the process is gone.
    Crash,
    /// At worst: what was synced, see [`power_cut`].
    PowerCut,
}

/// What a first crash left.
#[derive(Debug)]
pub struct Left<'l> {
    /// The step that did not take place.
    pub step: &'l str,
    /// The how manieth time it was reached, from 1.
    pub hit: usize,
    /// What is on disk.
    pub aftermath: Aftermath,
    /// The steps that took place.
    pub before: &'l [Step],
}

/// A crash and another one while it is recovered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Place of the first step in [`Steps`].
    pub first: usize,
    /// The how manieth time the first step was reached, from 1.
    pub hit: usize,
    /// How often a run without faults reaches it.
    pub hits: usize,
    /// Place of the second step, which is taken at its first occurrence.
    pub second: usize,
}

/// Tries crashes on what writes some directories.
#[derive(Debug)]
pub struct Crashes<'c> {
    dir: &'c Path,
    written: &'c [&'c str],
    aside: &'c Path,
}

impl<'c> Crashes<'c> {
    /// `written` names what a run writes: directories below `dir`. Copies of them are put into `aside`.
    pub fn below(dir: &'c Path, written: &'c [&'c str], aside: &'c Path) -> Self {
        Self { dir, written, aside }
    }

    /// Runs from nothing without a fault, and counts the steps.
    ///
    /// # Errors
    /// If files cannot be put back.
    ///
    /// # Panics
    /// If the run fails or leaves something else than it should.
    pub fn steps(&self, subject: &impl Recovers) -> io::Result<Steps> {
        self.reset()?;
        let plan = FaultPlan::below(self.dir);
        run_to_end(subject, "without a crash");
        let mut steps = Steps::new();
        plan.take_steps().into_iter().for_each(|step| *steps.entry(step.name).or_default() += 1);
        Ok(steps)
    }

    /// Tries a crash at each of the steps, recovery from each, and a second crash at each of the steps meanwhile; how many recoveries
    /// were tried.
    ///
    /// # Errors
    /// If files cannot be put aside or back.
    ///
    /// # Panics
    /// If something is not recovered from.
    pub fn everywhere(&self, subject: &impl Recovers, steps: &Steps) -> io::Result<usize> {
        let mut tried = 0;
        for (first, (step, &hits)) in steps.iter().enumerate() {
            for hit in (1..=hits).filter(|hit| subject.is_tried(*hit, hits)) {
                self.reset()?;
                let before = self.crash(subject, step, hit);
                assert!(before.is_some(), "{step} is not reached for the {hit}. time");
                let before = before.unwrap_or_default();
                // All of them now: recovery changes the files that they are made from.
                subject.aftermaths().iter().try_for_each(|aftermath| self.put_aside(*aftermath, &before))?;
                for &aftermath in subject.aftermaths() {
                    self.restore(aftermath)?;
                    subject.left(&Left { step, hit, aftermath, before: &before });
                    let what = format!("{aftermath:?} in {step} at its hit {hit}");
                    run_to_end(subject, &what);
                    tried += 1;
                    for (second, again) in steps.keys().enumerate() {
                        if subject.is_tried_again(&Pair { first, hit, hits, second }) {
                            self.restore(aftermath)?;
                            self.crash(subject, again, 1);
                            run_to_end(subject, &format!("{what}, then a crash in {again}"));
                            tried += 1;
                        }
                    }
                }
            }
        }
        Ok(tried)
    }

    /// Crashes when the step is reached for the `hit`-th time, from 1; the steps before it, or none if it never was.
    fn crash(&self, subject: &impl Recovers, step: &str, hit: usize) -> Option<Vec<Step>> {
        let plan = FaultPlan::below(self.dir);
        plan.arm(step, hit, Fault::Crash);
        let ended = subject.run();
        assert!(ended.is_ok() || plan.struck(), "{step} is not reached and the run fails: {ended:?}");
        assert!(ended.is_err() || !plan.struck() || !subject.fails_wherever_it_crashes(), "{step} may fail unnoticed");
        plan.struck().then(|| plan.take_steps())
    }

    fn put_aside(&self, aftermath: Aftermath, steps: &[Step]) -> io::Result<()> {
        for (written, aside) in self.each(aftermath) {
            empty(&aside)?;
            match aftermath {
                Aftermath::Crash => copy_dir(&written, &aside)?,
                Aftermath::PowerCut => power_cut(&written, steps, &aside)?,
            }
        }
        Ok(())
    }

    fn restore(&self, aftermath: Aftermath) -> io::Result<()> {
        self.reset()?;
        self.each(aftermath).try_for_each(|(written, aside)| copy_dir(&aside, &written))
    }

    fn reset(&self) -> io::Result<()> {
        self.written.iter().try_for_each(|name| empty(&self.dir.join(name)))
    }

    /// What is written, and where a copy of it is kept.
    fn each(&self, aftermath: Aftermath) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        let aside = self.aside.join(format!("{aftermath:?}"));
        self.written.iter().map(move |name| (self.dir.join(name), aside.join(name)))
    }
}

fn run_to_end(subject: &impl Recovers, what: &str) {
    let ended = subject.run();
    assert!(ended.is_ok(), "{what}: {ended:?}");
    subject.check(what);
}

/// Makes an empty directory of whatever is there.
fn empty(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(dir),
    }
}

/// Copies what is below a directory to another, which need not exist.
///
/// # Errors
/// If something cannot be read or written.
pub fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Where temporary directories of such tests belong: in memory where that is possible, since a run syncs dozens of files and there
/// are thousands of runs.
pub fn fast_temp_dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() }
}
