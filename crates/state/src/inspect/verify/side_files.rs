//! Checksums of every file, side files without one, and what a crash has left behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use millstream_formats::files::names;
use millstream_formats::side_file::{self, Checked};

use super::Verification;

/// Looks at a directory and all below it.
pub(super) fn check(dir: &Path, report: &mut Verification) {
    let mut all: BTreeSet<String> = match names(dir) {
        Ok(names) => names.into_iter().collect(),
        Err(error) => return report.find(dir, error.problem()),
    };
    let (side_files, temporary): (Vec<&String>, Vec<&String>) = (
        all.iter().filter(|name| name.starts_with('.') && name.ends_with(".crc")).collect(),
        all.iter().filter(|name| name.starts_with('.') && name.ends_with(".tmp")).collect(),
    );
    for name in &side_files {
        let file = name.trim_start_matches('.').trim_end_matches(".crc");
        if file.ends_with(".tmp") || all.contains(file) {
            continue;
        }
        // State files are replaced, all others created.
        if file.ends_with(".delta") || file.ends_with(".snapshot") {
            report.warn(&dir.join(name), "its file is gone");
        } else {
            report.find(&dir.join(name), "its file is gone; Spark refuses to write that file again");
        }
    }
    for name in &temporary {
        report.warn(&dir.join(name), "it was left behind by a crash and can be removed");
    }
    let visible: Vec<String> = std::mem::take(&mut all).into_iter().filter(|name| !name.starts_with('.')).collect();
    for path in visible.iter().map(|name| dir.join(name)) {
        if path.is_dir() {
            check(&path, report);
        } else {
            check_content(&path, report);
        }
    }
}

/// Files that are read for what they hold say it themselves if they do not match; here the others are looked at, too.
fn check_content(path: &Path, report: &mut Verification) {
    let Ok(content) = fs::read(path) else { return };
    match side_file::check(path, &content) {
        Checked::Different { .. } => drop(report.file(millstream_formats::files::read(path))),
        Checked::Meaningless => report.warn(path, "its checksum file is none, so that damage would not be noticed"),
        Checked::Absent | Checked::Same => {}
    }
}
