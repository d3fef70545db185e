//! Local paths as the URLs that Spark writes into logs and shows: `file:///data/two%20words.json`.
//!
//! Blank, `%`, `#`, `?` and control characters are escaped, letters of other alphabets, `+`, `&`, `=` are not.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'%')
    .add(b'#')
    .add(b'?')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'[')
    .add(b']');

/// The path part of a URL.
fn escape(path: &str) -> String {
    // The encoder escapes everything that is not ASCII, which Spark does not.
    let mut out = String::with_capacity(path.len());
    let mut buffer = [0; 4];
    for character in path.chars() {
        if character.is_ascii() {
            out.extend(utf8_percent_encode(character.encode_utf8(&mut buffer), ESCAPED));
        } else {
            out.push(character);
        }
    }
    out
}

/// `file:///a/b%20c`: how files stand in logs.
pub(crate) fn url(path: &Path) -> String {
    format!("file://{}", escape(&path.to_string_lossy()))
}

/// `two%20words.json`: the name as `_metadata.file_name` shows it.
pub(crate) fn url_name(path: &Path) -> String {
    escape(&path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
}

/// `file:/a/b c`: how Hadoop prints paths.
pub(crate) fn display(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// The local path of a URL from a log.
pub(crate) fn path_of_url(url: &str) -> PathBuf {
    let rest = url.strip_prefix("file:").unwrap_or(url);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    PathBuf::from(percent_decode_str(rest).decode_utf8_lossy().into_owned())
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
    fn paths_survive_the_way_through_a_url() {
        let path = Path::new("/data/two words/50%+é#1&k=v.json");
        assert_eq!(url(path), "file:///data/two%20words/50%25+é%231&k=v.json");
        assert_eq!(path_of_url(&url(path)), path);
        assert_eq!(path_of_url("file:/a/b"), Path::new("/a/b"));
    }

    #[test]
    fn paths_of_users_are_made_absolute() {
        assert_eq!(user_path("file:///a/b/"), Path::new("/a/b"));
        assert_eq!(user_path("file:/a/b"), Path::new("/a/b"));
        assert!(user_path("x/y").is_absolute());
    }
}
