//! `approx_count_distinct`: HyperLogLog++ with Spark's hash (XXH64), precision and buffer: registers of six bits, ten to a long.
//!
//! `hll_bias.txt` holds, for precisions 4 to 18, the threshold below which linear counting is better, the raw estimates and the
//! bias at each, as published with the algorithm.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;
use millstream_formats::hash::xxhash64;

use super::canonical::canonical;
use super::rows::{column, for_each_valid, primitive, rows_as_groups};
use super::udaf::{Aggregation, Bound};
use crate::kernel::into_datafusion;

const REGISTER_BITS: usize = 6;
const REGISTERS_PER_WORD: usize = 64 / REGISTER_BITS;
const REGISTER_MASK: u64 = (1 << REGISTER_BITS) - 1;
const HASH_SEED: i64 = 42;

/// Bits of the hash that choose a register, for a relative standard deviation.
pub fn precision(relative_sd: f64) -> u32 {
    (2.0 * (1.106 / relative_sd).ln() / 2f64.ln()).ceil() as u32
}

/// `approx_count_distinct`.
#[derive(Debug, Clone, Copy)]
pub struct ApproxCountDistinct {
    /// From 4 on.
    pub precision: u32,
}

impl ApproxCountDistinct {
    fn words(self) -> usize {
        (1 << self.precision) / REGISTERS_PER_WORD + 1
    }
}

impl Aggregation for ApproxCountDistinct {
    fn name(&self) -> &str {
        "approx_count_distinct"
    }

    fn parameters(&self) -> String {
        self.precision.to_string()
    }

    fn bind(&self, _arguments: &[DataType]) -> Result<Bound, SparkError> {
        let this = *self;
        let state = (0..self.words()).map(|i| Field::new(format!("MS[{i}]"), DataType::Int64, true)).collect();
        Ok(Bound::new(DataType::Int64, false, state, move || HllGroups { call: this, words: Vec::new() }))
    }
}

struct HllGroups {
    call: ApproxCountDistinct,
    /// The groups' registers, one group after the other.
    words: Vec<u64>,
}

impl HllGroups {
    fn grow(&mut self, total: usize) {
        self.words.resize(total * self.call.words(), 0);
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<u64> {
        match emit_to {
            EmitTo::All => std::mem::take(&mut self.words),
            EmitTo::First(n) => {
                let rest = self.words.split_off((n * self.call.words()).min(self.words.len()));
                std::mem::replace(&mut self.words, rest)
            }
        }
    }
}

/// Raises a register to `rank`.
#[inline]
fn raise(words: &mut [u64], register: usize, rank: u64) {
    let (word, shift) = (register / REGISTERS_PER_WORD, REGISTER_BITS * (register % REGISTERS_PER_WORD));
    let kept = (words[word] >> shift) & REGISTER_MASK;
    if rank > kept {
        words[word] = (words[word] & !(REGISTER_MASK << shift)) | (rank << shift);
    }
}

impl GroupsAccumulator for HllGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let values = canonical(column(values, 0)?)?;
        let hashes = xxhash64(std::slice::from_ref(&values), values.len(), HASH_SEED).map_err(into_datafusion)?;
        let (width, p, words) = (self.call.words(), self.call.precision, &mut self.words);
        for_each_valid(groups, values.logical_nulls().as_ref(), filter, |row, group| {
            let hash = hashes[row] as u64;
            let register = (hash >> (64 - p)) as usize;
            let rest = (hash << p) | (1 << (p - 1));
            raise(&mut words[group * width..(group + 1) * width], register, u64::from(rest.leading_zeros()) + 1);
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let words = self.take(emit_to);
        let estimates = words.chunks_exact(self.call.words()).map(|group| estimate(group, self.call.precision));
        Ok(Arc::new(estimates.collect::<Int64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (words, width) = (self.take(emit_to), self.call.words());
        let word = |i: usize| -> ArrayRef {
            Arc::new(words.iter().skip(i).step_by(width).map(|w| Some(*w as i64)).collect::<Int64Array>())
        };
        Ok((0..width).map(word).collect())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let width = self.call.words();
        for i in 0..width {
            let column = primitive::<Int64Type>(values, i)?;
            for (row, group) in groups.iter().enumerate() {
                merge_word(&mut self.words[group * width + i], column.value(row) as u64);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self { call: self.call, words: Vec::new() }, values, filter)
    }

    fn size(&self) -> usize {
        self.words.capacity() * 8
    }
}

fn merge_word(word: &mut u64, other: u64) {
    if *word == 0 || other == 0 {
        *word |= other;
        return;
    }
    for register in 0..REGISTERS_PER_WORD {
        let shift = register * REGISTER_BITS;
        raise(std::slice::from_mut(word), register, (other >> shift) & REGISTER_MASK);
    }
}

/// Threshold of linear counting, raw estimates and biases of one precision.
struct Bias {
    threshold: f64,
    estimates: Vec<f64>,
    biases: Vec<f64>,
}

fn bias_of(precision: u32) -> Option<&'static Bias> {
    static TABLES: OnceLock<Vec<Bias>> = OnceLock::new();
    let tables = TABLES.get_or_init(|| {
        let numbers = |line: &str| line.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<f64>>();
        let lines: Vec<Vec<f64>> = include_str!("hll_bias.txt").lines().map(numbers).collect();
        lines
            .chunks_exact(3)
            .map(|table| Bias {
                threshold: table[0].first().copied().unwrap_or_default(),
                estimates: table[1].clone(),
                biases: table[2].clone(),
            })
            .collect()
    });
    tables.get(precision.checked_sub(4)? as usize)
}

/// Neighbours of an estimate whose biases are averaged.
const NEIGHBOURS: usize = 6;

impl Bias {
    /// Mean bias of the raw estimates nearest to `estimate`.
    fn at(&self, estimate: f64) -> f64 {
        let count = self.estimates.len();
        let nearest = self.estimates.partition_point(|e| *e < estimate);
        let mut low = (nearest + 1).saturating_sub(NEIGHBOURS).min(count);
        let mut high = (low + NEIGHBOURS).min(count);
        let distance = |i: usize| (estimate - self.estimates[i]).powi(2);
        while high < count && distance(high) < distance(low) {
            low += 1;
            high += 1;
        }
        self.biases[low..high].iter().sum::<f64>() / (high - low) as f64
    }
}

fn estimate(words: &[u64], precision: u32) -> i64 {
    let m = f64::from(1u32 << precision);
    let (mut inverse_sum, mut zeros) = (0.0, 0.0);
    for register in 0..1usize << precision {
        let shift = REGISTER_BITS * (register % REGISTERS_PER_WORD);
        let rank = (words[register / REGISTERS_PER_WORD] >> shift) & REGISTER_MASK;
        inverse_sum += 1.0 / (1u64 << rank) as f64;
        zeros += f64::from(u8::from(rank == 0));
    }
    let alpha = match precision {
        4 => 0.673,
        5 => 0.697,
        6 => 0.709,
        _ => 0.7213 / (1.0 + 1.079 / m),
    };
    let raw = alpha * m * m / inverse_sum;
    let bias = bias_of(precision);
    let corrected = match bias {
        Some(bias) if raw < 5.0 * m => raw - bias.at(raw),
        _ => raw,
    };
    if zeros > 0.0 {
        let linear = m * (m / zeros).ln();
        if bias.is_some_and(|bias| linear <= bias.threshold) || raw <= 2.5 * m {
            return linear.round() as i64;
        }
    }
    corrected.round() as i64
}
