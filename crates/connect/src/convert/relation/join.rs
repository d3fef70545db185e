//! Relations of two inputs.

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{Expr, Join, JoinKind, RelationOp, SetKind, SetOperation};
use spark_connect_proto as pb;

use crate::convert::{Convert, invalid};

impl Convert<'_> {
    pub(super) fn join(&self, message: &pb::Join) -> Result<RelationOp, SparkError> {
        let pb::Join { left, right, join_condition, join_type, using_columns, join_data_type } = message;
        if join_data_type.is_some() {
            return Err(SparkError::unsupported("joinWith"));
        }
        Ok(RelationOp::Join(Join {
            left: self.input(left)?,
            right: self.input(right)?,
            condition: self.condition(join_condition)?,
            using: using_columns.clone(),
            natural: false,
            kind: join_kind(*join_type)?,
        }))
    }

    pub(super) fn lateral_join(&self, message: &pb::LateralJoin) -> Result<RelationOp, SparkError> {
        let pb::LateralJoin { left, right, join_condition, join_type } = message;
        let kind = join_kind(*join_type)?;
        if !matches!(kind, JoinKind::Inner | JoinKind::LeftOuter | JoinKind::Cross) {
            return Err(SparkError::unsupported(format_args!("A lateral join of type {kind:?}")));
        }
        Ok(RelationOp::LateralJoin {
            left: self.input(left)?,
            right: self.input(right)?,
            condition: self.condition(join_condition)?,
            kind,
        })
    }

    fn condition(&self, message: &Option<pb::Expression>) -> Result<Option<Expr>, SparkError> {
        message.as_ref().map(|condition| self.expr(condition)).transpose()
    }

    pub(super) fn set_operation(&self, message: &pb::SetOperation) -> Result<RelationOp, SparkError> {
        use pb::set_operation::SetOpType;
        let pb::SetOperation { left_input, right_input, set_op_type, is_all, by_name, allow_missing_columns } = message;
        let kind = match SetOpType::try_from(*set_op_type) {
            Ok(SetOpType::Union) => SetKind::Union,
            Ok(SetOpType::Intersect) => SetKind::Intersect,
            Ok(SetOpType::Except) => SetKind::Except,
            _ => return Err(invalid("A set operation has no kind.")),
        };
        Ok(RelationOp::SetOperation(SetOperation {
            left: self.input(left_input)?,
            right: self.input(right_input)?,
            kind,
            all: is_all.unwrap_or(false),
            by_name: by_name.unwrap_or(false),
            allow_missing: allow_missing_columns.unwrap_or(false),
        }))
    }
}

fn join_kind(value: i32) -> Result<JoinKind, SparkError> {
    use pb::join::JoinType;
    Ok(match JoinType::try_from(value) {
        Ok(JoinType::Inner) => JoinKind::Inner,
        Ok(JoinType::FullOuter) => JoinKind::FullOuter,
        Ok(JoinType::LeftOuter) => JoinKind::LeftOuter,
        Ok(JoinType::RightOuter) => JoinKind::RightOuter,
        Ok(JoinType::LeftAnti) => JoinKind::LeftAnti,
        Ok(JoinType::LeftSemi) => JoinKind::LeftSemi,
        Ok(JoinType::Cross) => JoinKind::Cross,
        Ok(JoinType::Unspecified) | Err(_) => return Err(invalid("A join has no type.")),
    })
}
