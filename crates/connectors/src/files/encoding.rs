//! Character sets other than UTF-8 (option `encoding`).

use millstream_formats::condition::{ExceptionClass, SparkError};

/// The sets that are known, by Java's names in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Latin1,
    Utf16 { little: bool, mark: bool },
    Utf32 { little: bool },
}

fn charset(name: &str) -> Option<Charset> {
    Some(match name.to_uppercase().as_str() {
        "UTF-8" | "UTF8" | "US-ASCII" | "ASCII" => Charset::Utf8,
        "ISO-8859-1" | "LATIN1" | "ISO8859_1" => Charset::Latin1,
        "UTF-16" => Charset::Utf16 { little: false, mark: true },
        "UTF-16BE" => Charset::Utf16 { little: false, mark: false },
        "UTF-16LE" => Charset::Utf16 { little: true, mark: false },
        "UTF-32" | "UTF-32BE" => Charset::Utf32 { little: false },
        "UTF-32LE" => Charset::Utf32 { little: true },
        _ => return None,
    })
}

/// Checks the option.
///
/// # Errors
/// A character set that is not known.
pub(crate) fn check(name: Option<&str>, reader: &str) -> Result<(), SparkError> {
    match name {
        Some(name) if charset(name).is_none() => Err(SparkError::new(
            ExceptionClass::IllegalArgument,
            "INVALID_PARAMETER_VALUE.CHARSET",
            "22023",
            format!(
                "The value of parameter(s) `charset` in `{reader}` is invalid: expects one of the iso-8859-1, us-ascii, utf-16, \
                 utf-16be, utf-16le, utf-32, utf-8, but got {name}."
            ),
        )),
        _ => Ok(()),
    }
}

/// Checks the option of a writer, which writes UTF-8 only.
///
/// # Errors
/// Another character set.
pub(crate) fn check_output(name: Option<&str>) -> Result<(), SparkError> {
    check(name, "encode")?;
    match name {
        Some(name) if !is_utf8(Some(name)) => Err(SparkError::unsupported(format!("Writing text files as {name}"))),
        _ => Ok(()),
    }
}

/// Whether bytes of the set are UTF-8 as they are.
pub(crate) fn is_utf8(name: Option<&str>) -> bool {
    name.and_then(charset).is_none_or(|set| set == Charset::Utf8)
}

/// The bytes as UTF-8.
pub(crate) fn decode(name: Option<&str>, bytes: Vec<u8>) -> Vec<u8> {
    let units = |little: bool, bytes: &[u8]| -> Vec<u16> {
        let unit = |pair: &[u8]| match (pair.first(), pair.get(1)) {
            (Some(a), Some(b)) if little => u16::from_le_bytes([*a, *b]),
            (Some(a), Some(b)) => u16::from_be_bytes([*a, *b]),
            _ => 0xfffd,
        };
        bytes.chunks(2).map(unit).collect()
    };
    match name.and_then(charset).unwrap_or(Charset::Utf8) {
        Charset::Utf8 => bytes,
        Charset::Latin1 => bytes.iter().map(|b| char::from(*b)).collect::<String>().into_bytes(),
        Charset::Utf16 { little, mark } => {
            let little = little || (mark && bytes.starts_with(&[0xff, 0xfe]));
            let text = String::from_utf16_lossy(&units(little, &bytes));
            text.trim_start_matches('\u{feff}').to_string().into_bytes()
        }
        Charset::Utf32 { little } => {
            let code = |b: &[u8]| {
                let quad: [u8; 4] = b.try_into().unwrap_or_default();
                let code = if little { u32::from_le_bytes(quad) } else { u32::from_be_bytes(quad) };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            };
            let text: String = bytes.chunks(4).map(code).collect();
            text.trim_start_matches('\u{feff}').to_string().into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_other_sets_become_utf8() {
        assert_eq!(decode(Some("ISO-8859-1"), vec![0xe9]), "é".as_bytes());
        assert_eq!(decode(Some("utf-16le"), vec![b'a', 0, 0x3d, 0xd8, 0, 0xde]), "a😀".as_bytes());
        assert_eq!(decode(Some("UTF-16"), vec![0xff, 0xfe, b'a', 0]), b"a");
        assert_eq!(decode(Some("UTF-32BE"), vec![0, 0, 0, b'a', 0]), "a\u{0}".as_bytes());
        assert!(check(Some("klingon"), "JSONOptionsInRead").is_err());
    }
}
