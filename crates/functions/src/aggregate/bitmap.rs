//! `bitmap_construct_agg`, `bitmap_or_agg`, `bitmap_and_agg`: bitmaps of 32768 bits, 4096 bytes, the lowest bit of a byte first.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::{ExceptionClass, SparkError};

use super::rows::{column, for_each_valid, primitive, rows_as_groups, wrong_column};
use super::udaf::{Aggregation, Bound};
use crate::kernel::into_datafusion;

const BYTES: usize = 4096;

/// How bitmaps are made or joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bitmap {
    /// From positions of bits.
    Construct,
    /// Union of bitmaps.
    Or,
    /// Intersection of bitmaps.
    And,
}

impl Aggregation for Bitmap {
    fn name(&self) -> &str {
        match self {
            Bitmap::Construct => "bitmap_construct_agg",
            Bitmap::Or => "bitmap_or_agg",
            Bitmap::And => "bitmap_and_agg",
        }
    }

    fn bind(&self, _arguments: &[DataType]) -> Result<Bound, SparkError> {
        let (state, this) = (vec![Field::new("bitmap", DataType::Binary, true)], *self);
        Ok(Bound::new(DataType::Binary, false, state, move || BitmapGroups { call: this, bitmaps: Vec::new() }))
    }
}

struct BitmapGroups {
    call: Bitmap,
    bitmaps: Vec<Vec<u8>>,
}

impl BitmapGroups {
    fn grow(&mut self, total: usize) {
        let initial = if self.call == Bitmap::And { 0xff } else { 0 };
        self.bitmaps.resize_with(total, || vec![initial; BYTES]);
    }

    fn join(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>) -> Result<()> {
        let array = column(values, 0)?;
        let others = array.as_binary_opt::<i32>().ok_or_else(|| wrong_column(array, 0))?;
        for_each_valid(groups, others.nulls(), filter, |row, group| {
            let bytes = self.bitmaps[group].iter_mut();
            // A shorter bitmap has no bits behind its end.
            let other = others.value(row).iter().copied().chain(std::iter::repeat(0));
            match self.call {
                Bitmap::And => bytes.zip(other).for_each(|(byte, other)| *byte &= other),
                _ => bytes.zip(other).for_each(|(byte, other)| *byte |= other),
            }
        });
        Ok(())
    }
}

fn wrong_position(position: i64) -> SparkError {
    SparkError::new(
        ExceptionClass::ArrayIndexOutOfBounds,
        "INVALID_BITMAP_POSITION",
        "22003",
        format!(
            "The 0-indexed bitmap position {position} is out of bounds. The bitmap has {} bits ({BYTES} bytes).",
            BYTES * 8
        ),
    )
    .with("bitPosition", position.to_string())
    .with("bitmapNumBits", (BYTES * 8).to_string())
    .with("bitmapNumBytes", BYTES.to_string())
}

impl GroupsAccumulator for BitmapGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        if self.call != Bitmap::Construct {
            return self.join(values, groups, filter);
        }
        let positions = primitive::<Int64Type>(values, 0)?;
        let mut wrong = None;
        for_each_valid(groups, positions.nulls(), filter, |row, group| {
            let position = positions.value(row);
            let place = usize::try_from(position).ok().and_then(|p| self.bitmaps[group].get_mut(p / 8));
            match place {
                Some(byte) => *byte |= 1 << (position % 8),
                None => wrong = Some(position),
            }
        });
        wrong.map_or(Ok(()), |position| Err(into_datafusion(wrong_position(position))))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(BinaryArray::from_iter_values(emit_to.take_needed(&mut self.bitmaps))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        self.join(values, groups, None)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self { call: self.call, bitmaps: Vec::new() }, values, filter)
    }

    fn size(&self) -> usize {
        self.bitmaps.len() * (BYTES + 24)
    }
}
