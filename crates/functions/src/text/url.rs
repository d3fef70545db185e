//! `parse_url`, `url_encode`, `url_decode` and their lenient twins, as `java.net` does it.

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::DataType;
use millstream_formats::condition::{ExceptionClass, SparkError};

use crate::bind::{Call, Nullable};
use crate::coerce::Expected;
use crate::kernel;
use crate::rows::{nulls_of, strings};
use crate::{FunctionContext, Typed};

/// The pieces of a URI that `parse_url` can give, as written (not decoded).
#[derive(Debug, Default, PartialEq)]
struct Uri<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    user_info: Option<&'a str>,
    host: Option<&'a str>,
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Takes a URI apart; none if `java.net.URI` would refuse it.
    fn parse(text: &'a str) -> Option<Self> {
        if !has_legal_characters(text) {
            return None;
        }
        let mut uri = Uri::default();
        let mut rest = text;
        if let Some((before, fragment)) = rest.split_once('#') {
            // A fragment holds no second `#`.
            if fragment.contains('#') {
                return None;
            }
            uri.fragment = Some(fragment);
            rest = before;
        }
        let scheme_end = rest.find([':', '/', '?']).filter(|at| rest[*at..].starts_with(':'));
        if let Some(at) = scheme_end {
            let scheme = &rest[..at];
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(legal) {
                return None;
            }
            uri.scheme = Some(scheme);
            rest = &rest[at + 1..];
            if rest.is_empty() {
                return None;
            }
            if !rest.starts_with('/') {
                // An opaque URI (`mailto:a@b`) has neither path nor query.
                return Some(uri);
            }
        }
        if let Some((before, query)) = rest.split_once('?') {
            uri.query = Some(query);
            rest = before;
        }
        if let Some(after) = rest.strip_prefix("//") {
            if after.is_empty() {
                return None;
            }
            let end = after.find('/').unwrap_or(after.len());
            uri.set_authority(&after[..end])?;
            rest = &after[end..];
        }
        uri.path = Some(rest);
        Some(uri)
    }

    fn set_authority(&mut self, authority: &'a str) -> Option<()> {
        if authority.is_empty() {
            return Some(());
        }
        self.authority = Some(authority);
        let (user_info, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        let (host, port) = match server.strip_prefix('[') {
            Some(inside) => {
                let end = inside.find(']')? + 2;
                (&server[..end], &server[end..])
            }
            None => server.split_at(server.find(':').unwrap_or(server.len())),
        };
        let port_is_number = port.is_empty() || port[1..].bytes().all(|b| b.is_ascii_digit());
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        // An authority that is no `user@host:port` is taken as a registry's name: it has no host.
        if port_is_number && !host.is_empty() && (host.starts_with('[') || host.chars().all(legal)) {
            self.host = Some(host);
            self.user_info = user_info;
        }
        Some(())
    }

    fn part(&self, part: &str) -> Option<String> {
        let owned = |piece: Option<&str>| piece.map(str::to_string);
        match part {
            "HOST" => owned(self.host),
            "PATH" => owned(self.path),
            "QUERY" => owned(self.query),
            "REF" => owned(self.fragment),
            "PROTOCOL" => owned(self.scheme),
            "AUTHORITY" => owned(self.authority),
            "USERINFO" => owned(self.user_info),
            "FILE" => Some(match (self.path, self.query) {
                (path, Some(query)) => format!("{}?{query}", path.unwrap_or_default()),
                (path, None) => path?.to_string(),
            }),
            _ => None,
        }
    }

    /// Value of the first `key=` in the query.
    fn query_value(&self, key: &str) -> Option<&'a str> {
        self.query?.split('&').find_map(|pair| pair.split_once('=').filter(|(k, _)| *k == key).map(|(_, value)| value))
    }
}

/// Whether every character may stand in a URI, and every `%` leads two hexadecimal digits.
fn has_legal_characters(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.char_indices().all(|(at, c)| match c {
        '%' => bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
        '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => false,
        _ if c.is_ascii() => c.is_ascii_graphic(),
        _ => !c.is_whitespace() && !c.is_control(),
    })
}

/// Builds `parse_url`, `try_parse_url`: `(url, part[, key])`.
pub(super) fn parse_url(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::STRING];
    let call = Call::new(name, arguments, context, &parameters, 2)?.nullable(Nullable::Always).fallible();
    let fail = name == "parse_url" && context.ansi;
    Ok(call.kernel(DataType::Utf8).bound_to(fail).arrays(&call.arguments, move |a, rows| {
        let (urls, parts) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        let keys = a.get(2).map(|array| kernel::string(array)).transpose()?;
        strings(rows, nulls_of(a), |row, out| {
            push_part(urls.value(row), parts.value(row), key_at(keys, row), fail, out)
        })
    }))
}

fn key_at(keys: Option<&StringArray>, row: usize) -> Option<&str> {
    keys.filter(|k| k.is_valid(row)).map(|k| k.value(row))
}

fn push_part(url: &str, part: &str, key: Option<&str>, fail: bool, out: &mut String) -> Result<bool, SparkError> {
    let Some(uri) = Uri::parse(url) else {
        return if fail { Err(invalid_url(url)) } else { Ok(false) };
    };
    let found = match key {
        Some(key) if part == "QUERY" => uri.query_value(key).map(str::to_string),
        Some(_) => None,
        None => uri.part(part),
    };
    out.push_str(found.as_deref().unwrap_or_default());
    Ok(found.is_some())
}

fn invalid_url(url: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::IllegalArgument,
        "INVALID_URL",
        "22P02",
        format!("The url is invalid: {url}. Use `try_parse_url` to tolerate invalid URL and return NULL instead."),
    )
    .with("url", url)
}

/// Builds `url_encode(text)`: as HTML forms do, a blank becomes `+`.
pub(super) fn url_encode(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &[Expected::STRING], 1)?.nullable(Nullable::Always).with(
        DataType::Utf8,
        |a, rows| {
            let texts = kernel::string(&a[0])?;
            strings(rows, nulls_of(a), |row, out| {
                for byte in texts.value(row).bytes() {
                    match byte {
                        b' ' => out.push('+'),
                        b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
                        _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
                        _ => {
                            out.push('%');
                            out.extend([byte >> 4, byte & 15].map(|d| char::from(b"0123456789ABCDEF"[usize::from(d)])));
                        }
                    }
                }
                Ok(true)
            })
        },
    )
}

/// Builds `url_decode`, `try_url_decode`.
pub(super) fn url_decode(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let lenient = name == "try_url_decode";
    let call = Call::new(name, arguments, context, &[Expected::STRING], 1)?.nullable(Nullable::Always).fallible();
    Ok(call.kernel(DataType::Utf8).bound_to(lenient).arrays(&call.arguments, move |a: &[ArrayRef], rows| {
        let texts = kernel::string(&a[0])?;
        let mut bytes = vec![];
        strings(rows, nulls_of(a), |row, out| match decode(texts.value(row), &mut bytes) {
            Some(()) => {
                out.push_str(&String::from_utf8_lossy(&bytes));
                Ok(true)
            }
            None if lenient => Ok(false),
            None => Err(cannot_decode(texts.value(row))),
        })
    }))
}

/// Decodes into `bytes`; none if a `%` does not lead two hexadecimal digits.
fn decode(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.clear();
    let mut rest = text.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let [high, low, behind @ ..] = behind else { return None };
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = behind;
            }
            _ => bytes.push(*byte),
        }
    }
    Some(())
}

fn cannot_decode(url: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::IllegalArgument,
        "CANNOT_DECODE_URL",
        "22546",
        format!(
            "The provided URL cannot be decoded: {url}. Please ensure that the URL is properly formatted and try again."
        ),
    )
    .with("url", url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(url: &str, part: &str) -> Option<String> {
        Uri::parse(url)?.part(part)
    }

    #[test]
    fn parts_are_those_of_java() {
        let url = "https://user:pw@ex.com:80/a/b?q=1&r=x%20y#f";
        let expected = [
            ("HOST", "ex.com"),
            ("PATH", "/a/b"),
            ("QUERY", "q=1&r=x%20y"),
            ("REF", "f"),
            ("PROTOCOL", "https"),
            ("FILE", "/a/b?q=1&r=x%20y"),
            ("AUTHORITY", "user:pw@ex.com:80"),
            ("USERINFO", "user:pw"),
        ];
        for (name, value) in expected {
            assert_eq!(part(url, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(part("http://h", "PATH").as_deref(), Some(""));
        assert_eq!(part("http://h", "QUERY"), None);
        assert_eq!(part("mailto:a@b", "PROTOCOL").as_deref(), Some("mailto"));
        assert_eq!(Uri::parse("http://h:80/?q=").and_then(|u| u.query_value("q")), Some(""));
        for bad in ["http://a b", "http://h/%zz", "inva lid://x", "http:"] {
            assert_eq!(Uri::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn broken_escapes_are_not_decoded() {
        let mut bytes = vec![];
        assert!(decode("a%20b+c", &mut bytes).is_some());
        assert_eq!(bytes, b"a b c");
        assert!(decode("a%2", &mut bytes).is_none());
    }
}
