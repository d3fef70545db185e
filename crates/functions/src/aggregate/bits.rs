//! `bit_and`, `bit_or`, `bit_xor`: one buffer field of the argument's integer type; null until a value was seen.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, DataType, Field, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use millstream_formats::condition::SparkError;

use super::rows::{GroupBits, buffer_is_result, for_each_valid, primitive};
use super::udaf::{Aggregation, Bound, not_coerced};

/// How bits are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// `bit_and`.
    And,
    /// `bit_or`.
    Or,
    /// `bit_xor`.
    Xor,
}

impl Bits {
    #[inline]
    fn combine(self, a: i64, b: i64) -> i64 {
        match self {
            Bits::And => a & b,
            Bits::Or => a | b,
            Bits::Xor => a ^ b,
        }
    }
}

impl Aggregation for Bits {
    fn name(&self) -> &str {
        match self {
            Bits::And => "bit_and",
            Bits::Or => "bit_or",
            Bits::Xor => "bit_xor",
        }
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let [data_type] = arguments else { return Err(not_coerced(self.name(), arguments)) };
        let (state, result, bits) = (vec![Field::new(self.name(), data_type.clone(), true)], data_type.clone(), *self);
        Ok(match data_type {
            DataType::Int8 => Bound::new(result, true, state, move || BitsGroups::<Int8Type>::new(bits)),
            DataType::Int16 => Bound::new(result, true, state, move || BitsGroups::<Int16Type>::new(bits)),
            DataType::Int32 => Bound::new(result, true, state, move || BitsGroups::<Int32Type>::new(bits)),
            DataType::Int64 => Bound::new(result, true, state, move || BitsGroups::<Int64Type>::new(bits)),
            _ => return Err(not_coerced(self.name(), arguments)),
        })
    }
}

struct BitsGroups<T: ArrowPrimitiveType> {
    bits: Bits,
    /// Sign-extended.
    values: Vec<i64>,
    seen: GroupBits,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: ArrowPrimitiveType> BitsGroups<T> {
    fn new(bits: Bits) -> Self {
        Self { bits, values: Vec::new(), seen: GroupBits::default(), of: std::marker::PhantomData }
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for BitsGroups<T>
where
    T::Native: TryFrom<i64> + Into<i64>,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.values.resize(total, 0);
        self.seen.grow(total);
        let array = primitive::<T>(values, 0)?;
        let (kept, seen, bits) = (&mut self.values, &mut self.seen, self.bits);
        for_each_valid(groups, array.nulls(), filter, |row, group| {
            let value: i64 = array.value(row).into();
            kept[group] = if seen.get(group) { bits.combine(kept[group], value) } else { value };
            seen.set(group, true);
        });
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let nulls = NullBuffer::new(self.seen.emit(emit_to));
        let values = emit_to.take_needed(&mut self.values).into_iter();
        let values: Vec<T::Native> =
            values.map(|v| T::Native::try_from(v).unwrap_or_else(|_| T::Native::usize_as(0))).collect();
        Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), Some(nulls))))
    }

    buffer_is_result!(|s| Self::new(s.bits));

    fn size(&self) -> usize {
        self.values.capacity() * 8 + self.seen.size()
    }
}
