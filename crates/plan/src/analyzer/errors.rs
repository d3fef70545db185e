//! The analyzer's errors, each with Spark's condition, SQLSTATE, parameters and sentence.
//!
//! Not here: errors of functions and casts (`millstream_functions`), of streaming queries (`crate::unsupported`).

use millstream_formats::condition::{ExceptionClass, SparkError};

/// `` `a`.`b` ``, as Spark writes identifiers in messages.
pub fn quoted(parts: &[String]) -> String {
    parts.iter().map(|part| format!("`{}`", part.replace('`', "``"))).collect::<Vec<_>>().join(".")
}

/// One identifier in back-quotes.
pub fn quoted_one(name: &str) -> String {
    quoted(std::slice::from_ref(&name.to_string()))
}

/// An analysis error without parameters.
pub fn analysis(condition: &str, sql_state: &str, message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionClass::Analysis, condition, sql_state, message)
}

/// A name that no column in scope has; `candidates` are the columns in scope, with their qualifiers.
pub fn unresolved_column(name: &[String], candidates: &[Vec<String>]) -> SparkError {
    let object = quoted(name);
    if candidates.is_empty() {
        return analysis(
            "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION",
            "42703",
            format!("A column, variable, or function parameter with name {object} cannot be resolved."),
        )
        .with("objectName", object);
    }
    let proposal = suggestions(name, candidates).join(", ");
    analysis(
        "UNRESOLVED_COLUMN.WITH_SUGGESTION",
        "42703",
        format!(
            "A column, variable, or function parameter with name {object} cannot be resolved. Did you mean one of the \
             following? [{proposal}]."
        ),
    )
    .with("objectName", object)
    .with("proposal", proposal)
}

/// Whether an error says that a column was not found (and another scope may be tried).
pub fn is_unresolved_column(error: &SparkError) -> bool {
    error.condition().is_some_and(|c| c.starts_with("UNRESOLVED_COLUMN.") || c == "CANNOT_RESOLVE_DATAFRAME_COLUMN")
}

/// The five candidates nearest to `name` by edit distance; a qualifier shared by all is left out.
pub fn suggestions(name: &[String], candidates: &[Vec<String>]) -> Vec<String> {
    let shared = |keep: usize| {
        let prefix = |c: &Vec<String>| c[..c.len().saturating_sub(keep)].to_vec();
        candidates.first().is_some_and(|first| candidates.iter().all(|c| prefix(c) == prefix(first)))
    };
    let kept = match name.len() {
        1 if shared(1) => 1,
        0..=2 if shared(2) => 2,
        _ => usize::MAX,
    };
    let wanted = name.join(".");
    let mut ranked: Vec<(usize, &[String])> = candidates
        .iter()
        .map(|c| &c[c.len().saturating_sub(kept)..])
        .map(|c| (edit_distance(&c.join("."), &wanted), c))
        .collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    ranked.into_iter().take(5).map(|(_, parts)| quoted(parts)).collect()
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let above = row[j + 1];
            let cost = (diagonal + usize::from(ca != *cb)).min(above + 1).min(left + 1);
            diagonal = above;
            row[j] = left;
            left = cost;
        }
        row[b.len()] = left;
    }
    row[b.len()]
}

/// A name that several columns in scope have.
pub fn ambiguous_reference(name: &[String], candidates: &[Vec<String>]) -> SparkError {
    let mut texts: Vec<String> = candidates.iter().map(|c| quoted(c)).collect();
    texts.sort();
    let (name, list) = (quoted(name), format!("[{}]", texts.join(", ")));
    analysis("AMBIGUOUS_REFERENCE", "42704", format!("Reference {name} is ambiguous, could be: {list}."))
        .with("name", name)
        .with("referenceNames", list)
}

/// `df.col` where `df` occurs twice at the same depth.
pub fn ambiguous_column_reference(name: &[String]) -> SparkError {
    let name = quoted(name);
    analysis(
        "AMBIGUOUS_COLUMN_REFERENCE",
        "42702",
        format!(
            "Column {name} is ambiguous. It's because you joined several DataFrame together, and some of these DataFrames \
             are the same. This column points to one of the DataFrames but Spark is unable to figure out which one. Please \
             alias the DataFrames with different names via `DataFrame.alias` before joining them, and specify the column \
             using qualified name, e.g. `df.alias(\"a\").join(df.alias(\"b\"), col(\"a.id\") > col(\"b.id\"))`."
        ),
    )
    .with("name", name)
}

/// `df.col` where `df` is no part of the query, or its column did not get this far.
pub fn cannot_resolve_dataframe_column(name: &[String]) -> SparkError {
    let name = quoted(name);
    analysis(
        "CANNOT_RESOLVE_DATAFRAME_COLUMN",
        "42704",
        format!("Cannot resolve dataframe column {name}. It's probably because of illegal references like `df1.select(df2.col(\"a\"))`."),
    )
    .with("name", name)
}

/// A struct has no such field.
pub fn field_not_found(field: &str, fields: &[String]) -> SparkError {
    let list = fields.iter().map(|f| quoted_one(f)).collect::<Vec<_>>().join(", ");
    let field = quoted_one(field);
    analysis("FIELD_NOT_FOUND", "42704", format!("No such struct field {field} in {list}."))
        .with("fieldName", field)
        .with("fields", list)
}

/// A struct has several fields of this name.
pub fn ambiguous_field(field: &str, count: usize) -> SparkError {
    let field = quoted_one(field);
    analysis(
        "AMBIGUOUS_REFERENCE_TO_FIELDS",
        "42000",
        format!("Ambiguous reference to the field {field}. It appears {count} times in the schema."),
    )
    .with("field", field)
    .with("count", count.to_string())
}

/// A value from which no element or field can be taken.
pub fn invalid_extract_base(base: &str, other: &str) -> SparkError {
    analysis(
        "INVALID_EXTRACT_BASE_FIELD_TYPE",
        "42000",
        format!("Can't extract a value from \"{base}\". Need a complex type [STRUCT, ARRAY, MAP] but got \"{other}\"."),
    )
    .with("base", format!("\"{base}\""))
    .with("other", format!("\"{other}\""))
}

/// No function of this name.
pub fn unresolved_routine(name: &str) -> SparkError {
    let routine = quoted(&name.split('.').map(str::to_string).collect::<Vec<_>>());
    let path = "[`system`.`builtin`, `system`.`session`, `spark_catalog`.`default`]";
    analysis("UNRESOLVED_ROUTINE", "42883", format!("Cannot resolve routine {routine} on search path {path}."))
        .with("routineName", routine)
        .with("searchPath", path)
}

/// No table or view of this name.
pub fn table_not_found(name: &[String]) -> SparkError {
    let name = quoted(name);
    analysis(
        "TABLE_OR_VIEW_NOT_FOUND",
        "42P01",
        format!(
            "The table or view {name} cannot be found. Verify the spelling and correctness of the schema and catalog.\nIf you \
             did not qualify the name with a schema, verify the current_schema() output, or qualify the name with the correct \
             schema and catalog.\nTo tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS."
        ),
    )
    .with("relationName", name)
}

/// A condition that is no boolean.
pub fn not_boolean(condition: &str, sql: &str, data_type: &str) -> SparkError {
    let (what, sentence) = match condition {
        "JOIN" => (
            "JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE",
            format!("The join condition \"{sql}\" has the invalid type \"{data_type}\", expected \"BOOLEAN\"."),
        ),
        _ => (
            "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN",
            format!(
                "Cannot resolve \"{sql}\" due to data type mismatch: Filter expression \"{sql}\" of type \"{data_type}\" is not \
                 a boolean."
            ),
        ),
    };
    let error = analysis(what, "42K09", sentence);
    if condition == "JOIN" {
        error.with("joinCondition", format!("\"{sql}\"")).with("conditionType", format!("\"{data_type}\""))
    } else {
        error
            .with("sqlExpr", format!("\"{sql}\""))
            .with("filter", format!("\"{sql}\""))
            .with("type", format!("\"{data_type}\""))
    }
}

/// A column outside aggregates that is no grouping key.
pub fn missing_aggregation(sql: &str) -> SparkError {
    let any = format!("any_value({sql})");
    analysis(
        "MISSING_AGGREGATION",
        "42803",
        format!(
            "The non-aggregating expression \"{sql}\" is based on columns which are not participating in the GROUP BY \
             clause.\nAdd the columns or the expression to the GROUP BY, aggregate the expression, or use \"{any}\" if you do \
             not care which of the values within a group is returned."
        ),
    )
    .with("expression", format!("\"{sql}\""))
    .with("expressionAnyValue", format!("\"{any}\""))
}

/// Aggregates beside plain columns without `GROUP BY`.
pub fn missing_group_by() -> SparkError {
    analysis(
        "MISSING_GROUP_BY",
        "42803",
        "The query does not include a GROUP BY clause. Add GROUP BY or turn it into the window functions using OVER clauses.",
    )
}

/// An aggregate as a grouping key.
pub fn group_by_aggregate(sql: &str) -> SparkError {
    analysis(
        "GROUP_BY_AGGREGATE",
        "42903",
        format!("Aggregate functions are not allowed in GROUP BY, but found {sql}."),
    )
    .with("sqlExpr", sql)
}

/// An ordinal of `GROUP BY` that stands for an aggregate.
pub fn group_by_pos_aggregate(index: usize, sql: &str) -> SparkError {
    analysis(
        "GROUP_BY_POS_AGGREGATE",
        "42903",
        format!(
            "GROUP BY {index} refers to an expression {sql} that contains an aggregate function. Aggregate functions are not \
             allowed in GROUP BY."
        ),
    )
    .with("index", index.to_string())
    .with("aggExpr", sql)
}

/// An ordinal beyond the columns; `clause` is `GROUP_BY` or `ORDER_BY`.
pub fn position_out_of_range(clause: &str, index: i64, size: usize) -> SparkError {
    let words = clause.replace('_', " ");
    analysis(
        &format!("{clause}_POS_OUT_OF_RANGE"),
        "42805",
        format!("{words} position {index} is not in select list (valid range is [1, {size}])."),
    )
    .with("index", index.to_string())
    .with("size", size.to_string())
}

/// An aggregate within an aggregate.
pub fn nested_aggregate() -> SparkError {
    analysis(
        "NESTED_AGGREGATE_FUNCTION",
        "42607",
        "It is not allowed to use an aggregate function in the argument of another aggregate function. Please use the inner \
         aggregate function in a sub-query.",
    )
}

/// `rand()` and its like within an aggregate.
pub fn nondeterministic_aggregate(sql: &str) -> SparkError {
    analysis(
        "AGGREGATE_FUNCTION_WITH_NONDETERMINISTIC_EXPRESSION",
        "42845",
        format!("Non-deterministic expression \"{sql}\" should not appear in the arguments of an aggregate function."),
    )
    .with("sqlExpr", format!("\"{sql}\""))
}

/// Aggregates, window functions or generators in `WHERE`.
pub fn invalid_where(sql: &str, list: &str) -> SparkError {
    analysis(
        "INVALID_WHERE_CONDITION",
        "42903",
        format!(
            "The WHERE condition \"{sql}\" contains invalid expressions: {list}.\nRewrite the query to avoid window functions, \
             aggregate functions, and generator functions in the WHERE clause."
        ),
    )
    .with("condition", format!("\"{sql}\""))
    .with("expressionList", list)
}

/// A generator where none may stand.
pub fn unsupported_generator(kind: &str, detail: impl Into<String>) -> SparkError {
    let detail = detail.into();
    let (sentence, parameter) = match kind {
        "MULTI_GENERATOR" => (format!("only one generator allowed per SELECT clause but found {detail}"), "generators"),
        "OUTSIDE_SELECT" => (format!("outside the SELECT clause, found: {detail}"), "plan"),
        "NOT_GENERATOR" => (format!("{detail} is expected to be a generator"), "functionName"),
        _ => (format!("nested in expressions \"{detail}\""), "expression"),
    };
    let value = if parameter == "expression" { format!("\"{detail}\"") } else { detail };
    analysis(&format!("UNSUPPORTED_GENERATOR.{kind}"), "42K0E", format!("The generator is not supported: {sentence}."))
        .with(parameter, value)
}

/// Sides of a set operation that differ in width.
pub fn num_columns_mismatch(operator: &str, first: usize, invalid: usize) -> SparkError {
    analysis(
        "NUM_COLUMNS_MISMATCH",
        "42826",
        format!(
            "{operator} can only be performed on inputs with the same number of columns, but the first input has {first} \
             columns and the second input has {invalid} columns."
        ),
    )
    .with("operator", operator)
    .with("firstNumColumns", first.to_string())
    .with("invalidOrdinalNum", "second")
    .with("invalidNumColumns", invalid.to_string())
}

/// Columns of a set operation without a common type; `column` counts from 0.
pub fn incompatible_column_type(operator: &str, column: usize, right: &str, left: &str) -> SparkError {
    let ordinal = ordinal(column);
    analysis(
        "INCOMPATIBLE_COLUMN_TYPE",
        "42825",
        format!(
            "{operator} can only be performed on tables with compatible column types. The {ordinal} column of the second table \
             is \"{right}\" type which is not compatible with \"{left}\" at the same column of the first table.."
        ),
    )
    .with("operator", operator)
    .with("columnOrdinalNumber", ordinal)
    .with("tableOrdinalNumber", "second")
    .with("dataType1", format!("\"{right}\""))
    .with("dataType2", format!("\"{left}\""))
    .with("hint", "")
}

/// `first`, `second`, …, from 0.
fn ordinal(index: usize) -> String {
    const WORDS: [&str; 10] =
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    WORDS.get(index).map_or_else(|| format!("{}th", index + 1), |w| (*w).to_string())
}

/// A name that is not among the columns, where Spark names all of them.
pub fn unresolved_among_fields(column: &str, fields: &[String]) -> SparkError {
    let list = fields.join(", ");
    analysis(
        "UNRESOLVED_COLUMN_AMONG_FIELD_NAMES",
        "42703",
        format!("Cannot resolve column name \"{column}\" among ({list})."),
    )
    .with("colName", column)
    .with("fieldNames", list)
}

/// A column of `USING` that one side does not have.
pub fn using_column_not_found(column: &str, side: &str, candidates: &[Vec<String>]) -> SparkError {
    let names: Vec<Vec<String>> = candidates.iter().map(|c| c[c.len().saturating_sub(1)..].to_vec()).collect();
    let name = quoted_one(column);
    let mut sorted: Vec<String> = names.iter().map(|n| quoted(n)).collect();
    sorted.sort();
    let suggestion = sorted.join(", ");
    analysis(
        "UNRESOLVED_USING_COLUMN_FOR_JOIN",
        "42703",
        format!(
            "USING column {name} cannot be resolved on the {side} side of the join. The {side}-side columns: [{suggestion}]."
        ),
    )
    .with("colName", name)
    .with("side", side)
    .with("suggestion", suggestion)
}

/// A watermark on a column that is no timestamp.
pub fn event_time_type(name: &str, data_type: &str) -> SparkError {
    analysis(
        "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE",
        "42K09",
        format!("The event time {name} has the invalid type \"{data_type}\", but expected \"TIMESTAMP\"."),
    )
    .with("eventName", name)
    .with("eventType", format!("\"{data_type}\""))
}

/// Two columns of the same name where they must differ.
pub fn duplicate_column(name: &str) -> SparkError {
    let name = quoted_one(name);
    analysis(
        "COLUMN_ALREADY_EXISTS",
        "42711",
        format!("The column {name} already exists. Choose another name or rename the existing column."),
    )
    .with("columnName", name)
}

/// `DATE'x'`: the text is no value of the type.
pub fn invalid_typed_literal(kind: &str, text: &str) -> SparkError {
    let sentence = format!("The value of the typed literal \"{kind}\" is invalid: '{text}'.");
    SparkError::new(ExceptionClass::Parse, "INVALID_TYPED_LITERAL", "42604", sentence)
        .with("valueType", format!("\"{kind}\""))
        .with("value", format!("'{text}'"))
}
