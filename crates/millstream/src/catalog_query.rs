//! Questions to the catalog (`spark.catalog`, `SHOW …`, `USE`) and their answers as rows.
//!
//! A method is named as in [`millstream_plan::ir::CatalogQuery`]; its columns are those that PySpark's catalog reads.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_formats::condition::{ExceptionClass, SparkError};
use millstream_formats::types;
use millstream_plan::ir::{CatalogQuery, Relation, RelationOp};
use millstream_plan::sql;

use crate::cache::Named;
use crate::command::{drop_named, strings};
use crate::function_names::NAMES;
use crate::session::{Rows, Session};
use crate::tables::{
    CATALOG, Database, GLOBAL_TEMP, TableEntry, View, find, qualified, schema_not_found, table_not_found, view,
};

/// Answers a question.
pub(crate) fn answer(session: &Session, query: &CatalogQuery) -> Result<Rows, SparkError> {
    let catalog = CatalogAnswer { session, query };
    match query.method.as_str() {
        "current_catalog" => text(CATALOG),
        "set_current_catalog" => catalog.set_current_catalog(),
        "list_catalogs" => catalog.list_catalogs(),
        "current_database" => text(&session.database()),
        "set_current_database" | "use" => catalog.use_database(),
        "list_databases" => catalog.list_databases(),
        "get_database" => catalog.get_database(),
        "database_exists" => flag(catalog.database(&catalog.required("db_name")?).is_ok()),
        "list_tables" | "list_views" => catalog.list_tables(query.method == "list_views"),
        "get_table" => catalog.get_table(),
        "table_exists" => flag(catalog.find_table()?.is_some()),
        "list_columns" => catalog.list_columns(),
        "function_exists" => flag(catalog.function_exists()?),
        "get_function" => catalog.get_function(),
        "list_functions" => catalog.list_functions(),
        "create_table" | "create_external_table" => catalog.create_table(),
        "drop_temp_view" => {
            let name = catalog.required("view_name")?.to_lowercase();
            let there = session.views.write().remove(&name).is_some();
            session.uncache(&[name]);
            flag(there)
        }
        "drop_global_temp_view" => {
            let name = catalog.required("view_name")?.to_lowercase();
            let there = session.engine.tables.global_views.write().remove(&name).is_some();
            session.uncache(&[GLOBAL_TEMP.into(), name]);
            flag(there)
        }
        "drop_table" => catalog.drop("table_name", false),
        "drop_view" => catalog.drop("view_name", true),
        "create_database" => catalog.create_database(),
        "drop_database" => catalog.drop_database(),
        "show_tables" => catalog.show_tables(),
        "show_databases" => catalog.show_databases(),
        "show_columns" => catalog.show_columns(),
        "get_table_properties" => catalog.table_properties(),
        "get_create_table_string" => catalog.create_table_text(),
        "truncate_table" => catalog.truncate_table(),
        "list_partitions" => catalog.list_partitions(),
        // Nothing is estimated and partitions are found when a table is read; one that does not exist is still an error.
        "recover_partitions" | "analyze_table" => {
            catalog.must_exist()?;
            empty()
        }
        "cache_table" => {
            let (name, named) = catalog.found()?;
            // The statement says when; the method of the catalog leaves it to the first query.
            let now = catalog.argument("lazy").is_some() && !catalog.flag("lazy");
            session.cache(&name, &named, now)?;
            empty()
        }
        "uncache_table" => {
            match catalog.found() {
                Ok((name, _)) => session.uncache(&name),
                Err(_) if catalog.flag("if_exists") => {}
                Err(error) => return Err(error),
            }
            empty()
        }
        "refresh_table" => {
            let (name, named) = catalog.found()?;
            session.refresh(&name, &named);
            empty()
        }
        "is_cached" => {
            let (name, named) = catalog.found()?;
            flag(session.is_cached(&name, &named))
        }
        "clear_cache" => {
            session.clear_cache();
            empty()
        }
        "refresh_by_path" => {
            session.refresh_path(&catalog.required("path")?);
            empty()
        }
        other => Err(SparkError::unsupported(format!("The catalog operation `{other}`"))),
    }
}

struct CatalogAnswer<'a> {
    session: &'a Session,
    query: &'a CatalogQuery,
}

/// A table or view as `listTables` shows it.
struct Listed {
    name: String,
    namespace: Option<String>,
    kind: &'static str,
    temporary: bool,
    description: Option<String>,
}

impl CatalogAnswer<'_> {
    fn argument(&self, name: &str) -> Option<&str> {
        self.query.arguments.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<String, SparkError> {
        self.argument(name).map(str::to_string).ok_or_else(|| {
            SparkError::internal(format!("the catalog operation `{}` has no argument `{name}`", self.query.method))
        })
    }

    fn flag(&self, name: &str) -> bool {
        self.argument(name).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    /// The name of a table, under its database if that was given apart.
    fn table_name(&self) -> Result<Vec<String>, SparkError> {
        let mut name = sql::parse_identifier(&self.required("table_name")?)?;
        if let Some(database) = self.argument("db_name") {
            name.insert(0, database.to_string());
        }
        Ok(name)
    }

    fn list_catalogs(&self) -> Result<Rows, SparkError> {
        let shown = self.argument("pattern").is_none_or(|pattern| matches(pattern, CATALOG));
        let rows = if shown { vec![vec![Some(CATALOG.into()), None]] } else { Vec::new() };
        strings(&["name", "description"], rows)
    }

    fn set_current_catalog(&self) -> Result<Rows, SparkError> {
        let name = self.required("catalog_name")?;
        if name.eq_ignore_ascii_case(CATALOG) {
            return empty();
        }
        Err(SparkError::new(
            ExceptionClass::Analysis,
            "CATALOG_NOT_FOUND",
            "42P08",
            format!("The catalog `{name}` not found. Consider to set the SQL config \"spark.sql.catalog.{name}\" to a catalog plugin."),
        )
        .with("catalogName", format!("`{name}`")))
    }

    /// A database by its name, which the catalog may precede.
    fn database(&self, name: &str) -> Result<(String, Database), SparkError> {
        let parts = sql::parse_identifier(name)?;
        let key = parts.last().map(|p| p.to_lowercase()).unwrap_or_default();
        let found = self.session.engine.tables.databases.read().get(&key).cloned();
        found.map(|d| (key.clone(), d)).ok_or_else(|| schema_not_found(&key))
    }

    fn use_database(&self) -> Result<Rows, SparkError> {
        let (name, _) = self.database(&self.required("db_name")?)?;
        self.session.set_database(name);
        empty()
    }

    fn databases(&self) -> Vec<(String, Database)> {
        let databases = self.session.engine.tables.databases.read();
        let pattern = self.argument("pattern");
        let wanted = databases.iter().filter(|(name, _)| pattern.is_none_or(|p| matches(p, name)));
        wanted.map(|(name, database)| (name.clone(), database.clone())).collect()
    }

    fn list_databases(&self) -> Result<Rows, SparkError> {
        let rows = self.databases().into_iter().map(|(name, d)| database_row(name, &d)).collect();
        strings(&["name", "catalog", "description", "locationUri"], rows)
    }

    fn get_database(&self) -> Result<Rows, SparkError> {
        let (name, database) = self.database(&self.required("db_name")?)?;
        strings(&["name", "catalog", "description", "locationUri"], vec![database_row(name, &database)])
    }

    fn create_database(&self) -> Result<Rows, SparkError> {
        let parts = sql::parse_identifier(&self.required("db_name")?)?;
        let key = parts.last().map(|p| p.to_lowercase()).unwrap_or_default();
        let tables = &self.session.engine.tables;
        let mut databases = tables.databases.write();
        if databases.contains_key(&key) {
            if self.flag("if_not_exists") {
                return empty();
            }
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "SCHEMA_ALREADY_EXISTS",
                "42P06",
                format!(
                    "Cannot create schema `{key}` because it already exists.\nChoose a different name, drop the existing schema, \
                     or add the IF NOT EXISTS clause to tolerate pre-existing schema."
                ),
            )
            .with("schemaName", format!("`{key}`")));
        }
        let directory = tables.directory(&key, "");
        let location =
            self.argument("location").map_or_else(|| format!("file:{}", directory.display()), str::to_string);
        let description = self.argument("description").unwrap_or_default().to_string();
        databases.insert(key, Database { description, location, ..Database::default() });
        empty()
    }

    fn drop_database(&self) -> Result<Rows, SparkError> {
        let name = self.required("db_name")?;
        let (key, database) = match self.database(&name) {
            Err(_) if self.flag("if_exists") => return empty(),
            found => found?,
        };
        if key == "default" {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "UNSUPPORTED_FEATURE.DROP_DATABASE",
                "0A000",
                "The feature is not supported: Drop the default database `default`.",
            ));
        }
        if !database.tables.is_empty() && !self.flag("cascade") {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "SCHEMA_NOT_EMPTY",
                "2BP01",
                format!(
                    "Cannot drop a schema `{key}` because it contains objects.\nUse DROP SCHEMA ... CASCADE to drop the schema \
                     and all its objects."
                ),
            )
            .with("schemaName", format!("`{key}`")));
        }
        for table in database.tables.values() {
            drop_named(self.session, &[key.clone(), table.name.clone()], false, true)?;
        }
        self.session.engine.tables.databases.write().remove(&key);
        empty()
    }

    /// Views and tables of a database, sorted by kind as Spark does: tables first.
    fn listed(&self, views_only: bool) -> Result<Vec<Listed>, SparkError> {
        let asked = self.argument("db_name").map_or_else(|| self.session.database(), str::to_string);
        let mut out = Vec::new();
        if asked.eq_ignore_ascii_case(GLOBAL_TEMP) {
            let views = self.session.engine.tables.global_views.read();
            out.extend(views.keys().map(|name| listed_view(name, Some(GLOBAL_TEMP))));
        } else {
            let (key, database) = self.database(&asked)?;
            if !views_only {
                out.extend(database.tables.values().map(|t| listed_table(t, &key)));
            }
        }
        out.extend(self.session.views.read().keys().map(|name| listed_view(name, None)));
        let pattern = self.argument("pattern");
        out.retain(|l| pattern.is_none_or(|p| matches(p, &l.name)));
        Ok(out)
    }

    fn list_tables(&self, views_only: bool) -> Result<Rows, SparkError> {
        listed_rows(self.listed(views_only)?)
    }

    fn show_tables(&self) -> Result<Rows, SparkError> {
        let rows = self.listed(false)?;
        let flags = BooleanArray::from(rows.iter().map(|l| l.temporary).collect::<Vec<_>>());
        let namespaces = rows.iter().map(|l| l.namespace.clone().unwrap_or_default());
        batch(vec![
            ("namespace", array(namespaces)),
            ("tableName", array(rows.iter().map(|l| l.name.clone()))),
            ("isTemporary", Arc::new(flags) as ArrayRef),
        ])
    }

    fn show_databases(&self) -> Result<Rows, SparkError> {
        strings(&["namespace"], self.databases().into_iter().map(|(name, _)| vec![Some(name)]).collect())
    }

    fn find_table(&self) -> Result<Option<Listed>, SparkError> {
        let name = self.table_name()?;
        if view(self.session, &name).is_some() {
            let database = (name.len() > 1).then_some(GLOBAL_TEMP);
            return Ok(name.last().map(|n| listed_view(n, database)));
        }
        let Some((database, table)) = qualified(self.session, &name) else { return Ok(None) };
        Ok(self.session.engine.tables.table(&database, &table).map(|t| listed_table(&t, &database)))
    }

    fn get_table(&self) -> Result<Rows, SparkError> {
        match self.find_table()? {
            Some(found) => listed_rows(vec![found]),
            None => Err(table_not_found(&self.table_name()?)),
        }
    }

    /// What the name of a table stands for, and its full name.
    fn found(&self) -> Result<(Vec<String>, Named), SparkError> {
        let name = self.table_name()?;
        find(self.session, &name).ok_or_else(|| table_not_found(&name))
    }

    fn must_exist(&self) -> Result<(), SparkError> {
        if self.argument("table_name").is_some() && self.find_table()?.is_none() {
            return Err(table_not_found(&self.table_name()?));
        }
        Ok(())
    }

    fn columns(&self) -> Result<Vec<(arrow::datatypes::FieldRef, bool)>, SparkError> {
        let name = self.table_name()?;
        let relation =
            Relation::new(RelationOp::Table { name: name.clone(), options: Default::default(), streaming: false });
        let partitions = qualified(self.session, &name)
            .and_then(|(database, table)| self.session.engine.tables.table(&database, &table))
            .map(|t| t.partition_by)
            .unwrap_or_default();
        let schema = match view(self.session, &name) {
            Some((_, View::Query(plan))) => plan.schema(),
            _ => self.session.analyze(&relation)?.schema(),
        };
        let is_partition = |field: &Field| partitions.iter().any(|p| p.eq_ignore_ascii_case(field.name()));
        Ok(schema.fields().iter().map(|f| (Arc::clone(f), is_partition(f))).collect())
    }

    fn list_columns(&self) -> Result<Rows, SparkError> {
        let columns = self.columns()?;
        let no = || Arc::new(BooleanArray::from(vec![false; columns.len()])) as ArrayRef;
        let comment = |f: &Field| f.metadata().get("comment").and_then(|c| serde_json::from_str::<String>(c).ok());
        let comments = StringArray::from_iter(columns.iter().map(|(f, _)| comment(f)));
        let flags = |g: &dyn Fn(&(arrow::datatypes::FieldRef, bool)) -> bool| {
            Arc::new(BooleanArray::from(columns.iter().map(g).collect::<Vec<_>>())) as ArrayRef
        };
        batch(vec![
            ("name", array(columns.iter().map(|(f, _)| f.name().clone()))),
            ("description", Arc::new(comments)),
            ("dataType", array(columns.iter().map(|(f, _)| types::simple_string(f.data_type())))),
            ("nullable", flags(&|(f, _)| f.is_nullable())),
            ("isPartition", flags(&|(_, p)| *p)),
            ("isBucket", no()),
            ("isCluster", no()),
        ])
    }

    fn show_columns(&self) -> Result<Rows, SparkError> {
        strings(&["col_name"], self.columns()?.into_iter().map(|(f, _)| vec![Some(f.name().clone())]).collect())
    }

    /// The table of the argument `table_name`, with its database.
    fn table(&self) -> Result<(String, TableEntry), SparkError> {
        let name = self.table_name()?;
        let found = qualified(self.session, &name).and_then(|(database, table)| {
            let entry = self.session.engine.tables.table(&database, &table)?;
            Some((database, entry))
        });
        found.ok_or_else(|| table_not_found(&name))
    }

    fn create_table_text(&self) -> Result<Rows, SparkError> {
        let (database, entry) = self.table()?;
        let columns: Vec<_> = self.columns()?.iter().map(|(f, _)| format!("  {}", types::field_ddl(f))).collect();
        let mut text = format!("CREATE TABLE {CATALOG}.{database}.{} (\n{})\n", entry.name, columns.join(",\n"));
        text.push_str(&format!("USING {}\n", entry.format));
        if !entry.partition_by.is_empty() {
            text.push_str(&format!("PARTITIONED BY ({})\n", entry.partition_by.join(", ")));
        }
        if entry.external {
            text.push_str(&format!("LOCATION '{}'\n", entry.path));
        }
        strings(&["createtab_stmt"], vec![vec![Some(text)]])
    }

    fn truncate_table(&self) -> Result<Rows, SparkError> {
        let (_, entry) = self.table()?;
        crate::command::remove_files(&entry.path)?;
        crate::command::make_directory(&entry.path)?;
        self.session.refresh_path(&entry.path);
        empty()
    }

    /// The directories `key=value/…` below the table's own, as deep as it has partition columns.
    fn list_partitions(&self) -> Result<Rows, SparkError> {
        let (_, entry) = self.table()?;
        let mut found = vec![(crate::stream::local_path(&entry.path)?, String::new())];
        for column in &entry.partition_by {
            let prefix = format!("{}=", column.to_lowercase());
            found = found.iter().flat_map(|(dir, name)| partition_directories(dir, name, &prefix)).collect();
        }
        let mut names: Vec<_> = found.into_iter().map(|(_, name)| name).filter(|name| !name.is_empty()).collect();
        names.sort();
        strings(&["partition"], names.into_iter().map(|name| vec![Some(name)]).collect())
    }

    fn table_properties(&self) -> Result<Rows, SparkError> {
        let (_, entry) = self.table()?;
        strings(&["key", "value"], entry.options.into_iter().map(|(k, v)| vec![Some(k), Some(v)]).collect())
    }

    fn create_table(&self) -> Result<Rows, SparkError> {
        let name = sql::parse_identifier(&self.required("table_name")?)?;
        let (database, table) = qualified(self.session, &name).ok_or_else(|| table_not_found(&name))?;
        let default =
            || self.session.conf().get_option("spark.sql.sources.default").unwrap_or_else(|| "parquet".into());
        let given = self.argument("path").map(str::to_string);
        let directory = || self.session.engine.tables.directory(&database, &table).display().to_string();
        let external = given.is_some();
        let path = given.unwrap_or_else(directory);
        if !external {
            std::fs::create_dir_all(&path).map_err(|e| {
                SparkError::plain(ExceptionClass::Spark, format!("Cannot make the directory {path} of a table: {e}"))
            })?;
        }
        let arguments = self.query.arguments.iter();
        let options = arguments.filter_map(|(key, value)| Some((key.strip_prefix("option.")?, value)));
        let entry = TableEntry {
            name: table,
            format: self.argument("source").filter(|s| !s.is_empty()).map_or_else(default, str::to_string),
            path,
            schema: self.query.schema.clone().filter(|s| !s.fields().is_empty()),
            partition_by: Vec::new(),
            options: options.map(|(k, v)| (k.to_string(), v.clone())).collect(),
            description: self.argument("description").filter(|d| !d.is_empty()).map(str::to_string),
            external,
        };
        self.session.engine.tables.put(&database, entry)?;
        empty()
    }

    fn drop(&self, argument: &str, view: bool) -> Result<Rows, SparkError> {
        let name = sql::parse_identifier(&self.required(argument)?)?;
        drop_named(self.session, &name, view, self.flag("if_exists"))?;
        empty()
    }

    fn function_exists(&self) -> Result<bool, SparkError> {
        let name = sql::parse_identifier(&self.required("function_name")?)?;
        let name = name.last().cloned().unwrap_or_default();
        Ok(self.session.python_function(&name).is_some() || millstream_functions::lookup(&name).is_some())
    }

    fn list_functions(&self) -> Result<Rows, SparkError> {
        let pattern = self.argument("pattern");
        let known = NAMES.iter().filter(|name| millstream_functions::lookup(name).is_some());
        let builtin = known.map(|name| ((*name).to_string(), false));
        let registered = self.session.python_functions().into_iter().map(|name| (name, true));
        let mut rows: Vec<_> =
            builtin.chain(registered).filter(|(name, _)| pattern.is_none_or(|p| matches(p, name))).collect();
        rows.sort();
        function_rows(rows)
    }

    fn get_function(&self) -> Result<Rows, SparkError> {
        let name = self.required("function_name")?;
        if !self.function_exists()? {
            return Err(SparkError::new(
                ExceptionClass::Analysis,
                "UNRESOLVED_ROUTINE",
                "42883",
                format!("Cannot resolve routine `{name}` on search path [`system`.`builtin`, `system`.`session`, `{CATALOG}`.`default`]."),
            )
            .with("routineName", format!("`{name}`")));
        }
        let temporary = self.session.python_function(&name).is_some();
        function_rows(vec![(name, temporary)])
    }
}

/// Spark's patterns: `*` is any text, `|` separates alternatives, case does not count.
fn matches(pattern: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    pattern.to_lowercase().split('|').any(|p| wildcard(p.trim(), &name))
}

/// Whether `*` in a pattern can stand for what the text has there.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// Directories named by the partition column of `prefix`, each with its path below the table.
fn partition_directories(dir: &std::path::Path, parent: &str, prefix: &str) -> Vec<(std::path::PathBuf, String)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let wanted = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let path = if parent.is_empty() { name.clone() } else { format!("{parent}/{name}") };
        name.to_lowercase().starts_with(prefix).then(|| (entry.path(), path))
    });
    wanted.collect()
}

fn database_row(name: String, database: &Database) -> Vec<Option<String>> {
    vec![Some(name), Some(CATALOG.into()), Some(database.description.clone()), Some(database.location.clone())]
}

fn listed_view(name: &str, database: Option<&str>) -> Listed {
    Listed {
        name: name.to_string(),
        namespace: database.map(str::to_string),
        kind: "TEMPORARY",
        temporary: true,
        description: None,
    }
}

fn listed_table(entry: &TableEntry, database: &str) -> Listed {
    Listed {
        name: entry.name.clone(),
        namespace: Some(database.to_string()),
        kind: if entry.external { "EXTERNAL" } else { "MANAGED" },
        temporary: false,
        description: entry.description.clone(),
    }
}

fn listed_rows(rows: Vec<Listed>) -> Result<Rows, SparkError> {
    let catalogs = StringArray::from_iter(rows.iter().map(|l| (!l.temporary).then_some(CATALOG)));
    let descriptions = StringArray::from_iter(rows.iter().map(|l| l.description.clone()));
    let flags = BooleanArray::from(rows.iter().map(|l| l.temporary).collect::<Vec<_>>());
    batch(vec![
        ("name", array(rows.iter().map(|l| l.name.clone()))),
        ("catalog", Arc::new(catalogs)),
        ("namespace", namespaces(rows.iter().map(|l| Some(l.namespace.clone())))),
        ("description", Arc::new(descriptions)),
        ("tableType", array(rows.iter().map(|l| l.kind.to_string()))),
        ("isTemporary", Arc::new(flags)),
    ])
}

fn function_rows(rows: Vec<(String, bool)>) -> Result<Rows, SparkError> {
    let none = StringArray::from(vec![None::<&str>; rows.len()]);
    let flags = BooleanArray::from(rows.iter().map(|(_, temporary)| *temporary).collect::<Vec<_>>());
    batch(vec![
        ("name", array(rows.iter().map(|(name, _)| name.clone()))),
        ("catalog", Arc::new(none.clone())),
        ("namespace", namespaces(rows.iter().map(|_| None))),
        ("description", Arc::new(none)),
        ("className", array(rows.iter().map(|(name, _)| format!("millstream.functions.{name}")))),
        ("isTemporary", Arc::new(flags)),
    ])
}

/// A list for each row: of one name or, for what lives in no database, of none.
fn namespaces(rows: impl Iterator<Item = Option<Option<String>>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    for row in rows {
        match row {
            Some(name) => builder.append_value(name.map(Some)),
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn array(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<Rows, SparkError> {
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let rows = RecordBatch::try_new(Arc::clone(&schema) as _, arrays)?;
    Ok((schema, vec![rows]))
}

fn text(value: &str) -> Result<Rows, SparkError> {
    strings(&["value"], vec![vec![Some(value.to_string())]])
}

fn flag(value: bool) -> Result<Rows, SparkError> {
    batch(vec![("value", Arc::new(BooleanArray::from(vec![value])))])
}

fn empty() -> Result<Rows, SparkError> {
    strings(&["value"], Vec::new())
}
