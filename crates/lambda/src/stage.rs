//! A chain of functions over the lines of a text, reduced by key.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use memchr::{memchr, memchr_iter};

use crate::expr::words;
use crate::{Expr, Method, Surprise, Value};

/// One function of a chain.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// One value for each.
    Map(Expr),
    /// Many values for each.
    FlatMap(Expr),
    /// Keeps those for which it is true.
    Filter(Expr),
    /// One value for the second part of each pair.
    MapValues(Expr),
}

/// Lines through a chain of functions into pairs, and the values of each key merged.
#[derive(Debug, Clone, PartialEq)]
pub struct CombineStage {
    steps: Vec<Step>,
    merge: Expr,
}

/// Keys in the order in which they came first, each with what its values have become.
type Combined<'a> = Vec<(Value<'a>, Value<'a>)>;

impl CombineStage {
    /// Steps from lines to pairs, and `merge` of two values.
    pub fn new(steps: Vec<Step>, merge: Expr) -> Self {
        Self { steps, merge }
    }

    /// Runs over a text of lines that end with LF or CR LF; the last one may lack its end.
    ///
    /// # Errors
    /// A [`Surprise`] if any line has one, or the text has a CR that ends no line.
    pub fn run<'a>(&self, text: &'a str) -> Result<Combined<'a>, Surprise> {
        let returns = memchr(b'\r', text.as_bytes()).is_some();
        let mut merged = Merged::new(&self.merge);
        let mut start = 0;
        let ends = memchr_iter(b'\n', text.as_bytes());
        for end in ends.chain((!text.is_empty() && !text.ends_with('\n')).then_some(text.len())) {
            let mut line = text.get(start..end).ok_or(Surprise)?;
            if returns {
                line = line.strip_suffix('\r').unwrap_or(line);
                if line.contains('\r') {
                    return Err(Surprise);
                }
            }
            push(&self.steps, Value::Str(Cow::Borrowed(line)), &mut merged)?;
            start = end + 1;
        }
        Ok(merged.entries)
    }
}

/// Runs the steps that are left over one value.
fn push<'a>(steps: &[Step], value: Value<'a>, merged: &mut Merged<'a, '_>) -> Result<(), Surprise> {
    let Some((step, rest)) = steps.split_first() else { return merged.add_pair(value) };
    match step {
        // A pair that is made only to be taken apart is not made.
        Step::Map(Expr::Tuple(pair)) if rest.is_empty() => match &pair[..] {
            [key, of_key] => {
                let of_key = of_key.evaluate(std::slice::from_ref(&value))?;
                let key = if *key == Expr::Argument(0) { value } else { key.evaluate(&[value])? };
                merged.add(key, of_key)
            }
            _ => Err(Surprise),
        },
        Step::Map(function) => push(rest, function.evaluate(&[value])?, merged),
        Step::Filter(function) => {
            if function.evaluate(std::slice::from_ref(&value))?.is_true() {
                push(rest, value, merged)
            } else {
                Ok(())
            }
        }
        Step::MapValues(function) => {
            let Value::Tuple(pair) = value else { return Err(Surprise) };
            let [key, of_key] = &pair[..] else { return Err(Surprise) };
            let made = function.evaluate(std::slice::from_ref(of_key))?;
            push(rest, Value::Tuple([key.clone(), made].into()), merged)
        }
        Step::FlatMap(function) => match (split_by(function), value) {
            (Some(None), Value::Str(Cow::Borrowed(line))) => {
                words(line)?.try_for_each(|word| push(rest, Value::Str(Cow::Borrowed(word)), merged))
            }
            (Some(Some(by)), Value::Str(Cow::Borrowed(line))) => match by.as_bytes() {
                [] => Err(Surprise),
                [byte] if byte.is_ascii() => pieces(line, *byte, |piece| push(rest, piece, merged)),
                _ => line.split(by).try_for_each(|piece| push(rest, Value::Str(Cow::Borrowed(piece)), merged)),
            },
            (_, value) => match function.evaluate(&[value])? {
                Value::List(items) | Value::Tuple(items) => {
                    items.iter().try_for_each(|item| push(rest, item.clone(), merged))
                }
                _ => Err(Surprise),
            },
        },
    }
}

/// Cuts a line at a byte, which is far quicker than at a text for the short pieces that words are.
fn pieces<'a>(line: &'a str, by: u8, mut each: impl FnMut(Value<'a>) -> Result<(), Surprise>) -> Result<(), Surprise> {
    let mut start = 0;
    for (at, byte) in line.bytes().enumerate() {
        if byte == by {
            each(Value::Str(Cow::Borrowed(line.get(start..at).ok_or(Surprise)?)))?;
            start = at + 1;
        }
    }
    each(Value::Str(Cow::Borrowed(line.get(start..).ok_or(Surprise)?)))
}

/// For a function that cuts its argument: where, or at white space.
fn split_by(function: &Expr) -> Option<Option<&str>> {
    match function {
        Expr::Call(Method::Split, operands) => match &operands[..] {
            [Expr::Argument(0)] => Some(None),
            [Expr::Argument(0), Expr::Constant(Value::Str(by))] => Some(Some(by.as_ref())),
            _ => None,
        },
        _ => None,
    }
}

/// Values by key, merged as they come.
struct Merged<'a, 'e> {
    merge: &'e Expr,
    hasher: RandomState,
    places: HashTable<Place>,
    entries: Combined<'a>,
}

/// Where the entry of a key stands.
struct Place {
    /// A short text itself, so that it is found without a look at its entry; 0 for other keys.
    short: u128,
    entry: usize,
}

impl<'a, 'e> Merged<'a, 'e> {
    fn new(merge: &'e Expr) -> Self {
        Self { merge, hasher: RandomState::default(), places: HashTable::new(), entries: Vec::new() }
    }

    fn add_pair(&mut self, value: Value<'a>) -> Result<(), Surprise> {
        let Value::Tuple(pair) = value else { return Err(Surprise) };
        let [key, of_key] = &pair[..] else { return Err(Surprise) };
        self.add(key.clone(), of_key.clone())
    }

    fn add(&mut self, key: Value<'a>, value: Value<'a>) -> Result<(), Surprise> {
        if !key.is_key() {
            return Err(Surprise);
        }
        let short = short_text(&key);
        let (hasher, entries) = (&self.hasher, &mut self.entries);
        let same = |place: &Place| {
            place.short == short && (short != 0 || entries.get(place.entry).is_some_and(|entry| entry.0 == key))
        };
        let hash = key_hash(hasher, short, &key);
        let found = self.places.find(hash, same).map(|place| place.entry);
        match found.and_then(|at| entries.get_mut(at)) {
            Some((_, before)) => *before = merged(self.merge, before, value)?,
            None => {
                let place = Place { short, entry: entries.len() };
                entries.push((key, value));
                let rehash = |place: &Place| {
                    let key = entries.get(place.entry).map_or(&Value::None, |entry| &entry.0);
                    key_hash(hasher, place.short, key)
                };
                self.places.insert_unique(hash, place, rehash);
            }
        }
        Ok(())
    }
}

/// A text of at most 15 bytes and its length as a number; 0 for everything else.
fn short_text(key: &Value<'_>) -> u128 {
    let Value::Str(text) = key else { return 0 };
    let mut bytes = [0; 16];
    match bytes.get_mut(..text.len()) {
        Some(front) if text.len() < 16 => front.copy_from_slice(text.as_bytes()),
        _ => return 0,
    }
    u128::from_le_bytes(bytes) | (text.len() as u128 + 1) << 120
}

fn key_hash(hasher: &RandomState, short: u128, key: &Value<'_>) -> u64 {
    let mut state = hasher.build_hasher();
    if short == 0 {
        key.hash_key(&mut state);
    } else {
        state.write_u128(short);
    }
    state.finish()
}

fn merged<'a>(merge: &Expr, before: &mut Value<'a>, value: Value<'a>) -> Result<Value<'a>, Surprise> {
    merge.evaluate(&[std::mem::replace(before, Value::None), value])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operator;

    fn split(by: &'static str) -> Expr {
        let by = Expr::Constant(Value::Str(Cow::Borrowed(by)));
        Expr::Call(Method::Split, vec![Expr::Argument(0), by])
    }

    fn word_count() -> CombineStage {
        let one = Expr::Tuple(vec![Expr::Argument(0), Expr::Constant(Value::Int(1))]);
        let add = Expr::Binary(Operator::Add, Box::new(Expr::Argument(0)), Box::new(Expr::Argument(1)));
        CombineStage::new(vec![Step::FlatMap(split(" ")), Step::Map(one)], add)
    }

    fn counts(text: &str) -> Result<Vec<(String, i64)>, Surprise> {
        let count = |value| if let Value::Int(count) = value { count } else { -1 };
        let word = |key| if let Value::Str(word) = key { word.to_string() } else { String::new() };
        Ok(word_count().run(text)?.into_iter().map(|(key, value)| (word(key), count(value))).collect())
    }

    fn expected(pairs: &[(&str, i64)]) -> Result<Vec<(String, i64)>, Surprise> {
        Ok(pairs.iter().map(|(word, count)| ((*word).to_string(), *count)).collect())
    }

    #[test]
    fn words_are_counted_in_the_order_in_which_they_came_first() {
        assert_eq!(counts("b a b\na\n"), expected(&[("b", 2), ("a", 2)]));
        assert_eq!(counts("b a\r\nb"), expected(&[("b", 2), ("a", 1)]));
        assert_eq!(counts("\n"), expected(&[("", 1)]));
        assert_eq!(counts(""), expected(&[]));
        assert_eq!(counts("ä  ä\n"), expected(&[("ä", 2), ("", 1)]));
    }

    #[test]
    fn a_line_with_a_stray_carriage_return_is_left_to_python() {
        assert_eq!(counts("a\rb\n"), Err(Surprise));
    }

    #[test]
    fn a_chain_filters_maps_and_merges_whatever_the_functions_say() {
        // k,v lines: values over 1, doubled, the largest of each key by subtraction is not commutative: keep the order.
        let item = |at| Expr::Item(Box::new(Expr::Argument(0)), at);
        let int = |of| Expr::Call(Method::Int, vec![of]);
        let subtract = Expr::Binary(Operator::Subtract, Box::new(Expr::Argument(0)), Box::new(Expr::Argument(1)));
        let one = || Box::new(Expr::Constant(Value::Int(1)));
        let stage = CombineStage::new(
            vec![
                Step::Map(split(",")),
                Step::Map(Expr::Tuple(vec![item(0), int(item(1))])),
                Step::Filter(Expr::Compare(crate::Comparison::Greater, Box::new(item(1)), one())),
                Step::MapValues(Expr::Binary(
                    Operator::Multiply,
                    Box::new(Expr::Argument(0)),
                    Box::new(Expr::Constant(Value::Int(2))),
                )),
            ],
            subtract,
        );
        let result = stage.run("a,5\nb,1\na,2\nb,3\na,1\n").unwrap();
        let text = |text| Value::Str(Cow::Borrowed(text));
        assert_eq!(result, [(text("a"), Value::Int(6)), (text("b"), Value::Int(6))]);
        assert_eq!(stage.run("a,x\n"), Err(Surprise));
        assert_eq!(stage.run("a\n"), Err(Surprise));
    }
}
