//! The reference of a stage kind, read from the schema that its configuration struct derives.

use flow_engine::{
    Ports,
    registry::Kind,
    stage::{Arity, Port},
};
use schemars::SchemaGenerator;
use serde::Serialize;
use serde_json::{Map, Value};

/// Nested deeper than this nothing is told.
const DEEPEST: usize = 5;

/// Everything a person has to know to use a kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) major: u32,
    /// What it does, from the doc comment of its configuration.
    pub(crate) doc: String,
    /// Ports of its smallest configuration, when one can be made up.
    pub(crate) ports: Option<Ports>,
    /// Fields of `with:`, depth first.
    pub(crate) fields: Vec<Field>,
}

/// One key of `with:` or below.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// 0 for keys of `with:` itself.
    pub(crate) depth: usize,
    /// What it takes, in words.
    pub(crate) takes: String,
    pub(crate) required: bool,
    pub(crate) default: Option<Value>,
    pub(crate) doc: String,
}

impl Reference {
    pub(crate) fn of(kind: &Kind) -> Self {
        let mut generator = SchemaGenerator::default();
        let schema = (kind.schema)(&mut generator).to_value();
        let definitions = Definitions(generator.take_definitions(true));
        let root = definitions.resolve(&schema);
        let doc = paragraph(text(&schema, "description").or_else(|| text(root, "description")).unwrap_or_default());
        let mut fields = Vec::new();
        definitions.fields(root, 0, &mut fields);
        Self { name: kind.name.to_owned(), major: kind.major, doc, ports: ports(kind, root, &definitions), fields }
    }
}

/// One port in words, such as `rows (rows)`.
pub(crate) fn port(port: &Port) -> String {
    let kind = serde_json::to_value(port.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    let arity = match port.arity {
        Arity::One => "",
        Arity::Optional => ", optional",
        Arity::Many => ", a list",
    };
    format!("{} ({kind}{arity})", port.name)
}

/// Makes up a configuration: none at all, else one value for every required field.
fn ports(kind: &Kind, root: &Value, definitions: &Definitions) -> Option<Ports> {
    let guesses = [Value::Object(Map::new()), definitions.sample(root, 0)];
    guesses.into_iter().find_map(|config| kind.configure(&config).ok()).map(|stage| stage.ports())
}

/// The shared parts of a schema by name.
struct Definitions(Map<String, Value>);

impl Definitions {
    /// Follows `$ref`.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let mut found = schema;
        for _ in 0..DEEPEST {
            let name = found["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
            match name.and_then(|name| self.0.get(name)) {
                Some(next) => found = next,
                None => break,
            }
        }
        found
    }

    /// The forms a value may have, without null.
    fn forms<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        let listed = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema[*key].as_array());
        match listed {
            Some(forms) => forms.iter().flat_map(|form| self.forms(form)).filter(|form| form["type"] != "null").collect(),
            None => vec![schema],
        }
    }

    fn fields(&self, schema: &Value, depth: usize, out: &mut Vec<Field>) {
        if depth >= DEEPEST {
            return;
        }
        for form in self.forms(schema) {
            let required: Vec<&str> = form["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for (name, property) in form["properties"].as_object().into_iter().flatten() {
                if property.get("const").is_some() && depth > 0 {
                    // The tag of one form: its value is part of what the field above takes.
                    continue;
                }
                let target = self.resolve(property);
                out.push(Field {
                    name: name.clone(),
                    depth,
                    takes: self.takes(property, 0),
                    required: required.contains(&name.as_str()),
                    default: property.get("default").filter(|default| !default.is_null()).cloned(),
                    doc: paragraph(text(property, "description").or_else(|| text(target, "description")).unwrap_or_default()),
                });
                self.below(property, depth + 1, out);
            }
        }
    }

    /// Fields of objects inside a value: itself, items of a list, or values of a map.
    fn below(&self, schema: &Value, depth: usize, out: &mut Vec<Field>) {
        for form in self.forms(schema) {
            if form["properties"].is_object() {
                self.fields(form, depth, out);
            } else if form["items"].is_object() {
                self.below(&form["items"], depth, out);
            } else if form["additionalProperties"].is_object() {
                self.below(&form["additionalProperties"], depth, out);
            }
        }
    }

    /// What a value may be, in words.
    fn takes(&self, schema: &Value, depth: usize) -> String {
        if depth >= DEEPEST {
            return "value".to_owned();
        }
        let mut words: Vec<String> = Vec::new();
        for form in self.forms(schema) {
            for word in self.form(form, depth) {
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        }
        if words.is_empty() { "value".to_owned() } else { words.join(" | ") }
    }

    fn form(&self, form: &Value, depth: usize) -> Vec<String> {
        if let Some(one) = form.get("const") {
            return vec![literal(one)];
        }
        if let Some(choices) = form["enum"].as_array() {
            return choices.iter().filter(|choice| !choice.is_null()).map(literal).collect();
        }
        let types: Vec<&str> = match &form["type"] {
            Value::String(one) => vec![one.as_str()],
            Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
            _ => Vec::new(),
        };
        types
            .into_iter()
            .map(|one| match one {
                "array" => format!("list of {}", self.takes(&form["items"], depth + 1)),
                "object" if form["additionalProperties"].is_object() => {
                    format!("map of {}", self.takes(&form["additionalProperties"], depth + 1))
                }
                "object" => tag(form).unwrap_or_else(|| "object".to_owned()),
                "integer" | "number" => format!("{one}{}", range(form)),
                other => other.to_owned(),
            })
            .collect()
    }

    /// A value that fits, as small as can be.
    fn sample(&self, schema: &Value, depth: usize) -> Value {
        let forms = self.forms(schema);
        let Some(form) = forms.first().filter(|_| depth < DEEPEST) else {
            return Value::Null;
        };
        if let Some(one) = form.get("const").or_else(|| form["enum"].as_array().and_then(|choices| choices.first())) {
            return one.clone();
        }
        let word = form["type"].as_str().or_else(|| form["type"].as_array().and_then(|types| types.first()?.as_str()));
        match word {
            Some("object") => {
                let required = form["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                required.map(|name| (name.to_owned(), self.sample(&form["properties"][name], depth + 1))).collect()
            }
            Some("array") => Value::Array(vec![self.sample(&form["items"], depth + 1)]),
            Some("integer") => Value::from(form["minimum"].as_i64().unwrap_or(1).max(1)),
            Some("number") => Value::from(form["maximum"].as_f64().map_or(1.0, |most| most.min(1.0) / 2.0)),
            Some("boolean") => Value::Bool(true),
            _ => Value::from("file:x"),
        }
    }
}

/// `{kind: minhash}` for a form that is told by a tag.
fn tag(form: &Value) -> Option<String> {
    let properties = form["properties"].as_object()?;
    properties.iter().find_map(|(name, property)| Some(format!("{{{name}: {}, …}}", literal(property.get("const")?))))
}

fn range(form: &Value) -> String {
    let bound = |key: &str| form[key].as_f64().map(flow_engine::report::number::number);
    match (bound("minimum"), bound("maximum")) {
        (Some(low), Some(high)) => format!(" {low} to {high}"),
        (Some(low), None) => format!(" ≥ {low}"),
        (None, Some(high)) => format!(" ≤ {high}"),
        (None, None) => String::new(),
    }
}

fn literal(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    schema[key].as_str()
}

/// Joins lines that a doc comment wrapped.
fn paragraph(text: &str) -> String {
    text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use flow_engine::{ArtifactKind, Fraction, Stage, StageContext, StageError, StageRegistry};
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;

    /// Split rows
    /// by a hash.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Config {
        /// Share of the rows.
        share: Fraction,
        /// How often.
        #[serde(default)]
        times: Option<u32>,
        /// How.
        #[serde(default)]
        method: Method,
        /// Per column.
        #[serde(default)]
        columns: Vec<Column>,
    }

    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Method {
        #[default]
        Exact,
        MinHash,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Column {
        /// Its name.
        name: String,
    }

    struct Split;

    impl Stage for Split {
        type Config = Config;
        const KIND: &'static str = "toy/split";
        const REVISION: u32 = 1;

        fn ports(_: &Config) -> Ports {
            Ports::new().reads("rows", ArtifactKind::Rows).writes("train", ArtifactKind::Rows)
        }

        fn run(_: &Config, _: &mut StageContext<'_>) -> Result<(), StageError> {
            Ok(())
        }
    }

    fn reference() -> Reference {
        let registry = StageRegistry::new().with::<Split>();
        Reference::of(registry.kind("toy/split").unwrap())
    }

    #[test]
    fn fields_come_with_type_default_and_doc() {
        let reference = reference();
        assert_eq!(reference.doc, "Split rows by a hash.");
        let lines: Vec<String> = reference
            .fields
            .iter()
            .map(|field| format!("{}{} {} {} {}", "  ".repeat(field.depth), field.name, field.takes, field.required, field.doc))
            .collect();
        assert_eq!(
            lines,
            [
                "share number 0 to 1 true Share of the rows.",
                "times integer ≥ 0 false How often.",
                "method exact | min-hash false How.",
                "columns list of object false Per column.",
                "  name string true Its name.",
            ]
        );
    }

    #[test]
    fn ports_come_from_a_made_up_configuration() {
        let ports = reference().ports.unwrap();
        let words: Vec<String> = ports.inputs.iter().chain(&ports.outputs).map(port).collect();
        assert_eq!(words, ["rows (rows)", "train (rows)"]);
    }
}
