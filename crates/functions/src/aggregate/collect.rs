//! `collect_list`, `collect_set`, `listagg`: the buffer is a binary, an `UnsafeRow` with one array field.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, StringBuilder, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, interleave};
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use hashbrown::HashSet;
use millstream_formats::condition::SparkError;
use millstream_formats::row::{RowBuffer, RowDecoder, RowEncoder};

use super::canonical::canonical;
use super::rows::{column, for_each_valid, rows_as_groups, wrong_column};
use super::set_order::in_set_order;
use super::udaf::{Aggregation, Bound, not_coerced};
use crate::kernel::into_datafusion;
use crate::types;

/// Elements of groups, left where they lie in the batches they came with.
#[derive(Default)]
struct Elements {
    batches: Vec<ArrayRef>,
    /// Batch and row of each element.
    groups: Vec<Vec<(u32, u32)>>,
}

impl Elements {
    fn push(&mut self, group: usize, row: usize) {
        self.groups[group].push((self.batches.len() as u32 - 1, row as u32));
    }

    /// The elements of groups one after the other, and their numbers.
    fn take(&mut self, emit_to: EmitTo, of: &DataType) -> Result<(ArrayRef, Vec<usize>)> {
        let groups = emit_to.take_needed(&mut self.groups);
        let places: Vec<(usize, usize)> = groups.iter().flatten().map(|(b, r)| (*b as usize, *r as usize)).collect();
        let batches: Vec<&dyn Array> = self.batches.iter().map(|b| b.as_ref()).collect();
        let values = if places.is_empty() { new_empty_array(of) } else { interleave(&batches, &places)? };
        if self.groups.is_empty() {
            self.batches.clear();
        }
        Ok((values, groups.iter().map(Vec::len).collect()))
    }

    fn size(&self) -> usize {
        let elements: usize = self.groups.iter().map(|g| g.capacity() * 8 + 24).sum();
        elements + self.batches.iter().map(|b| b.get_array_memory_size()).sum::<usize>()
    }
}

/// One list per group.
fn lists(values: ArrayRef, lengths: Vec<usize>, contains_null: bool) -> Result<ListArray> {
    let item = Arc::new(Field::new("element", values.data_type().clone(), contains_null));
    Ok(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, None)?)
}

/// Lists as buffers.
pub(super) fn to_buffers(lists: ListArray) -> Result<ArrayRef> {
    let count = lists.len();
    let encoder = RowEncoder::for_values(&[lists.data_type().clone()]).map_err(into_datafusion)?;
    let mut rows = RowBuffer::new();
    encoder.encode(&[Arc::new(lists)], 0..count, &mut rows).map_err(into_datafusion)?;
    Ok(Arc::new(BinaryArray::from_iter_values(rows.iter())))
}

/// Lists from buffers; a null buffer is an empty list.
pub(super) fn from_buffers(buffers: &ArrayRef, list: &DataType) -> Result<ListArray> {
    let buffers = buffers.as_binary_opt::<i32>().ok_or_else(|| wrong_column(buffers, 0))?;
    let empty = to_buffers(lists_of_nothing(list)?)?;
    let empty = empty.as_binary::<i32>();
    let rows = buffers.iter().map(|b| b.unwrap_or_else(|| empty.value(0)));
    let columns = RowDecoder::new(std::slice::from_ref(list)).decode(rows).map_err(into_datafusion)?;
    let array = column(&columns, 0)?;
    array.as_list_opt::<i32>().cloned().ok_or_else(|| wrong_column(array, 0))
}

fn lists_of_nothing(list: &DataType) -> Result<ListArray> {
    let DataType::List(item) = list else {
        return Err(into_datafusion(SparkError::internal("a list was expected")));
    };
    Ok(ListArray::try_new(Arc::clone(item), OffsetBuffer::from_lengths([0]), new_empty_array(item.data_type()), None)?)
}

/// `collect_list`, `collect_set`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collect {
    /// Equal values once.
    pub set: bool,
}

impl Aggregation for Collect {
    fn name(&self) -> &str {
        if self.set { "collect_set" } else { "collect_list" }
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let [of] = arguments else { return Err(not_coerced(self.name(), arguments)) };
        let state = vec![Field::new("buf", DataType::Binary, true)];
        let (set, element) = (self.set, of.clone());
        Ok(Bound::new(types::array(of.clone(), false), false, state, move || CollectGroups::new(set, element.clone())))
    }
}

struct CollectGroups {
    of: DataType,
    elements: Elements,
    /// For a set, what each group holds, in comparable form.
    seen: Option<Vec<HashSet<Box<[u8]>>>>,
}

impl CollectGroups {
    fn new(set: bool, of: DataType) -> Self {
        Self { of, elements: Elements::default(), seen: set.then(Vec::new) }
    }

    fn add(&mut self, values: &ArrayRef, groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.elements.groups.resize_with(total, Vec::new);
        let nulls = values.logical_nulls();
        let Some(seen) = &mut self.seen else {
            self.elements.batches.push(Arc::clone(values));
            for_each_valid(groups, nulls.as_ref(), filter, |row, group| self.elements.push(group, row));
            return Ok(());
        };
        seen.resize_with(total, HashSet::new);
        let values = canonical(values)?;
        let rows = RowConverter::new(vec![SortField::new(self.of.clone())])?.convert_columns(&[Arc::clone(&values)])?;
        self.elements.batches.push(values);
        for_each_valid(groups, nulls.as_ref(), filter, |row, group| {
            let bytes = rows.row(row);
            if !seen[group].contains(bytes.as_ref()) {
                seen[group].insert(bytes.as_ref().into());
                self.elements.push(group, row);
            }
        });
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Result<ListArray> {
        if let Some(seen) = &mut self.seen {
            emit_to.take_needed(seen);
        }
        let (mut values, lengths) = self.elements.take(emit_to, &self.of)?;
        if self.seen.is_some() {
            values = in_set_order(values, &lengths)?;
        }
        lists(values, lengths, false)
    }
}

/// The elements of lists with the group of each.
fn spread(lists: &ListArray, groups: &[usize]) -> (ArrayRef, Vec<usize>) {
    let offsets = lists.value_offsets();
    let (start, end) = (offsets.first().copied().unwrap_or(0) as usize, offsets.last().copied().unwrap_or(0) as usize);
    let mut of_elements = Vec::with_capacity(end - start);
    for (row, group) in groups.iter().enumerate() {
        of_elements.extend(std::iter::repeat_n(*group, (offsets[row + 1] - offsets[row]) as usize));
    }
    (lists.values().slice(start, end - start), of_elements)
}

impl GroupsAccumulator for CollectGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.add(column(values, 0)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(self.take(emit_to)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![to_buffers(self.take(emit_to)?)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let lists = from_buffers(column(values, 0)?, &types::array(self.of.clone(), false))?;
        let (elements, of_elements) = spread(&lists, groups);
        self.add(&elements, &of_elements, None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self::new(self.seen.is_some(), self.of.clone()), values, filter)
    }

    fn size(&self) -> usize {
        let seen =
            self.seen.iter().flatten().map(|g| g.iter().map(|b| b.len() + 24).sum::<usize>() + 48).sum::<usize>();
        self.elements.size() + seen
    }
}

/// `listagg`, `string_agg`. The arguments are the value, then the values it is ordered by.
#[derive(Debug, Clone)]
pub struct ListAgg {
    /// Between two values.
    pub delimiter: Vec<u8>,
    /// Order of each further argument: ascending, nulls first.
    pub order: Vec<(bool, bool)>,
}

impl Aggregation for ListAgg {
    fn name(&self) -> &str {
        "listagg"
    }

    fn parameters(&self) -> String {
        format!("{:?} {:?}", self.delimiter, self.order)
    }

    fn bind(&self, arguments: &[DataType]) -> Result<Bound, SparkError> {
        let Some(value @ (DataType::Utf8 | DataType::Binary)) = arguments.first() else {
            return Err(not_coerced(self.name(), arguments));
        };
        let state = vec![Field::new("buf", DataType::Binary, true)];
        let (this, types) = (Arc::new(self.clone()), arguments.to_vec());
        Ok(Bound::new(value.clone(), true, state, move || ListAggGroups::new(Arc::clone(&this), types.clone())))
    }
}

struct ListAggGroups {
    call: Arc<ListAgg>,
    types: Vec<DataType>,
    elements: Elements,
}

impl ListAggGroups {
    fn new(call: Arc<ListAgg>, types: Vec<DataType>) -> Self {
        Self { call, types, elements: Elements::default() }
    }

    /// What a group's list holds: the values, or structs of value and order.
    fn element_type(&self) -> DataType {
        match self.types.as_slice() {
            [value] => value.clone(),
            many => DataType::Struct(
                many.iter().enumerate().map(|(i, t)| Field::new(format!("_{}", i + 1), t.clone(), true)).collect(),
            ),
        }
    }

    fn elements_of(&self, values: &[ArrayRef]) -> Result<ArrayRef> {
        Ok(match self.element_type() {
            DataType::Struct(fields) => Arc::new(arrow::array::StructArray::try_new(fields, values.to_vec(), None)?),
            _ => Arc::clone(column(values, 0)?),
        })
    }

    fn add(
        &mut self,
        elements: ArrayRef,
        nulls: Option<arrow::buffer::NullBuffer>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) {
        self.elements.groups.resize_with(total, Vec::new);
        self.elements.batches.push(elements);
        for_each_valid(groups, nulls.as_ref(), filter, |row, group| self.elements.push(group, row));
    }

    /// Positions of a group's elements in order.
    fn ordered(&self, elements: &ArrayRef, range: std::ops::Range<usize>) -> Result<Vec<usize>> {
        let mut positions: Vec<usize> = range.collect();
        let Some(columns) = elements.as_struct_opt().filter(|_| self.types.len() > 1) else { return Ok(positions) };
        let fields = self.call.order.iter().zip(self.types.iter().skip(1)).map(|((ascending, nulls_first), t)| {
            SortField::new_with_options(t.clone(), SortOptions { descending: !ascending, nulls_first: *nulls_first })
        });
        let rows = RowConverter::new(fields.collect())?.convert_columns(&columns.columns()[1..])?;
        positions.sort_by_key(|p| rows.row(*p));
        Ok(positions)
    }
}

impl GroupsAccumulator for ListAggGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let nulls = column(values, 0)?.nulls().cloned();
        let elements = self.elements_of(values)?;
        self.add(elements, nulls, groups, filter, total);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (elements, lengths) = self.elements.take(emit_to, &self.element_type())?;
        let values = match elements.as_struct_opt() {
            Some(columns) if self.types.len() > 1 => Arc::clone(columns.column(0)),
            _ => Arc::clone(&elements),
        };
        let bytes = |row: usize| match values.as_string_opt::<i32>() {
            Some(strings) => strings.value(row).as_bytes(),
            None => values.as_binary::<i32>().value(row),
        };
        let mut joined: Vec<Option<Vec<u8>>> = Vec::with_capacity(lengths.len());
        let mut start = 0;
        for length in lengths {
            let mut text: Option<Vec<u8>> = None;
            for position in self.ordered(&elements, start..start + length)? {
                match &mut text {
                    Some(text) => {
                        text.extend_from_slice(&self.call.delimiter);
                        text.extend_from_slice(bytes(position));
                    }
                    None => text = Some(bytes(position).to_vec()),
                }
            }
            joined.push(text);
            start += length;
        }
        if self.types.first() == Some(&DataType::Binary) {
            return Ok(Arc::new(joined.iter().map(|v| v.as_deref()).collect::<BinaryArray>()));
        }
        let mut strings = StringBuilder::new();
        for text in &joined {
            strings.append_option(text.as_ref().map(|t| String::from_utf8_lossy(t)));
        }
        Ok(Arc::new(strings.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (elements, lengths) = self.elements.take(emit_to, &self.element_type())?;
        Ok(vec![to_buffers(lists(elements, lengths, false)?)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let lists = from_buffers(column(values, 0)?, &types::array(self.element_type(), false))?;
        let (elements, of_elements) = spread(&lists, groups);
        self.add(elements, None, &of_elements, None, total);
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        rows_as_groups(Self::new(Arc::clone(&self.call), self.types.clone()), values, filter)
    }

    fn size(&self) -> usize {
        self.elements.size()
    }
}
