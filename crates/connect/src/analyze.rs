//! `AnalyzePlan`: questions about a plan that need no rows.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::datatypes::DataType;
use millstream::ir::{Relation, RelationOp};
use millstream_formats::condition::SparkError;
use millstream_formats::types::{from_json, schema_ddl, tree_string};
use millstream_plan::explain::ExplainMode as Mode;
use spark_connect_proto as pb;
use spark_connect_proto::analyze_plan_request::explain::ExplainMode;
use spark_connect_proto::analyze_plan_request::{self as ask, Analyze};
use spark_connect_proto::analyze_plan_response::{self as answer, Result as Answer};

use crate::convert::types::{schema_message, type_message};
use crate::convert::{invalid, required};
use crate::plan::plan_relation;
use crate::session::ClientSession;

/// The version of Spark whose behaviour clients find here.
pub const SPARK_VERSION: &str = "4.2.0";

/// Answers a question. Blocks.
///
/// # Errors
/// Spark's analysis errors.
pub(crate) fn analyze(session: &ClientSession, question: Option<Analyze>) -> Result<Answer, SparkError> {
    Ok(match required(question, "the question of an analyze request")? {
        Analyze::Schema(ask::Schema { plan }) => {
            let schema = resolve(session, plan)?.schema();
            Answer::Schema(answer::Schema { schema: Some(schema_message(&schema)?) })
        }
        Analyze::Explain(ask::Explain { plan, explain_mode }) => explain(session, plan, explain_mode)?,
        Analyze::TreeString(ask::TreeString { plan, level }) => {
            let schema = resolve(session, plan)?.schema();
            let depth = level.and_then(|level| usize::try_from(level).ok());
            Answer::TreeString(answer::TreeString { tree_string: tree_string(schema.fields(), depth) })
        }
        Analyze::IsLocal(ask::IsLocal { plan }) => {
            let relation = relation(session, plan)?;
            session.engine_session().analyze(&relation)?;
            Answer::IsLocal(answer::IsLocal { is_local: is_local(&relation) })
        }
        Analyze::IsStreaming(ask::IsStreaming { plan }) => {
            Answer::IsStreaming(answer::IsStreaming { is_streaming: resolve(session, plan)?.streaming })
        }
        Analyze::InputFiles(ask::InputFiles { plan }) => {
            let files = session.engine_session().input_files(&relation(session, plan)?)?;
            Answer::InputFiles(answer::InputFiles { files })
        }
        Analyze::SparkVersion(ask::SparkVersion {}) => {
            Answer::SparkVersion(answer::SparkVersion { version: SPARK_VERSION.to_string() })
        }
        Analyze::DdlParse(ask::DdlParse { ddl_string }) => {
            let parsed = session.engine_session().parse_ddl(&ddl_string)?;
            Answer::DdlParse(answer::DdlParse { parsed: Some(type_message(&parsed)?) })
        }
        Analyze::SameSemantics(ask::SameSemantics { target_plan, other_plan }) => {
            let result = semantics(session, target_plan)? == semantics(session, other_plan)?;
            Answer::SameSemantics(answer::SameSemantics { result })
        }
        Analyze::SemanticHash(ask::SemanticHash { plan }) => {
            Answer::SemanticHash(answer::SemanticHash { result: hash(&semantics(session, plan)?) })
        }
        Analyze::Persist(ask::Persist { relation, storage_level }) => {
            let hash = relation_hash(session, relation)?;
            session.storage_levels.lock().insert(hash, storage_level.unwrap_or_else(memory_and_disk));
            Answer::Persist(answer::Persist {})
        }
        Analyze::Unpersist(ask::Unpersist { relation, blocking: _ }) => {
            let hash = relation_hash(session, relation)?;
            session.storage_levels.lock().remove(&hash);
            Answer::Unpersist(answer::Unpersist {})
        }
        Analyze::GetStorageLevel(ask::GetStorageLevel { relation }) => {
            let hash = relation_hash(session, relation)?;
            let level = session.storage_levels.lock().get(&hash).copied();
            let none = pb::StorageLevel { replication: 1, ..pb::StorageLevel::default() };
            Answer::GetStorageLevel(answer::GetStorageLevel { storage_level: Some(level.unwrap_or(none)) })
        }
        Analyze::JsonToDdl(ask::JsonToDdl { json_string }) => match from_json(&json_string)? {
            DataType::Struct(fields) => Answer::JsonToDdl(answer::JsonToDdl { ddl_string: schema_ddl(&fields) }),
            other => return Err(invalid(format!("{other} is no struct type."))),
        },
    })
}

fn relation(session: &ClientSession, plan: Option<pb::Plan>) -> Result<Relation, SparkError> {
    session.convert().relation(&plan_relation(plan)?)
}

fn resolve(
    session: &ClientSession,
    plan: Option<pb::Plan>,
) -> Result<millstream_plan::resolved::ResolvedPlan, SparkError> {
    session.engine_session().analyze(&relation(session, plan)?)
}

fn explain(session: &ClientSession, plan: Option<pb::Plan>, mode: i32) -> Result<Answer, SparkError> {
    let mode = match ExplainMode::try_from(mode) {
        Ok(ExplainMode::Simple) => Mode::Simple,
        Ok(ExplainMode::Extended) => Mode::Extended,
        Ok(ExplainMode::Codegen) => Mode::Codegen,
        Ok(ExplainMode::Cost) => Mode::Cost,
        Ok(ExplainMode::Formatted) => Mode::Formatted,
        Ok(ExplainMode::Unspecified) | Err(_) => return Err(invalid(format!("{mode} is no mode of explain."))),
    };
    let explain_string = session.engine_session().explain(&relation(session, plan)?, mode)?;
    Ok(Answer::Explain(answer::Explain { explain_string }))
}

/// Whether collecting needs no computation: rows that came with the plan.
fn is_local(relation: &Relation) -> bool {
    match relation.op.as_ref() {
        RelationOp::Local { .. } | RelationOp::Catalog(_) => true,
        RelationOp::ToDf { input, .. } => is_local(input),
        _ => false,
    }
}

/// A text that is the same for two plans that compute the same: names of columns do not count.
fn semantics(session: &ClientSession, plan: Option<pb::Plan>) -> Result<String, SparkError> {
    let relation = relation(session, plan)?;
    let resolved = session.engine_session().analyze(&relation)?;
    let mut text = numbered_anew(&resolved.plan.display_indent().to_string());
    leaves(&relation, &mut text);
    Ok(text)
}

/// Numbers the internal names of columns (`#` and a number that is new in each analysis) in the order they occur.
fn numbered_anew(text: &str) -> String {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut parts = text.split('#');
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        out.push('#');
        if !number.is_empty() {
            let next = numbers.len();
            out.push_str(&numbers.entry(number).or_insert(next).to_string());
        }
        out.push_str(rest);
    }
    out
}

/// What the plan reads counts too; the plan's own text only names its tables.
fn leaves(relation: &Relation, text: &mut String) {
    use std::fmt::Write;
    let inputs = relation.inputs();
    if inputs.is_empty() {
        let _infallible = write!(text, "{:?}", relation.op);
    }
    inputs.into_iter().for_each(|input| leaves(input, text));
}

fn hash(text: &str) -> i32 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let hash = hasher.finish();
    // The protocol's hash has 32 bits: both halves count.
    i32::from_ne_bytes(((hash >> 32) as u32 ^ hash as u32).to_ne_bytes())
}

fn relation_hash(session: &ClientSession, relation: Option<pb::Relation>) -> Result<i32, SparkError> {
    let plan = relation.map(|relation| pb::Plan { op_type: Some(pb::plan::OpType::Root(relation)) });
    Ok(hash(&semantics(session, plan)?))
}

/// `MEMORY_AND_DISK_DESER`, what `persist()` means without an argument.
fn memory_and_disk() -> pb::StorageLevel {
    pb::StorageLevel { use_disk: true, use_memory: true, use_off_heap: false, deserialized: true, replication: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_that_differ_in_the_numbers_of_their_columns_are_the_same() {
        let first = numbered_anew("Projection: #17 * 2 AS #18\n  Scan: #17, #");
        assert_eq!(first, numbered_anew("Projection: #3 * 2 AS #40\n  Scan: #3, #"));
        assert_ne!(first, numbered_anew("Projection: #3 * 2 AS #40\n  Scan: #40, #"));
    }
}
