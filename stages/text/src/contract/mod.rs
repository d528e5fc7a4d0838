//! What rows must be like: the types of their fields, expectations about all of them, and how far they drifted from before.
//!
//! [`Schema`] judges a row by itself; an [`Expectation`] is observed over all rows and judged at the end; a [`Profile`] sums
//! rows up so that a later set can be held against it.

mod drift;
mod expect;
mod schema;

use serde_json::Value;

pub use drift::{Drift, Profile};
pub use expect::{Expectation, ExpectationError, Kind, Observed, Outcome, Severity};
pub use schema::{Breach, FieldRule, FieldType, Schema};

use crate::{
    record::Record,
    shingle::{Part, text_of},
};

/// Returns the value of a column: `prompt`, `answer`, and `source` of every row, else a field of `meta`.
pub fn column(record: &Record, name: &str) -> Value {
    let text = |part| match text_of(record, part).trim() {
        "" => Value::Null,
        text => Value::String(text.to_owned()),
    };
    match name {
        "prompt" => text(Part::Prompt),
        "answer" => text(Part::Answer),
        "source" => Value::String(record.source.clone()),
        field => record.meta.get(field).cloned().unwrap_or(Value::Null),
    }
}

#[cfg(test)]
mod tests;
