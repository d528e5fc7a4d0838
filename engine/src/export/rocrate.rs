//! A run as a research object: `ro-crate-metadata.json` by the Workflow Run Crate profile, and a folder that holds what it
//! describes.
//!
//! The run and every stage are actions; their objects and results are files, folders, and parameter values. What is not in
//! the folder is named by its digest.

mod layout;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

pub use self::layout::{Layout, lay_out};
use super::{Account, StageAccount};
use crate::{
    Artifact, Digest,
    artifact::ArtifactForm,
    run::{Outcome, StageStatus},
};

const CONTEXT: [&str; 2] = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"];
const CRATE: &str = "https://w3id.org/ro/crate/1.1";
const PROFILES: [(&str, &str); 3] = [
    ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate"),
    ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate"),
    ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate"),
];
const LANGUAGE: &str = "#flow-language";
const ENGINE: &str = "#flow-engine";
const RUN: &str = "#run";

/// The metadata of a run. `layout` says where its files lie in the crate.
pub fn metadata(account: &Account, layout: &Layout) -> Value {
    let mut graph = Graph::default();
    graph.add(json!({
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": [{"@id": CRATE}, {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"}],
    }));
    for (id, name) in PROFILES {
        graph.add(json!({"@id": id, "@type": "CreativeWork", "name": name, "version": id.rsplit('/').next()}));
    }
    let mut writer = Writer { account, layout, graph: &mut graph };
    writer.workflow();
    let actions: Vec<Value> = account.stages.iter().filter_map(|stage| writer.stage(stage)).collect();
    writer.run(&actions);
    let root = root(account, &graph);
    graph.entities.insert(1, root);
    json!({"@context": CONTEXT, "@graph": graph.entities})
}

/// Entities in order, each once.
#[derive(Default)]
struct Graph {
    entities: Vec<Value>,
    known: BTreeSet<String>,
    parts: Vec<Value>,
}

impl Graph {
    fn add(&mut self, entity: Value) {
        let id = entity.get("@id").and_then(Value::as_str).unwrap_or_default();
        if self.known.insert(id.to_owned()) {
            self.entities.push(entity);
        }
    }

    /// A file or folder of the crate.
    fn part(&mut self, entity: Value) -> Value {
        let reference = reference(entity.get("@id").and_then(Value::as_str).unwrap_or_default());
        if !self.parts.contains(&reference) {
            self.parts.push(reference.clone());
        }
        self.add(entity);
        reference
    }
}

fn reference(id: &str) -> Value {
    json!({"@id": id})
}

fn root(account: &Account, graph: &Graph) -> Value {
    json!({
        "@id": "./",
        "@type": "Dataset",
        "name": format!("Run {} of {}", account.run, account.state.workflow),
        "description": format!("A run of the workflow {}, with its parameters, inputs, and results.", account.state.workflow),
        "datePublished": account.state.updated_at,
        "license": "The licences of the inputs apply; see the sources of each stage.",
        "conformsTo": PROFILES.iter().map(|(id, _)| reference(id)).collect::<Value>(),
        "hasPart": graph.parts,
        "mainEntity": graph.parts.first(),
        "mentions": reference(RUN),
    })
}

struct Writer<'a> {
    account: &'a Account,
    layout: &'a Layout,
    graph: &'a mut Graph,
}

impl Writer<'_> {
    /// The workflow file and its components; the first of them is what the crate is about.
    fn workflow(&mut self) {
        self.graph.add(json!({
            "@id": LANGUAGE, "@type": "ComputerLanguage", "name": "flow", "alternateName": "flow workflow language",
            "version": "1",
        }));
        let version = self.account.flow.as_ref();
        self.graph.add(json!({"@id": ENGINE, "@type": "SoftwareApplication", "name": "flow", "softwareVersion": version}));
        let inputs: Vec<Value> = self.params().iter().map(|(name, _)| reference(&format!("#param-{name}"))).collect();
        for (name, value) in self.params() {
            self.graph.add(json!({
                "@id": format!("#param-{name}"), "@type": "FormalParameter", "name": name, "additionalType": schema_type(&value),
                "conformsTo": reference("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"),
            }));
        }
        for (index, (path, text)) in self.layout.texts().enumerate() {
            let mut entity = json!({
                "@id": path,
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
                "name": if index == 0 { self.account.state.workflow.as_str() } else { path },
                "programmingLanguage": reference(LANGUAGE),
                "encodingFormat": "application/yaml",
                "contentSize": text.len().to_string(),
                "identifier": identifier(&Digest::of(text.as_bytes())),
            });
            if let (0, Some(object)) = (index, entity.as_object_mut()) {
                object.insert("input".to_owned(), json!(inputs));
            }
            self.graph.part(entity);
        }
        if let Some(lock) = &self.account.lock {
            let entity = json!({
                "@id": "flow.lock", "@type": "File", "name": "Pins of sources and components",
                "encodingFormat": "application/toml", "contentSize": lock.len().to_string(),
            });
            self.graph.part(entity);
        }
    }

    fn params(&self) -> Vec<(String, Value)> {
        self.account.params.clone().into_iter().collect()
    }

    /// The action of a stage; none when it never came to anything.
    fn stage(&mut self, stage: &StageAccount) -> Option<Value> {
        let status = action_status(&stage.status)?;
        let tool = format!("#kind-{}", stage.kind);
        self.graph.add(json!({"@id": tool, "@type": "SoftwareApplication", "name": stage.kind}));
        let objects: Vec<Value> = self.objects(stage);
        let outputs = stage.outputs.iter().map(|(port, artifact)| ((stage.name.as_str(), port.as_str()), artifact));
        let results: Vec<Value> = outputs.map(|(place, artifact)| self.artifact(place, artifact)).collect();
        let id = format!("#stage-{}", stage.name);
        self.graph.add(json!({
            "@id": id,
            "@type": "CreateAction",
            "name": format!("Stage {}", stage.name),
            "instrument": reference(&tool),
            "object": objects,
            "result": results,
            "startTime": stage.times.map(|times| times.0),
            "endTime": stage.times.map(|times| times.1),
            "actionStatus": reference(status),
            "identifier": stage.key.as_ref().map(identifier),
        }));
        Some(reference(&id))
    }

    /// What a stage read: outputs of others, sources, and its configuration.
    fn objects(&mut self, stage: &StageAccount) -> Vec<Value> {
        let account = self.account;
        let mut objects = Vec::new();
        for (_, digest) in stage.inputs() {
            if let Some((producer, port)) = account.producer(&digest)
                && let Some(artifact) = producer.outputs.get(port)
            {
                objects.push(self.artifact((&producer.name, port), artifact));
            }
        }
        for (source, files) in stage.sources() {
            objects.extend(files.into_iter().map(|(name, digest)| self.source(&source, (&name, digest))));
        }
        if let Some(params) = stage.params().and_then(Value::as_object) {
            objects.extend(params.iter().map(|(name, value)| self.value(&format!("{}-{name}", stage.name), (name, value))));
        }
        objects
    }

    fn value(&mut self, id: &str, (name, value): (&str, &Value)) -> Value {
        let id = format!("#value-{id}");
        // A value is a text, a number, or a truth value; what is more is told as JSON.
        let value = if value.is_object() || value.is_array() { json!(value.to_string()) } else { value.clone() };
        self.graph.add(json!({"@id": id, "@type": "PropertyValue", "name": name, "value": value}));
        reference(&id)
    }

    fn artifact(&mut self, (stage, port): (&str, &str), artifact: &Artifact) -> Value {
        let kind = match artifact.form {
            ArtifactForm::Blob => "File",
            ArtifactForm::Tree => "Dataset",
        };
        let id = self.layout.output(stage, port).unwrap_or_else(|| urn(&artifact.digest));
        self.graph.part(json!({
            "@id": id,
            "@type": kind,
            "name": format!("{stage}.{port}"),
            "additionalType": artifact.kind,
            "contentSize": artifact.bytes.to_string(),
            "identifier": identifier(&artifact.digest),
        }))
    }

    fn source(&mut self, source: &str, (name, digest): (&str, Digest)) -> Value {
        self.graph.part(json!({
            "@id": urn(&digest), "@type": "File", "name": name, "isBasedOn": source, "identifier": identifier(&digest),
        }))
    }

    fn run(&mut self, actions: &[Value]) {
        let account = self.account;
        let values: Vec<Value> = self
            .params()
            .iter()
            .map(|(name, value)| {
                let id = format!("#value-param-{name}");
                let shown = if value.is_array() { json!(value.to_string()) } else { value.clone() };
                let formal = reference(&format!("#param-{name}"));
                self.graph.add(json!({
                    "@id": id, "@type": "PropertyValue", "name": name, "value": shown, "exampleOfWork": formal,
                }));
                reference(&id)
            })
            .collect();
        let read: BTreeSet<Digest> = account.stages.iter().flat_map(StageAccount::inputs).map(|(_, digest)| digest).collect();
        let mut results = Vec::new();
        for stage in &account.stages {
            for (port, artifact) in stage.outputs.iter().filter(|(_, artifact)| !read.contains(&artifact.digest)) {
                results.push(self.artifact((&stage.name, port), artifact));
            }
        }
        let first = self.layout.texts().next().map(|(path, _)| reference(path));
        self.graph.add(json!({
            "@id": RUN,
            "@type": "CreateAction",
            "name": format!("Run {}", account.run),
            "instrument": first,
            "object": values,
            "result": results,
            "startTime": account.state.started_at,
            "endTime": account.state.updated_at,
            "actionStatus": reference(run_status(account.state.outcome)),
            "agent": reference(ENGINE),
            "hasPart": actions,
        }));
    }
}

fn urn(digest: &Digest) -> String {
    format!("urn:blake3:{digest}")
}

fn identifier(digest: &Digest) -> Value {
    json!(format!("blake3:{digest}"))
}

fn schema_type(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_f64() => "Float",
        Value::Number(_) => "Integer",
        Value::String(_) => "Text",
        Value::Null | Value::Array(_) | Value::Object(_) => "PropertyValue",
    }
}

const DONE: &str = "http://schema.org/CompletedActionStatus";
const FAILED: &str = "http://schema.org/FailedActionStatus";
const OPEN: &str = "http://schema.org/ActiveActionStatus";

fn action_status(status: &StageStatus) -> Option<&'static str> {
    match status {
        StageStatus::Succeeded | StageStatus::Cached { .. } => Some(DONE),
        StageStatus::GateFailed | StageStatus::Failed | StageStatus::Interrupted => Some(FAILED),
        StageStatus::Parked | StageStatus::Running | StageStatus::Retrying | StageStatus::Waiting { .. } => Some(OPEN),
        StageStatus::Pending | StageStatus::Skipped { .. } => None,
    }
}

fn run_status(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Succeeded) => DONE,
        Some(Outcome::Failed | Outcome::GateFailed | Outcome::Interrupted) => FAILED,
        Some(Outcome::Parked) | None => OPEN,
    }
}

/// Removes what says nothing: absent times, absent keys.
pub(crate) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::export::testing;

    fn graph() -> BTreeMap<String, Value> {
        let account = testing::account();
        let layout = Layout::of(&account);
        let document = metadata(&account, &layout);
        assert_eq!(document["@context"][0], CONTEXT[0]);
        let entities = document["@graph"].as_array().unwrap().clone();
        let count = entities.len();
        let graph: BTreeMap<String, Value> =
            entities.into_iter().map(|entity| (entity["@id"].as_str().unwrap().to_owned(), entity)).collect();
        assert_eq!(graph.len(), count, "every entity stands there once");
        graph
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let (1, Some(id)) = (fields.len(), fields.get("@id").and_then(Value::as_str)) {
                    found.push(id.to_owned());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_inside_the_crate_leads_to_an_entity() {
        let graph = graph();
        let mut found = Vec::new();
        for entity in graph.values() {
            references(entity, &mut found);
        }
        let inside = found.iter().filter(|id| id.starts_with('#') || !id.contains("://"));
        for id in inside {
            assert!(graph.contains_key(id), "{id} leads nowhere");
        }
        for entity in graph.values() {
            assert!(!entity["@type"].is_null(), "{entity}");
        }
    }

    #[test]
    fn the_crate_is_shaped_as_the_profiles_ask() {
        let graph = graph();
        let descriptor = &graph["ro-crate-metadata.json"];
        assert_eq!((&descriptor["about"]["@id"], &descriptor["conformsTo"][0]["@id"]), (&json!("./"), &json!(CRATE)));
        let root = &graph["./"];
        for field in ["name", "description", "datePublished", "license", "mainEntity", "hasPart"] {
            assert!(!root[field].is_null(), "{field}");
        }
        assert_eq!(root["mainEntity"]["@id"], "workflow.yaml");
        let workflow = &graph["workflow.yaml"];
        assert_eq!(workflow["@type"], json!(["File", "SoftwareSourceCode", "ComputationalWorkflow"]));
        let run = &graph[root["mentions"]["@id"].as_str().unwrap()];
        assert_eq!((&run["@type"], &run["instrument"]["@id"]), (&json!("CreateAction"), &json!("workflow.yaml")));
        assert_eq!(run["actionStatus"]["@id"], DONE);
    }

    #[test]
    fn actions_name_what_they_read_and_wrote() {
        let graph = graph();
        let train = &graph["#stage-train"];
        let names = |list: &Value| -> Vec<String> {
            let ids = list.as_array().unwrap().iter().map(|reference| reference["@id"].as_str().unwrap());
            ids.map(|id| graph[id]["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&train["object"]), ["data.out", "rows.txt", "lr"]);
        assert_eq!(names(&train["result"]), ["train.out"]);
        assert_eq!(graph[train["instrument"]["@id"].as_str().unwrap()]["name"], "toy/concat");
        assert!(!graph.contains_key("#stage-serve"), "a skipped stage did nothing");
    }
}
