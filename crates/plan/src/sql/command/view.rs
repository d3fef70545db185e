//! `CREATE TEMPORARY VIEW`.

use millstream_formats::condition::SparkError;

use crate::ir::{Command, DataSourceRead, Options, Relation, RelationOp};
use crate::sql::parser::{Parsed, Parser};

impl Parser<'_> {
    /// What follows `CREATE … TEMPORARY VIEW`: a query, or a data source.
    pub(super) fn temporary_view(&mut self, global: bool, replace: bool) -> Parsed<Command> {
        if self.eat_if_not_exists() {
            return Err(SparkError::unsupported("CREATE TEMPORARY VIEW IF NOT EXISTS"));
        }
        let mark = self.mark();
        let mut name = self.table_name()?;
        let (Some(last), true) = (name.pop(), name.is_empty()) else {
            let sentence = format!(
                "CREATE TEMPORARY VIEW or the corresponding Dataset APIs only accept single-part view names, but got: {}.",
                self.slice_from(mark)
            );
            return Err(self.invalid(mark, "TEMP_VIEW_NAME_TOO_MANY_NAME_PARTS", "428EK", sentence));
        };
        if self.is(&["USING"]) {
            let input = self.view_source(None)?;
            return Ok(Command::CreateView { name: last, columns: Vec::new(), input, global, replace });
        }
        let mut columns = Vec::new();
        if self.is_symbol("(") {
            if let Some(schema) = self.source_schema()? {
                let input = self.view_source(Some(schema))?;
                return Ok(Command::CreateView { name: last, columns, input, global, replace });
            }
            columns = self.parenthesised_list(|p| {
                let name = p.name()?;
                if p.eat(&["COMMENT"]) {
                    p.string()?;
                }
                Ok(name)
            })?;
        }
        self.view_clauses()?;
        self.expect(&["AS"])?;
        let input = self.query()?;
        Ok(Command::CreateView { name: last, columns, input, global, replace })
    }

    /// `COMMENT 'c'`, `TBLPROPERTIES (…)`: nothing that a temporary view shows.
    fn view_clauses(&mut self) -> Parsed<()> {
        loop {
            if self.eat(&["COMMENT"]) {
                self.string()?;
            } else if self.is(&["TBLPROPERTIES"]) {
                self.advance();
                self.properties()?;
            } else {
                return Ok(());
            }
        }
    }

    /// `(a INT, b STRING)` before `USING`, as text.
    fn source_schema(&mut self) -> Parsed<Option<String>> {
        if !self.closing(0).is_some_and(|close| self.is_word_at(close + 1, "USING")) {
            return Ok(None);
        }
        self.advance();
        let mark = self.mark();
        self.columns()?;
        let text = self.slice_from(mark).to_string();
        self.expect_symbol(")")?;
        Ok(Some(text))
    }

    /// `USING format [OPTIONS (…)]`.
    fn view_source(&mut self, schema: Option<String>) -> Parsed<Relation> {
        self.expect(&["USING"])?;
        let format = Some(self.multipart_name()?.join("."));
        let options = if self.eat(&["OPTIONS"]) { self.properties()? } else { Options::new() };
        Ok(RelationOp::DataSource(DataSourceRead { format, schema, options, paths: Vec::new(), streaming: false })
            .into())
    }
}
