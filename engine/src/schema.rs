//! The JSON schema of `workflow.yaml`, composed of the document structs and every kind's configuration.
//!
//! Editors complete and check with it. Wherever a value may stand, `${params.x}` may stand too, so every type but text gets
//! the template as a second form.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{StageRegistry, workflow::WorkflowDocument};

const COMMAND_KEYS: [&str; 7] = ["run", "code", "env", "out", "external", "sandbox", "tools"];
/// Parts of a stage whose values are configuration.
const TEMPLATED: [&str; 4] = ["timeout", "retry", "env", "external"];

/// The schema of workflow files that use the kinds of this registry.
pub fn workflow_schema(registry: &StageRegistry) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let document = generator.subschema_for::<WorkflowDocument>();
    let kinds: Vec<(String, Value)> =
        registry.kinds().map(|kind| (written(kind.name, kind.major), with(kind.schema, &mut generator))).collect();
    let mut definitions = generator.take_definitions(true);
    if let Some(stage) = definitions.get_mut("StageDocument") {
        compose_stage(stage, &kinds);
    }
    for (name, definition) in &mut definitions {
        if !matches!(name.as_str(), "WorkflowDocument" | "StageDocument" | "ParamDeclaration" | "Version") {
            allow_templates(definition);
        }
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A workflow of flow",
        "allOf": [document],
        "definitions": definitions,
    })
}

fn written(name: &str, major: u32) -> String {
    format!("{name}@{major}")
}

/// The schema of one kind's `with:`, where a seed may always stand.
fn with(schema: fn(&mut SchemaGenerator) -> Schema, generator: &mut SchemaGenerator) -> Value {
    let reference = schema(generator).to_value();
    let name = reference.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()).map(str::to_owned);
    let Some(config) = name.as_ref().and_then(|name| generator.definitions_mut().get_mut(name)) else { return reference };
    if let Some(properties) =
        config.as_object_mut().and_then(|config| config.entry("properties").or_insert_with(|| json!({})).as_object_mut())
    {
        let seed = json!({"type": "integer", "minimum": 0, "description": "Where this stage's randomness starts; the workflow's seed if left out."});
        properties.entry("seed").or_insert(seed);
    }
    reference
}

/// Ties `with:` and the keys of commands to `uses:`.
fn compose_stage(stage: &mut Value, kinds: &[(String, Value)]) {
    let Some(stage) = stage.as_object_mut() else { return };
    let names: Vec<Value> = kinds.iter().map(|(name, _)| json!(name)).chain([json!("cmd@1")]).collect();
    if let Some(properties) = stage.get_mut("properties").and_then(Value::as_object_mut) {
        let description = properties.get("uses").and_then(|uses| uses.get("description")).cloned().unwrap_or_default();
        let component = json!({"type": "string", "pattern": "\\.ya?ml$"});
        properties.insert("uses".to_owned(), json!({"description": description, "anyOf": [{"enum": names}, component]}));
        for key in TEMPLATED {
            if let Some(property) = properties.get_mut(key) {
                allow_templates(property);
            }
        }
    }
    let when =
        |name: &str, then: Value| json!({"if": {"required": ["uses"], "properties": {"uses": {"const": name}}}, "then": then});
    let only_commands: Map<String, Value> = COMMAND_KEYS.iter().map(|key| ((*key).to_owned(), json!(false))).collect();
    let mut rules: Vec<Value> = kinds
        .iter()
        .map(|(name, schema)| {
            let mut properties = only_commands.clone();
            properties.insert("with".to_owned(), schema.clone());
            when(name, json!({ "properties": properties }))
        })
        .collect();
    rules.push(when("cmd@1", json!({"required": ["run", "out"], "properties": {"with": false}})));
    stage.insert("allOf".to_owned(), Value::Array(rules));
}

/// Lets a template stand for every value below a schema that is not a text already.
fn allow_templates(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    for key in ["properties", "patternProperties"] {
        for property in object.get_mut(key).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            templated(property);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key).filter(|inner| inner.is_object()) {
            templated(inner);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().for_each(allow_templates);
    }
}

fn templated(schema: &mut Value) {
    allow_templates(schema);
    let is_text = schema.get("type") == Some(&json!("string")) && schema.get("enum").is_none() && schema.get("pattern").is_none();
    let is_constant = schema.get("const").is_some();
    if is_text || is_constant || !schema.is_object() {
        return;
    }
    let template = json!({"type": "string", "pattern": "\\$\\{(params|secrets)\\.[A-Za-z_][A-Za-z0-9_-]*\\}"});
    let mut outer = Map::new();
    if let Some(object) = schema.as_object_mut() {
        for key in ["description", "default"] {
            outer.extend(object.shift_remove(key).map(|value| (key.to_owned(), value)));
        }
    }
    outer.insert("anyOf".to_owned(), json!([schema.take(), template]));
    *schema = Value::Object(outer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::toys;

    #[test]
    fn every_kind_and_every_document_key_is_in_the_schema() {
        let schema = workflow_schema(&toys());
        let text = schema.to_string();
        for part in [
            "toy/emit@1",
            "cmd@1",
            "EmitConfig",
            "How often to write it.",
            "Where each input comes from",
            "\"$ref\":\"#/definitions/WorkflowDocument\"",
        ] {
            assert!(text.contains(part), "{part}");
        }
        let stage = &schema["definitions"]["StageDocument"];
        assert_eq!(stage["additionalProperties"], json!(false));
        assert_eq!(stage["allOf"].as_array().map(Vec::len), Some(toys().kinds().count() + 1));
    }

    #[test]
    fn numbers_may_be_templates_and_every_stage_may_have_a_seed() {
        let schema = workflow_schema(&toys());
        let emit = &schema["definitions"]["EmitConfig"]["properties"];
        assert_eq!(emit["times"]["default"], json!(1));
        assert_eq!(emit["times"]["anyOf"][1]["type"], json!("string"));
        assert_eq!(emit["text"]["type"], json!("string"));
        assert!(emit["seed"].is_object());
    }

    #[test]
    fn references_lead_somewhere() {
        fn check(value: &Value, definitions: &Value) {
            if let Some(name) = value.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/definitions/")) {
                assert!(definitions.get(name).is_some(), "{name}");
            }
            match value {
                Value::Array(items) => items.iter().for_each(|item| check(item, definitions)),
                Value::Object(entries) => entries.values().for_each(|entry| check(entry, definitions)),
                _ => {}
            }
        }
        let schema = workflow_schema(&toys());
        check(&schema, &schema["definitions"]);
    }

    #[test]
    fn the_schema_is_the_same_every_time() {
        assert_eq!(workflow_schema(&toys()).to_string(), workflow_schema(&toys()).to_string());
    }
}
