//! Types and ranges of the fields of a row, and the roles of its messages.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::column;
use crate::record::Record;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
}

/// What one field must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether it may be missing or null.
    #[serde(default)]
    pub nullable: bool,
    /// The smallest number, or the fewest characters of a text.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest number, or the most characters of a text.
    #[serde(default)]
    pub max: Option<f64>,
    /// The only values it may have; any where there are none.
    #[serde(default, rename = "in")]
    pub one_of: Vec<Value>,
}

/// What a row must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schema {
    /// Rules by the name of the field.
    pub fields: BTreeMap<String, FieldRule>,
    /// Roles that messages may have; any where there are none.
    pub roles: Vec<String>,
    /// The role of the last message; any where none is named.
    pub last_role: Option<String>,
}

/// How a row breaks its contract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// The rule, one of a few.
    pub rule: &'static str,
    /// The field or role it is about.
    pub about: String,
}

impl Schema {
    /// Returns the first rule that a row breaks.
    pub fn check(&self, record: &Record) -> Option<Breach> {
        let breach = |rule, about: &str| Some(Breach { rule, about: about.chars().take(60).collect() });
        let foreign = |role: &&String| !self.roles.is_empty() && !self.roles.contains(role);
        if let Some(role) = record.messages.iter().map(|message| &message.role).find(foreign) {
            return breach("role", role);
        }
        let last = record.messages.last().map(|message| message.role.as_str());
        if self.last_role.is_some() && last != self.last_role.as_deref() {
            return breach("last_role", last.unwrap_or("none"));
        }
        let mut rules = self.fields.iter();
        let broken = rules.find_map(|(name, rule)| Some((name, rule.check(&column(record, name))?)));
        broken.and_then(|(name, rule)| breach(rule, name))
    }

    /// Names fields of a row that no rule is about.
    pub fn unknown<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = &'a String> {
        record.meta.keys().filter(|name| !name.starts_with('_') && !self.fields.contains_key(*name))
    }
}

impl FieldRule {
    fn check(&self, value: &Value) -> Option<&'static str> {
        if value.is_null() {
            return (!self.nullable).then_some("missing");
        }
        let fits = match self.kind {
            FieldType::String => value.is_string(),
            FieldType::Integer => value.is_i64() || value.is_u64(),
            FieldType::Number => value.is_number(),
            FieldType::Boolean => value.is_boolean(),
            FieldType::List => value.is_array(),
            FieldType::Object => value.is_object(),
        };
        if !fits {
            return Some("type");
        }
        let size = size(value);
        let is_out = size.is_some_and(|size| self.min.is_some_and(|min| size < min) || self.max.is_some_and(|max| size > max));
        if is_out {
            return Some("range");
        }
        (!self.one_of.is_empty() && !self.one_of.contains(value)).then_some("value")
    }
}

/// What ranges are about: the number itself, or the length of a text or list.
#[expect(clippy::cast_precision_loss, reason = "lengths of texts are far below 2^52")]
pub(super) fn size(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(text.chars().count() as f64),
        Value::Array(items) => Some(items.len() as f64),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}
