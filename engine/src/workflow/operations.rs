//! How a stage is run, as the workflow file says it: what it needs, how often it is repeated, when it is given up. None of it
//! counts for caching.

use std::{collections::BTreeMap, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::duration::Period;
use crate::units::Size;

/// What a stage needs while it runs. It waits until the machine has all of it free.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourcesDocument {
    /// Processor cores.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Memory, such as `8GiB`.
    #[serde(default)]
    pub mem: Option<Size>,
    /// Graphics cards, each for this stage alone.
    #[serde(default)]
    pub gpus: Option<u32>,
    /// Memory that each of its graphics cards must have.
    #[serde(default)]
    pub vram: Option<Size>,
    /// Free room on the disk of the store.
    #[serde(default)]
    pub disk: Option<Size>,
    /// Named things of which the machine has only so many, such as `{licence: 1}`; `flow.toml` says how many.
    #[serde(default)]
    pub tokens: BTreeMap<String, u32>,
    /// Whether a stage that takes more than `mem` is stopped.
    #[serde(default)]
    pub enforce: Option<bool>,
}

impl ResourcesDocument {
    /// These demands, and where they say nothing those of `outer`.
    pub(crate) fn or(&self, outer: &Self) -> Self {
        let mut tokens = outer.tokens.clone();
        tokens.extend(self.tokens.clone());
        Self {
            cpus: self.cpus.or(outer.cpus),
            mem: self.mem.or(outer.mem),
            gpus: self.gpus.or(outer.gpus),
            vram: self.vram.or(outer.vram),
            disk: self.disk.or(outer.disk),
            tokens,
            enforce: self.enforce.or(outer.enforce),
        }
    }
}

/// How often something may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// Again and again.
    Unlimited,
    /// This often.
    Times(u32),
}

impl<'de> Deserialize<'de> for Repeats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Repeats;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of repeats, or `unlimited`")
            }

            fn visit_u64<E: de::Error>(self, times: u64) -> Result<Repeats, E> {
                let times = u32::try_from(times).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(times), &self))?;
                Ok(Repeats::Times(times))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Repeats, E> {
                if text == "unlimited" { Ok(Repeats::Unlimited) } else { Err(E::invalid_value(de::Unexpected::Str(text), &self)) }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Repeats {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Repeats".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 0}, {"const": "unlimited"}]})
    }
}

/// How long a stage may show no sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Stall {
    /// For ever.
    Off,
    /// This long.
    After(Duration),
}

impl TryFrom<String> for Stall {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        Period::try_from(text).map(|period| Self::After(period.get())).map_err(|error| format!("{error}, or off"))
    }
}

impl JsonSchema for Stall {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Stall".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(off|\\s*([0-9]+(ms|s|m|h|d)\\s*)+)$",
            "description": "A length of time such as 15m, or off.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_stalls_have_a_word_for_no_limit() {
        let repeats = |json: &str| serde_json::from_str::<Repeats>(json);
        assert_eq!(repeats("\"unlimited\"").unwrap(), Repeats::Unlimited);
        assert_eq!(repeats("3").unwrap(), Repeats::Times(3));
        assert!(repeats("\"many\"").unwrap_err().to_string().contains("or `unlimited`"));
        let stall = |json: &str| serde_json::from_str::<Stall>(json);
        assert_eq!(stall("\"off\"").unwrap(), Stall::Off);
        assert_eq!(stall("\"15m\"").unwrap(), Stall::After(Duration::from_mins(15)));
        assert!(stall("\"never\"").unwrap_err().to_string().contains("or off"));
    }

    #[test]
    fn demands_of_a_stage_win_over_those_around_it() {
        let own: ResourcesDocument = serde_json::from_str(r#"{"cpus": 2, "tokens": {"a": 1}}"#).unwrap();
        let outer: ResourcesDocument = serde_json::from_str(r#"{"cpus": 4, "mem": "1GiB", "tokens": {"b": 2}}"#).unwrap();
        let both = own.or(&outer);
        assert_eq!((both.cpus, both.mem, both.tokens.len()), (Some(2), Some(Size::gib(1)), 2));
    }
}
