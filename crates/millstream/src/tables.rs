//! What names stand for: temporary views of a session, global ones, and tables with files in the warehouse.
//!
//! Tables live as long as the engine; only their files stay, as with Spark's in-memory catalog.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_connectors::memory::MemoryTable;
use millstream_formats::condition::{ExceptionClass, SparkError};
pub(crate) use millstream_plan::analyzer::errors::table_not_found;
use millstream_plan::catalog::{Catalog, Table};
use millstream_plan::ir::{DataSourceRead, Options, WriteStream};
use millstream_plan::resolved::ResolvedPlan;
use parking_lot::RwLock;

use crate::analysis::Analysis;
use crate::cache::{Named, TableCache};
use crate::scan::table_of;
use crate::session::Session;

/// Name of the only catalog.
pub(crate) const CATALOG: &str = "spark_catalog";
/// Database of global temporary views.
pub(crate) const GLOBAL_TEMP: &str = "global_temp";

/// A view.
#[derive(Clone)]
pub(crate) enum View {
    /// A query, settled when the view was made.
    Query(Arc<ResolvedPlan>),
    /// What a memory sink has taken; its rows are looked at when a query is analyzed.
    Memory(Arc<MemoryTable>),
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct TableEntry {
    pub(crate) name: String,
    pub(crate) format: String,
    /// Directory of its files.
    pub(crate) path: String,
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) partition_by: Vec<String>,
    pub(crate) options: Options,
    pub(crate) description: Option<String>,
    /// The files are the user's and stay when the table is dropped.
    pub(crate) external: bool,
}

/// A database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    pub(crate) description: String,
    pub(crate) location: String,
    /// By name in lower case.
    pub(crate) tables: BTreeMap<String, TableEntry>,
}

/// Databases, tables and global views, shared by all sessions of an engine.
pub(crate) struct SharedTables {
    pub(crate) warehouse: PathBuf,
    /// By name in lower case.
    pub(crate) databases: RwLock<BTreeMap<String, Database>>,
    /// By name in lower case.
    pub(crate) global_views: RwLock<BTreeMap<String, View>>,
    pub(crate) cache: TableCache,
}

impl SharedTables {
    pub(crate) fn new(warehouse: PathBuf) -> Self {
        let location = format!("file:{}", absolute(&warehouse).display());
        let default = Database { description: "default database".into(), location, tables: BTreeMap::new() };
        Self {
            warehouse,
            databases: RwLock::new(BTreeMap::from([("default".to_string(), default)])),
            global_views: RwLock::default(),
            cache: TableCache::default(),
        }
    }

    /// Where a new table of this name keeps its files.
    pub(crate) fn directory(&self, database: &str, table: &str) -> PathBuf {
        let root = absolute(&self.warehouse);
        if database == "default" { root.join(table) } else { root.join(format!("{database}.db")).join(table) }
    }

    pub(crate) fn table(&self, database: &str, table: &str) -> Option<TableEntry> {
        self.databases.read().get(database)?.tables.get(&table.to_lowercase()).cloned()
    }

    /// Enters a table, in place of one of the same name.
    ///
    /// # Errors
    /// `SCHEMA_NOT_FOUND` if there is no such database.
    pub(crate) fn put(&self, database: &str, entry: TableEntry) -> Result<(), SparkError> {
        let mut databases = self.databases.write();
        let found = databases.get_mut(database).ok_or_else(|| schema_not_found(database))?;
        found.tables.insert(entry.name.to_lowercase(), entry);
        Ok(())
    }
}

fn absolute(path: &std::path::Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// `SCHEMA_NOT_FOUND`.
pub(crate) fn schema_not_found(database: &str) -> SparkError {
    let name = format!("`{CATALOG}`.`{database}`");
    SparkError::new(
        ExceptionClass::Analysis,
        "SCHEMA_NOT_FOUND",
        "42704",
        format!(
            "The schema {name} cannot be found. Verify the spelling and correctness of the schema and catalog.\nIf you did not \
             qualify the name with a catalog, verify the current_schema() output, or qualify the name with the correct \
             catalog.\nTo tolerate the error on drop use DROP SCHEMA IF EXISTS."
        ),
    )
    .with("schemaName", name)
}

/// Database and table of a name of one to three parts; the catalog must be the only one there is.
pub(crate) fn qualified(session: &Session, name: &[String]) -> Option<(String, String)> {
    match name {
        [table] => Some((session.database(), table.clone())),
        [database, table] => Some((database.to_lowercase(), table.clone())),
        [catalog, database, table] if catalog.eq_ignore_ascii_case(CATALOG) => {
            Some((database.to_lowercase(), table.clone()))
        }
        _ => None,
    }
}

/// Finds what a name stands for: views first, as in Spark.
pub(crate) fn resolve(
    session: &Session,
    analysis: &Analysis<'_>,
    name: &[String],
    options: &Options,
    streaming: bool,
) -> Result<Option<(Vec<String>, Table)>, SparkError> {
    let Some((full, named)) = find(session, name) else { return Ok(None) };
    // Options of a reader make it another relation than the cached one.
    if !streaming
        && options.is_empty()
        && let Some(rows) = session.cached_rows(&full, &named)?
    {
        return Ok(Some((full, Table::View(rows))));
    }
    let table = match &named {
        Named::View(view) => of_view(view)?,
        Named::Table(entry) => analysis.data_source(&read_of(entry, options, streaming), None)?,
    };
    Ok(Some((full, table)))
}

/// What a name stands for, and its full name.
pub(crate) fn find(session: &Session, name: &[String]) -> Option<(Vec<String>, Named)> {
    if let Some((full, view)) = view(session, name) {
        return Some((full, Named::View(view)));
    }
    let (database, table) = qualified(session, name)?;
    let entry = session.engine.tables.table(&database, &table)?;
    Some((vec![CATALOG.into(), database, entry.name.clone()], Named::Table(entry)))
}

/// How the files of a table are read.
pub(crate) fn read_of(entry: &TableEntry, options: &Options, streaming: bool) -> DataSourceRead {
    let mut all = entry.options.clone();
    all.extend(options.iter().map(|(k, v)| (k.clone(), v.clone())));
    DataSourceRead {
        format: Some(entry.format.clone()),
        schema: entry.schema.as_ref().map(|s| millstream_formats::types::schema_to_json(s.fields())),
        options: all,
        paths: vec![entry.path.clone()],
        streaming,
    }
}

/// The view of this name and what qualifies its columns.
pub(crate) fn view(session: &Session, name: &[String]) -> Option<(Vec<String>, View)> {
    match name {
        [name] => {
            let view = session.views.read().get(&name.to_lowercase()).cloned()?;
            Some((vec![name.clone()], view))
        }
        [database, name] if database.eq_ignore_ascii_case(GLOBAL_TEMP) => {
            let view = session.engine.tables.global_views.read().get(&name.to_lowercase()).cloned()?;
            Some((vec![GLOBAL_TEMP.into(), name.clone()], view))
        }
        _ => None,
    }
}

fn of_view(view: &View) -> Result<Table, SparkError> {
    Ok(match view {
        View::Query(plan) => Table::View(Arc::clone(plan)),
        View::Memory(table) => Table::Static(table_of(table.schema(), table.rows())?),
    })
}

/// The directory that `toTable` writes to; makes the table if there is none.
pub(crate) fn stream_target(
    session: &Session,
    name: &[String],
    format: &str,
    schema: &SchemaRef,
    write: &WriteStream,
) -> Result<String, SparkError> {
    let (database, table) = qualified(session, name).ok_or_else(|| table_not_found(name))?;
    let tables = &session.engine.tables;
    if let Some(entry) = tables.table(&database, &table) {
        return Ok(entry.path);
    }
    let path = match &write.path {
        Some(path) => path.clone(),
        None => tables.directory(&database, &table).display().to_string(),
    };
    let entry = TableEntry {
        name: table,
        format: format.to_string(),
        path: path.clone(),
        schema: Some(Arc::clone(schema)),
        partition_by: write.partition_by.clone(),
        options: Options::new(),
        description: None,
        external: write.path.is_some(),
    };
    tables.put(&database, entry)?;
    Ok(path)
}
