//! What a plan message holds: a relation or a command, plain or compressed.

use std::io::Read;

use bytes::Bytes;
use millstream_formats::condition::SparkError;
use spark_connect_proto as pb;
use spark_connect_proto::plan::{CompressedOperation, OpType};

use crate::codec;
use crate::convert::{invalid, required};

/// Bytes a compressed plan may unpack to.
const PLAN_BYTES_MAX: u64 = 512 << 20;

/// A relation or a command.
pub(crate) enum PlanOp {
    Relation(Box<pb::Relation>),
    Command(Box<pb::Command>),
}

/// Unpacks a plan.
pub(crate) fn plan_op(plan: Option<pb::Plan>) -> Result<PlanOp, SparkError> {
    let pb::Plan { op_type } = required(plan, "the plan of the request")?;
    match required(op_type, "the plan of the request")? {
        OpType::Root(relation) => Ok(PlanOp::Relation(Box::new(relation))),
        OpType::Command(command) => Ok(PlanOp::Command(Box::new(command))),
        OpType::CompressedOperation(compressed) => decompress(compressed),
    }
}

/// A plan that must be a relation.
pub(crate) fn plan_relation(plan: Option<pb::Plan>) -> Result<pb::Relation, SparkError> {
    match plan_op(plan)? {
        PlanOp::Relation(relation) => Ok(*relation),
        PlanOp::Command(_) => Err(invalid("A relation is wanted, and the plan is a command.")),
    }
}

fn decompress(message: CompressedOperation) -> Result<PlanOp, SparkError> {
    use pb::plan::compressed_operation::OpType as Kind;
    let CompressedOperation { data, op_type, compression_codec } = message;
    if pb::CompressionCodec::try_from(compression_codec) != Ok(pb::CompressionCodec::Zstd) {
        return Err(invalid("The codec of a compressed plan is not known."));
    }
    let bytes = unpack(&data)?;
    let unreadable = |status: tonic::Status| invalid(status.message());
    match Kind::try_from(op_type) {
        Ok(Kind::Relation) => codec::decode(bytes).map(|r| PlanOp::Relation(Box::new(r))).map_err(unreadable),
        Ok(Kind::Command) => codec::decode(bytes).map(|c| PlanOp::Command(Box::new(c))).map_err(unreadable),
        _ => Err(invalid("A compressed plan does not say what it is.")),
    }
}

fn unpack(data: &[u8]) -> Result<Bytes, SparkError> {
    let damaged = |error: std::io::Error| invalid(format!("A compressed plan cannot be unpacked: {error}"));
    let mut bytes = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(data).map_err(damaged)?;
    decoder.take(PLAN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 > PLAN_BYTES_MAX {
        return Err(invalid(format!("A plan may not be longer than {PLAN_BYTES_MAX} bytes.")));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_compressed_relation_is_unpacked_and_a_damaged_one_refused() {
        let range = pb::Range { end: 3, step: 1, ..pb::Range::default() };
        let relation = pb::Relation { common: None, rel_type: Some(pb::relation::RelType::Range(range)) };
        let data = zstd::encode_all(relation.encode_to_vec().as_slice(), 0).expect("compress");
        let plan = |data: Vec<u8>| {
            let compressed = CompressedOperation { data: data.into(), op_type: 1, compression_codec: 1 };
            Some(pb::Plan { op_type: Some(OpType::CompressedOperation(compressed)) })
        };
        assert_eq!(plan_relation(plan(data)).expect("relation"), relation);
        assert!(plan_relation(plan(vec![1, 2, 3])).is_err());
        assert!(plan_relation(None).is_err());
    }
}
