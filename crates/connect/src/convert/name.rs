//! Names as users write them: parts split at dots, back-quotes around parts that hold dots.

use millstream_formats::condition::{ExceptionClass, SparkError};

/// Splits `` a.`b.c`.d `` into `a`, `b.c`, `d`.
///
/// # Errors
/// `INVALID_ATTRIBUTE_NAME_SYNTAX` for an empty part or a back-quote that does not enclose a whole part.
pub fn parts(name: &str) -> Result<Vec<String>, SparkError> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = name.chars().peekable();
    loop {
        if chars.next_if_eq(&'`').is_some() {
            quoted(&mut chars, &mut part).ok_or_else(|| syntax_error(name))?;
        } else {
            while let Some(c) = chars.next_if(|&c| c != '.') {
                if c == '`' {
                    return Err(syntax_error(name));
                }
                part.push(c);
            }
            // A name may be empty as a whole (Spark's `col("")` fails later, as unresolved), a part may not.
            if part.is_empty() && !name.is_empty() {
                return Err(syntax_error(name));
            }
        }
        parts.push(std::mem::take(&mut part));
        match chars.next() {
            None => return Ok(parts),
            Some('.') => {}
            Some(_) => return Err(syntax_error(name)),
        }
    }
}

/// Reads up to the closing back-quote; two in a row stand for one.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, part: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '`' if chars.next_if_eq(&'`').is_some() => part.push('`'),
            '`' => return Some(()),
            c => part.push(c),
        }
    }
}

fn syntax_error(name: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::Analysis,
        "INVALID_ATTRIBUTE_NAME_SYNTAX",
        "42601",
        format!(
            "Syntax error in the attribute name: {name}. Check that backticks appear in pairs, a quoted string is a \
             complete name part and use a backtick only inside quoted name parts."
        ),
    )
    .with("name", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_at_dots_outside_back_quotes() {
        for (name, expected) in [
            ("a", vec!["a"]),
            ("a.b.c", vec!["a", "b", "c"]),
            ("a.`b.c`.d", vec!["a", "b.c", "d"]),
            ("`a``b`", vec!["a`b"]),
            ("count(1)", vec!["count(1)"]),
            ("", vec![""]),
        ] {
            assert_eq!(parts(name).expect(name), expected, "{name}");
        }
    }

    #[test]
    fn stray_back_quotes_and_empty_parts_are_syntax_errors() {
        for name in ["a`b", "`a", "`a`b", "a.", ".a", "a..b"] {
            let error = parts(name).expect_err(name);
            assert_eq!(error.condition(), Some("INVALID_ATTRIBUTE_NAME_SYNTAX"), "{name}");
        }
    }
}
