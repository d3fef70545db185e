//! Settings of a session: what was set, Spark's defaults for the rest, and what may not be set.

use std::collections::BTreeMap;

use millstream_formats::condition::{ExceptionClass, SparkError};
use parking_lot::RwLock;

/// How a value is checked when it is set.
#[derive(Clone, Copy)]
enum Check {
    Any,
    Boolean,
    /// A whole number.
    Integer,
    /// A whole number above 0.
    Positive,
    /// A number of bytes: `512m`, `2g`, `1048576`.
    Bytes,
    /// A region id or an offset.
    TimeZone,
    /// One of a few words, compared without regard to case; the sentence lists them.
    Word(&'static [&'static str], &'static str),
}

/// A setting that Spark knows: key, default (none: known, without a value), check.
struct Known(&'static str, Option<&'static str>, Check);

use Check::{Any, Boolean, Bytes, Integer, Positive, TimeZone, Word};

const POLICIES: Check = Word(
    &["min", "max"],
    "Invalid value for 'spark.sql.streaming.multipleWatermarkPolicy'. Valid values are 'min' and 'max'",
);

/// The settings programs and clients read (shared facts: connect.md 2, checkpoint.md 3.1), and those the engine obeys.
const KNOWN: &[Known] = &[
    Known("spark.connect.session.planCompression.defaultAlgorithm", Some("ZSTD"), Any),
    Known("spark.connect.session.planCompression.threshold", Some("10485760"), Integer),
    Known("spark.millstream.checkpoint.fsync", Some("false"), Boolean),
    Known("spark.millstream.metrics.host", None, Any),
    Known("spark.millstream.metrics.port", None, Integer),
    Known("spark.millstream.state.memoryLimit", None, Bytes),
    Known("spark.python.sql.dataFrameDebugging.enabled", Some("true"), Boolean),
    Known("spark.sql.adaptive.enabled", Some("true"), Boolean),
    Known("spark.sql.ansi.enabled", Some("true"), Boolean),
    Known("spark.sql.autoBroadcastJoinThreshold", Some("10485760b"), Any),
    Known("spark.sql.caseSensitive", Some("false"), Boolean),
    Known("spark.sql.columnNameOfCorruptRecord", Some("_corrupt_record"), Any),
    Known("spark.sql.connect.serverStacktrace.enabled", Some("false"), Boolean),
    Known("spark.sql.crossJoin.enabled", Some("true"), Boolean),
    Known("spark.sql.csv.filterPushdown.enabled", Some("true"), Boolean),
    Known("spark.sql.defaultCatalog", Some("spark_catalog"), Any),
    Known("spark.sql.execution.arrow.maxBytesPerBatch", Some("67108864"), Any),
    Known("spark.sql.execution.arrow.maxRecordsPerBatch", Some("10000"), Integer),
    Known("spark.sql.execution.arrow.pyspark.enabled", Some("true"), Boolean),
    Known("spark.sql.execution.arrow.pyspark.fallback.enabled", Some("true"), Boolean),
    Known("spark.sql.execution.arrow.pyspark.selfDestruct.enabled", Some("false"), Boolean),
    Known("spark.sql.execution.arrow.useLargeVarTypes", Some("false"), Boolean),
    Known("spark.sql.execution.pandas.convertToArrowArraySafely", Some("true"), Boolean),
    Known("spark.sql.execution.pandas.inferPandasDictAsMap", Some("false"), Boolean),
    Known("spark.sql.execution.pandas.structHandlingMode", Some("legacy"), Any),
    Known("spark.sql.execution.pyspark.binaryAsBytes", Some("true"), Boolean),
    Known("spark.sql.execution.pythonUDF.arrow.enabled", Some("true"), Boolean),
    Known("spark.sql.execution.pythonUDTF.arrow.enabled", Some("true"), Boolean),
    Known("spark.sql.files.ignoreCorruptFiles", Some("false"), Boolean),
    Known("spark.sql.files.ignoreMissingFiles", Some("false"), Boolean),
    Known("spark.sql.files.maxPartitionBytes", Some("134217728b"), Any),
    Known("spark.sql.function.protobufExtensions.enabled", Some("false"), Boolean),
    Known("spark.sql.json.filterPushdown.enabled", Some("true"), Boolean),
    Known("spark.sql.legacy.timeParserPolicy", Some("CORRECTED"), Any),
    Known("spark.sql.mapKeyDedupPolicy", Some("EXCEPTION"), Any),
    Known("spark.sql.optimizer.pruneFiltersCanPruneStreamingSubplan", Some("false"), Boolean),
    Known("spark.sql.orderByOrdinal", Some("true"), Boolean),
    Known("spark.sql.parquet.compression.codec", Some("snappy"), Any),
    Known("spark.sql.pyspark.inferNestedDictAsStruct.enabled", Some("false"), Boolean),
    Known("spark.sql.pyspark.jvmStacktrace.enabled", Some("false"), Boolean),
    Known("spark.sql.pyspark.legacy.inferArrayTypeFromFirstElement.enabled", Some("false"), Boolean),
    Known("spark.sql.pyspark.legacy.inferMapTypeFromFirstPair.enabled", Some("false"), Boolean),
    Known("spark.sql.pyspark.plotting.max_rows", Some("1000"), Integer),
    Known("spark.sql.repl.eagerEval.enabled", Some("false"), Boolean),
    Known("spark.sql.repl.eagerEval.maxNumRows", Some("20"), Integer),
    Known("spark.sql.repl.eagerEval.truncate", Some("20"), Integer),
    Known("spark.sql.session.localRelationBatchOfChunksSizeBytes", Some("1073741824"), Integer),
    Known("spark.sql.session.localRelationCacheThreshold", Some("1048576"), Integer),
    Known("spark.sql.session.localRelationChunkSizeBytes", Some("16777216"), Integer),
    Known("spark.sql.session.localRelationChunkSizeRows", Some("10000"), Integer),
    Known("spark.sql.session.localRelationSizeLimit", Some("3221225472"), Integer),
    Known("spark.sql.session.timeZone", None, TimeZone),
    Known("spark.sql.shuffle.partitions", Some("200"), Positive),
    Known("spark.sql.sources.default", Some("parquet"), Any),
    Known("spark.sql.sources.partitionColumnTypeInference.enabled", Some("true"), Boolean),
    Known("spark.sql.sources.partitionOverwriteMode", Some("STATIC"), Any),
    Known("spark.sql.stackTracesInDataFrameContext", Some("1"), Integer),
    Known("spark.sql.streaming.aggregation.stateFormatVersion", Some("2"), Integer),
    Known("spark.sql.streaming.checkpointLocation", None, Any),
    Known("spark.sql.streaming.fileSink.log.compactInterval", Some("10"), Positive),
    Known("spark.sql.streaming.fileSource.log.compactInterval", Some("10"), Positive),
    Known("spark.sql.streaming.flatMapGroupsWithState.stateFormatVersion", Some("2"), Integer),
    Known("spark.sql.streaming.forceDeleteTempCheckpointLocation", Some("false"), Boolean),
    Known("spark.sql.streaming.join.stateFormatVersion", Some("2"), Integer),
    Known("spark.sql.streaming.minBatchesToRetain", Some("100"), Positive),
    Known("spark.sql.streaming.multipleWatermarkPolicy", Some("min"), POLICIES),
    Known("spark.sql.streaming.noDataMicroBatches.enabled", Some("true"), Boolean),
    Known("spark.sql.streaming.noDataProgressEventInterval", Some("10000ms"), Any),
    Known("spark.sql.streaming.numRecentProgressUpdates", Some("100"), Positive),
    Known("spark.sql.streaming.pollingDelay", Some("10ms"), Any),
    Known("spark.sql.streaming.queryEvolution.enableSourceEvolution", Some("false"), Boolean),
    Known("spark.sql.streaming.schemaInference", Some("false"), Boolean),
    Known("spark.sql.streaming.stateStore.compression.codec", Some("lz4"), Any),
    Known("spark.sql.streaming.stateStore.encodingFormat", Some("unsaferow"), Any),
    Known("spark.sql.streaming.stateStore.minDeltasForSnapshot", Some("10"), Integer),
    Known(
        "spark.sql.streaming.stateStore.providerClass",
        Some("org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider"),
        Any,
    ),
    Known("spark.sql.streaming.stateStore.rocksdb.formatVersion", Some("5"), Integer),
    Known("spark.sql.streaming.stateStore.rocksdb.mergeOperatorVersion", Some("2"), Integer),
    Known("spark.sql.streaming.stateStore.rowChecksum.enabled", Some("false"), Boolean),
    Known("spark.sql.streaming.statefulOperator.checkCorrectness.enabled", Some("true"), Boolean),
    Known("spark.sql.streaming.statefulOperator.useStrictDistribution", Some("true"), Boolean),
    Known("spark.sql.streaming.stopActiveRunOnRestart", Some("true"), Boolean),
    Known("spark.sql.timeType.enabled", Some("true"), Boolean),
    Known(
        "spark.sql.timestampType",
        Some("TIMESTAMP_LTZ"),
        Word(&["TIMESTAMP_LTZ", "TIMESTAMP_NTZ"], "TIMESTAMP_LTZ or TIMESTAMP_NTZ"),
    ),
    Known("spark.sql.variable.substitute", Some("true"), Boolean),
    Known("spark.sql.warehouse.dir", None, Any),
];

/// Settings that are fixed when a session begins.
const STATIC: &[&str] = &[
    "spark.sql.warehouse.dir",
    "spark.sql.catalogImplementation",
    "spark.sql.extensions",
    "spark.sql.globalTempDatabase",
    "spark.sql.streaming.streamingQueryListeners",
    "spark.sql.streaming.ui.enabled",
    "spark.sql.ui.retainedExecutions",
    "spark.sql.queryExecutionListeners",
];

/// The 15 settings that the offset log pins (checkpoint.md 3.1).
const PINNED: &[&str] = &[
    "spark.sql.streaming.stateStore.providerClass",
    "spark.sql.shuffle.partitions",
    "spark.sql.streaming.multipleWatermarkPolicy",
    "spark.sql.streaming.aggregation.stateFormatVersion",
    "spark.sql.streaming.flatMapGroupsWithState.stateFormatVersion",
    "spark.sql.streaming.join.stateFormatVersion",
    "spark.sql.streaming.stateStore.compression.codec",
    "spark.sql.streaming.stateStore.encodingFormat",
    "spark.sql.streaming.stateStore.rowChecksum.enabled",
    "spark.sql.streaming.statefulOperator.useStrictDistribution",
    "spark.sql.optimizer.pruneFiltersCanPruneStreamingSubplan",
    "spark.sql.streaming.stateStore.rocksdb.formatVersion",
    "spark.sql.streaming.stateStore.rocksdb.mergeOperatorVersion",
    "spark.sql.function.protobufExtensions.enabled",
    "spark.sql.streaming.queryEvolution.enableSourceEvolution",
];

fn known(key: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.0 == key)
}

/// Settings of one session. Reading and writing may happen from several threads.
#[derive(Debug)]
pub struct Conf {
    set: RwLock<BTreeMap<String, String>>,
    /// Values that stand in place of a missing default: time zone of the machine, warehouse.
    machine: BTreeMap<&'static str, String>,
}

impl Conf {
    /// Nothing set. `time_zone` and `warehouse` are the defaults of this machine.
    pub fn new(time_zone: String, warehouse: String) -> Self {
        let machine =
            BTreeMap::from([("spark.sql.session.timeZone", time_zone), ("spark.sql.warehouse.dir", warehouse)]);
        Self { set: RwLock::new(BTreeMap::new()), machine }
    }

    /// The same settings, from now on apart.
    pub fn fork(&self) -> Self {
        Self { set: RwLock::new(self.set.read().clone()), machine: self.machine.clone() }
    }

    /// A value or its default; none if it has neither.
    pub fn get_option(&self, key: &str) -> Option<String> {
        let set = self.set.read().get(key).cloned();
        set.or_else(|| self.machine.get(key).cloned()).or_else(|| known(key)?.1.map(str::to_string))
    }

    /// A value or its default, or none for a known key without either.
    ///
    /// # Errors
    /// `SQL_CONF_NOT_FOUND` for a key that is neither set nor known.
    pub fn get(&self, key: &str) -> Result<Option<String>, SparkError> {
        match self.get_option(key) {
            None if known(key).is_none() => Err(SparkError::new(
                ExceptionClass::NoSuchElement,
                "SQL_CONF_NOT_FOUND",
                "42K0I",
                format!("The SQL config \"{key}\" cannot be found. Please verify that the config exists."),
            )
            .with("sqlConf", format!("\"{key}\""))),
            value => Ok(value),
        }
    }

    /// What was set under this key, without defaults.
    pub fn explicit(&self, key: &str) -> Option<String> {
        self.set.read().get(key).cloned()
    }

    /// Everything that was set, by key.
    pub fn all(&self) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> =
            self.machine.iter().map(|(k, v)| ((*k).to_string(), v.clone())).collect();
        all.extend(self.set.read().iter().map(|(k, v)| (k.clone(), v.clone())));
        all
    }

    /// Whether a running session may change it.
    pub fn is_modifiable(&self, key: &str) -> bool {
        known(key).is_some() && !STATIC.contains(&key)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// `CANNOT_MODIFY_STATIC_CONFIG` for a fixed key, `INVALID_CONF_VALUE` for a value that does not fit.
    pub fn set(&self, key: &str, value: &str) -> Result<(), SparkError> {
        if STATIC.contains(&key) {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "CANNOT_MODIFY_STATIC_CONFIG",
                "46110",
                format!("Cannot modify the value of the static Spark config: \"{key}\"."),
            )
            .with("key", format!("\"{key}\"")));
        }
        if let Some(Known(_, _, check)) = known(key) {
            check_value(key, value, *check)?;
        }
        self.set.write().insert(key.to_string(), value.to_string());
        Ok(())
    }

    /// Sets a value as the options of a session builder are set: nothing is refused, what cannot be set is left alone.
    pub fn set_silently(&self, key: &str, value: &str) {
        if let Err(error) = self.set(key, value) {
            tracing::debug!("a session option is left alone: {error}");
        }
    }

    /// Back to the default.
    ///
    /// # Errors
    /// `CANNOT_MODIFY_STATIC_CONFIG` for a fixed key.
    pub fn unset(&self, key: &str) -> Result<(), SparkError> {
        if STATIC.contains(&key) {
            return self.set(key, "");
        }
        self.set.write().remove(key);
        Ok(())
    }

    /// Back to the defaults.
    pub fn reset(&self) {
        self.set.write().clear();
    }

    /// A boolean setting; false if it is none.
    pub fn boolean(&self, key: &str) -> bool {
        self.get_option(key).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// A whole number; none if it is none.
    pub fn integer(&self, key: &str) -> Option<i64> {
        self.get_option(key)?.trim().parse().ok()
    }

    /// A length of time in ms: `10ms`, `5s`, `1m`, `10000`; none if it is none.
    pub fn millis(&self, key: &str) -> Option<u64> {
        let text = self.get_option(key)?;
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit.trim() {
            "" | "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor)
    }

    /// A number of bytes; none if it is not set.
    ///
    /// # Errors
    /// `INVALID_CONF_VALUE` if it was given, past the check of [`Conf::set`], as something else.
    pub fn bytes(&self, key: &str) -> Result<Option<usize>, SparkError> {
        let Some(text) = self.get_option(key) else { return Ok(None) };
        check_value(key, &text, Bytes)?;
        Ok(parse_bytes(&text))
    }

    /// The settings that a new query pins in its offset log.
    pub fn pinned(&self) -> BTreeMap<String, String> {
        PINNED.iter().filter_map(|key| Some(((*key).to_string(), self.get_option(key)?))).collect()
    }
}

/// Spark's texts of sizes: `b`, `k`, `kb`, `m`, `mb`, …, `p`, `pb` in steps of 1024; bytes without a unit.
fn parse_bytes(text: &str) -> Option<usize> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    let steps = match unit.strip_suffix('b').unwrap_or(unit) {
        "" => 0,
        step => 1 + ["k", "m", "g", "t", "p"].iter().position(|known| *known == step)? as u32,
    };
    number.parse::<usize>().ok()?.checked_mul(1024_usize.checked_pow(steps)?)
}

fn check_value(key: &str, value: &str, check: Check) -> Result<(), SparkError> {
    let trimmed = value.trim();
    match check {
        Any => Ok(()),
        Boolean if trimmed.eq_ignore_ascii_case("true") || trimmed.eq_ignore_ascii_case("false") => Ok(()),
        Boolean => Err(type_mismatch(key, value, "boolean")),
        Integer | Positive => match trimmed.parse::<i64>() {
            Ok(number) if number > 0 || matches!(check, Integer) => Ok(()),
            Ok(_) => Err(requirement(key, value, &format!("The value of {key} must be positive"))),
            Err(_) => Err(type_mismatch(key, value, "int")),
        },
        Bytes if parse_bytes(trimmed).is_some() => Ok(()),
        Bytes => Err(type_mismatch(key, value, "bytes")),
        Word(words, sentence) => {
            if words.iter().any(|w| w.eq_ignore_ascii_case(trimmed)) {
                Ok(())
            } else {
                Err(requirement(key, value, sentence))
            }
        }
        TimeZone => {
            if trimmed.parse::<millstream_formats::zone::Zone>().is_ok() {
                return Ok(());
            }
            Err(SparkError::new(
                ExceptionClass::IllegalArgument,
                "INVALID_CONF_VALUE.TIME_ZONE",
                "22022",
                format!("The value '{value}' in the config \"{key}\" is invalid. Cannot resolve the given timezone."),
            )
            .with("confName", key)
            .with("confValue", value))
        }
    }
}

fn type_mismatch(key: &str, value: &str, wanted: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::IllegalArgument,
        "INVALID_CONF_VALUE.TYPE_MISMATCH",
        "22022",
        format!("The value '{value}' in the config \"{key}\" is invalid. {key} should be {wanted}, but was {value}"),
    )
    .with("confName", key)
    .with("confValue", value)
    .with("confType", wanted)
}

fn requirement(key: &str, value: &str, sentence: &str) -> SparkError {
    SparkError::new(
        ExceptionClass::IllegalArgument,
        "INVALID_CONF_VALUE.REQUIREMENT",
        "22022",
        format!("The value '{value}' in the config \"{key}\" is invalid. {sentence}"),
    )
    .with("confName", key)
    .with("confValue", value)
    .with("confRequirement", sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf() -> Conf {
        Conf::new("UTC".into(), "/tmp/warehouse".into())
    }

    #[test]
    fn an_unset_key_has_sparks_default_and_an_unknown_one_is_an_error() {
        let conf = conf();
        assert_eq!(conf.get("spark.sql.shuffle.partitions").unwrap().as_deref(), Some("200"));
        assert_eq!(conf.get("spark.sql.streaming.checkpointLocation").unwrap(), None);
        let error = conf.get("no.such.key").unwrap_err();
        assert_eq!((error.condition(), error.sql_state()), (Some("SQL_CONF_NOT_FOUND"), Some("42K0I")));
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_and_leaves_the_old_one() {
        let conf = conf();
        conf.set("spark.sql.shuffle.partitions", "4").unwrap();
        for (key, value, condition) in [
            ("spark.sql.shuffle.partitions", "many", "INVALID_CONF_VALUE.TYPE_MISMATCH"),
            ("spark.sql.shuffle.partitions", "0", "INVALID_CONF_VALUE.REQUIREMENT"),
            ("spark.sql.ansi.enabled", "yes", "INVALID_CONF_VALUE.TYPE_MISMATCH"),
            ("spark.sql.streaming.multipleWatermarkPolicy", "median", "INVALID_CONF_VALUE.REQUIREMENT"),
            ("spark.sql.warehouse.dir", "/x", "CANNOT_MODIFY_STATIC_CONFIG"),
        ] {
            assert_eq!(conf.set(key, value).unwrap_err().condition(), Some(condition), "{key}={value}");
        }
        assert_eq!(conf.integer("spark.sql.shuffle.partitions"), Some(4));
    }

    #[test]
    fn the_offset_log_gets_all_fifteen_pinned_settings() {
        assert_eq!(conf().pinned().len(), 15);
    }

    #[test]
    fn sizes_have_units() {
        let conf = conf();
        let key = "spark.millstream.state.memoryLimit";
        assert_eq!(conf.bytes(key).unwrap(), None);
        for (text, bytes) in [("10", 10), ("64k", 64 << 10), ("512MB", 512 << 20), (" 2 g", 2 << 30), ("7b", 7)] {
            conf.set(key, text).unwrap();
            assert_eq!(conf.bytes(key).unwrap(), Some(bytes), "{text}");
        }
        for text in ["", "much", "1.5g", "-1", "1x", "99999999999p"] {
            assert_eq!(
                conf.set(key, text).unwrap_err().condition(),
                Some("INVALID_CONF_VALUE.TYPE_MISMATCH"),
                "{text}"
            );
        }
    }

    #[test]
    fn lengths_of_time_have_units() {
        let conf = conf();
        assert_eq!(conf.millis("spark.sql.streaming.noDataProgressEventInterval"), Some(10_000));
        conf.set("spark.sql.streaming.pollingDelay", "2s").unwrap();
        assert_eq!(conf.millis("spark.sql.streaming.pollingDelay"), Some(2_000));
    }
}
