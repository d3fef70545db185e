//! Crashes and errors on purpose, at every step by which a file comes into being, changes its name or goes. For tests.
//!
//! Whoever changes files that must survive a crash calls [`step`] before each step. Without a [`FaultPlan`] that costs one load
//! of an atomic; so the steps are always there, in the package that users run too, and no test needs a build of its own.
//!
//! A plan looks at the files below one directory. It notes the steps in order, and can make one of them fail with an error of
//! the operating system, or be the last: after a [`Fault::Crash`] every later step fails as well, clean-up included, so that
//! what is on disk stays as a killed process would have left it. Queries on other directories go on. [`crashes`] tries a crash at
//! every step there is.

pub mod crashes;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// What files are for: the first half of a step's name.
pub const ROLES: &[&str] = &[
    "metadata",
    "source_log",
    "offsets",
    "data",
    "sink_log",
    "state_schema",
    "operator_metadata",
    "delta",
    "snapshot",
    "state",
    "filesystem",
    "scratch",
    "commits",
    "program",
    "checkpoint",
    "saved",
    "received",
];

/// What is done to them: the second half.
pub const STEPS: &[&str] = &["create", "write", "sync", "rename", "write_sums", "sync_dir", "link", "remove"];

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Neither this step nor any after it takes place.
    Crash,
    /// The step fails with this error of the operating system (`ENOSPC`, `EROFS`, …), and so do those after it that would write,
    /// until the plan is [cleared](FaultPlan::clear).
    Fails(i32),
    /// This one step fails.
    FailsOnce(i32),
}

/// A step that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `delta::write`.
    pub name: String,
    /// The file or directory.
    pub path: PathBuf,
    /// Length of the file before the step, if it has its name already: what a sync brings to the disk.
    pub bytes: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    steps: Vec<Step>,
    hits: HashMap<String, usize>,
    armed: Option<(String, usize, Fault)>,
    /// What every step does from now on.
    lasting: Option<Fault>,
}

#[derive(Debug)]
struct Plan {
    root: PathBuf,
    state: Mutex<State>,
}

/// Plans there are: the only thing that [`step`] looks at when there is none.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
static PLANS: Mutex<Vec<Arc<Plan>>> = Mutex::new(Vec::new());

/// Watches over the steps below a directory, until it is dropped.
#[derive(Debug)]
pub struct FaultPlan(Arc<Plan>);

impl FaultPlan {
    /// A plan for the files below `root`, which does nothing yet but take note.
    pub fn below(root: &Path) -> Self {
        let plan = Arc::new(Plan { root: root.to_path_buf(), state: Mutex::default() });
        PLANS.lock().push(Arc::clone(&plan));
        ACTIVE.fetch_add(1, Ordering::SeqCst);
        Self(plan)
    }

    /// Lets the `hit`-th occurrence (from 1, counted from now) of a step fail. Only the last call counts.
    pub fn arm(&self, step: &str, hit: usize, fault: Fault) {
        let mut state = self.0.state.lock();
        state.hits.clear();
        state.lasting = None;
        state.armed = Some((step.to_string(), hit, fault));
    }

    /// Ends whatever fails.
    pub fn clear(&self) {
        let mut state = self.0.state.lock();
        (state.armed, state.lasting) = (None, None);
    }

    /// Whether the armed step was reached.
    pub fn struck(&self) -> bool {
        self.0.state.lock().armed.is_none()
    }

    /// The steps since the last call, in order; those that failed are not among them.
    pub fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.0.state.lock().steps)
    }
}

impl Drop for FaultPlan {
    fn drop(&mut self) {
        PLANS.lock().retain(|plan| !Arc::ptr_eq(plan, &self.0));
        ACTIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// To be called before `action` ([`STEPS`]) is done to a file for `role` ([`ROLES`]).
///
/// # Errors
/// What a [`FaultPlan`] wants; never without one.
#[inline]
pub fn step(role: &str, action: &str, path: &Path) -> io::Result<()> {
    if ACTIVE.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    let plans: Vec<Arc<Plan>> = PLANS.lock().iter().filter(|plan| path.starts_with(&plan.root)).cloned().collect();
    plans.iter().try_for_each(|plan| plan.step(role, action, path))
}

/// Copies to `left` what a power cut leaves below `dir`, at worst, after these steps: the files whose name and directories have been
/// synced since they changed last, as far as their content has.
///
/// # Errors
/// If something cannot be read or copied.
pub fn power_cut(dir: &Path, steps: &[Step], left: &Path) -> io::Result<()> {
    let synced_after = |from: usize, action: &str, path: &Path| {
        let is = |step: &Step| step.name.ends_with(action) && step.path == path || step.name == "filesystem::sync";
        steps.iter().skip(from).any(is)
    };
    let named_after =
        |from: usize, path: &Path| path.parent().is_some_and(|parent| synced_after(from, "::sync_dir", parent));
    let last = |path: &Path, names: &[&str]| {
        steps.iter().rposition(|step| step.path == path && names.iter().any(|name| step.name.ends_with(name)))
    };
    let mut pending = vec![dir.to_path_buf()];
    while let Some(from) = pending.pop() {
        for entry in fs::read_dir(from)? {
            let path = entry?.path();
            if path.is_dir() {
                let first = steps.iter().position(|step| step.path.starts_with(&path));
                if first.is_some_and(|first| named_after(first, &path)) {
                    pending.push(path);
                }
                continue;
            }
            let renamed = last(&path, &["::rename", "::link"]);
            // A file that was never renamed has its name from the beginning, and is written where it is.
            let named = renamed.or_else(|| last(&path, &["::create"]));
            if !named.is_some_and(|at| named_after(at, &path)) {
                continue;
            }
            let until = renamed.unwrap_or(steps.len());
            let written =
                steps.iter().take(until).rposition(|step| step.path == path && step.name.ends_with("::write"));
            let synced = last(&path, &["::sync"]).and_then(|at| steps.get(at)).and_then(|step| step.bytes);
            if written.is_none_or(|at| synced_after(at, "::sync", &path)) {
                copy_start(dir, &path, left, None)?;
            } else if let (None, Some(bytes)) = (renamed, synced) {
                copy_start(dir, &path, left, Some(bytes))?;
            }
        }
    }
    Ok(())
}

/// Copies the beginning of a file, or all of it, to the same place below another directory.
fn copy_start(dir: &Path, path: &Path, left: &Path, bytes: Option<u64>) -> io::Result<()> {
    let to = left.join(path.strip_prefix(dir).unwrap_or(path));
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::copy(path, &to)?;
    bytes.map_or(Ok(()), |bytes| fs::OpenOptions::new().write(true).open(to)?.set_len(bytes))
}

impl Plan {
    fn step(&self, role: &str, action: &str, path: &Path) -> io::Result<()> {
        let name = format!("{role}::{action}");
        let mut state = self.state.lock();
        let hit = state.hits.entry(name.clone()).or_default();
        *hit += 1;
        let hit = *hit;
        if state.lasting.is_none()
            && let Some((_, _, fault)) = state.armed.take_if(|(step, at, _)| *step == name && *at == hit)
        {
            if fault != Fault::FailsOnce(fault.code()) {
                state.lasting = Some(fault);
            }
            return Err(fault.error(&name));
        }
        match state.lasting {
            Some(Fault::Fails(_)) if action == "remove" => {}
            Some(fault) => return Err(fault.error(&name)),
            None => {}
        }
        let bytes = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len());
        state.steps.push(Step { name, path: path.to_path_buf(), bytes });
        Ok(())
    }
}

impl Fault {
    fn code(self) -> i32 {
        match self {
            Self::Crash => 0,
            Self::Fails(code) | Self::FailsOnce(code) => code,
        }
    }

    fn error(self, step: &str) -> io::Error {
        match self {
            Self::Crash => io::Error::other(format!("crashed at {step}")),
            Self::Fails(code) | Self::FailsOnce(code) => io::Error::from_raw_os_error(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_SPACE: i32 = 28;

    #[test]
    fn after_a_crash_nothing_happens_below_the_directory_and_everything_elsewhere() {
        let plan = FaultPlan::below(Path::new("/crash"));
        let at = |action| step("delta", action, Path::new("/crash/state/1.delta"));
        plan.arm("delta::write", 2, Fault::Crash);
        assert!(at("write").is_ok() && !plan.struck());
        assert!(at("write").is_err() && plan.struck());
        assert!(at("remove").is_err());
        assert!(step("delta", "write", Path::new("/other/1.delta")).is_ok());
        plan.clear();
        assert!(at("write").is_ok());
        let names: Vec<String> = plan.take_steps().into_iter().map(|step| step.name).collect();
        assert_eq!(names, ["delta::write", "delta::write"]);
    }

    #[test]
    fn a_full_disk_stays_full_but_lets_files_be_removed() {
        let plan = FaultPlan::below(Path::new("/full"));
        let at = |action| step("offsets", action, Path::new("/full/offsets/1"));
        plan.arm("offsets::create", 1, Fault::Fails(NO_SPACE));
        assert_eq!(at("create").unwrap_err().raw_os_error(), Some(NO_SPACE));
        assert_eq!(at("write").unwrap_err().raw_os_error(), Some(NO_SPACE));
        assert!(at("remove").is_ok());
        plan.arm("offsets::create", 1, Fault::FailsOnce(NO_SPACE));
        assert!(at("create").is_err() && at("create").is_ok());
    }
}
