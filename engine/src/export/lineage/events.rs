//! What the events say: version 2-0-2 of the `OpenLineage` object model.

use std::collections::BTreeMap;

use jiff::Timestamp;
use petgraph::graph::NodeIndex;
use serde_json::{Map, Value, json};

use crate::{
    Artifact, Digest,
    plan::Plan,
    run::{Entry, Event, Outcome, RunId, RunState},
};

const PRODUCER: &str = concat!("urn:flow:engine:", env!("CARGO_PKG_VERSION"));
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const FACETS: &str = "https://openlineage.io/spec/facets";

/// Where one input of a stage comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// A port of a stage.
    Port(String, String),
    /// A source outside the workflow.
    Source(String),
}

/// Turns the events of a run into those of the standard.
pub(super) struct Teller {
    namespace: String,
    origins: BTreeMap<String, Vec<Origin>>,
    started: BTreeMap<String, Timestamp>,
}

/// What is told of a stage: how it stands, and what is added to its run.
struct Told<'a> {
    stage: &'a str,
    kind: &'static str,
    at: Timestamp,
    facets: Vec<(&'static str, Value)>,
}

/// The events of a whole run, as they were told or would have been.
pub fn lineage_events(plan: &Plan, namespace: &str, entries: &[Entry]) -> Vec<Value> {
    let mut teller = Teller::of(plan, namespace.to_owned());
    let Some((first, rest)) = entries.split_first() else { return Vec::new() };
    let Ok(mut state) = RunState::begin(first) else { return Vec::new() };
    let mut events = teller.after(first, &state);
    for entry in rest {
        if state.apply(entry).is_ok() {
            events.extend(teller.after(entry, &state));
        }
    }
    events
}

impl Teller {
    pub(super) fn of(plan: &Plan, namespace: String) -> Self {
        let origins = |node: NodeIndex| {
            let planned = &plan.graph[node];
            let bound = planned.inputs.iter().flat_map(|binding| &binding.from);
            let ports = bound.map(|(producer, port)| Origin::Port(plan.graph[*producer].name.clone(), port.clone()));
            let sources = planned.stage.sources().into_iter().map(|source| Origin::Source(source.name()));
            (planned.name.clone(), ports.chain(sources).collect())
        };
        Self { namespace, origins: plan.graph.node_indices().map(origins).collect(), started: BTreeMap::new() }
    }

    /// The events that an entry of the journal gives rise to.
    pub(super) fn after(&mut self, entry: &Entry, state: &RunState) -> Vec<Value> {
        let at = entry.at;
        let told = |stage, kind, facets| Told { stage, kind, at, facets };
        match &entry.event {
            Event::RunStarted { .. } | Event::RunResumed { .. } => vec![self.run(state, "START", at)],
            Event::RunFinished { outcome, .. } => vec![self.run(state, ended(*outcome), at)],
            Event::StageStarted { stage, .. } => self.start(state, stage, at).into_iter().collect(),
            Event::StageCached { stage, hit, .. } => {
                let hit = serde_json::to_value(hit).unwrap_or_default();
                let started = self.start(state, stage, at);
                let cached = vec![("flow_cache", facet("urn:flow:facet:cache:1", [("hit", hit)]))];
                started.into_iter().chain([self.stage(state, told(stage, "COMPLETE", cached))]).collect()
            }
            Event::StageSucceeded { stage, .. } => vec![self.stage(state, told(stage, "COMPLETE", Vec::new()))],
            Event::StageFailed { stage, error, .. } => {
                let started = self.start(state, stage, at);
                let message = [("message", json!(error.to_string())), ("programmingLanguage", json!("rust"))];
                let facets = vec![("errorMessage", facet(&standard("1-0-1", "ErrorMessageRunFacet"), message))];
                started.into_iter().chain([self.stage(state, told(stage, "FAIL", facets))]).collect()
            }
            Event::StageInterrupted { stage, .. } => vec![self.stage(state, told(stage, "ABORT", Vec::new()))],
            Event::SourceReady { .. }
            | Event::StageWaiting { .. }
            | Event::StageParked { .. }
            | Event::StageDecided { .. }
            | Event::StageRetried { .. }
            | Event::StageSkipped { .. }
            | Event::StageJudged { .. }
            | Event::StageLost { .. }
            | Event::StageTainted { .. }
            | Event::HookFired { .. }
            | Event::Unknown => Vec::new(),
        }
    }

    /// START, unless an earlier attempt was told already.
    fn start(&mut self, state: &RunState, name: &str, at: Timestamp) -> Option<Value> {
        if self.started.contains_key(name) {
            return None;
        }
        self.started.insert(name.to_owned(), at);
        Some(self.stage(state, Told { stage: name, kind: "START", at, facets: Vec::new() }))
    }

    fn run(&self, state: &RunState, kind: &str, at: Timestamp) -> Value {
        let job = json!({"namespace": self.namespace, "name": state.workflow, "facets": job_type("WORKFLOW")});
        let run = json!({"runId": uuid(state.run, None), "facets": {"processing_engine": engine()}});
        event((kind, at), &run, &job, (Vec::new(), Vec::new()))
    }

    fn stage(&self, state: &RunState, told: Told<'_>) -> Value {
        let parent = [
            ("run", json!({"runId": uuid(state.run, None)})),
            ("job", json!({"namespace": self.namespace, "name": state.workflow})),
        ];
        let mut facets = Map::new();
        facets.insert("parent".to_owned(), facet(&standard("1-1-0", "ParentRunFacet"), parent));
        facets.insert("processing_engine".to_owned(), engine());
        facets.extend(told.facets.into_iter().map(|(name, facet)| (name.to_owned(), facet)));
        if let Some(key) = state.stage(told.stage).and_then(|stage| stage.key) {
            facets.insert("flow_action".to_owned(), facet("urn:flow:facet:action:1", [("key", json!(key))]));
        }
        let name = format!("{}.{}", state.workflow, told.stage);
        let job = json!({"namespace": self.namespace, "name": name, "facets": job_type("STAGE")});
        let run = json!({"runId": uuid(state.run, Some(told.stage)), "facets": facets});
        event((told.kind, told.at), &run, &job, (self.inputs(state, told.stage), self.outputs(state, told.stage)))
    }

    fn inputs(&self, state: &RunState, name: &str) -> Vec<Value> {
        let origins = self.origins.get(name).into_iter().flatten();
        origins
            .map(|origin| match origin {
                Origin::Port(producer, port) => {
                    let artifact = state.stage(producer).and_then(|known| known.outputs.get(port));
                    self.dataset(&format!("{}.{producer}.{port}", state.workflow), artifact)
                }
                Origin::Source(source) => json!({"namespace": source_namespace(source), "name": source, "facets": {}}),
            })
            .collect()
    }

    fn outputs(&self, state: &RunState, name: &str) -> Vec<Value> {
        let outputs = state.stage(name).into_iter().flat_map(|known| &known.outputs);
        outputs
            .map(|(port, artifact)| {
                let mut dataset = self.dataset(&format!("{}.{name}.{port}", state.workflow), Some(artifact));
                let size = facet(&standard("1-0-2", "OutputStatisticsOutputDatasetFacet"), [("size", json!(artifact.bytes))]);
                if let Some(object) = dataset.as_object_mut() {
                    object.insert("outputFacets".to_owned(), json!({"outputStatistics": size}));
                }
                dataset
            })
            .collect()
    }

    fn dataset(&self, name: &str, artifact: Option<&Artifact>) -> Value {
        let version = |artifact: &Artifact| {
            let version = [("datasetVersion", json!(format!("blake3:{}", artifact.digest)))];
            json!({"version": facet(&standard("1-0-1", "DatasetVersionDatasetFacet"), version)})
        };
        json!({"namespace": self.namespace, "name": name, "facets": artifact.map_or_else(|| json!({}), version)})
    }
}

fn event((kind, at): (&str, Timestamp), run: &Value, job: &Value, (inputs, outputs): (Vec<Value>, Vec<Value>)) -> Value {
    json!({
        "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        "eventType": kind,
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
        "run": run,
        "job": job,
        "inputs": inputs,
        "outputs": outputs,
    })
}

/// Every facet says who made it and what its fields mean.
fn facet<const N: usize>(schema: &str, fields: [(&str, Value); N]) -> Value {
    let mut object = Map::new();
    object.insert("_producer".to_owned(), json!(PRODUCER));
    object.insert("_schemaURL".to_owned(), json!(schema));
    object.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(object)
}

fn standard(version: &str, name: &str) -> String {
    format!("{FACETS}/{version}/{name}.json#/$defs/{name}")
}

fn engine() -> Value {
    let version = json!(env!("CARGO_PKG_VERSION"));
    facet(&standard("1-1-1", "ProcessingEngineRunFacet"), [("version", version), ("name", json!("flow"))])
}

fn job_type(kind: &str) -> Value {
    let fields = [("processingType", json!("BATCH")), ("integration", json!("FLOW")), ("jobType", json!(kind))];
    json!({"jobType": facet(&standard("2-0-3", "JobTypeJobFacet"), fields)})
}

fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "COMPLETE",
        // The run waits for a person and will be gone on with.
        Outcome::Parked => "RUNNING",
        Outcome::GateFailed | Outcome::Failed => "FAIL",
        Outcome::Interrupted => "ABORT",
    }
}

/// By the scheme of a source; files lie in the project.
fn source_namespace(source: &str) -> String {
    match source.split_once(':') {
        Some((scheme, _)) if scheme.chars().all(|letter| letter.is_ascii_lowercase()) => scheme.to_owned(),
        _ => "file".to_owned(),
    }
}

/// A UUID (version 8) for the run or one of its stages: the same each time it is asked for.
fn uuid(run: RunId, stage: Option<&str>) -> String {
    let digest = Digest::derive("flow.dev 2026-11 lineage run v1", format!("{run} {}", stage.unwrap_or_default()).as_bytes());
    let mut bytes = [0_u8; 16];
    bytes.iter_mut().zip(digest.as_bytes()).for_each(|(slot, byte)| *slot = *byte);
    let number = u128::from_be_bytes(bytes);
    let versioned = number & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{versioned:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::testing;

    fn told() -> Vec<Value> {
        let mut teller = Teller { namespace: "lab".to_owned(), origins: BTreeMap::new(), started: BTreeMap::new() };
        let inputs = vec![Origin::Port("data".into(), "out".into()), Origin::Source("pip:llm==1/a.gguf".into())];
        teller.origins.insert("train".to_owned(), inputs);
        let mut events = Vec::new();
        testing::replay(|entry, state| events.extend(teller.after(entry, state)));
        events
    }

    /// The fields that version 2-0-2 of the standard requires, and their forms.
    fn is_valid(event: &Value) {
        let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert!(event["eventTime"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{event}");
        let kinds = ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"];
        assert!(kinds.contains(&event["eventType"].as_str().unwrap()), "{event}");
        assert!(event["producer"].as_str().unwrap().contains(':') && event["schemaURL"].as_str().unwrap().contains("2-0-2"));
        let id = event["run"]["runId"].as_str().unwrap();
        let groups: Vec<usize> = id.split('-').map(str::len).collect();
        assert!(groups == [8, 4, 4, 4, 12] && id.chars().all(|c| c == '-' || c.is_ascii_hexdigit()), "{id}");
        assert!(text(&event["job"]["namespace"]) && text(&event["job"]["name"]), "{event}");
        let datasets = event["inputs"].as_array().unwrap().iter().chain(event["outputs"].as_array().unwrap());
        for dataset in datasets.clone() {
            assert!(text(&dataset["namespace"]) && text(&dataset["name"]), "{dataset}");
        }
        let holders = [&event["run"]["facets"], &event["job"]["facets"]].into_iter().chain(datasets.map(|set| &set["facets"]));
        for facet in holders.flat_map(|facets| facets.as_object().unwrap().values()) {
            assert!(text(&facet["_producer"]) && text(&facet["_schemaURL"]), "{facet}");
        }
    }

    #[test]
    fn every_event_has_the_fields_of_the_standard() {
        let events = told();
        events.iter().for_each(is_valid);
        let kinds: Vec<(&str, &str)> =
            events.iter().map(|event| (event["job"]["name"].as_str().unwrap(), event["eventType"].as_str().unwrap())).collect();
        let expected = [
            ("toys", "START"),
            ("toys.data", "START"),
            ("toys.data", "COMPLETE"),
            ("toys.train", "START"),
            ("toys.train", "COMPLETE"),
            ("toys", "COMPLETE"),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn datasets_carry_the_digest_of_their_content() {
        let events = told();
        let done = events.iter().find(|event| event["job"]["name"] == "toys.train" && event["eventType"] == "COMPLETE").unwrap();
        assert_eq!(done["inputs"][0]["name"], "toys.data.out");
        assert_eq!(done["inputs"][0]["facets"]["version"]["datasetVersion"], format!("blake3:{}", "b".repeat(64)));
        assert_eq!(done["inputs"][1]["namespace"], "pip");
        assert_eq!(done["outputs"][0]["outputFacets"]["outputStatistics"]["size"], 12);
        assert_eq!(done["run"]["facets"]["parent"]["run"]["runId"], events[0]["run"]["runId"]);
        assert_ne!(done["run"]["runId"], events[0]["run"]["runId"]);
    }
}
