//! Tables and views whose rows are kept in memory: `CACHE TABLE`, `spark.catalog.cacheTable`.
//!
//! The rows are those that the first batch query over the table finds (`CACHE TABLE` without `LAZY` is one). They serve all batch
//! queries until the table is uncached, refreshed or dropped, the view is replaced, or this process writes files that they came
//! from; what others change is not seen, as in Spark. A table is cached for all sessions, a temporary view for its own. Streams
//! read the table itself. Not here: rows beyond the memory of the machine, and `df.cache()`, which keeps none.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use millstream_formats::condition::SparkError;
use millstream_formats::url::local_path;
use millstream_plan::ir::{Relation, RelationOp};
use millstream_plan::resolved::ResolvedPlan;
use parking_lot::{Mutex, RwLock};

use crate::session::Session;
use crate::tables::{self, TableEntry, View};

/// What is cached, by full name in lower case.
#[derive(Default)]
pub(crate) struct TableCache(RwLock<HashMap<Vec<String>, Arc<Cached>>>);

struct Cached {
    /// What the name stood for; another view of the same name is not cached.
    view: Option<View>,
    kept: Mutex<Option<Kept>>,
}

/// The rows, and where they are from.
struct Kept {
    rows: Arc<ResolvedPlan>,
    sources: Vec<PathBuf>,
}

/// What a name stands for, as far as caching goes.
pub(crate) enum Named {
    View(View),
    Table(TableEntry),
}

impl Named {
    fn view(&self) -> Option<&View> {
        match self {
            Self::View(view) => Some(view),
            Self::Table(_) => None,
        }
    }
}

impl TableCache {
    fn find(&self, name: &[String], named: &Named) -> Option<Arc<Cached>> {
        let cached = self.0.read().get(&key(name)).cloned()?;
        let same = match (&cached.view, named.view()) {
            (Some(View::Query(a)), Some(View::Query(b))) => Arc::ptr_eq(a, b),
            (Some(View::Memory(a)), Some(View::Memory(b))) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same.then_some(cached)
    }

    /// Forgets a table that is no more, or is to be cached no more.
    pub(crate) fn remove(&self, name: &[String]) {
        self.0.write().remove(&key(name));
    }

    fn forget_rows(&self, of: impl Fn(&Kept) -> bool) {
        // Rows may be on their way into one of them, which takes its time: nobody else has to wait for that.
        let all: Vec<Arc<Cached>> = self.0.read().values().cloned().collect();
        for cached in all {
            let mut kept = cached.kept.lock();
            if kept.as_ref().is_some_and(&of) {
                *kept = None;
            }
        }
    }
}

fn key(name: &[String]) -> Vec<String> {
    name.iter().map(|part| part.to_lowercase()).collect()
}

impl Session {
    /// The cache that knows a name: a temporary view belongs to the session.
    fn cache_of(&self, name: &[String]) -> &TableCache {
        if name.len() == 1 { &self.view_cache } else { &self.engine.tables.cache }
    }

    /// Caches a table or view, by its full name; `now` reads it at once.
    ///
    /// # Errors
    /// What reading it says.
    pub(crate) fn cache(&self, name: &[String], named: &Named, now: bool) -> Result<(), SparkError> {
        let cache = self.cache_of(name);
        if cache.find(name, named).is_none() {
            let cached = Cached { view: named.view().cloned(), kept: Mutex::default() };
            cache.0.write().insert(key(name), Arc::new(cached));
        }
        if now {
            self.cached_rows(name, named)?;
        }
        Ok(())
    }

    /// Caches a table or view no more.
    pub(crate) fn uncache(&self, name: &[String]) {
        self.cache_of(name).remove(name);
    }

    /// Caches nothing any more.
    pub(crate) fn clear_cache(&self) {
        self.view_cache.0.write().clear();
        self.engine.tables.cache.0.write().clear();
    }

    /// Whether a table or view is cached.
    pub(crate) fn is_cached(&self, name: &[String], named: &Named) -> bool {
        self.cache_of(name).find(name, named).is_some()
    }

    /// Lets the rows of a table or view be read anew, if it is cached.
    pub(crate) fn refresh(&self, name: &[String], named: &Named) {
        if let Some(cached) = self.cache_of(name).find(name, named) {
            *cached.kept.lock() = None;
        }
    }

    /// Lets all be read anew that is from files at, below or above a path: they have changed.
    pub(crate) fn refresh_path(&self, path: &str) {
        let Ok(path) = crate::stream::local_path(path) else { return };
        let path = std::path::absolute(&path).unwrap_or(path);
        let touched = |kept: &Kept| kept.sources.iter().any(|from| from.starts_with(&path) || path.starts_with(from));
        self.view_cache.forget_rows(touched);
        self.engine.tables.cache.forget_rows(touched);
    }

    /// The rows of a cached table or view; none if it is not cached.
    ///
    /// # Errors
    /// What reading it says, if that is not done yet.
    pub(crate) fn cached_rows(&self, name: &[String], named: &Named) -> Result<Option<Arc<ResolvedPlan>>, SparkError> {
        // A stream has no rows to keep.
        if matches!(named, Named::View(View::Query(plan)) if plan.streaming) {
            return Ok(None);
        }
        let Some(cached) = self.cache_of(name).find(name, named) else { return Ok(None) };
        // Whoever comes second waits for the rows rather than reading the table too.
        let mut kept = cached.kept.lock();
        if kept.is_none() {
            *kept = Some(self.read_for_cache(named)?);
        }
        Ok(kept.as_ref().map(|kept| Arc::clone(&kept.rows)))
    }

    fn read_for_cache(&self, named: &Named) -> Result<Kept, SparkError> {
        let mut sources: Vec<PathBuf> = Vec::new();
        let plan = match named {
            Named::View(View::Query(plan)) => Arc::clone(plan),
            Named::View(View::Memory(table)) => {
                let (schema, batches) = (table.schema(), table.rows());
                return Ok(Kept { rows: self.local(schema, batches)?, sources });
            }
            Named::Table(entry) => {
                sources.push(crate::stream::local_path(&entry.path)?);
                let read = tables::read_of(entry, &Default::default(), false);
                Arc::new(self.analyze(&Relation::new(RelationOp::DataSource(read)))?)
            }
        };
        sources.extend(crate::session::files_in(&plan)?.iter().filter_map(|url| local_path(url)));
        let rows = self.execute_resolved(&plan)?;
        let schema = Arc::clone(rows.schema());
        Ok(Kept { rows: self.local(schema, rows.collect()?)?, sources })
    }

    fn local(
        &self,
        schema: arrow::datatypes::SchemaRef,
        batches: Vec<arrow::array::RecordBatch>,
    ) -> Result<Arc<ResolvedPlan>, SparkError> {
        Ok(Arc::new(self.analyze(&Relation::new(RelationOp::Local { batches, schema }))?))
    }
}
