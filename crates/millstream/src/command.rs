//! Commands: what changes views, tables, files and settings.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;
use millstream_plan::explain::{self, ExplainMode};
use millstream_plan::ir::{Command, Relation, RelationOp, SaveMode, Write, WriteTarget};
use millstream_plan::{sql, unsupported};

use crate::session::{Rows, Session};
use crate::tables::{CATALOG, GLOBAL_TEMP, TableEntry, View, find, qualified, table_not_found};
use crate::write::{self, FileTarget};

/// Runs a command; its rows, if it has any.
pub(crate) fn run(session: &Session, command: Command) -> Result<Option<Rows>, SparkError> {
    match command {
        Command::CreateView { name, columns, input, global, replace } => {
            create_view(session, &name, columns, input, global, replace).map(|()| None)
        }
        Command::CacheQuery { name, input, lazy } => {
            create_view(session, &name, Vec::new(), input, false, false)?;
            let Some((full, named)) = find(session, &[name]) else { return Ok(None) };
            session.cache(&full, &named, !lazy).map(|()| None)
        }
        Command::Write(write) => save(session, &write).map(|()| None),
        Command::Insert { table, columns, input, overwrite } => {
            insert(session, &table, &columns, input, overwrite).map(|()| None)
        }
        Command::CreateTable { name, schema, format, options, partition_by, if_not_exists, replace, input } => {
            let entry = NewTable { name, schema, format, options, partition_by, if_not_exists, replace };
            create_table(session, entry, input).map(|()| None)
        }
        Command::Drop { name, view, if_exists } => drop_named(session, &name, view, if_exists).map(|()| None),
        Command::Set { pair } => set(session, pair).map(Some),
        Command::Reset { key } => match key {
            Some(key) => session.conf().unset(&key).map(|()| None),
            None => {
                session.conf().reset();
                Ok(None)
            }
        },
        Command::Explain { input, extended } => {
            let mode = if extended { ExplainMode::Extended } else { ExplainMode::Simple };
            let text = session.explain(&input, mode)?;
            Ok(Some(strings(&["plan"], vec![vec![Some(text)]])?))
        }
        Command::Describe { input } => describe(session, &input).map(Some),
        Command::Catalog(query) => crate::catalog_query::answer(session, &query).map(Some),
        other => Err(SparkError::unsupported(format!("The command {other:?}"))),
    }
}

impl Session {
    /// The plan of a relation as text.
    ///
    /// # Errors
    /// Spark's analysis errors.
    pub fn explain(&self, relation: &Relation, mode: ExplainMode) -> Result<String, SparkError> {
        let resolved = self.analyze(relation)?;
        let optimized = crate::batch::optimize(&resolved)?;
        Ok(explain::explain(&resolved, &optimized, mode))
    }
}

fn create_view(
    session: &Session,
    name: &str,
    columns: Vec<String>,
    input: Relation,
    global: bool,
    replace: bool,
) -> Result<(), SparkError> {
    let input = if columns.is_empty() { input } else { Relation::new(RelationOp::ToDf { input, names: columns }) };
    let plan = Arc::new(session.analyze(&input)?);
    let parts = sql::parse_identifier(name)?;
    let key = parts.last().map(|n| n.to_lowercase()).unwrap_or_default();
    if parts.len() > 1 && !global {
        return Err(SparkError::new(
            ExceptionClass::Analysis,
            "TEMP_VIEW_NAME_TOO_MANY_NAME_PARTS",
            "428EK",
            format!("CREATE TEMPORARY VIEW or the corresponding Dataset APIs only accept single-part view names, but got: {name}."),
        )
        .with("actualName", name));
    }
    let views = if global { &session.engine.tables.global_views } else { &session.views };
    let mut views = views.write();
    if views.contains_key(&key) && !replace {
        return Err(already_exists("TEMP_TABLE_OR_VIEW_ALREADY_EXISTS", "temporary view", &key));
    }
    views.insert(key.clone(), View::Query(plan));
    drop(views);
    // What stood there before, if it was cached.
    session.uncache(&if global { vec![GLOBAL_TEMP.into(), key] } else { vec![key] });
    Ok(())
}

fn already_exists(condition: &str, kind: &str, name: &str) -> SparkError {
    let quoted = format!("`{name}`");
    SparkError::new(
        ExceptionClass::Analysis,
        condition,
        "42P07",
        format!(
            "Cannot create the {kind} {quoted} because it already exists.\nChoose a different name, drop or replace the \
             existing object, or add the IF NOT EXISTS clause to tolerate pre-existing objects."
        ),
    )
    .with("relationName", quoted)
}

fn save(session: &Session, write: &Write) -> Result<(), SparkError> {
    if write.bucket_by.is_some() && !matches!(write.target, WriteTarget::Table(_)) {
        return Err(SparkError::plain(ExceptionClass::Analysis, "'save' does not support bucketBy right now."));
    }
    let resolved = session.analyze(&write.input)?;
    unsupported::check_batch(&resolved)?;
    let default = || session.conf().get_option("spark.sql.sources.default").unwrap_or_else(|| "parquet".into());
    let format = write.format.clone().filter(|f| !f.is_empty()).unwrap_or_else(default);
    let target = |path: Option<&str>, mode| FileTarget {
        format: format.clone(),
        path: path.map(str::to_string),
        mode,
        options: write.options.clone(),
        partition_by: write.partition_by.clone(),
    };
    match &write.target {
        WriteTarget::Path(path) => write::write(session, &resolved, target(Some(path), write.mode)),
        WriteTarget::None => write::write(session, &resolved, target(None, write.mode)),
        WriteTarget::Insert(table) => {
            insert(session, table, &[], write.input.clone(), write.mode == SaveMode::Overwrite)
        }
        WriteTarget::Table(name) => {
            let (database, table) = qualified(session, name).ok_or_else(|| table_not_found(name))?;
            let existing = session.engine.tables.table(&database, &table);
            match (&existing, write.mode) {
                (Some(_), SaveMode::Ignore) => return Ok(()),
                (Some(_), SaveMode::ErrorIfExists) => {
                    return Err(already_exists("TABLE_OR_VIEW_ALREADY_EXISTS", "table or view", &table));
                }
                (Some(_), SaveMode::Append) => return insert(session, name, &[], write.input.clone(), false),
                _ => {}
            }
            let given = write.options.iter().find(|(k, _)| k.eq_ignore_ascii_case("path")).map(|(_, p)| p.clone());
            let external = given.is_some();
            let path =
                given.unwrap_or_else(|| session.engine.tables.directory(&database, &table).display().to_string());
            write::write(session, &resolved, target(Some(&path), SaveMode::Overwrite))?;
            let entry = TableEntry {
                name: table,
                format,
                path,
                schema: Some(nullable(&resolved.schema())),
                partition_by: write.partition_by.clone(),
                options: write.options.clone().into_iter().filter(|(k, _)| !k.eq_ignore_ascii_case("path")).collect(),
                description: None,
                external,
            };
            session.engine.tables.put(&database, entry)
        }
    }
}

/// Columns of a table may always be null, as Spark stores them.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>()))
}

fn insert(
    session: &Session,
    name: &[String],
    columns: &[String],
    input: Relation,
    overwrite: bool,
) -> Result<(), SparkError> {
    let (database, table) = qualified(session, name).ok_or_else(|| table_not_found(name))?;
    let entry = session.engine.tables.table(&database, &table).ok_or_else(|| table_not_found(name))?;
    let input = match &entry.schema {
        Some(schema) => to_table_columns(input, columns, schema),
        None => input,
    };
    let resolved = session.analyze(&input)?;
    let mode = if overwrite { SaveMode::Overwrite } else { SaveMode::Append };
    let target = FileTarget {
        format: entry.format,
        path: Some(entry.path),
        mode,
        options: entry.options,
        partition_by: entry.partition_by,
    };
    write::write(session, &resolved, target)
}

/// Columns by position (or by the names given), cast to those of the table.
fn to_table_columns(input: Relation, columns: &[String], schema: &SchemaRef) -> Relation {
    let names =
        if columns.is_empty() { schema.fields().iter().map(|f| f.name().clone()).collect() } else { columns.to_vec() };
    let named = Relation::new(RelationOp::ToDf { input, names });
    Relation::new(RelationOp::ToSchema { input: named, schema: Arc::clone(schema) })
}

struct NewTable {
    name: Vec<String>,
    schema: String,
    format: Option<String>,
    options: millstream_plan::ir::Options,
    partition_by: Vec<String>,
    if_not_exists: bool,
    replace: bool,
}

fn create_table(session: &Session, new: NewTable, input: Option<Relation>) -> Result<(), SparkError> {
    let (database, table) = qualified(session, &new.name).ok_or_else(|| table_not_found(&new.name))?;
    if session.engine.tables.table(&database, &table).is_some() && !new.replace {
        if new.if_not_exists {
            return Ok(());
        }
        return Err(already_exists("TABLE_OR_VIEW_ALREADY_EXISTS", "table or view", &table));
    }
    let resolved = input.map(|input| session.analyze(&input)).transpose()?;
    resolved.as_ref().map(unsupported::check_batch).transpose()?;
    let schema = match &resolved {
        Some(resolved) => Some(nullable(&resolved.schema())),
        None if new.schema.is_empty() => None,
        None => Some(sql::parse_schema(&new.schema)?),
    };
    let default = || session.conf().get_option("spark.sql.sources.default").unwrap_or_else(|| "parquet".into());
    let format = new.format.unwrap_or_else(default);
    let given = new.options.iter().find(|(k, _)| k.eq_ignore_ascii_case("path")).map(|(_, p)| p.clone());
    let external = given.is_some();
    let path = given.unwrap_or_else(|| session.engine.tables.directory(&database, &table).display().to_string());
    if !external {
        make_directory(&path)?;
    }
    if let Some(resolved) = &resolved {
        let target = FileTarget {
            format: format.clone(),
            path: Some(path.clone()),
            mode: SaveMode::Overwrite,
            options: new.options.clone(),
            partition_by: new.partition_by.clone(),
        };
        write::write(session, resolved, target)?;
    }
    let entry = TableEntry {
        name: table,
        format,
        path,
        schema,
        partition_by: new.partition_by,
        options: new.options.into_iter().filter(|(k, _)| !k.eq_ignore_ascii_case("path")).collect(),
        description: None,
        external,
    };
    session.engine.tables.put(&database, entry)
}

pub(crate) fn drop_named(session: &Session, name: &[String], view: bool, if_exists: bool) -> Result<(), SparkError> {
    if let [single] = name
        && session.views.write().remove(&single.to_lowercase()).is_some()
    {
        session.uncache(name);
        return Ok(());
    }
    if let [database, view] = name
        && database.eq_ignore_ascii_case(GLOBAL_TEMP)
        && session.engine.tables.global_views.write().remove(&view.to_lowercase()).is_some()
    {
        session.uncache(name);
        return Ok(());
    }
    if !view && let Some((database, table)) = qualified(session, name) {
        let mut databases = session.engine.tables.databases.write();
        let removed = databases.get_mut(&database).and_then(|d| d.tables.remove(&table.to_lowercase()));
        drop(databases);
        if let Some(entry) = removed {
            session.uncache(&[CATALOG.into(), database, table]);
            return if entry.external { Ok(()) } else { remove_files(&entry.path) };
        }
    }
    if if_exists { Ok(()) } else { Err(table_not_found(name)) }
}

/// Makes the directory of a table.
pub(crate) fn make_directory(path: &str) -> Result<(), SparkError> {
    let path = crate::stream::local_path(path)?;
    std::fs::create_dir_all(&path).map_err(|error| {
        let text = format!("Cannot make the directory {} of a table: {error}", path.display());
        SparkError::plain(ExceptionClass::Spark, text)
    })
}

/// Removes the directory of a table with all that is in it.
pub(crate) fn remove_files(path: &str) -> Result<(), SparkError> {
    let path = crate::stream::local_path(path)?;
    match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(SparkError::plain(
            ExceptionClass::Spark,
            format!("Cannot remove the files of a table at {}: {error}", path.display()),
        )),
        _ => Ok(()),
    }
}

fn set(session: &Session, pair: Option<(String, Option<String>)>) -> Result<Rows, SparkError> {
    let rows = match pair {
        None => session.conf().all().into_iter().map(|(k, v)| vec![Some(k), Some(v)]).collect(),
        Some((key, Some(value))) => {
            session.conf().set(&key, &value)?;
            vec![vec![Some(key), Some(value)]]
        }
        Some((key, None)) => {
            let value = session.conf().get_option(&key).unwrap_or_else(|| "<undefined>".into());
            vec![vec![Some(key), Some(value)]]
        }
    };
    strings(&["key", "value"], rows)
}

fn describe(session: &Session, input: &Relation) -> Result<Rows, SparkError> {
    let schema = session.analyze(input)?.schema();
    let rows = schema.fields().iter().map(|field| {
        let comment = field.metadata().get("comment").and_then(|c| serde_json::from_str::<String>(c).ok());
        vec![Some(field.name().clone()), Some(types::simple_string(field.data_type())), comment]
    });
    strings(&["col_name", "data_type", "comment"], rows.collect())
}

/// A table of strings.
pub(crate) fn strings(columns: &[&str], rows: Vec<Vec<Option<String>>>) -> Result<Rows, SparkError> {
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(*c, DataType::Utf8, true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let arrays: Vec<ArrayRef> = (0..columns.len())
        .map(|i| Arc::new(StringArray::from_iter(rows.iter().map(|row| row.get(i).cloned().flatten()))) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    Ok((schema, vec![batch]))
}
