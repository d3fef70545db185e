//! Would Spark go on from this checkpoint?
//!
//! Everything a restart reads is read, and more: every file is compared with its checksums, every row is decoded and encoded
//! again, since keys whose bytes are not exactly Spark's are the one fault that Spark itself does not notice.

mod logs;
mod side_files;
mod state;

use std::fmt;
use std::path::{Path, PathBuf};

use millstream_formats::condition::SparkError;
use millstream_formats::files::FileError;

use super::operators::operators;

pub use logs::verify_sink;

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it, a sentence without its full stop.
    pub problem: String,
    /// Whether Spark would refuse to start or give wrong results, or the file is not what was written; otherwise only what is
    /// tolerated.
    pub fatal: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.fatal { "error" } else { "warning" };
        write!(f, "{kind}: {}: {}", self.path.display(), self.problem)
    }
}

/// What was read and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Files read.
    pub files: u64,
    /// Rows of state that a restart would load.
    pub rows: u64,
    /// In the order they were found.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether Spark goes on from this checkpoint with the right results.
    pub fn is_good(&self) -> bool {
        !self.findings.iter().any(|finding| finding.fatal)
    }

    fn add(&mut self, path: &Path, problem: impl ToString, fatal: bool) {
        let finding = Finding { path: path.to_path_buf(), problem: problem.to_string(), fatal };
        // What one check has found the next one finds again.
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Whether an error of this path, or of one inside it, is known.
    fn has_error_below(&self, path: &Path) -> bool {
        self.findings.iter().any(|finding| finding.fatal && finding.path.starts_with(path))
    }

    fn find(&mut self, path: &Path, problem: impl ToString) {
        self.add(path, problem, true);
    }

    fn warn(&mut self, path: &Path, problem: impl ToString) {
        self.add(path, problem, false);
    }

    /// The value, or a finding.
    fn check<T>(&mut self, path: &Path, read: Result<T, SparkError>) -> Option<T> {
        read.map_err(|error| self.find(path, error)).ok()
    }

    /// The content of a file, or a finding.
    fn file<T>(&mut self, read: Result<T, FileError>) -> Option<T> {
        self.files += 1;
        read.map_err(|error| self.find(error.path(), error.problem())).ok()
    }
}

/// Reads a whole checkpoint. Faults are findings, not errors.
pub fn verify(checkpoint: &Path) -> Verification {
    let mut report = Verification::default();
    side_files::check(checkpoint, &mut report);
    let position = logs::check(checkpoint, &mut report);
    let state = checkpoint.join("state");
    for operator in report.check(&state, operators(checkpoint)).unwrap_or_default() {
        state::check(checkpoint, &operator, position.version, &mut report);
    }
    if state.is_dir() {
        report.findings.extend(position.unreadable_state);
    }
    report
}
