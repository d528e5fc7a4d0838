//! Numbers of a range, checked where they are read: what a configuration holds needs no second look.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Defines a number that only values with `$fits` can become.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $fits:expr, $range:literal, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// A default; `value` lies in the range.
            pub(crate) const fn of(value: f64) -> Self {
                Self(value)
            }

            /// The plain number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = String;

            fn try_from(value: f64) -> Result<Self, Self::Error> {
                let fits: fn(f64) -> bool = $fits;
                if fits(value) { Ok(Self(value)) } else { Err(format!(concat!("expected a number ", $range, ", got {}"), value)) }
            }
        }

        impl From<$name> for f64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

number!(
    /// A number from 0 up to, but not including, 1: a decay rate or a share.
    BelowOne,
    |value| (0.0..1.0).contains(&value),
    "from 0 to below 1",
    {"type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0}
);

number!(
    /// A number above 0.
    Positive,
    |value| value > 0.0 && value.is_finite(),
    "above 0",
    {"type": "number", "exclusiveMinimum": 0.0}
);

impl Default for BelowOne {
    fn default() -> Self {
        Self(0.0)
    }
}
