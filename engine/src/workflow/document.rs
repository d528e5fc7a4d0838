//! The shape of a workflow file. These structs are the one source of what is read, of the schema, and of its descriptions.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    command::{SandboxLevel, ToolsDeclaration},
    duration::Period,
    hooks::Hooks,
    operations::{Repeats, ResourcesDocument, Stall},
};
use crate::{ArtifactKind, Named, Secret, strict::Strict};

/// A workflow: a graph of stages. With `inputs` and `outputs` it is a component that other workflows use.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkflowDocument {
    /// The version of the language: 1.
    pub flow: Version,
    /// What the workflow is called; the file's name if left out.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is for, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Values to set from outside with `-p NAME=VALUE`, or with `with:` when used as a component.
    #[serde(default)]
    pub params: BTreeMap<String, ParamDeclaration>,
    /// Where all randomness starts; a stage may have its own in `with: {seed: …}`.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Settings of every stage that has none of its own.
    #[serde(default)]
    pub defaults: Defaults,
    /// Named sets of parameters and overrides, chosen with `--profile NAME`.
    #[serde(default)]
    pub profiles: BTreeMap<String, ProfileDocument>,
    /// What is told or run when a run ends. Hooks of a component are not run.
    #[serde(default)]
    pub hooks: Hooks,
    /// Artifacts that a component reads, named `inputs.NAME` by its stages.
    #[serde(default)]
    pub inputs: BTreeMap<String, ComponentInput>,
    /// Artifacts that a component gives to its user.
    #[serde(default)]
    pub outputs: BTreeMap<String, ComponentOutput>,
    /// The stages by name.
    #[serde(default)]
    pub stages: BTreeMap<String, StageDocument>,
}

/// The version of the workflow language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version;

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(de::Error::custom(format!("found version {other}, this flow reads version 1"))),
        }
    }
}

impl JsonSchema for Version {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"const": 1})
    }
}

/// A typed value that can be set from outside.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParamDeclaration {
    /// The type of its values.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// The type of a list's items; `string` if left out.
    #[serde(default)]
    pub of: Option<ItemType>,
    /// The value when none is given. Without one the parameter must be given.
    #[serde(default)]
    pub default: Option<Value>,
    /// The smallest number allowed.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest number allowed.
    #[serde(default)]
    pub max: Option<f64>,
    /// What it is for, for people.
    #[serde(default)]
    pub doc: Option<String>,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParamType {
    /// A text.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// A list of `of`.
    List,
}

/// The type of a list's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ItemType {
    /// A text.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
}

/// Settings of every stage that has none of its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// How long an attempt may take.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// How long it may wait for room on the machine.
    #[serde(default)]
    pub queue_timeout: Option<Period>,
    /// How long an attempt may show no output, progress, or work before it is taken to hang and repeated; `off` for ever.
    #[serde(default)]
    pub stall: Option<Stall>,
    /// What it needs while it runs.
    #[serde(default)]
    pub resources: ResourcesDocument,
    /// How often a failed attempt is repeated.
    #[serde(default)]
    pub retry: RetryDocument,
}

/// A named set of parameters and overrides. What `-p` gives wins over it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileDocument {
    /// Values of parameters by name.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Values to put into stages, by their place: `STAGE.with.KEY`.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
}

/// How often a failed attempt is repeated.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryDocument {
    /// Repeats after a fault of the machine, such as a killed process or a full disk; 5 if left out.
    #[serde(default)]
    pub infra: Option<u32>,
    /// Repeats after the machine took the process away while its checkpoints advanced; `unlimited` if left out.
    #[serde(default)]
    pub preempt: Option<Repeats>,
    /// Repeats, each with half as much memory again, after memory ran out; 1 if left out.
    #[serde(default)]
    pub oom: Option<u32>,
    /// Repeats after an error of the stage itself; none if left out.
    #[serde(default)]
    pub error: Option<u32>,
    /// Wait before the first repeat, doubled each time up to ten minutes; ten seconds if left out.
    #[serde(default)]
    pub backoff: Option<Period>,
}

/// An artifact that a component reads.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentInput {
    /// What it carries.
    pub kind: ArtifactKind,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
    /// What it is for, for people.
    #[serde(default)]
    pub doc: Option<String>,
}

/// An artifact that a component gives to its user.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentOutput {
    /// The `stage.port` of the component that writes it.
    pub from: String,
    /// What it carries.
    pub kind: ArtifactKind,
    /// What it is for, for people.
    #[serde(default)]
    pub doc: Option<String>,
}

/// One stage.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageDocument {
    /// The kind of stage and its version, such as `data/clean@1`; `cmd@1` for a command; or the path of a component.
    pub uses: String,
    /// Runs the stage once for every combination of values; `${each.AXIS}` stands for one, `stage@KEY` names an instance.
    #[serde(default)]
    pub foreach: Option<Box<ForeachDocument>>,
    /// Where each input comes from: port to `stage.port`, or a list of them. `stage@*.port` gathers all instances.
    #[serde(default, rename = "in")]
    pub inputs: Named<InputBinding>,
    /// The configuration of the stage, or the parameters of a component. All of it counts for caching.
    #[serde(default)]
    pub with: Option<Named<Value>>,
    /// Stages that must have finished first, without reading from them.
    #[serde(default)]
    pub needs: Texts,
    /// A condition (CEL) over `params` and `stages`; the stage is skipped when it does not hold.
    #[serde(default, rename = "if")]
    pub condition: Option<String>,
    /// Conditions (CEL) over `metrics`, `baseline`, `params` and `stages`, asked after the stage; its report is kept.
    #[serde(default)]
    pub gate: Texts,
    /// What must hold of each metric, such as `rows: ">= 100"`, or a list of such conditions; else the stage fails.
    #[serde(default)]
    pub expect: BTreeMap<String, Texts>,
    /// How long an attempt may take.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// How long it may wait for room on the machine.
    #[serde(default)]
    pub queue_timeout: Option<Period>,
    /// How long an attempt may show no output, progress, or work before it is taken to hang and repeated; `off` for ever.
    #[serde(default)]
    pub stall: Option<Stall>,
    /// What it needs while it runs.
    #[serde(default)]
    pub resources: ResourcesDocument,
    /// How often a failed attempt is repeated.
    #[serde(default)]
    pub retry: RetryDocument,
    /// For `cmd@1`: the command and its arguments, with `${in.PORT}` and `${out.PORT}` for paths.
    #[serde(default)]
    pub run: Option<Vec<Scalar>>,
    /// For `cmd@1`: files of the command by path or pattern. Their content counts for caching.
    #[serde(default)]
    pub code: Vec<String>,
    /// For `cmd@1`: environment variables. Of others the command sees PATH, HOME, TMPDIR, TZ, and LANG only.
    #[serde(default)]
    pub env: Named<EnvironmentValue>,
    /// For `cmd@1`: what the command writes, by port.
    #[serde(default)]
    pub out: Named<OutputDeclaration>,
    /// For `cmd@1`: files outside the project by path or pattern that the command reads. Their content counts for caching.
    #[serde(default)]
    pub external: Vec<String>,
    /// For `cmd@1`: how much of the machine the command sees.
    #[serde(default)]
    pub sandbox: SandboxLevel,
    /// For `cmd@1`: programs that the command starts beside its own; their content counts for caching. `loose` for none at all.
    #[serde(default)]
    pub tools: ToolsDeclaration,
}

/// One file or folder that a command writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputDeclaration {
    /// Its path in the command's working folder.
    pub path: String,
    /// What it carries; `file` if left out.
    #[serde(default = "file")]
    pub kind: ArtifactKind,
}

fn file() -> ArtifactKind {
    ArtifactKind::File
}

/// Axes by name, and `include:` and `exclude:` of combinations. Read before the stage is, which then stands for one instance.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct ForeachDocument(pub Value);

/// Where an input comes from: one `stage.port` or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputBinding {
    /// The references in the order of the file.
    pub from: Vec<String>,
}

/// One text or a list of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

/// A text, also when written as a number or as true or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar(pub String);

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentValue {
    /// Written in the file.
    Text(String),
    /// Read from the environment of `flow` when the command starts.
    Secret(Secret),
}

impl EnvironmentValue {
    /// The secret that is read, if it is one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Text(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

/// Names what was found, for an error.
fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// Reads one text or a list of texts, so that an error points at its item.
struct TextsVisitor(&'static str);

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or a list of them", self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

impl<'de> Deserialize<'de> for InputBinding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor("`stage.port`")).map(|from| Self { from })
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor("a text")).map(Self)
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        scalar(&value).map(Self).ok_or_else(|| de::Error::custom(format!("found {}, expected a text", found(&value))))
    }
}

impl<'de> Deserialize<'de> for EnvironmentValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(text) = scalar(&value) {
            return Ok(Self::Text(text));
        }
        Secret::deserialize(Strict(&value))
            .map(Self::Secret)
            .map_err(|_| de::Error::custom(format!("found {}, expected a text or `${{secrets.NAME}}`", found(&value))))
    }
}

impl Serialize for EnvironmentValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Secret(secret) => secret.serialize(serializer),
        }
    }
}

/// `stage.port`; the key of an instance may hold dots.
const REFERENCE: &str = r"^[^.@]+(@.+)?\.[^.]+$";

macro_rules! schema {
    ($type:ty, $name:literal, $($json:tt)+) => {
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($($json)+)
            }
        }
    };
}

schema!(InputBinding, "InputBinding", {
    "description": "Where an input comes from: one `stage.port` or a list of them.",
    "anyOf": [
        {"type": "string", "pattern": REFERENCE},
        {"type": "array", "items": {"type": "string", "pattern": REFERENCE}, "minItems": 1},
    ],
});
schema!(ForeachDocument, "Foreach", {
    "description": "Axes by name: a list of values, a mapping of short names to values, or a parameter of type list.",
    "type": "object",
    "properties": {
        "include": {"type": "array", "items": {"type": "object"}, "description": "Combinations to add, or values to add to combinations."},
        "exclude": {"type": "array", "items": {"type": "object"}, "description": "Combinations to leave out."},
    },
    "additionalProperties": {
        "anyOf": [
            {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}},
            {"type": "object", "minProperties": 1},
            {"type": "string", "pattern": "^\\$\\{params\\.[A-Za-z_][A-Za-z0-9_-]*\\}$"},
        ],
    },
});
schema!(Texts, "Texts", {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
});
schema!(Scalar, "Scalar", {"type": ["string", "number", "boolean"]});
schema!(EnvironmentValue, "EnvironmentValue", {"type": ["string", "number", "boolean"]});
