//! Questions to the catalog.
//!
//! The method is named as in the protocol, its arguments too; options of a new table are under `option.<name>`, flags are
//! `true` and absent.

use std::collections::HashMap;

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{CatalogQuery, Options};
use spark_connect_proto as pb;
use spark_connect_proto::catalog::CatType;

use super::{Convert, required, schema_of};

/// A query in the making.
struct Query(CatalogQuery);

impl Query {
    fn new(method: &str) -> Self {
        Self(CatalogQuery { method: method.to_string(), arguments: Options::new(), schema: None })
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        self.0.arguments.insert(name.to_string(), value.to_string());
        self
    }

    fn optional(self, name: &str, value: &Option<String>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    fn flag(self, name: &str, value: bool) -> Self {
        if value { self.text(name, "true") } else { self }
    }

    fn options(mut self, prefix: &str, options: &HashMap<String, String>) -> Self {
        self.0.arguments.extend(options.iter().map(|(key, value)| (format!("{prefix}.{key}"), value.clone())));
        self
    }
}

impl Convert<'_> {
    /// A question to the catalog, or a change of it.
    pub fn catalog(&self, message: &pb::Catalog) -> Result<CatalogQuery, SparkError> {
        let pb::Catalog { cat_type } = message;
        let query = match required(cat_type.as_ref(), "the kind of a catalog query")? {
            CatType::CreateTable(m) => self.create_table(m)?,
            CatType::CreateExternalTable(m) => self.create_external_table(m)?,
            other => plain(other),
        };
        Ok(query.0)
    }

    fn create_table(&self, message: &pb::CreateTable) -> Result<Query, SparkError> {
        let pb::CreateTable { table_name, path, source, description, schema, options } = message;
        let mut query = Query::new("create_table")
            .text("table_name", table_name)
            .optional("path", path)
            .optional("source", source)
            .optional("description", description)
            .options("option", options);
        query.0.schema = schema.as_ref().map(|s| schema_of(self.data_type(s)?)).transpose()?;
        Ok(query)
    }

    fn create_external_table(&self, message: &pb::CreateExternalTable) -> Result<Query, SparkError> {
        let pb::CreateExternalTable { table_name, path, source, schema, options } = message;
        let mut query = Query::new("create_external_table")
            .text("table_name", table_name)
            .optional("path", path)
            .optional("source", source)
            .options("option", options);
        query.0.schema = schema.as_ref().map(|s| schema_of(self.data_type(s)?)).transpose()?;
        Ok(query)
    }
}

/// The queries whose arguments are texts and flags.
fn plain(message: &CatType) -> Query {
    let in_database = |method: &str, key: &str, name: &str, db: &Option<String>| {
        Query::new(method).text(key, name).optional("db_name", db)
    };
    let listing = |method: &str, db: &Option<String>, pattern: &Option<String>| {
        Query::new(method).optional("db_name", db).optional("pattern", pattern)
    };
    let table = |method: &str, name: &str| Query::new(method).text("table_name", name);
    match message {
        CatType::CurrentDatabase(pb::CurrentDatabase {}) => Query::new("current_database"),
        CatType::SetCurrentDatabase(pb::SetCurrentDatabase { db_name }) => {
            Query::new("set_current_database").text("db_name", db_name)
        }
        CatType::ListDatabases(pb::ListDatabases { pattern }) => {
            Query::new("list_databases").optional("pattern", pattern)
        }
        CatType::ListTables(pb::ListTables { db_name, pattern }) => listing("list_tables", db_name, pattern),
        CatType::ListViews(pb::ListViews { db_name, pattern }) => listing("list_views", db_name, pattern),
        CatType::ListFunctions(pb::ListFunctions { db_name, pattern }) => listing("list_functions", db_name, pattern),
        CatType::ListColumns(pb::ListColumns { table_name, db_name }) => {
            in_database("list_columns", "table_name", table_name, db_name)
        }
        CatType::GetDatabase(pb::GetDatabase { db_name }) => Query::new("get_database").text("db_name", db_name),
        CatType::GetTable(pb::GetTable { table_name, db_name }) => {
            in_database("get_table", "table_name", table_name, db_name)
        }
        CatType::GetFunction(pb::GetFunction { function_name, db_name }) => {
            in_database("get_function", "function_name", function_name, db_name)
        }
        CatType::DatabaseExists(pb::DatabaseExists { db_name }) => {
            Query::new("database_exists").text("db_name", db_name)
        }
        CatType::TableExists(pb::TableExists { table_name, db_name }) => {
            in_database("table_exists", "table_name", table_name, db_name)
        }
        CatType::FunctionExists(pb::FunctionExists { function_name, db_name }) => {
            in_database("function_exists", "function_name", function_name, db_name)
        }
        CatType::DropTempView(pb::DropTempView { view_name }) => {
            Query::new("drop_temp_view").text("view_name", view_name)
        }
        CatType::DropGlobalTempView(pb::DropGlobalTempView { view_name }) => {
            Query::new("drop_global_temp_view").text("view_name", view_name)
        }
        CatType::RecoverPartitions(pb::RecoverPartitions { table_name }) => table("recover_partitions", table_name),
        CatType::IsCached(pb::IsCached { table_name }) => table("is_cached", table_name),
        // There is one storage level here: memory, spilled to disk.
        CatType::CacheTable(pb::CacheTable { table_name, storage_level: _ }) => table("cache_table", table_name),
        CatType::UncacheTable(pb::UncacheTable { table_name }) => table("uncache_table", table_name),
        CatType::ClearCache(pb::ClearCache {}) => Query::new("clear_cache"),
        CatType::RefreshTable(pb::RefreshTable { table_name }) => table("refresh_table", table_name),
        CatType::RefreshByPath(pb::RefreshByPath { path }) => Query::new("refresh_by_path").text("path", path),
        CatType::CurrentCatalog(pb::CurrentCatalog {}) => Query::new("current_catalog"),
        CatType::SetCurrentCatalog(pb::SetCurrentCatalog { catalog_name }) => {
            Query::new("set_current_catalog").text("catalog_name", catalog_name)
        }
        CatType::ListCatalogs(pb::ListCatalogs { pattern }) => Query::new("list_catalogs").optional("pattern", pattern),
        CatType::DropTable(pb::DropTable { table_name, if_exists, purge }) => {
            table("drop_table", table_name).flag("if_exists", *if_exists).flag("purge", *purge)
        }
        CatType::DropView(pb::DropView { view_name, if_exists }) => {
            Query::new("drop_view").text("view_name", view_name).flag("if_exists", *if_exists)
        }
        CatType::CreateDatabase(pb::CreateDatabase { db_name, if_not_exists, properties }) => {
            let query = Query::new("create_database").text("db_name", db_name).flag("if_not_exists", *if_not_exists);
            query.options("property", properties)
        }
        CatType::DropDatabase(pb::DropDatabase { db_name, if_exists, cascade }) => {
            let query = Query::new("drop_database").text("db_name", db_name);
            query.flag("if_exists", *if_exists).flag("cascade", *cascade)
        }
        CatType::ListPartitions(pb::ListPartitions { table_name }) => table("list_partitions", table_name),
        CatType::GetTableProperties(pb::GetTableProperties { table_name }) => table("get_table_properties", table_name),
        CatType::GetCreateTableString(pb::GetCreateTableString { table_name, as_serde }) => {
            table("get_create_table_string", table_name).flag("as_serde", *as_serde)
        }
        CatType::TruncateTable(pb::TruncateTable { table_name }) => table("truncate_table", table_name),
        CatType::AnalyzeTable(pb::AnalyzeTable { table_name, no_scan }) => {
            table("analyze_table", table_name).flag("no_scan", *no_scan)
        }
        CatType::CreateTable(_) => Query::new("create_table"),
        CatType::CreateExternalTable(_) => Query::new("create_external_table"),
    }
}
