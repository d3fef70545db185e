//! `GROUP BY`: keys, grouping sets, the select list over them and `HAVING`. Not here: the aggregate itself (`aggregate_stage`).

use arrow::datatypes::DataType;
use datafusion::functions_aggregate::grouping::grouping_udaf;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::scalar::ScalarValue;
use millstream_formats::condition::SparkError;
use millstream_functions::Typed;

use super::aggregate_stage::{Calls, Grouping};
use super::expression::{Resolved, has_aggregate, has_window, strip_alias};
use super::rel::{Rel, new_attribute};
use super::scope::Scope;
use super::select::{Item, Select, check_boolean};
use super::{Analyzer, errors, names};
use crate::ir;
use crate::resolved::Attribute;

/// Name under which Spark computes a key that is no column.
const COMPUTED_KEY: &str = "_groupingexpression";

impl Analyzer<'_> {
    /// `GROUP BY`.
    pub fn aggregate(&self, aggregate: &ir::Aggregate) -> Result<Rel, SparkError> {
        if let ir::Grouping::Pivot { column, values } = &aggregate.grouping {
            return self.pivot(aggregate, column, values);
        }
        let rel = self.relation(&aggregate.input)?;
        let (rel, (keys, sets, list)) = self.over_time_windows(rel, |rel| {
            // The select list may name fields of a window that only the keys ask for.
            self.want_key_windows(rel, aggregate);
            let list = self.select_list(rel, &aggregate.expressions)?;
            let (keys, sets) = self.grouping_keys(rel, aggregate, &list)?;
            Ok((keys, sets, list))
        })?;
        self.group(rel, keys, sets, list, aggregate.keys_first, aggregate.having.as_ref())
    }

    /// Groups a relation by resolved keys.
    pub fn group(
        &self,
        rel: Rel,
        keys: Vec<Resolved>,
        sets: Option<Vec<Vec<usize>>>,
        list: Vec<Resolved>,
        keys_first: bool,
        having: Option<&ir::Expr>,
    ) -> Result<Rel, SparkError> {
        let keys = keys.into_iter().map(group_key).collect::<Result<Vec<_>, _>>()?;
        keys.iter().for_each(|(attribute, expr)| self.name_key(attribute, expr));
        let mut items: Vec<Item> = Vec::new();
        if keys_first {
            let nullable = |a: &Attribute| Attribute { nullable: a.nullable || sets.is_some(), ..a.clone() };
            items.extend(keys.iter().map(|(a, e)| Item::Value(nullable(a), e.clone())));
        }
        items.extend(self.items(list)?);
        if sets.is_some() {
            mark_nullable_keys(&mut items, &keys);
        }
        let explicit = !keys.is_empty() || sets.is_some();
        let grouping = Grouping { keys, sets, explicit, calls: Calls::default() };
        let having = having.map(|h| self.having(h, &rel, &items)).transpose()?;
        let select = Select { input: rel, grouping: Some(grouping), items, having, carried: vec![] };
        Ok(select.build(vec![])?.0)
    }

    /// Spark groups by the column behind an alias, and computes any other key under a name of its own.
    fn name_key(&self, attribute: &Attribute, expr: &Expr) {
        let name = match expr {
            Expr::Column(c) if c.name == attribute.column => attribute.name.clone(),
            Expr::Column(c) => {
                self.column_names.borrow().get(&c.name).cloned().unwrap_or_else(|| attribute.name.clone())
            }
            _ => COMPUTED_KEY.to_string(),
        };
        self.name_column(&attribute.column, &name);
    }

    /// Asks for the windows among the keys. Keys that do not resolve by themselves are looked at again with the select list.
    fn want_key_windows(&self, rel: &Rel, aggregate: &ir::Aggregate) {
        for key in &aggregate.keys {
            if is_window_call(key) {
                let _ = self.resolve(key, &Scope::of(rel));
            }
        }
    }

    /// `HAVING` sees the select list first, then the input.
    fn having(&self, having: &ir::Expr, input: &Rel, items: &[Item]) -> Result<Expr, SparkError> {
        let first: Vec<(Attribute, Resolved)> = items
            .iter()
            .filter_map(|item| match item {
                Item::Value(attribute, expr) => {
                    let mut value = Resolved::column(attribute);
                    value.typed = Typed::new(expr.clone(), attribute.data_type.clone(), attribute.nullable);
                    value.attribute = None;
                    Some((attribute.clone(), value))
                }
                Item::Generator { .. } => None,
            })
            .collect();
        let scope = Scope { first: &first, ..Scope::of(input) };
        let resolved = self.resolve_scalar(having, &scope, "Filter")?;
        check_boolean(&resolved)?;
        Ok(resolved.typed.expr)
    }

    /// The keys in order and, if there are grouping sets, these as indices of keys.
    #[expect(clippy::type_complexity, reason = "the pair is taken apart at once")]
    fn grouping_keys(
        &self,
        rel: &Rel,
        aggregate: &ir::Aggregate,
        list: &[Resolved],
    ) -> Result<(Vec<Resolved>, Option<Vec<Vec<usize>>>), SparkError> {
        if matches!(aggregate.grouping, ir::Grouping::All) {
            let keys = list.iter().filter(|r| !has_aggregate(&r.typed.expr) && !has_window(&r.typed.expr));
            return Ok((keys.cloned().collect(), None));
        }
        let mut keys: Vec<Resolved> = Vec::new();
        for key in &aggregate.keys {
            keys.extend(self.grouping_key(key, rel, aggregate.keys_first, list)?);
        }
        let all: Vec<usize> = (0..keys.len()).collect();
        let sets = match &aggregate.grouping {
            ir::Grouping::Rollup => Some((0..=keys.len()).rev().map(|n| all[..n].to_vec()).collect()),
            ir::Grouping::Cube => Some(subsets(&all)?),
            ir::Grouping::Sets(sets) => {
                let mut indices = Vec::with_capacity(sets.len());
                for set in sets {
                    let mut members = Vec::with_capacity(set.len());
                    for key in set {
                        for resolved in self.grouping_key(key, rel, aggregate.keys_first, list)? {
                            let known = keys.iter().position(|k| k.typed.expr == resolved.typed.expr);
                            members.push(known.unwrap_or(keys.len()));
                            if known.is_none() {
                                keys.push(resolved);
                            }
                        }
                    }
                    indices.push(members);
                }
                Some(indices)
            }
            _ => None,
        };
        Ok((keys, sets))
    }

    /// A key: an ordinal of the select list, an expression over the input, or an alias of the select list.
    fn grouping_key(
        &self,
        key: &ir::Expr,
        rel: &Rel,
        keys_first: bool,
        list: &[Resolved],
    ) -> Result<Vec<Resolved>, SparkError> {
        if let (ir::Expr::Literal(ScalarValue::Int32(Some(index))), false) = (key, keys_first) {
            let index = *index;
            let at = usize::try_from(i64::from(index) - 1).ok().and_then(|i| list.get(i));
            let Some(found) = at else {
                return Err(errors::position_out_of_range("GROUP_BY", index.into(), list.len()));
            };
            if has_aggregate(&found.typed.expr) {
                let position = usize::try_from(index).unwrap_or_default();
                return Err(errors::group_by_pos_aggregate(position, &strip_alias(found)));
            }
            return Ok(vec![found.clone()]);
        }
        if let ir::Expr::Star(star) = key {
            return self.expand_star(star, &Scope::of(rel));
        }
        match self.resolve_scalar(key, &Scope::of(rel), "Aggregate") {
            Ok(resolved) => Ok(vec![resolved]),
            Err(error) if errors::is_unresolved_column(&error) => {
                let ir::Expr::Attribute(attribute) = key else { return Err(error) };
                let [name] = attribute.name.as_slice() else { return Err(error) };
                let named = |r: &&Resolved| r.name.as_ref().is_some_and(|n| self.names.same(n, name));
                list.iter().find(named).map(|r| vec![r.clone()]).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// `grouping(key)`, `grouping_id(keys)`: a marker that the aggregate stage replaces.
    pub fn resolve_grouping(&self, name: &str, call: &ir::Function, scope: &Scope) -> Result<Resolved, SparkError> {
        let arguments = self.arguments(call, scope)?;
        let texts: Vec<String> = arguments.iter().map(strip_alias).collect();
        let single = name == "grouping";
        if single && arguments.len() != 1 {
            return Err(millstream_functions::arguments::wrong_count("grouping", "1", arguments.len()));
        }
        let args = arguments.into_iter().map(|a| a.typed.expr).collect();
        // `distinct` tells the two functions apart; it has no other meaning in the marker.
        let marker = AggregateFunction::new_udf(grouping_udaf(), args, single, None, vec![], None);
        let data_type = if single { DataType::Int8 } else { DataType::Int64 };
        let typed = Typed::new(Expr::AggregateFunction(marker), data_type, false);
        Ok(Resolved::value(typed, names::call(name, &texts, false)))
    }
}

fn is_window_call(key: &ir::Expr) -> bool {
    match key {
        ir::Expr::Function(call) => matches!(call.name.to_ascii_lowercase().as_str(), "window" | "session_window"),
        ir::Expr::Alias { expr, .. } => is_window_call(expr),
        _ => false,
    }
}

/// A key's column: its own if it is one, else a new one.
fn group_key(resolved: Resolved) -> Result<(Attribute, Expr), SparkError> {
    if has_aggregate(&resolved.typed.expr) {
        return Err(errors::group_by_aggregate(&strip_alias(&resolved)));
    }
    let attribute = match &resolved.attribute {
        Some(attribute) => attribute.clone(),
        None => new_attribute(resolved.output_name(), &resolved.typed, resolved.metadata.clone()),
    };
    Ok((attribute, resolved.typed.expr))
}

/// With grouping sets, what passes a key on may be null.
fn mark_nullable_keys(items: &mut [Item], keys: &[(Attribute, Expr)]) {
    for item in items {
        if let Item::Value(attribute, expr) = item
            && keys.iter().any(|(_, key)| key == expr)
        {
            attribute.nullable = true;
        }
    }
}

/// All subsets, larger indices dropped first, as `CUBE` lists them.
fn subsets(all: &[usize]) -> Result<Vec<Vec<usize>>, SparkError> {
    /// Bits of the grouping id that DataFusion can hold.
    const KEYS_MAX: usize = 16;
    if all.len() > KEYS_MAX {
        return Err(SparkError::unsupported(format!("CUBE of more than {KEYS_MAX} keys")));
    }
    let n = all.len();
    let set = |mask: usize| all.iter().filter(|i| mask & (1 << (n - 1 - **i)) == 0).copied().collect();
    Ok((0..1usize << n).map(set).collect())
}
