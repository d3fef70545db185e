//! Datasets that are saved: directories that do not count before a checkpoint names them.
//!
//! A directory holds the files that the front has written, and `_manifest` with a line for each: its CRC-32, its length and its name.
//! The checkpoint holds the CRC-32 of the manifest. So a file that is cut, changed, missing, added or in another one's place is known,
//! and so is a whole directory of another program.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use millstream_formats::{faults, files};
use serde::{Deserialize, Serialize};

use crate::{Datasets, StreamError, Time};

/// Role in [`millstream_formats::faults`].
pub(crate) const SAVED: &str = "saved";
const MANIFEST: &str = "_manifest";
const READ_BYTES: usize = 1 << 20;

/// A dataset in a checkpoint directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Name of its directory.
    pub name: String,
    /// CRC-32 of its manifest.
    pub manifest: u32,
}

/// Where datasets are saved, and whether they are on the disk before they count.
#[derive(Clone, Debug)]
pub(crate) struct SaveTo {
    pub directory: PathBuf,
    pub sync: bool,
}

impl SaveTo {
    /// Saves a dataset as a whole.
    ///
    /// # Errors
    /// Those of computing the dataset and of writing.
    pub fn save<B: Datasets>(
        &self,
        datasets: &B,
        stream: usize,
        time: Time,
        dataset: &B::Dataset,
    ) -> Result<Saved, StreamError> {
        // Run again after a recovery, the batch may have been saved before, and an older checkpoint may name that.
        let base = format!("rdd-{stream}-{}", time.as_ms());
        let mut names = std::iter::once(base.clone()).chain((1_u64..).map(|n| format!("{base}-{n}")));
        let name = names.find(|name| !self.directory.join(name).exists()).unwrap_or(base);
        let path = self.directory.join(&name);
        let saved = datasets.save(dataset, &path).and_then(|()| self.seal(&path));
        if saved.is_err() {
            // On a full disk it is in the way. What is left now is deleted by the next process.
            let _ = remove(&path);
        }
        Ok(Saved { name, manifest: saved? })
    }

    /// Writes the manifest of a directory, after its files; gives its checksum.
    fn seal(&self, path: &Path) -> Result<u32, StreamError> {
        let mut manifest = String::new();
        let mut names = files::names(path)?;
        names.sort();
        for name in names {
            let file = path.join(&name);
            let failed = |e| StreamError::io("write", &file, e);
            if self.sync {
                faults::step(SAVED, "sync", &file).and_then(|()| File::open(&file)?.sync_data()).map_err(failed)?;
            }
            let (crc, length) = checksum(&file)?;
            manifest.push_str(&format!("{crc:08x} {length} {name}\n"));
        }
        let writer = files::Writer { role: SAVED, fsync: self.sync };
        writer.write_in_place(&path.join(MANIFEST), manifest.as_bytes())?;
        if self.sync {
            for dir in [path, &self.directory] {
                files::sync_dir(SAVED, dir).map_err(|e| StreamError::io("sync", dir, e))?;
            }
        }
        Ok(crc32fast::hash(manifest.as_bytes()))
    }
}

impl Saved {
    /// Compares all files with their checksums.
    ///
    /// # Errors
    /// One is not as it was written, or cannot be read; the error names it.
    pub fn verify(&self, directory: &Path) -> Result<(), StreamError> {
        let directory = directory.join(&self.name);
        let path = directory.join(MANIFEST);
        let manifest = std::fs::read(&path).map_err(|e| StreamError::io("read", &path, e))?;
        if crc32fast::hash(&manifest) != self.manifest {
            return Err(StreamError::checkpoint(&path, "wrong checksum: it is damaged, or that of another dataset"));
        }
        let manifest = String::from_utf8_lossy(&manifest);
        let mut known = BTreeSet::from([MANIFEST]);
        for line in manifest.lines() {
            let mut fields = line.splitn(3, ' ');
            let (Some(crc), Some(length), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
                return Err(StreamError::checkpoint(&path, format!("`{line}` is no line of a manifest")));
            };
            let file = directory.join(name);
            let (found_crc, found_length) = checksum(&file)?;
            if found_length.to_string() != length || format!("{found_crc:08x}") != crc {
                let reason = format!("it is not what was written: {found_length} bytes of {length}, or others");
                return Err(StreamError::checkpoint(&file, reason));
            }
            known.insert(name);
        }
        match files::names(&directory)?.iter().find(|name| !known.contains(name.as_str())) {
            Some(name) => Err(StreamError::checkpoint(&directory.join(name), "no file of this name was written")),
            None => Ok(()),
        }
    }
}

/// Number of files in a saved directory whose names begin so, by the manifest.
///
/// # Errors
/// There is no manifest.
pub(crate) fn count_of(directory: &Path, prefix: &str) -> Result<usize, StreamError> {
    let path = directory.join(MANIFEST);
    let manifest = std::fs::read_to_string(&path).map_err(|e| StreamError::io("read", &path, e))?;
    Ok(manifest.lines().filter(|line| line.splitn(3, ' ').nth(2).is_some_and(|name| name.starts_with(prefix))).count())
}

/// CRC-32 and length of a file.
fn checksum(path: &Path) -> Result<(u32, u64), StreamError> {
    let failed = |e| StreamError::io("read", path, e);
    let mut file = File::open(path).map_err(failed)?;
    let (mut crc, mut length) = (crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok((crc.finalize(), length));
        }
        crc.update(buffer.get(..count).unwrap_or_default());
        length += count as u64;
    }
}

/// Deletes a saved dataset, or whatever has this name.
///
/// # Errors
/// It is there and cannot be deleted.
pub(crate) fn remove(path: &Path) -> Result<(), StreamError> {
    let removed = faults::step(SAVED, "remove", path)
        .and_then(|()| if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) });
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StreamError::io("delete", path, error)),
        _ => Ok(()),
    }
}
