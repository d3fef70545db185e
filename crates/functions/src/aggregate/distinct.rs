//! `aggregate(DISTINCT …)`: keeps each group's distinct argument rows and hands them to the plain aggregate at the end.
//!
//! Spark refuses distinct aggregates over streams, so the buffer is Millstream's own: one list of argument rows per group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use hashbrown::HashMap;

use super::canonical::canonical;
use super::rows::{column, for_each_valid, rows_as_groups, wrong_column};

/// The buffer of a distinct aggregate.
pub fn distinct_state(arguments: &[FieldRef]) -> Field {
    let item = Field::new("element", DataType::Struct(row_fields(arguments)), true);
    Field::new("distinct", DataType::List(Arc::new(item)), true)
}

fn row_fields(arguments: &[FieldRef]) -> Fields {
    arguments.iter().enumerate().map(|(i, f)| Field::new(format!("_{}", i + 1), f.data_type().clone(), true)).collect()
}

/// How argument rows are compared.
pub struct DistinctRows {
    fields: Fields,
    converter: RowConverter,
}

impl DistinctRows {
    /// For arguments of these types.
    ///
    /// # Errors
    /// If a type cannot be compared.
    pub fn try_new(arguments: &[FieldRef]) -> Result<Self> {
        let fields = row_fields(arguments);
        let sort = fields.iter().map(|f| SortField::new(f.data_type().clone())).collect();
        Ok(Self { fields, converter: RowConverter::new(sort)? })
    }
}

/// The distinct rows of a group and the place at which each came first.
type Rows = HashMap<Box<[u8]>, usize>;

/// Groups of distinct rows before the aggregate they are for.
pub struct DistinctGroups {
    rows: Arc<DistinctRows>,
    groups: Vec<Rows>,
    inner: Box<dyn GroupsAccumulator>,
}

impl DistinctGroups {
    /// Distinct rows for `inner`, which must be fresh.
    pub fn new(rows: Arc<DistinctRows>, inner: Box<dyn GroupsAccumulator>) -> Self {
        Self { rows, groups: Vec::new(), inner }
    }

    fn add(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, HashMap::new);
        let values: Vec<ArrayRef> = values.iter().map(canonical).collect::<Result<_>>()?;
        let rows = self.rows.converter.convert_columns(&values)?;
        for_each_valid(groups, None, filter, |row, group| {
            let bytes = rows.row(row);
            let group = &mut self.groups[group];
            if !group.contains_key(bytes.as_ref()) {
                group.insert(bytes.as_ref().into(), group.len());
            }
        });
        Ok(())
    }

    /// Columns of the distinct rows, group by group in order of arrival, and how many each group has.
    fn columns(&self, groups: &[Rows]) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
        let parser = self.rows.converter.parser();
        let mut rows = Vec::with_capacity(groups.iter().map(HashMap::len).sum());
        for group in groups {
            let mut ordered: Vec<(&[u8], usize)> = group.iter().map(|(bytes, place)| (&**bytes, *place)).collect();
            ordered.sort_unstable_by_key(|(_, place)| *place);
            rows.extend(ordered.into_iter().map(|(bytes, _)| parser.parse(bytes)));
        }
        let columns = self.rows.converter.convert_rows(rows)?;
        Ok((columns, groups.iter().map(HashMap::len).collect()))
    }
}

impl GroupsAccumulator for DistinctGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.add(values, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        let (columns, lengths) = self.columns(&groups)?;
        let indices: Vec<usize> =
            lengths.iter().enumerate().flat_map(|(group, n)| std::iter::repeat_n(group, *n)).collect();
        self.inner.update_batch(&columns, &indices, None, groups.len())?;
        self.inner.evaluate(EmitTo::All)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let (columns, lengths) = self.columns(&groups)?;
        let rows = StructArray::try_new(self.rows.fields.clone(), columns, None)?;
        let item = Arc::new(Field::new("element", rows.data_type().clone(), true));
        let list = ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(rows), None)?;
        Ok(vec![Arc::new(list)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let state = column(values, 0)?;
        let list = state.as_list_opt::<i32>().ok_or_else(|| wrong_column(state, 0))?;
        let rows = list.values().as_struct_opt().ok_or_else(|| wrong_column(list.values(), 0))?;
        let mut indices = vec![0usize; rows.len()];
        for (row, group) in groups.iter().enumerate() {
            let offsets = list.value_offsets();
            indices[offsets[row] as usize..offsets[row + 1] as usize].fill(*group);
        }
        // Rows outside the offsets would be foreign to every group.
        let used = list.value_offsets().first().copied().unwrap_or(0) as usize
            ..list.value_offsets().last().copied().unwrap_or(0) as usize;
        let columns: Vec<ArrayRef> = rows.columns().iter().map(|c| c.slice(used.start, used.len())).collect();
        self.add(&columns, &indices[used], None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        // The aggregate inside is not asked for its state, so any will do.
        rows_as_groups(
            Self::new(Arc::clone(&self.rows), Box::new(super::count::CountGroups::default())),
            values,
            filter,
        )
    }

    fn size(&self) -> usize {
        self.groups.iter().map(|g| g.iter().map(|(b, _)| b.len() + 32).sum::<usize>() + 48).sum::<usize>()
            + self.inner.size()
    }
}
