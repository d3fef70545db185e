//! Leaves: tables, data sources, SQL text, table functions.

use std::collections::BTreeMap;

use millstream_formats::condition::SparkError;
use millstream_plan::ir::{DataSourceRead, Expr, RelationOp};
use spark_connect_proto as pb;

use crate::convert::{Convert, name, required};

/// A text of SQL.
pub(crate) struct SqlText {
    pub(crate) text: String,
    /// `:name` parameters.
    pub(crate) named: BTreeMap<String, Expr>,
    /// `?` parameters.
    pub(crate) positional: Vec<Expr>,
}

impl Convert<'_> {
    pub(super) fn read(&self, message: &pb::Read) -> Result<RelationOp, SparkError> {
        use pb::read::ReadType;
        let pb::Read { is_streaming, read_type } = message;
        match required(read_type.as_ref(), "what to read")? {
            ReadType::NamedTable(pb::read::NamedTable { unparsed_identifier, options }) => Ok(RelationOp::Table {
                name: name::parts(unparsed_identifier)?,
                options: options.clone().into_iter().collect(),
                streaming: *is_streaming,
            }),
            ReadType::DataSource(source) => data_source(source, *is_streaming),
        }
    }

    /// The text of a query with its parameters.
    pub(crate) fn sql(&self, message: &pb::Sql) -> Result<RelationOp, SparkError> {
        let SqlText { text, named, positional } = self.sql_text(message)?;
        Ok(RelationOp::Sql { text, named, positional })
    }

    /// SQL text with its parameters.
    #[expect(deprecated, reason = "clients up to 3.5 send parameters as literals")]
    pub(crate) fn sql_text(&self, message: &pb::Sql) -> Result<SqlText, SparkError> {
        let pb::Sql { query, args, pos_args, named_arguments, pos_arguments } = message;
        let mut named = BTreeMap::new();
        for (name, literal) in args {
            named.insert(name.clone(), self.literal_expr(literal)?);
        }
        for (name, expression) in named_arguments {
            named.insert(name.clone(), self.expr(expression)?);
        }
        let mut positional =
            pos_args.iter().map(|literal| self.literal_expr(literal)).collect::<Result<Vec<_>, _>>()?;
        positional.extend(self.exprs(pos_arguments)?);
        Ok(SqlText { text: query.clone(), named, positional })
    }

    pub(super) fn with_relations(&self, message: &pb::WithRelations) -> Result<RelationOp, SparkError> {
        let pb::WithRelations { root, references } = message;
        let references = references.iter().map(|reference| self.relation(reference)).collect::<Result<_, _>>()?;
        Ok(RelationOp::WithRelations { root: self.input(root)?, references })
    }

    pub(super) fn table_function(&self, message: &pb::UnresolvedTableValuedFunction) -> Result<RelationOp, SparkError> {
        let pb::UnresolvedTableValuedFunction { function_name, arguments } = message;
        Ok(RelationOp::TableFunction { name: function_name.clone(), arguments: self.exprs(arguments)? })
    }

    pub(super) fn parse(&self, message: &pb::Parse) -> Result<RelationOp, SparkError> {
        use pb::parse::ParseFormat;
        let pb::Parse { input, format, schema, options } = message;
        let format = match ParseFormat::try_from(*format) {
            Ok(ParseFormat::Csv) => "csv",
            Ok(ParseFormat::Json) => "json",
            Ok(ParseFormat::Xml) => return Err(SparkError::unsupported("Parsing a DataFrame of XML documents")),
            _ => return Err(crate::convert::invalid("A parse relation has no format.")),
        };
        let schema = schema.as_ref().map(|schema| self.data_type(schema)).transpose()?;
        Ok(RelationOp::Parse {
            input: self.input(input)?,
            format: format.to_string(),
            schema: schema.map(crate::convert::schema_of).transpose()?,
            options: options.clone().into_iter().collect(),
        })
    }
}

fn data_source(message: &pb::read::DataSource, streaming: bool) -> Result<RelationOp, SparkError> {
    // `source_name` only identifies a source in the checkpoint of a query whose sources are named by the user.
    let pb::read::DataSource { format, schema, options, paths, predicates, source_name } = message;
    if !predicates.is_empty() {
        return Err(SparkError::unsupported("Reading from JDBC with predicates"));
    }
    if source_name.as_ref().is_some_and(|name| !name.is_empty()) {
        return Err(SparkError::unsupported("A named streaming source (readStream.name)"));
    }
    Ok(RelationOp::DataSource(DataSourceRead {
        format: format.clone().filter(|format| !format.is_empty()),
        schema: schema.clone().filter(|schema| !schema.is_empty()),
        options: options.clone().into_iter().collect(),
        paths: paths.clone(),
        streaming,
    }))
}
