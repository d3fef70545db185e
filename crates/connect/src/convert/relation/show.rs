//! Relations whose one row is a table laid out as text.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::RelationOp;
use spark_connect_proto as pb;

use crate::convert::Convert;

impl Convert<'_> {
    pub(super) fn show_string(&self, message: &pb::ShowString) -> Result<RelationOp, SparkError> {
        let pb::ShowString { input, num_rows, truncate, vertical } = message;
        Ok(RelationOp::ShowString {
            input: self.input(input)?,
            rows: *num_rows,
            truncate: *truncate,
            vertical: *vertical,
        })
    }

    pub(super) fn html_string(&self, message: &pb::HtmlString) -> Result<RelationOp, SparkError> {
        let pb::HtmlString { input, num_rows, truncate } = message;
        Ok(RelationOp::HtmlString { input: self.input(input)?, rows: *num_rows, truncate: *truncate })
    }
}
