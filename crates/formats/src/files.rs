//! How files of a checkpoint are written, read and removed: whole, named in every error, and by Spark's rules.
//!
//! A file is written to `.<name>.<uuid>.tmp` beside it and renamed, so that it exists whole or not at all; with
//! [`Writer::fsync`] it is synced before and its directory after, so that it survives a power cut. Its checksums lie beside it
//! ([`crate::side_file`]) and are looked at when it is read, so that no file counts for what it is not.
//!
//! Each step is announced to [`faults`] under the role a writer names: `<role>::create`, `::write`, `::sync`, `::rename`,
//! `::sync_dir`, `::link`, `::remove`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::condition::{ExceptionClass, SparkError};
use crate::faults;
use crate::side_file::{self, Checked, Sums, side_path};

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file does not exist.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file that must be new exists.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The content is not what was written, or not what belongs there.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is of a version or kind that is not read.
    #[error("{} cannot be read: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `read`, `write`, `sync`, …
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl FileError {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Exists { path }
            | Self::Damaged { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Io { path, .. } => path,
        }
    }

    /// What is wrong, without the file's name.
    pub fn problem(&self) -> String {
        match self {
            Self::Missing { .. } => "it does not exist".to_string(),
            Self::Exists { .. } => "it exists already".to_string(),
            Self::Damaged { reason, .. } => format!("it is damaged: {reason}"),
            Self::Unsupported { reason, .. } => reason.clone(),
            Self::Io { action, source, .. } => format!("cannot {action} it: {source}"),
        }
    }

    /// Whether the operating system refused something.
    pub fn is_of_storage(&self) -> bool {
        matches!(self, Self::Io { .. })
    }

    pub(crate) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged { path: path.to_path_buf(), reason: reason.to_string() }
    }

    pub(crate) fn unsupported(path: &Path, reason: impl ToString) -> Self {
        Self::Unsupported { path: path.to_path_buf(), reason: reason.to_string() }
    }

    /// An error of the operating system; a missing file is told apart.
    pub fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if source.kind() == io::ErrorKind::NotFound {
            Self::Missing { path }
        } else {
            Self::Io { path, action, source }
        }
    }
}

impl From<FileError> for SparkError {
    fn from(error: FileError) -> Self {
        let of_storage = error.is_of_storage();
        let error = SparkError::plain(ExceptionClass::Spark, format!("The checkpoint cannot be used: {error}."));
        if of_storage { error.of_storage() } else { error }
    }
}

/// The whole content of a file.
///
/// # Errors
/// If it does not exist, cannot be read, or is not what its side file says.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let content = fs::read(path).map_err(|e| FileError::io(path, "read", e))?;
    match side_file::check(path, &content) {
        Checked::Different { at } => Err(not_as_written(path, content.len() as u64, at)),
        _ => Ok(content),
    }
}

/// A file that its side file does not know, from a byte on.
pub(crate) fn not_as_written(path: &Path, bytes: u64, at: usize) -> FileError {
    let side = side_path(path).unwrap_or_default();
    let reason = format!(
        "its {bytes} bytes are not those of its checksums from byte {at} on; if the change was meant, remove {}",
        side.display()
    );
    FileError::damaged(path, reason)
}

/// The whole content of a text file.
///
/// # Errors
/// If it does not exist, cannot be read, or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    String::from_utf8(read(path)?).map_err(|_| FileError::damaged(path, "it is no UTF-8 text"))
}

/// The names of the entries of a directory in no order; none if it does not exist. Names that are no UTF-8 are not
/// ours and left out.
///
/// # Errors
/// If the directory cannot be read.
pub fn names(dir: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FileError::io(dir, "list", e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| FileError::io(dir, "list", e))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// A file that is being written, and the checksums of what was.
#[derive(Debug)]
pub struct Summed {
    file: File,
    sums: Sums,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sums.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Side files up to this size exist whole or empty after a power cut, since a file grows by whole pages.
const PAGE_BYTES: usize = 4096;

fn io_step(path: &Path, action: &'static str, step: impl FnOnce() -> io::Result<()>) -> Result<(), FileError> {
    step().map_err(|source| FileError::Io { path: path.to_path_buf(), action, source })
}

/// Makes a directory and those above it that are missing. With `fsync` they are on disk when it returns, each in the one above
/// it: a file in a directory that a power cut undoes is gone however well it was synced itself.
///
/// # Errors
/// If one cannot be made or synced.
pub fn create_dirs(role: &str, dir: &Path, fsync: bool) -> io::Result<()> {
    if !fsync {
        return fs::create_dir_all(dir);
    }
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    for parent in missing.iter().rev().filter_map(|dir| dir.parent()) {
        sync_dir(role, if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

/// Brings the names in a directory to disk.
///
/// # Errors
/// If it cannot be opened or synced.
pub fn sync_dir(role: &str, dir: &Path) -> io::Result<()> {
    faults::step(role, "sync_dir", dir)?;
    File::open(dir)?.sync_all()
}

/// Removes a file of which nobody knows yet, after a failure. What cannot be removed is rubbish that no one reads.
fn discard(role: &str, path: &Path) {
    if faults::step(role, "remove", path).is_ok() {
        let _ = fs::remove_file(path);
    }
}

/// Brings everything that was written to the file system of `path` to disk: what [`Writer::fsync`] does for one file, for
/// hundreds at the price of a few.
///
/// # Errors
/// If the system reports that something could not be written.
pub fn sync_filesystem(path: &Path) -> Result<(), FileError> {
    io_step(path, "sync", || {
        faults::step("filesystem", "sync", path)?;
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    })
}

/// Writes and removes files of one role (`offsets`, `delta`, …: [`faults::ROLES`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// What the files are for.
    pub role: &'static str,
    /// Whether a file is on disk, not only in the system's cache, when writing it returns.
    pub fsync: bool,
}

impl Writer {
    /// Writes a file that may exist.
    ///
    /// # Errors
    /// If a step fails; the file is then as it was before, or (if only the directory could not be synced) new.
    pub fn replace(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        self.replace_with(path, |file| file.write_all(content))
    }

    /// As [`Writer::replace`], with the content that `fill` writes.
    ///
    /// # Errors
    /// As [`Writer::replace`], and what `fill` says.
    pub fn replace_with(&self, path: &Path, fill: impl FnOnce(&mut Summed) -> io::Result<()>) -> Result<(), FileError> {
        let (temporary, sums) = self.write_temporary(path, fill)?;
        self.finish(path, &temporary, &sums, |temporary| fs::rename(temporary, path))
    }

    /// Gives the content of `existing` a second name, `path`, which may exist: no new file, and so many times faster than
    /// writing one. Both must be written once and never changed in place.
    ///
    /// # Errors
    /// If a step fails, also because the file system knows no links or `existing` is gone; `path` then does not exist.
    pub fn link(&self, existing: &Path, path: &Path) -> Result<(), FileError> {
        let linked = faults::step(self.role, "link", path).and_then(|()| match fs::hard_link(existing, path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                remove_if_exists(side_path(path).as_deref())?;
                faults::step(self.role, "remove", path)?;
                fs::remove_file(path)?;
                faults::step(self.role, "link", path)?;
                fs::hard_link(existing, path)
            }
            linked => linked,
        });
        io_step(path, "link", || linked)?;
        if self.fsync { self.sync_dir(path) } else { Ok(()) }
    }

    /// Writes a file that must not exist.
    ///
    /// # Errors
    /// [`FileError::Exists`], also if another process was first; otherwise as [`Writer::replace`].
    pub fn create(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        if path.exists() {
            return Err(FileError::Exists { path: path.to_path_buf() });
        }
        let (temporary, sums) = self.write_temporary(path, |file| file.write_all(content))?;
        self.finish(path, &temporary, &sums, |temporary| {
            // A link, unlike a rename, fails if the name is taken.
            match fs::hard_link(temporary, path) {
                Err(e) if matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => {
                    if fs::exists(path)? {
                        return Err(io::ErrorKind::AlreadyExists.into());
                    }
                    fs::rename(temporary, path)
                }
                linked => linked.and_then(|()| fs::remove_file(temporary)),
            }
        })
    }

    /// Writes a file under its own name from the beginning and without side file: for files that do not count before another one
    /// names them. Its directory is left to the caller ([`sync_dir`]).
    ///
    /// # Errors
    /// If a step fails; half the file may then be there.
    pub fn write_in_place(&self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        let mut file = self.open(path, path)?;
        io_step(path, "write", || faults::step(self.role, "write", path).and_then(|()| file.write_all(content)))?;
        if !self.fsync {
            return Ok(());
        }
        io_step(path, "sync", || faults::step(self.role, "sync", path).and_then(|()| file.sync_data()))
    }

    fn write_temporary(
        &self,
        path: &Path,
        fill: impl FnOnce(&mut Summed) -> io::Result<()>,
    ) -> Result<(PathBuf, Vec<u8>), FileError> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", uuid::Uuid::new_v4()));
        let mut file = Summed { file: self.open(path, &temporary)?, sums: Sums::default() };
        let written = io_step(path, "write", || faults::step(self.role, "write", path).and_then(|()| fill(&mut file)))
            .and_then(|()| {
                if !self.fsync {
                    return Ok(());
                }
                io_step(path, "sync", || faults::step(self.role, "sync", path).and_then(|()| file.file.sync_data()))
            });
        if let Err(error) = written {
            // The first error is the one to report.
            discard(self.role, &temporary);
            return Err(error);
        }
        Ok((temporary, file.sums.finish()))
    }

    fn open(&self, path: &Path, temporary: &Path) -> Result<File, FileError> {
        io_step(path, "create", || faults::step(self.role, "create", path))?;
        let create = || File::create_new(temporary);
        let opened = match (create(), path.parent()) {
            (Err(e), Some(dir)) if e.kind() == io::ErrorKind::NotFound => {
                create_dirs(self.role, dir, self.fsync).and_then(|()| create())
            }
            (opened, _) => opened,
        };
        opened.map_err(|source| FileError::Io { path: path.to_path_buf(), action: "create", source })
    }

    fn finish(
        &self,
        path: &Path,
        temporary: &Path,
        sums: &[u8],
        rename: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), FileError> {
        let renamed = remove_if_exists(side_path(path).as_deref())
            .and_then(|()| faults::step(self.role, "rename", path))
            .and_then(|()| rename(temporary));
        if let Err(source) = renamed {
            discard(self.role, temporary);
            let path = path.to_path_buf();
            return Err(match source.kind() {
                io::ErrorKind::AlreadyExists => FileError::Exists { path },
                _ => FileError::Io { path, action: "rename", source },
            });
        }
        self.write_side_file(path, sums);
        if self.fsync { self.sync_dir(path) } else { Ok(()) }
    }

    /// Writes the checksums of a file. A file is as good without, so failing to is no fault, but half of them must not be there,
    /// whatever happens.
    fn write_side_file(&self, path: &Path, sums: &[u8]) {
        let Some(side) = side_path(path) else { return };
        if faults::step(self.role, "write_sums", &side).is_err() {
            return;
        }
        let temporary = side.with_extension("crc.tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(sums)?;
            if self.fsync && sums.len() > PAGE_BYTES { file.sync_data() } else { Ok(()) }
        };
        if write().and_then(|()| fs::rename(&temporary, &side)).is_err() {
            discard(self.role, &temporary);
        }
    }

    fn sync_dir(&self, path: &Path) -> Result<(), FileError> {
        let Some(dir) = path.parent() else { return Ok(()) };
        io_step(dir, "sync", || sync_dir(self.role, dir))
    }

    /// Removes a file and its side file; one that does not exist is fine.
    ///
    /// # Errors
    /// If it exists and cannot be removed.
    pub fn remove(&self, path: &Path) -> Result<(), FileError> {
        io_step(path, "remove", || {
            faults::step(self.role, "remove", path)?;
            remove_if_exists(side_path(path).as_deref())?;
            remove_if_exists(Some(path))
        })
    }
}

fn remove_if_exists(path: Option<&Path>) -> io::Result<()> {
    match path.map(fs::remove_file) {
        Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: Writer = Writer { role: "test", fsync: true };

    #[test]
    fn a_file_is_created_once_and_replaced_at_will() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/7");
        WRITER.create(&path, b"one").unwrap();
        assert!(matches!(WRITER.create(&path, b"two"), Err(FileError::Exists { .. })));
        assert_eq!(read(&path).unwrap(), b"one");
        WRITER.replace(&path, b"three").unwrap();
        assert_eq!(read_text(&path).unwrap(), "three");
        let mut left = names(path.parent().unwrap()).unwrap();
        left.sort();
        assert_eq!(left, [".7.crc", "7"]);
        fs::write(&path, "thrEe").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("a/b/7 is damaged: its 5 bytes are not those of its checksums from byte 0 on"),
            "{error}"
        );
    }

    #[test]
    fn a_link_has_the_content_and_takes_the_place_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["1", "2"].map(|name| dir.path().join(name));
        WRITER.replace(&one, b"one").unwrap();
        WRITER.replace(&two, b"old").unwrap();
        WRITER.link(&one, &two).unwrap();
        WRITER.remove(&one).unwrap();
        assert_eq!(read(&two).unwrap(), b"one");
        assert!(WRITER.link(&one, &dir.path().join("3")).is_err());
        sync_filesystem(dir.path()).unwrap();
    }

    #[test]
    fn side_files_go_with_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, crc) = (dir.path().join("7"), dir.path().join(".7.crc"));
        for step in 0..2 {
            fs::write(&crc, "stale").unwrap();
            if step == 0 { WRITER.create(&path, b"x") } else { WRITER.remove(&path) }.unwrap();
            assert_eq!(crc.exists(), path.exists());
            assert_ne!(fs::read(&crc).unwrap_or_default(), b"stale");
        }
        assert!(!path.exists());
        WRITER.remove(&path).unwrap();
    }

    #[test]
    fn errors_name_the_file() {
        let error = read(Path::new("/nowhere/offsets/3")).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/offsets/3 does not exist");
        assert!(names(Path::new("/nowhere")).unwrap().is_empty());
    }
}
