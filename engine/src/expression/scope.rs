//! What an expression can read when it is asked.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Value, json};

use super::Name;

/// The values behind the names of an expression.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Resolved parameters of the file that holds the expression, see [`crate::plan::PlannedStage::params`].
    pub params: &'a BTreeMap<String, Value>,
    /// What stands before the names of that file's stages in the plan: empty, or `component/`.
    pub prefix: &'a str,
    /// What the stage measured; empty before it ran. Metrics named `baseline.X` are read as `baseline.X`.
    pub metrics: &'a BTreeMap<String, f64>,
    /// Finished stages by their names in the plan.
    pub stages: &'a BTreeMap<String, Reading>,
}

/// What expressions read of another stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// `succeeded`, `failed`, or `skipped`.
    pub status: String,
    /// What it measured.
    pub metrics: BTreeMap<String, f64>,
}

const BASELINE: &str = "baseline.";

impl Scope<'_> {
    pub(super) fn context(&self) -> cel::Context<'static, 'static> {
        let mut context = cel::Context::default();
        for root in ["params", "metrics", "baseline", "stages"] {
            context.add_variable_from_value(root, to_cel(&self.root(root)));
        }
        context
    }

    /// The value of a path, if it has one.
    pub(super) fn lookup(&self, name: &Name) -> Option<Value> {
        let mut value = self.root(&name.root);
        for field in &name.fields {
            value = value.get_mut(field).map(Value::take)?;
        }
        Some(value)
    }

    fn root(&self, name: &str) -> Value {
        match name {
            "params" => self.params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            "metrics" => metrics(self.metrics.iter().map(|(name, value)| (name.as_str(), *value))),
            "baseline" => self.baseline(),
            "stages" => self.stages_of_file(),
            _ => Value::Null,
        }
    }

    fn baseline(&self) -> Value {
        let mut known = self.metrics.iter().filter_map(|(name, value)| Some((name.strip_prefix(BASELINE)?, *value))).peekable();
        if known.peek().is_none() { Value::Null } else { metrics(known) }
    }

    fn stages_of_file(&self) -> Value {
        let own = self.stages.iter().filter_map(|(name, reading)| Some((name.strip_prefix(self.prefix)?, reading)));
        let entry = |(name, reading): (&str, &Reading)| {
            let measured = metrics(reading.metrics.iter().map(|(name, value)| (name.as_str(), *value)));
            (name.to_owned(), json!({"status": reading.status, "metrics": measured}))
        };
        own.map(entry).collect()
    }
}

/// Metrics by their whole name, and by their parts where that is not ambiguous: `null_fraction.text` is found both ways.
fn metrics<'m>(known: impl Iterator<Item = (&'m str, f64)>) -> Value {
    let mut all = serde_json::Map::new();
    for (name, value) in known {
        nest(&mut all, name, value);
        all.insert(name.to_owned(), json!(value));
    }
    Value::Object(all)
}

fn nest(into: &mut serde_json::Map<String, Value>, name: &str, value: f64) {
    let Some((head, rest)) = name.split_once('.') else {
        into.entry(name).or_insert_with(|| json!(value));
        return;
    };
    if let Value::Object(inner) = into.entry(head).or_insert_with(|| json!({})) {
        nest(inner, rest, value);
    }
}

/// A JSON value as expressions see it.
pub(crate) fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => cel::Value::Int(signed),
            (None, Some(unsigned)) => cel::Value::UInt(unsigned),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(entries) => {
            let entries: HashMap<String, cel::Value> = entries.iter().map(|(key, value)| (key.clone(), to_cel(value))).collect();
            cel::Value::from(entries)
        }
    }
}
