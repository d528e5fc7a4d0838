//! `method.targets` of a training: everything, a list of names, or a pattern.

use std::{collections::BTreeSet, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Target;

const ALL_LINEAR: &str = "all_linear";

/// The matrices that get an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Every matrix of every block.
    AllLinear,
    /// These matrices of every block.
    Only(BTreeSet<Target>),
    /// Matrices whose whole path matches a regular expression.
    Matching(String),
}

impl Serialize for Targets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AllLinear => serializer.serialize_str(ALL_LINEAR),
            Self::Only(targets) => targets.serialize(serializer),
            Self::Matching(pattern) => serializer.serialize_str(pattern),
        }
    }
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetsVisitor)
    }
}

struct TargetsVisitor;

impl<'de> de::Visitor<'de> for TargetsVisitor {
    type Value = Targets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`all_linear`, a list of matrices such as [q_proj, v_proj], or a regular expression such as '.*\\.[qv]_proj'")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Targets, E> {
        // A pattern has to say in which blocks, so that a mistyped name is never taken for one.
        match text {
            ALL_LINEAR => Ok(Targets::AllLinear),
            pattern if pattern.contains('.') => Ok(Targets::Matching(pattern.to_owned())),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Targets, A::Error> {
        let mut targets = BTreeSet::new();
        while let Some(target) = list.next_element()? {
            targets.insert(target);
        }
        if targets.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(Targets::Only(targets)) }
    }
}

impl JsonSchema for Targets {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Targets".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let target = generator.subschema_for::<Target>();
        let pattern = json_schema!({"type": "string", "pattern": r"\."});
        json_schema!({"anyOf": [{"const": ALL_LINEAR}, {"type": "array", "items": target, "minItems": 1}, pattern]})
    }
}
