//! Local paths as the URLs that logs of files hold: `file:///data/in%20put/a%25b.txt`.
//!
//! The text is the identity of a file in those logs, so it is quoted exactly as Java's `URI` quotes a path: characters that
//! are not legal in one, and the percent sign, as `%XX` of their UTF-8 bytes; letters beyond ASCII stay as they are.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

const SCHEME: &str = "file://";

/// Whether Java's `URI` leaves a character of a path as it is.
fn is_legal(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '_' | '-' | '!' | '.' | '~' | '\'' | '(' | ')' | '*' => true,
        ',' | ';' | ':' | '$' | '&' | '+' | '=' | '@' | '/' => true,
        c => !c.is_ascii() && !c.is_control() && !c.is_whitespace(),
    }
}

/// The URL of an absolute path. Bytes that are no UTF-8 become the replacement character, as in Java.
pub fn file_url(path: &Path) -> String {
    quoted(SCHEME, &path.to_string_lossy())
}

/// The name of a file as it stands in its URL: `two%20words.json`.
pub fn file_url_name(path: &Path) -> String {
    quoted("", &path.file_name().unwrap_or_default().to_string_lossy())
}

fn quoted(scheme: &str, path: &str) -> String {
    let mut url = String::with_capacity(scheme.len() + path.len());
    url.push_str(scheme);
    for c in path.chars() {
        if is_legal(c) {
            url.push(c);
        } else {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| url.push_str(&format!("%{byte:02X}")));
        }
    }
    url
}

/// The local path of a URL (`file:///a`, `file:/a`) or of a plain path; `None` for other schemes and hosts.
pub fn local_path(url: &str) -> Option<PathBuf> {
    let Some(rest) = url.strip_prefix("file:") else {
        let scheme = url.split(['/', '?', '#']).next().is_some_and(|head| head.contains(':'));
        return (!scheme).then(|| PathBuf::from(url));
    };
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return None,
        None => rest,
    };
    percent_decode_str(path).decode_utf8().ok().map(|path| PathBuf::from(path.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_as_spark_quotes_them() {
        for (path, url) in [
            ("/a/b0000.txt", "file:///a/b0000.txt"),
            ("/ü b%c#d+&=e", "file:///ü%20b%25c%23d+&=e"),
            ("/x{1}[2]^`|\"<>?\\", "file:///x%7B1%7D%5B2%5D%5E%60%7C%22%3C%3E%3F%5C"),
            ("/p=1/日本~!'()*,;:$@", "file:///p=1/日本~!'()*,;:$@"),
        ] {
            assert_eq!(file_url(Path::new(path)), url);
            assert_eq!(local_path(url).unwrap(), Path::new(path));
        }
        assert_eq!(file_url_name(Path::new("/a b/c d")), "c%20d");
    }

    #[test]
    fn only_local_urls_have_a_path() {
        assert_eq!(local_path("file:/a%20b").unwrap(), Path::new("/a b"));
        assert_eq!(local_path("/a%20b").unwrap(), Path::new("/a%20b"));
        assert_eq!(local_path("hdfs://host/a"), None);
        assert_eq!(local_path("file://host/a"), None);
    }
}
