//! `Config`: settings of a session.

use millstream::Session;
use millstream_formats::condition::SparkError;
use spark_connect_proto as pb;
use spark_connect_proto::config_request::operation::OpType;
use spark_connect_proto::config_request::{self as ask, Operation};

use crate::convert::required;

/// Does what the request says; the pairs of the answer.
///
/// # Errors
/// `SQL_CONF_NOT_FOUND`, `CANNOT_MODIFY_STATIC_CONFIG`, a value that does not fit.
pub(crate) fn config(session: &Session, operation: Option<Operation>) -> Result<Vec<pb::KeyValue>, SparkError> {
    let Operation { op_type } = required(operation, "the operation of a config request")?;
    let conf = session.conf();
    match required(op_type, "the operation of a config request")? {
        OpType::Set(ask::Set { pairs, silent }) => {
            pairs.iter().try_for_each(|pair| set(session, pair, silent.unwrap_or(false)))?;
            Ok(Vec::new())
        }
        OpType::Get(ask::Get { keys }) => {
            keys.into_iter().map(|key| conf.get(&key).map(|value| pb::KeyValue { key, value })).collect()
        }
        OpType::GetWithDefault(ask::GetWithDefault { pairs }) => {
            // The default of the request takes precedence over the setting's own.
            let pairs = pairs.into_iter().map(|pb::KeyValue { key, value }| {
                let value = conf.explicit(&key).or(value).or_else(|| conf.get_option(&key));
                pb::KeyValue { key, value }
            });
            Ok(pairs.collect())
        }
        OpType::GetOption(ask::GetOption { keys }) => {
            Ok(keys.into_iter().map(|key| pb::KeyValue { value: conf.get_option(&key), key }).collect())
        }
        OpType::GetAll(ask::GetAll { prefix }) => Ok(all(session, prefix.as_deref().unwrap_or_default())),
        OpType::Unset(ask::Unset { keys }) => {
            keys.iter().try_for_each(|key| conf.unset(key))?;
            Ok(Vec::new())
        }
        OpType::IsModifiable(ask::IsModifiable { keys }) => {
            let answer = |key: String| pb::KeyValue { value: Some(conf.is_modifiable(&key).to_string()), key };
            Ok(keys.into_iter().map(answer).collect())
        }
    }
}

fn set(session: &Session, pair: &pb::KeyValue, silent: bool) -> Result<(), SparkError> {
    let pb::KeyValue { key, value } = pair;
    match (value, silent) {
        (Some(value), true) => session.conf().set_silently(key, value),
        (Some(value), false) => session.conf().set(key, value)?,
        (None, true) => {}
        (None, false) => session.conf().unset(key)?,
    }
    Ok(())
}

/// All settings whose keys begin with the prefix, the prefix taken off.
fn all(session: &Session, prefix: &str) -> Vec<pb::KeyValue> {
    let all = session.conf().all().into_iter();
    let matching = all.filter_map(|(key, value)| {
        Some(pb::KeyValue { key: key.strip_prefix(prefix)?.to_string(), value: Some(value) })
    });
    matching.collect()
}
