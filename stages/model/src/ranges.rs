//! Numbers of a range, checked where they are read: what a configuration holds needs no second look.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number from 0 up to, but not including, 1: a decay rate or a share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct BelowOne(f64);

impl BelowOne {
    /// A default; `value` lies in the range.
    pub(crate) const fn of(value: f64) -> Self {
        Self(value)
    }

    /// The plain number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for BelowOne {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if (0.0..1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("expected a number from 0 to below 1, got {value}"))
        }
    }
}

impl From<BelowOne> for f64 {
    fn from(beta: BelowOne) -> Self {
        beta.0
    }
}

impl JsonSchema for BelowOne {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BelowOne".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0})
    }
}

/// A number above 0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Positive(f64);

impl Positive {
    /// A default; `value` is above 0.
    pub(crate) const fn of(value: f64) -> Self {
        Self(value)
    }

    /// The plain number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Positive {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if value > 0.0 && value.is_finite() { Ok(Self(value)) } else { Err(format!("expected a number above 0, got {value}")) }
    }
}

impl From<Positive> for f64 {
    fn from(positive: Positive) -> Self {
        positive.0
    }
}

impl JsonSchema for Positive {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Positive".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "exclusiveMinimum": 0.0})
    }
}
