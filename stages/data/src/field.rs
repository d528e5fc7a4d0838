//! Values of a row by field name: what grouping, strata, and labels are taken from.

use flow_text::record::Record;
use serde_json::Value;

/// Returns a field of `meta` as text, or the source's name for `source` where `meta` has no such field.
pub(crate) fn text_of(record: &Record, field: &str) -> Option<String> {
    match record.meta.get(field) {
        Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
        None if field == "source" => Some(record.source.clone()),
        None => None,
    }
}
