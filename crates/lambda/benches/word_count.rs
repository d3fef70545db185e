//! The word count of one core: lines split at blanks, paired with 1, added up by word.

use std::borrow::Cow;

use millstream_lambda::{CombineStage, Expr, Method, Operator, Step, Value};

const WORDS: u64 = 1_000_000;

fn main() {
    divan::main();
}

/// A million words in lines of ten, the Zipf way: word `i` about `1 / i` of the time.
fn text() -> String {
    let mut state = 42_u64;
    let mut out = String::new();
    for word in 1..=WORDS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
        out.push_str(&format!("w{:05}", 50_000_f64.powf(uniform) as u64));
        out.push(if word % 10 == 0 { '\n' } else { ' ' });
    }
    out
}

#[divan::bench(sample_count = 10)]
fn word_count(bencher: divan::Bencher<'_, '_>) {
    let blank = Expr::Constant(Value::Str(Cow::Borrowed(" ")));
    let one = Expr::Tuple(vec![Expr::Argument(0), Expr::Constant(Value::Int(1))]);
    let add = Expr::Binary(Operator::Add, Box::new(Expr::Argument(0)), Box::new(Expr::Argument(1)));
    let split = Expr::Call(Method::Split, vec![Expr::Argument(0), blank]);
    let stage = CombineStage::new(vec![Step::FlatMap(split), Step::Map(one)], add);
    let text = text();
    bencher.counter(divan::counter::ItemsCount::new(WORDS)).bench(|| stage.run(&text).map(|counts| counts.len()));
}
