//! Row identity: xxh3-128 of the source's name, the canonical record, and how many equal records came before it.
//!
//! Neither files nor offsets enter it, so that a row keeps its id when others are added around it.

use std::collections::HashMap;

use flow_text::record::Message;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

/// Gives out ids within one source.
pub(super) struct Identities {
    source: String,
    seen: HashMap<u128, u64>,
}

impl Identities {
    pub(super) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), seen: HashMap::new() }
    }

    /// Returns the id of the next record.
    pub(super) fn next(&mut self, messages: &[Message], meta: &Map<String, Value>) -> String {
        let record = canonical(messages, meta);
        let mut content = Xxh3::new();
        frame(&mut content, record.as_bytes());
        let repeat = self.seen.entry(content.digest128()).or_default();
        let mut hasher = Xxh3::new();
        frame(&mut hasher, self.source.as_bytes());
        frame(&mut hasher, record.as_bytes());
        hasher.update(&repeat.to_le_bytes());
        *repeat += 1;
        format!("{:032x}", hasher.digest128())
    }
}

/// Length first, so that no two lists of parts give the same bytes.
fn frame(hasher: &mut Xxh3, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// The record as JSON with sorted keys: the order of fields in a source is no part of a row.
fn canonical(messages: &[Message], meta: &Map<String, Value>) -> String {
    let turns = messages.iter().map(|message| Value::from(vec![message.role.clone(), message.content.clone()]));
    let mut out = Value::Array(turns.collect()).to_string();
    write_object(meta, &mut out);
    out
}

fn write_object(fields: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    out.push('{');
    for (name, value) in sorted {
        out.push_str(&Value::from(name.as_str()).to_string());
        out.push(':');
        write_value(value, out);
        out.push(',');
    }
    out.push('}');
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => write_object(fields, out),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_value(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(identities: &mut Identities, text: &str, meta: &Value) -> String {
        identities.next(&[Message { role: "user".to_owned(), content: text.to_owned() }], meta.as_object().unwrap())
    }

    #[test]
    fn ids_depend_on_content_source_and_repeat_only() {
        let mut one = Identities::new("s");
        let first = id(&mut one, "a", &json!({"x": 1, "y": {"b": 2, "a": [1]}}));
        let other = id(&mut one, "b", &json!({}));
        let again = id(&mut one, "a", &json!({"y": {"a": [1], "b": 2}, "x": 1}));
        assert_eq!(first.len(), 32);
        assert!(first != other && first != again);
        // In another order of rows the ids are the same.
        let mut two = Identities::new("s");
        assert_eq!(id(&mut two, "b", &json!({})), other);
        assert_eq!(id(&mut two, "a", &json!({"y": {"a": [1], "b": 2}, "x": 1})), first);
        assert_eq!(id(&mut two, "a", &json!({"x": 1, "y": {"b": 2, "a": [1]}})), again);
        assert_ne!(id(&mut Identities::new("t"), "b", &json!({})), other);
    }
}
