//! Local paths as users give them and as Hadoop prints them. Not here: their URLs (`millstream_formats::url`).

use std::path::{Path, PathBuf};

use millstream_formats::url::local_path;

/// `file:/a/b c`: how Hadoop prints paths.
pub(crate) fn display(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// The local path of a URL from a log. Of what is no URL of a local file, the text: nothing will be found there.
pub(crate) fn path_of_url(url: &str) -> PathBuf {
    local_path(url).unwrap_or_else(|| PathBuf::from(url))
}

/// The local path of what a user gave: with or without `file:`, made absolute.
pub(crate) fn user_path(given: &str) -> PathBuf {
    let rest = match given.strip_prefix("file:") {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None => given,
    };
    let path = std::path::absolute(rest).unwrap_or_else(|_| PathBuf::from(rest));
    // `absolute` keeps a slash at the end, Hadoop does not.
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_users_are_made_absolute() {
        assert_eq!(user_path("file:///a/b/"), Path::new("/a/b"));
        assert_eq!(user_path("file:/a/b"), Path::new("/a/b"));
        assert!(user_path("x/y").is_absolute());
    }
}
