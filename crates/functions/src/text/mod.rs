//! Strings: cutting, searching, patterns, formatting, URLs.

pub mod backtracking;
mod build;
mod case;
mod compare;
mod cut;
mod format;
mod java_format;
pub mod java_regex;
mod like;
mod number_pattern;
mod regexp;
mod search;
mod split;
mod to_number;
mod url;

use crate::Function;

/// The functions of this module, by name in lower case.
pub(crate) fn lookup(name: &str) -> Option<Function> {
    Some(Function::Scalar(match name {
        "split" => split::split,
        "upper" | "ucase" => case::upper,
        "lower" | "lcase" => case::lower,
        "initcap" => case::initcap,
        "substring" | "substr" => cut::substring,
        "left" => cut::left,
        "right" => cut::right,
        "substring_index" => cut::substring_index,
        "split_part" => cut::split_part,
        "overlay" => cut::overlay,
        "elt" => cut::elt,
        "instr" => search::instr,
        "locate" | "position" => search::locate,
        "contains" => search::contains,
        "startswith" => search::starts_with,
        "endswith" => search::ends_with,
        "find_in_set" => search::find_in_set,
        "length" | "len" | "char_length" | "character_length" => search::length,
        "octet_length" => search::octet_length,
        "bit_length" => search::bit_length,
        "concat" => build::concat,
        "concat_ws" => build::concat_ws,
        "repeat" => build::repeat,
        "space" => build::space,
        "lpad" | "rpad" => build::pad,
        "trim" | "ltrim" | "rtrim" | "btrim" => build::trim,
        "replace" => build::replace,
        "translate" => build::translate,
        "reverse" => build::reverse,
        "ascii" => build::ascii,
        "chr" | "char" => build::chr,
        "quote" => build::quote,
        "mask" => build::mask,
        "collation" => build::collation,
        "collate" => build::collate,
        "levenshtein" => compare::levenshtein,
        "soundex" => compare::soundex,
        "luhn_check" => compare::luhn_check,
        "is_valid_utf8" => compare::is_valid_utf8,
        "make_valid_utf8" | "validate_utf8" | "try_validate_utf8" => compare::valid_utf8,
        "sentences" => compare::sentences,
        "rlike" | "regexp" | "regexp_like" => regexp::rlike,
        "regexp_count" => regexp::count,
        "regexp_substr" => regexp::substr,
        "regexp_instr" => regexp::instr,
        "regexp_extract" => regexp::extract,
        "regexp_extract_all" => regexp::extract_all,
        "regexp_replace" => regexp::replace,
        "like" | "ilike" => regexp::like,
        "likeany" | "likeall" | "notlikeany" | "notlikeall" => regexp::like_many,
        "parse_url" | "try_parse_url" => url::parse_url,
        "url_encode" => url::url_encode,
        "url_decode" | "try_url_decode" => url::url_decode,
        "format_string" | "printf" => format::format_string,
        "format_number" => format::format_number,
        "to_number" | "try_to_number" => to_number::to_number,
        "to_char" | "to_varchar" => to_number::to_char,
        _ => return None,
    }))
}
