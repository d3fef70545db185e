//! Relations that rename, add, drop and turn columns, or only say how rows are spread.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::RelationOp;
use spark_connect_proto as pb;

use crate::convert::{Convert, invalid, schema_of};

impl Convert<'_> {
    pub(super) fn subquery_alias(&self, message: &pb::SubqueryAlias) -> Result<RelationOp, SparkError> {
        // `qualifier` is of views of the JVM's catalog and never sent by Python.
        let pb::SubqueryAlias { input, alias, qualifier: _ } = message;
        Ok(RelationOp::SubqueryAlias { input: self.input(input)?, alias: alias.clone(), columns: Vec::new() })
    }

    pub(super) fn renamed_columns(&self, message: &pb::ToDf) -> Result<RelationOp, SparkError> {
        let pb::ToDf { input, column_names } = message;
        Ok(RelationOp::ToDf { input: self.input(input)?, names: column_names.clone() })
    }

    pub(super) fn with_columns_renamed(&self, message: &pb::WithColumnsRenamed) -> Result<RelationOp, SparkError> {
        let pb::WithColumnsRenamed { input, rename_columns_map, renames } = message;
        let mut pairs: Vec<_> = rename_columns_map.clone().into_iter().collect();
        pairs.extend(renames.iter().map(|pb::with_columns_renamed::Rename { col_name, new_col_name }| {
            (col_name.clone(), new_col_name.clone())
        }));
        Ok(RelationOp::WithColumnsRenamed { input: self.input(input)?, renames: pairs })
    }

    pub(super) fn with_columns(&self, message: &pb::WithColumns) -> Result<RelationOp, SparkError> {
        let pb::WithColumns { input, aliases } = message;
        let columns = aliases.iter().map(|alias| self.alias(alias)).collect::<Result<_, _>>()?;
        Ok(RelationOp::WithColumns { input: self.input(input)?, columns })
    }

    pub(super) fn drop_columns(&self, message: &pb::Drop) -> Result<RelationOp, SparkError> {
        let pb::Drop { input, columns, column_names } = message;
        Ok(RelationOp::Drop { input: self.input(input)?, columns: self.exprs(columns)?, names: column_names.clone() })
    }

    pub(super) fn under_schema(&self, message: &pb::ToSchema) -> Result<RelationOp, SparkError> {
        let pb::ToSchema { input, schema } = message;
        let schema = schema_of(self.required_type(schema.as_ref())?)?;
        Ok(RelationOp::ToSchema { input: self.input(input)?, schema })
    }

    pub(super) fn repartition(&self, message: &pb::Repartition) -> Result<RelationOp, SparkError> {
        let pb::Repartition { input, num_partitions, shuffle } = message;
        Ok(RelationOp::Repartition {
            input: self.input(input)?,
            partitions: partitions(Some(*num_partitions))?,
            expressions: Vec::new(),
            shuffle: shuffle.unwrap_or(false),
        })
    }

    pub(super) fn repartition_by_expression(
        &self,
        message: &pb::RepartitionByExpression,
    ) -> Result<RelationOp, SparkError> {
        let pb::RepartitionByExpression { input, partition_exprs, num_partitions } = message;
        Ok(RelationOp::Repartition {
            input: self.input(input)?,
            partitions: partitions(*num_partitions)?,
            expressions: self.exprs(partition_exprs)?,
            shuffle: true,
        })
    }

    pub(super) fn hint(&self, message: &pb::Hint) -> Result<RelationOp, SparkError> {
        // A hint changes how rows are computed, never which: its parameters have nothing to tell this engine.
        let pb::Hint { input, name, parameters: _ } = message;
        Ok(RelationOp::Hint { input: self.input(input)?, name: name.clone() })
    }

    pub(super) fn unpivot(&self, message: &pb::Unpivot) -> Result<RelationOp, SparkError> {
        let pb::Unpivot { input, ids, values, variable_column_name, value_column_name } = message;
        let values = values.as_ref().map(|pb::unpivot::Values { values }| self.exprs(values)).transpose()?;
        Ok(RelationOp::Unpivot {
            input: self.input(input)?,
            ids: self.exprs(ids)?,
            values,
            variable_name: variable_column_name.clone(),
            value_name: value_column_name.clone(),
        })
    }

    pub(super) fn transpose(&self, message: &pb::Transpose) -> Result<RelationOp, SparkError> {
        let pb::Transpose { input, index_columns } = message;
        Ok(RelationOp::Transpose { input: self.input(input)?, index: self.exprs(index_columns)? })
    }
}

fn partitions(number: Option<i32>) -> Result<Option<usize>, SparkError> {
    match number.map(usize::try_from).transpose() {
        Ok(Some(0)) | Err(_) => Err(invalid("The number of partitions must be positive.")),
        Ok(number) => Ok(number),
    }
}
