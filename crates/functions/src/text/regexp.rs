//! Functions over Java's regular expressions: `rlike`, `regexp_extract`, `regexp_replace` and their kin.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int32Type};
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::cut::{int, text};
use super::java_regex::{Groups, Pattern, PatternColumn, next_start};
use crate::arguments::expect_at_least;
use crate::bind::{Call, Nullable};
use crate::coerce::Expected;
use crate::kernel;
use crate::rows::{booleans, nulls_of, numbers, string_lists, strings};
use crate::{Function, FunctionContext, Typed, types};

const TWO: [Expected; 2] = [Expected::STRING, Expected::STRING];
const THREE: [Expected; 3] = [Expected::STRING, Expected::STRING, Expected::INT];

/// A column of texts with a column of patterns.
struct Columns<'a> {
    texts: &'a StringArray,
    patterns: &'a StringArray,
    compiled: PatternColumn,
    function: &'static str,
}

impl<'a> Columns<'a> {
    fn new(a: &'a [ArrayRef], function: &'static str) -> Result<Self, SparkError> {
        let (texts, patterns) = (kernel::string(&a[0])?, kernel::string(&a[1])?);
        Ok(Self { texts, patterns, compiled: PatternColumn::default(), function })
    }

    fn row(&mut self, row: usize) -> Result<(&'a str, &Pattern), SparkError> {
        Ok((self.texts.value(row), self.compiled.get(self.function, self.patterns.value(row))?))
    }
}

/// Builds `rlike`, `regexp`, `regexp_like`.
pub(super) fn rlike(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &TWO, 2)?.with(DataType::Boolean, |a, rows| {
        let mut columns = Columns::new(a, "rlike")?;
        booleans(rows, nulls_of(a), |row| {
            let (text, pattern) = columns.row(row)?;
            pattern.is_match(text).map(Some)
        })
    })
}

/// Builds `regexp_count(text, pattern)`.
pub(super) fn count(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &TWO, 2)?.with(DataType::Int32, |a, rows| {
        let mut columns = Columns::new(a, "regexp_count")?;
        let value = |row| {
            let (text, pattern) = columns.row(row)?;
            let mut count = 0;
            pattern.for_each_match(text, |_| {
                count += 1;
                Ok(true)
            })?;
            Ok(Some(count))
        };
        Ok(Arc::new(numbers::<Int32Type>(rows, nulls_of(a), value)?))
    })
}

/// Builds `regexp_substr(text, pattern)`: the first match; null for none and for an empty one.
pub(super) fn substr(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    Call::new(name, arguments, context, &TWO, 2)?.nullable(Nullable::Always).with(DataType::Utf8, |a, rows| {
        let mut columns = Columns::new(a, "regexp_substr")?;
        strings(rows, nulls_of(a), |row, out| {
            let (text, pattern) = columns.row(row)?;
            let found = pattern.find_at(text, 0)?.map_or("", |found| &text[found]);
            out.push_str(found);
            Ok(!found.is_empty())
        })
    })
}

/// Builds `regexp_instr(text, pattern[, group])`: where the first match begins, in characters from 1; the group has no
/// influence but that its null makes the result null.
pub(super) fn instr(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &THREE, 2)?.default_from(2, &[int(0)]);
    call.with(DataType::Int32, |a, rows| {
        let mut columns = Columns::new(a, "regexp_instr")?;
        let value = |row| {
            let (text, pattern) = columns.row(row)?;
            let start = pattern.find_at(text, 0)?.map(|found| found.start);
            Ok(Some(start.map_or(0, |at| text[..at].chars().count() as i32 + 1)))
        };
        Ok(Arc::new(numbers::<Int32Type>(rows, nulls_of(a), value)?))
    })
}

/// Checks a group number against the pattern it belongs to.
fn check_group(function: &str, pattern: &Pattern, group: i32) -> Result<usize, SparkError> {
    let count = pattern.group_count();
    match usize::try_from(group) {
        Ok(index) if index <= count => Ok(index),
        _ => Err(SparkError::new(
            ExceptionClass::Runtime,
            "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX",
            "22023",
            format!(
                "The value of parameter(s) `idx` in `{function}` is invalid: Expects group index between 0 and {count}, but \
                 got {group}."
            ),
        )
        .with("parameter", "`idx`")
        .with("functionName", format!("`{function}`"))
        .with("groupCount", count.to_string())
        .with("groupIndex", group.to_string())),
    }
}

fn group_text<'a>(text: &'a str, groups: &Groups, index: usize) -> &'a str {
    groups.get(index).cloned().flatten().map_or("", |range| &text[range])
}

/// Builds `regexp_extract(text, pattern[, group])`: an empty text if there is no match or the group took no part.
pub(super) fn extract(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &THREE, 2)?.default_from(2, &[int(1)]).fallible();
    call.with(DataType::Utf8, |a, rows| {
        let mut columns = Columns::new(a, "regexp_extract")?;
        let groups = kernel::primitive::<Int32Type>(&a[2])?;
        strings(rows, nulls_of(a), |row, out| {
            let (text, pattern) = columns.row(row)?;
            if let Some(found) = pattern.groups_at(text, 0)? {
                out.push_str(group_text(text, &found, check_group("regexp_extract", pattern, groups.value(row))?));
            }
            Ok(true)
        })
    })
}

/// Builds `regexp_extract_all(text, pattern[, group])`.
pub(super) fn extract_all(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let call = Call::new(name, arguments, context, &THREE, 2)?.default_from(2, &[int(1)]).fallible();
    call.with(types::array(DataType::Utf8, true), |a, rows| {
        let mut columns = Columns::new(a, "regexp_extract_all")?;
        let groups = kernel::primitive::<Int32Type>(&a[2])?;
        let lists = string_lists(rows, nulls_of(a), |row, out| {
            let (text, pattern) = columns.row(row)?;
            let mut start = 0;
            while let Some(found) = if start <= text.len() { pattern.groups_at(text, start)? } else { None } {
                let group = check_group("regexp_extract_all", pattern, groups.value(row))?;
                out.push(group_text(text, &found, group))?;
                let Some(Some(whole)) = found.first() else { break };
                start = next_start(text, whole);
            }
            Ok(())
        })?;
        with_nullable_elements(&lists)
    })
}

/// The same lists, with elements that might be null by their type.
fn with_nullable_elements(lists: &ArrayRef) -> Result<ArrayRef, SparkError> {
    let lists = kernel::list(lists)?;
    let field = Arc::new(arrow::datatypes::Field::new("element", DataType::Utf8, true));
    let (offsets, values, nulls): (_, _, Option<NullBuffer>) =
        (lists.offsets().clone(), Arc::clone(lists.values()), lists.nulls().cloned());
    Ok(Arc::new(arrow::array::ListArray::try_new(field, offsets, values, nulls)?))
}

/// Builds `regexp_replace(text, pattern, replacement[, position])`.
pub(super) fn replace(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::STRING, Expected::INT];
    let call = Call::new(name, arguments, context, &parameters, 3)?.default_from(3, &[int(1)]).fallible();
    if let Some(datafusion::scalar::ScalarValue::Int32(Some(position))) = call.arguments[3].as_literal()
        && *position < 1
    {
        return Err(position_out_of_range(name, &call.arguments, *position));
    }
    call.with(DataType::Utf8, |a, rows| {
        let mut columns = Columns::new(a, "regexp_replace")?;
        let patterns = columns.patterns;
        let (replacements, positions) = (kernel::string(&a[2])?, kernel::primitive::<Int32Type>(&a[3])?);
        let mut last: Option<(&str, Replacement)> = None;
        strings(rows, nulls_of(a), |row, out| {
            let (text, pattern) = columns.row(row)?;
            let replacement = replacements.value(row);
            if last.as_ref().is_none_or(|(seen, _)| *seen != replacement) {
                let parsed = Replacement::parse(replacement);
                last =
                    Some((replacement, parsed.map_err(|_| cannot_replace(text, patterns.value(row), replacement, 1))?));
            }
            let skip = usize::try_from(positions.value(row)).unwrap_or(1).saturating_sub(1);
            let start = text.char_indices().nth(skip).map_or(text.len(), |(at, _)| at);
            out.push_str(&text[..start]);
            let failed = |_| cannot_replace(text, patterns.value(row), replacement, skip + 1);
            match &last {
                Some((_, parsed)) if skip == 0 || start < text.len() => {
                    parsed.apply(&text[start..], pattern, out).map_err(failed)?;
                }
                _ => out.push_str(&text[start..]),
            }
            Ok(true)
        })
    })
}

fn cannot_replace(source: &str, pattern: &str, replacement: &str, position: usize) -> SparkError {
    SparkError::new(
        ExceptionClass::Runtime,
        "INVALID_REGEXP_REPLACE",
        "22023",
        format!(
            "Could not perform regexp_replace for source = \"{source}\", pattern = \"{pattern}\", replacement = \
             \"{replacement}\" and position = {position}."
        ),
    )
    .with("source", source)
    .with("pattern", pattern)
    .with("replacement", replacement)
    .with("position", position.to_string())
}

fn position_out_of_range(name: &str, arguments: &[Typed], position: i32) -> SparkError {
    let text = format!("The `position` must be between (0, {}] (current value = {position}).", i32::MAX);
    crate::arguments::type_mismatch("VALUE_OUT_OF_RANGE", name, arguments, text)
        .with("exprName", "`position`")
        .with("valueRange", format!("(0, {}]", i32::MAX))
        .with("currentValue", position.to_string())
}

/// A replacement text of Java: `$1`, `${name}`, `\$`.
struct Replacement {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    /// Digits behind a `$`: as many as make a group that exists.
    Number(Vec<u32>),
    Name(String),
}

impl Replacement {
    fn parse(replacement: &str) -> Result<Self, SparkError> {
        let illegal = |text: String| SparkError::plain(ExceptionClass::IllegalArgument, text);
        let mut parts = vec![];
        let mut literal = String::new();
        let mut rest = replacement.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\\' => literal.push(rest.next().ok_or_else(|| illegal("character to be escaped is missing".into()))?),
                '$' => {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                    if rest.next_if_eq(&'{').is_some() {
                        let name: String = std::iter::from_fn(|| rest.next_if(char::is_ascii_alphanumeric)).collect();
                        rest.next_if_eq(&'}')
                            .ok_or_else(|| illegal("named capturing group is missing trailing '}'".into()))?;
                        parts.push(Part::Name(name));
                    } else {
                        let digits: Vec<u32> = std::iter::from_fn(|| rest.next_if(char::is_ascii_digit))
                            .filter_map(|c| c.to_digit(10))
                            .collect();
                        if digits.is_empty() {
                            return Err(illegal("Illegal group reference".into()));
                        }
                        parts.push(Part::Number(digits));
                    }
                }
                _ => literal.push(c),
            }
        }
        parts.push(Part::Text(literal));
        Ok(Self { parts })
    }

    /// Appends `text` with every match replaced.
    fn apply(&self, text: &str, pattern: &Pattern, out: &mut String) -> Result<(), SparkError> {
        let (mut kept, mut start) = (0, 0);
        // Finding a match is much cheaper than finding its groups.
        if let [Part::Text(literal)] = self.parts.as_slice() {
            pattern.for_each_match(text, |found| {
                out.push_str(&text[kept..found.start]);
                out.push_str(literal);
                kept = found.end;
                Ok(true)
            })?;
            out.push_str(&text[kept..]);
            return Ok(());
        }
        while start <= text.len() {
            let Some(groups) = pattern.groups_at(text, start)? else { break };
            let Some(Some(whole)) = groups.first().cloned() else { break };
            out.push_str(&text[kept..whole.start]);
            for part in &self.parts {
                self.push_part(part, text, pattern, &groups, out)?;
            }
            kept = whole.end;
            start = next_start(text, &whole);
        }
        out.push_str(&text[kept..]);
        Ok(())
    }

    fn push_part(
        &self,
        part: &Part,
        text: &str,
        pattern: &Pattern,
        groups: &Groups,
        out: &mut String,
    ) -> Result<(), SparkError> {
        match part {
            Part::Text(literal) => out.push_str(literal),
            Part::Name(name) => {
                let group = pattern.group_named(name).ok_or_else(|| {
                    SparkError::plain(ExceptionClass::IllegalArgument, format!("No group with name {{{name}}}"))
                })?;
                out.push_str(group_text(text, groups, group));
            }
            Part::Number(digits) => {
                let mut group = 0;
                let mut taken = 0;
                for digit in digits {
                    let next = group * 10 + *digit as usize;
                    if taken > 0 && next > pattern.group_count() {
                        break;
                    }
                    group = next;
                    taken += 1;
                }
                if group > pattern.group_count() {
                    let text = format!("No group {group}");
                    return Err(SparkError::plain(ExceptionClass::ArrayIndexOutOfBounds, text));
                }
                out.push_str(group_text(text, groups, group));
                out.extend(digits.iter().skip(taken).filter_map(|d| char::from_digit(*d, 10)));
            }
        }
        Ok(())
    }
}

/// Builds `like`, `ilike`: `(text, pattern[, escape])`.
pub(super) fn like(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    let parameters = [Expected::STRING, Expected::STRING, Expected::STRING];
    let call = Call::new(name, arguments, context, &parameters, 2)?.default_from(2, &[text("\\")]);
    let fold = name == "ilike";
    Ok(call.kernel(DataType::Boolean).bound_to(fold).fallible().arrays(&call.arguments, move |a, rows| {
        let (texts, patterns, escapes) = (kernel::string(&a[0])?, kernel::string(&a[1])?, kernel::string(&a[2])?);
        let mut last: Option<(&str, super::like::LikePattern)> = None;
        booleans(rows, nulls_of(a), |row| {
            let (pattern, escape) = (patterns.value(row), escapes.value(row).chars().next());
            if last.as_ref().is_none_or(|(seen, _)| *seen != pattern) {
                last = Some((pattern, super::like::LikePattern::new(pattern, escape.unwrap_or('\\'), fold)?));
            }
            Ok(last.as_ref().map(|(_, compiled)| compiled.matches(texts.value(row))))
        })
    }))
}

/// Builds `likeany`, `likeall`, `notlikeany`, `notlikeall`: `(text, pattern, …)`, what `LIKE ANY` and its kin become.
pub(super) fn like_many(name: &str, arguments: &[Typed], context: &FunctionContext) -> Result<Typed, SparkError> {
    expect_at_least(name, arguments, 2)?;
    let (negated, any) = (name.starts_with("not"), name.ends_with("any"));
    let call = |name: &str, arguments: &[Typed]| match crate::lookup(name) {
        Some(Function::Scalar(build)) => build(name, arguments, context),
        _ => Err(SparkError::unsupported(format!("The operator `{name}`"))),
    };
    let mut result: Option<Typed> = None;
    for pattern in &arguments[1..] {
        let mut test = like("like", &[arguments[0].clone(), pattern.clone()], context)?;
        if negated {
            test = call("not", &[test])?;
        }
        result = Some(match result {
            None => test,
            Some(before) => call(if any { "or" } else { "and" }, &[before, test])?,
        });
    }
    let result = result.ok_or_else(|| SparkError::internal("LIKE without patterns"))?;
    Ok(Typed { nullable: true, ..result })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str, pattern: &str, replacement: &str) -> String {
        let pattern = Pattern::compile(pattern).unwrap_or_else(|e| panic!("{e}"));
        let mut out = String::new();
        let done = Replacement::parse(replacement).and_then(|r| r.apply(text, &pattern, &mut out));
        done.map_or_else(|e| e.to_string(), |()| out)
    }

    #[test]
    fn replacements_refer_to_groups_as_java_does() {
        assert_eq!(replaced("12-abc", r"[0-9]+", "<$0>"), "<12>-abc");
        assert_eq!(replaced("ab", "(a)(b)", r"$2$1\$"), "ba$");
        assert_eq!(replaced("ab", "(?<x>a)", "${x}${x}"), "aab");
        assert_eq!(replaced("ab", "(a)", "$12"), "a2b");
        assert_eq!(replaced("abc", "", "-"), "-a-b-c-");
        assert_eq!(replaced("a", "a", "$1"), "No group 1");
    }
}
