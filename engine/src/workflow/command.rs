//! The keys of `cmd@1` that say what a command may see of the machine and which of its programs count.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// How much of the machine a command sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SandboxLevel {
    /// It runs in the folder of its workflow file and sees everything there, declared or not.
    None,
    /// It runs in a private folder that holds its inputs and its code.
    #[default]
    Workdir,
    /// As `workdir`, and the kernel keeps it from reading anything undeclared and from every network.
    Strict,
}

/// Which programs of the machine count for caching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolsDeclaration {
    /// None: another version of a program runs nothing again.
    Loose,
    /// The program that `run:` starts, and these.
    Exact(Vec<String>),
}

impl Default for ToolsDeclaration {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

const LOOSE: &str = "loose";

impl Serialize for ToolsDeclaration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Loose => LOOSE.serialize(serializer),
            Self::Exact(programs) => programs.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ToolsDeclaration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value == LOOSE {
            return Ok(Self::Loose);
        }
        serde_json::from_value(value).map(Self::Exact).map_err(|_| de::Error::custom("expected `loose` or a list of programs"))
    }
}

impl JsonSchema for ToolsDeclaration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ToolsDeclaration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Which programs of the machine count for caching: `loose` for none, or a list beside the one that `run:` starts.",
            "anyOf": [{"const": LOOSE}, {"type": "array", "items": {"type": "string"}}],
        })
    }
}
