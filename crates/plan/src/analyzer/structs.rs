//! Fields of structs and elements of collections: taking them, setting them, leaving them out.

use arrow::datatypes::{DataType, Fields};
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_formats::types;
use millstream_functions::Typed;

use super::expression::{PROJECT, Resolved, strip_alias};
use super::scope::Scope;
use super::{Analyzer, errors};
use crate::ir;

impl Analyzer<'_> {
    /// The field of a struct, of each struct of an array, or the value of a map key.
    ///
    /// # Errors
    /// `FIELD_NOT_FOUND`, `AMBIGUOUS_REFERENCE_TO_FIELDS`, `INVALID_EXTRACT_BASE_FIELD_TYPE`.
    pub fn field_of(&self, value: Resolved, field: &str) -> Result<Resolved, SparkError> {
        let base = strip_alias(&value);
        let exact = match &value.typed.data_type {
            DataType::Struct(fields) if !types::is_variant(fields) => self.field_name(fields, field)?,
            DataType::List(item) => match item.data_type() {
                DataType::Struct(fields) => self.field_name(fields, field)?,
                _ => return Err(self.no_field(&value, field)),
            },
            DataType::Map(..) => field.to_string(),
            _ => return Err(self.no_field(&value, field)),
        };
        let key = Typed::literal(ScalarValue::Utf8(Some(exact.clone())));
        let is_map = matches!(value.typed.data_type, DataType::Map(..));
        let metadata = field_metadata(&value.typed.data_type, &exact);
        let typed = self.build("[", &[value.typed, key])?;
        let sql = if is_map { format!("{base}[{exact}]") } else { format!("{base}.{exact}") };
        let name = (!is_map).then_some(exact);
        Ok(Resolved { name, metadata, ..Resolved::value(typed, sql) })
    }

    fn no_field(&self, value: &Resolved, _field: &str) -> SparkError {
        errors::invalid_extract_base(&strip_alias(value), &Self::type_name(&value.typed.data_type))
    }

    /// The field as the struct spells it.
    fn field_name(&self, fields: &Fields, wanted: &str) -> Result<String, SparkError> {
        let mut found = fields.iter().filter(|f| self.names.same(f.name(), wanted));
        let Some(first) = found.next() else {
            let names: Vec<String> = fields.iter().map(|f| f.name().clone()).collect();
            return Err(errors::field_not_found(wanted, &names));
        };
        match found.count() {
            0 => Ok(first.name().clone()),
            more => Err(errors::ambiguous_field(wanted, more + 1)),
        }
    }

    /// `child[key]`.
    pub fn resolve_extract(&self, child: &ir::Expr, key: &ir::Expr, scope: &Scope) -> Result<Resolved, SparkError> {
        let base = self.no_generator(self.resolve(child, scope)?, |sql| sql.to_string())?;
        let holds_structs = match &base.typed.data_type {
            DataType::Struct(fields) => !types::is_variant(fields),
            DataType::List(item) => matches!(item.data_type(), DataType::Struct(_)),
            _ => false,
        };
        if let (true, ir::Expr::Literal(ScalarValue::Utf8(Some(field)))) = (holds_structs, key) {
            let mut value = self.field_of(base, field)?;
            // Spark names `s['a']` after the whole text, unlike `s.a`.
            value.name = None;
            return Ok(value);
        }
        if !matches!(base.typed.data_type, DataType::List(_) | DataType::Map(..) | DataType::Struct(_)) {
            return Err(self.no_field(&base, ""));
        }
        let key = self.resolve_scalar(key, scope, PROJECT)?;
        let sql = format!("{}[{}]", strip_alias(&base), strip_alias(&key));
        let typed = self.build("[", &[base.typed, key.typed]).map_err(|e| self.readable(e, scope))?;
        Ok(Resolved::value(typed, sql))
    }

    /// `withField` and `dropFields`.
    pub fn resolve_update(
        &self,
        child: &ir::Expr,
        field: &str,
        value: Option<&ir::Expr>,
        scope: &Scope,
    ) -> Result<Resolved, SparkError> {
        let base = self.resolve_scalar(child, scope, PROJECT)?;
        let path: Vec<String> = super::columns::name_parts(field)?;
        match value {
            Some(value) => {
                let value = self.resolve_scalar(value, scope, PROJECT)?;
                let sql = format!("update_fields({}, WithField({}))", strip_alias(&base), strip_alias(&value));
                let typed = self.set_field(&base.typed, &path, &value.typed)?;
                Ok(Resolved::value(typed, sql))
            }
            None => self.drop_field(base, &path),
        }
    }

    /// The struct without a field; an unknown one is ignored.
    pub fn drop_field(&self, base: Resolved, path: &[String]) -> Result<Resolved, SparkError> {
        let sql = format!("update_fields({}, dropfield())", strip_alias(&base));
        let typed = self.without_field(&base.typed, path)?;
        Ok(Resolved::value(typed, sql))
    }

    fn set_field(&self, base: &Typed, path: &[String], value: &Typed) -> Result<Typed, SparkError> {
        let Some((head, rest)) = path.split_first() else { return Ok(value.clone()) };
        let fields = self.struct_fields(base)?;
        let mut parts: Vec<(String, Typed)> = Vec::with_capacity(fields.len() + 1);
        let mut replaced = false;
        for field in fields.iter() {
            let current = self.part(base, field.name())?;
            if self.names.same(field.name(), head) {
                replaced = true;
                let value = if rest.is_empty() { value.clone() } else { self.set_field(&current, rest, value)? };
                parts.push((if rest.is_empty() { head.clone() } else { field.name().clone() }, value));
            } else {
                parts.push((field.name().clone(), current));
            }
        }
        if !replaced {
            if !rest.is_empty() {
                let names: Vec<String> = fields.iter().map(|f| f.name().clone()).collect();
                return Err(errors::field_not_found(head, &names));
            }
            parts.push((head.clone(), value.clone()));
        }
        self.assemble(base, parts)
    }

    fn without_field(&self, base: &Typed, path: &[String]) -> Result<Typed, SparkError> {
        let Some((head, rest)) = path.split_first() else { return Ok(base.clone()) };
        let fields = self.struct_fields(base)?;
        let mut parts: Vec<(String, Typed)> = Vec::with_capacity(fields.len());
        for field in fields.iter() {
            let current = self.part(base, field.name())?;
            match (self.names.same(field.name(), head), rest) {
                (true, []) => {}
                (true, rest) => parts.push((field.name().clone(), self.without_field(&current, rest)?)),
                (false, _) => parts.push((field.name().clone(), current)),
            }
        }
        if parts.is_empty() {
            return Err(errors::analysis(
                "DATATYPE_MISMATCH.CANNOT_DROP_ALL_FIELDS",
                "42K09",
                "Cannot resolve the expression due to data type mismatch: Cannot drop all fields in struct.",
            ));
        }
        self.assemble(base, parts)
    }

    fn struct_fields(&self, base: &Typed) -> Result<Fields, SparkError> {
        match &base.data_type {
            DataType::Struct(fields) => Ok(fields.clone()),
            other => Err(errors::analysis(
                "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
                "42K09",
                format!(
                    "Cannot resolve the expression due to data type mismatch: The first parameter requires the \"STRUCT\" type, \
                     however it has the type \"{}\".",
                    Self::type_name(other)
                ),
            )),
        }
    }

    fn part(&self, base: &Typed, field: &str) -> Result<Typed, SparkError> {
        self.build("[", &[base.clone(), Typed::literal(ScalarValue::Utf8(Some(field.to_string())))])
    }

    /// A struct of these parts, null where `base` is.
    fn assemble(&self, base: &Typed, parts: Vec<(String, Typed)>) -> Result<Typed, SparkError> {
        let arguments: Vec<Typed> = parts
            .into_iter()
            .flat_map(|(name, value)| [Typed::literal(ScalarValue::Utf8(Some(name))), value])
            .collect();
        let made = self.build("named_struct", &arguments)?;
        if !base.nullable {
            return Ok(made);
        }
        let is_there = self.build("isnotnull", std::slice::from_ref(base))?;
        let null = Typed::new(
            datafusion::logical_expr::Expr::Literal(
                ScalarValue::try_new_null(&made.data_type).map_err(super::rel::planner_error)?,
                None,
            ),
            made.data_type.clone(),
            true,
        );
        self.build("when", &[is_there, made, null])
    }
}

/// Metadata of a struct's field.
fn field_metadata(data_type: &DataType, field: &str) -> super::Metadata {
    match data_type {
        DataType::Struct(fields) => {
            fields.iter().find(|f| f.name() == field).map(|f| f.metadata().clone()).unwrap_or_default()
        }
        _ => Default::default(),
    }
}
