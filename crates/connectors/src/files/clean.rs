//! What becomes of files that a stream has done with: nothing, deletion, or a place in an archive (option `cleanSource`).
//!
//! A file that cannot be removed or moved is reported in the log and left: Spark does not fail a query for it either.

use std::path::Path;

use millstream_formats::filelog::SourceFile;

use super::stream_options::Clean;
use super::url::path_of_url;

/// Cleans the files of a committed batch. In the archive a file has its full path below the archive's directory.
pub(crate) fn clean(mode: &Clean, source: &Path, entries: &[SourceFile]) {
    for entry in entries {
        let path = path_of_url(&entry.path);
        let done = match mode {
            Clean::Off => return,
            Clean::Delete => std::fs::remove_file(&path),
            Clean::Archive(archive) => archive_file(archive, source, &path),
        };
        if let Err(error) = done {
            tracing::warn!("Fail to clean the file {}: {error}", path.display());
        }
    }
}

fn archive_file(archive: &Path, source: &Path, path: &Path) -> std::io::Result<()> {
    if archive.starts_with(source) {
        return Err(std::io::Error::other("the archive lies within the source"));
    }
    let target = archive.join(path.strip_prefix("/").unwrap_or(path));
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::rename(path, &target) {
        // Another file system: copy, then remove.
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            std::fs::copy(path, &target)?;
            std::fs::remove_file(path)
        }
        moved => moved,
    }
}
