//! `unpivot`: columns become rows, by a generator of one struct per column.

use arrow::datatypes::DataType;
use millstream_formats::condition::SparkError;
use millstream_functions::coerce::common_type_without_strings;

use super::super::expression::Resolved;
use super::super::rel::Rel;
use super::super::scope::Scope;
use super::super::{Analyzer, errors};
use super::{cast, reference};
use crate::ir::{Expr, Relation};
use crate::resolved::Attribute;

/// One row per input row: what stands in the column of names, and the columns of values.
type Group = (String, Vec<Attribute>);

impl Analyzer<'_> {
    /// `df.unpivot`: nulls stay.
    pub(super) fn unpivot(
        &self,
        input: &Relation,
        ids: &[Expr],
        values: Option<&[Expr]>,
        variable_name: &str,
        value_name: &str,
    ) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let ids = self.plain_columns(&rel, ids)?;
        let values = match values {
            Some(values) => self.plain_columns(&rel, values)?,
            None => rel.output.iter().filter(|a| ids.iter().all(|id| id.column != a.column)).cloned().collect(),
        };
        if values.is_empty() {
            let sentence = "At least one value column needs to be specified for UNPIVOT, all columns specified as ids.";
            return Err(errors::analysis("UNPIVOT_REQUIRES_VALUE_COLUMNS", "42K0A", sentence));
        }
        let groups = values.into_iter().map(|a| (a.name.clone(), vec![a])).collect();
        self.columns_to_rows(rel, ids, variable_name, &[value_name.to_string()], groups)
    }

    /// `UNPIVOT` of SQL: columns that are not named stay; rows whose values are all null go unless they are wanted.
    pub(super) fn unpivot_columns(
        &self,
        input: &Relation,
        include_nulls: bool,
        variable_name: &str,
        value_names: &[String],
        groups: &[(Vec<Expr>, Option<String>)],
    ) -> Result<Rel, SparkError> {
        let rel = self.relation(input)?;
        let mut named: Vec<Group> = Vec::with_capacity(groups.len());
        for (columns, alias) in groups {
            let columns = self.plain_columns(&rel, columns)?;
            if columns.len() != value_names.len() {
                let sentence = format!(
                    "All unpivot value columns must have the same size as there are value column names ({}).",
                    value_names.len()
                );
                return Err(errors::analysis("UNPIVOT_VALUE_SIZE_MISMATCH", "428C4", sentence)
                    .with("names", value_names.len().to_string()));
            }
            let names: Vec<&str> = columns.iter().map(|a| a.name.as_str()).collect();
            named.push((alias.clone().unwrap_or_else(|| names.join("_")), columns));
        }
        let used = |a: &Attribute| named.iter().any(|(_, columns)| columns.iter().any(|c| c.column == a.column));
        let ids: Vec<Attribute> = rel.output.iter().filter(|a| !used(a)).cloned().collect();
        let values_from = ids.len() + 1;
        let rows = self.columns_to_rows(rel, ids, variable_name, value_names, named)?;
        if include_nulls {
            return Ok(rows);
        }
        let values = rows.output.get(values_from..).unwrap_or(&[]);
        let present = values.iter().map(|a| Expr::call("isnotnull", vec![reference(a)]));
        match present.reduce(|any, next| Expr::call("or", vec![any, next])) {
            Some(condition) => self.filtered(rows, &condition),
            None => Ok(rows),
        }
    }

    fn plain_columns(&self, rel: &Rel, columns: &[Expr]) -> Result<Vec<Attribute>, SparkError> {
        let resolved = self.select_list(rel, columns)?;
        let plain = |r: Resolved| {
            r.attribute.ok_or_else(|| {
                let sentence = "UNPIVOT requires all given id and value expressions to be columns.";
                errors::analysis("UNPIVOT_REQUIRES_ATTRIBUTES", "42K0A", sentence)
            })
        };
        resolved.into_iter().map(plain).collect()
    }

    fn columns_to_rows(
        &self,
        rel: Rel,
        ids: Vec<Attribute>,
        variable_name: &str,
        value_names: &[String],
        groups: Vec<Group>,
    ) -> Result<Rel, SparkError> {
        let types = self.value_types(&groups, value_names)?;
        let structs = groups.iter().map(|(name, columns)| {
            let mut arguments = vec![Expr::string(variable_name), Expr::string(name)];
            for ((column, data_type), value_name) in columns.iter().zip(&types).zip(value_names) {
                arguments.push(Expr::string(value_name));
                let value = reference(column);
                arguments.push(if column.data_type == *data_type { value } else { cast(value, data_type.clone()) });
            }
            Expr::call("named_struct", arguments)
        });
        let rows = Expr::call("inline", vec![Expr::call("array", structs.collect())]);
        let names = std::iter::once(variable_name.to_string()).chain(value_names.iter().cloned()).collect();
        let generator = Expr::Alias { expr: Box::new(rows), names, metadata: None };
        let mut list: Vec<Resolved> = ids.iter().map(Resolved::column).collect();
        list.push(self.resolve(&generator, &Scope::of(&rel))?);
        self.list(rel, list)
    }

    /// The type of each column of values.
    fn value_types(&self, groups: &[Group], value_names: &[String]) -> Result<Vec<DataType>, SparkError> {
        (0..value_names.len())
            .map(|at| {
                let columns: Vec<&Attribute> = groups.iter().filter_map(|(_, columns)| columns.get(at)).collect();
                let types: Vec<DataType> = columns.iter().map(|a| a.data_type.clone()).collect();
                common_type_without_strings(&types, self.context.ansi).ok_or_else(|| type_mismatch(&columns))
            })
            .collect()
    }
}

fn type_mismatch(columns: &[&Attribute]) -> SparkError {
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    for column in columns {
        let kind = Analyzer::type_name(&column.data_type);
        let name = errors::quoted_one(&column.name);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, names)) => names.push(name),
            None => kinds.push((kind, vec![name])),
        }
    }
    let kinds: Vec<String> =
        kinds.into_iter().map(|(kind, names)| format!("\"{kind}\" ({})", names.join(", "))).collect();
    let sentence =
        format!("Unpivot value columns must share a least common type, some types do not: [{}].", kinds.join(", "));
    errors::analysis("UNPIVOT_VALUE_DATA_TYPE_MISMATCH", "42K09", sentence)
}
