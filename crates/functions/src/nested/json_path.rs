//! The paths of `get_json_object`: `$`, `.name`, `['name']`, `[0]`, `[*]`, `.*`.

use serde_json::Value;

use super::json::plain_text;

/// One step into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
    /// All elements of an array.
    Elements,
    /// All values of an object.
    Values,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Reads a path; none if it is no path, which gives null.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = Self::step(rest)?;
            steps.push(step);
            rest = after;
        }
        Some(Self(steps))
    }

    fn step(rest: &str) -> Option<(Step, &str)> {
        if let Some(rest) = rest.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            return match name {
                "" => None,
                "*" => Some((Step::Values, after)),
                name => Some((Step::Name(name.to_string()), after)),
            };
        }
        let rest = rest.strip_prefix('[')?;
        if let Some(quoted) = rest.strip_prefix('\'') {
            let (name, after) = quoted.split_once("']")?;
            return match name {
                "*" => Some((Step::Values, after)),
                name => Some((Step::Name(name.to_string()), after)),
            };
        }
        let (inside, after) = rest.split_once(']')?;
        match inside {
            "*" => Some((Step::Elements, after)),
            number => Some((Step::Index(number.trim().parse().ok()?), after)),
        }
    }

    /// The text of what the path leads to. Several matches are given as an array, one as itself, none as null.
    pub fn find(&self, document: &Value) -> Option<String> {
        let mut found = Vec::new();
        let many = collect(document, &self.0, &mut found);
        match (&found[..], many) {
            ([], _) => None,
            ([one], false) => plain_text(one),
            ([one], true) => Some(one.to_string()),
            (all, _) => Some(Value::Array(all.iter().map(|v| (*v).clone()).collect()).to_string()),
        }
    }
}

/// Gathers what the steps lead to; true if an array was spread out on the way.
fn collect<'a>(value: &'a Value, steps: &[Step], found: &mut Vec<&'a Value>) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value);
        return false;
    };
    match (step, value) {
        (Step::Name(name), Value::Object(fields)) => fields.get(name).is_some_and(|v| collect(v, rest, found)),
        // A name after an array means that field of each of its objects.
        (Step::Name(_), Value::Array(items)) => {
            items.iter().for_each(|item| {
                collect(item, steps, found);
            });
            true
        }
        (Step::Index(index), Value::Array(items)) => items.get(*index).is_some_and(|v| collect(v, rest, found)),
        (Step::Elements, Value::Array(items)) => {
            items.iter().for_each(|item| {
                collect(item, rest, found);
            });
            true
        }
        (Step::Values, Value::Object(fields)) => {
            fields.values().for_each(|item| {
                collect(item, rest, found);
            });
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(document: &str, path: &str) -> Option<String> {
        Path::parse(path)?.find(&serde_json::from_str(document).unwrap())
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let document = r#"{"a": {"b": [1, "x", null]}, "c d": 2.5, "n": null}"#;
        for (path, wanted) in [
            ("$.a.b[1]", Some("x")),
            ("$.a.b", Some(r#"[1,"x",null]"#)),
            ("$['c d']", Some("2.5")),
            ("$.n", None),
            ("$.a.b[7]", None),
            ("$.zz", None),
            ("a", None),
            ("$.a.b[*]", Some(r#"[1,"x",null]"#)),
        ] {
            assert_eq!(get(document, path).as_deref(), wanted, "{path}");
        }
    }
}
