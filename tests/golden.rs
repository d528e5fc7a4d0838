//! Golden outputs: every kind writes the bytes that are on record for its action key, on one, two, and eight threads.
//!
//! The key names the revision, the options, and the inputs. Other bytes under the same key would be served as stale hits
//! to whoever has the old ones, so they are a failure that only a higher `REVISION` mends. A new key needs a new record:
//! `FLOW_BLESS=1 cargo test --release --workspace --test e2e golden::` writes it, and never touches a record whose key stands.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use flow_engine::{
    Determinism,
    store::{NodeEntry, Store},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    fixtures::tiny_llama,
    support::{Outcome, TestProject, repository},
};

const THREADS: [&str; 3] = ["1", "2", "8"];
/// How often the fixtures are repeated: enough rows that a table is split between threads.
const REPEATS: usize = 150;
/// Every row of these turns comes again without its number: an exact duplicate.
const DUPLICATES: usize = 10;

/// What one stage gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Golden {
    kind: String,
    revision: u64,
    key: String,
    /// Digests by port; of a report that of what it says, for the page beside it is a view that may change.
    outputs: BTreeMap<String, String>,
    /// Digests of the whole outputs, which one version gives on any number of threads.
    #[serde(skip)]
    exact: BTreeMap<String, String>,
}

type Goldens = BTreeMap<String, Golden>;

fn fixture(name: &str) -> String {
    fs::read_to_string(repository().join("tests/golden").join(name)).expect("reads")
}

/// The rows of the fixture many times over, each time with a number of its own.
fn rows() -> String {
    let lines: Vec<Value> = fixture("rows.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut text = String::new();
    for turn in 0..REPEATS {
        for (number, line) in lines.iter().enumerate() {
            let mut row = line.clone();
            if turn % DUPLICATES != 0 {
                row["prompt"] = format!("{} Case {turn}-{number}.", row["prompt"].as_str().expect("text")).into();
                row["topic"] = format!("{}-{}", row["topic"].as_str().expect("text"), turn % 40).into();
            }
            writeln!(text, "{row}").expect("writes to a string");
        }
    }
    text.push_str("{\"prompt\": 5}\nnot JSON\n");
    text
}

/// Runs the workflow in a project and a store of its own.
fn run(threads: &str) -> Goldens {
    let project = TestProject::new();
    for name in ["workflow.yaml", "notes.csv"] {
        project.write(name, &fixture(name));
    }
    project.write("rows.jsonl", &rows());
    tiny_llama(&project.path().join("tiny"), 1);
    let mut command = project.command(&["run", "--quiet"]);
    command.env("RAYON_NUM_THREADS", threads).env("POLARS_MAX_THREADS", threads);
    Outcome::from(command.output().expect("the binary starts")).expect(0);
    let status = project.json(&["status"]);
    let stages = status["state"]["stages"].as_array().cloned().expect("a run has stages");
    stages.iter().map(|stage| (text(stage, "name"), golden(&project.store(), stage))).collect()
}

fn golden(place: &Path, stage: &Value) -> Golden {
    let key = text(stage, "key");
    let preimage = fs::read(place.join("act").join(&key[..2]).join(format!("{key}.json"))).expect("the pre-image is kept");
    let preimage: Value = serde_json::from_slice(&preimage).expect("JSON");
    let store = Store::open(place).expect("a store");
    let outputs = stage["outputs"].as_object().expect("outputs");
    let digests = |digest: &dyn Fn(&Value) -> String| -> BTreeMap<String, String> {
        outputs.iter().map(|(port, made)| (port.clone(), digest(made))).collect()
    };
    Golden {
        kind: text(stage, "kind"),
        revision: preimage["revision"].as_u64().expect("a revision"),
        key,
        outputs: digests(&|artifact| content(&store, artifact)),
        exact: digests(&|artifact| text(artifact, "digest")),
    }
}

/// The digest of an output, and of a report that of its `report.json`.
fn content(store: &Store, artifact: &Value) -> String {
    let digest = text(artifact, "digest");
    if artifact["kind"] != "report" {
        return digest;
    }
    let node = store.cas().node(&digest.parse().expect("a digest")).expect("a folder");
    match node.entries.get(b"report.json".as_slice()) {
        Some(NodeEntry::File { digest, .. }) => digest.to_string(),
        other => panic!("no report.json but {other:?}"),
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// Whether a kind promises the same bytes on every machine.
fn is_deterministic(kind: &str) -> bool {
    flow::registry().kind(kind).is_some_and(|kind| kind.determinism == Determinism::Deterministic)
}

fn place() -> PathBuf {
    repository().join("tests/golden/outputs.json")
}

/// What is wrong with a stage, given what is on record.
fn complaint(name: &str, found: &Golden, recorded: Option<&Golden>) -> Option<String> {
    let Some(recorded) = recorded.filter(|recorded| recorded.key == found.key) else {
        return Some(format!("{name}: its key is not on record; write it with FLOW_BLESS=1"));
    };
    let other = found.outputs.iter().filter(|(port, digest)| recorded.outputs.get(*port) != Some(digest));
    let ports: Vec<&str> = other.map(|(port, _)| port.as_str()).collect();
    (!ports.is_empty()).then(|| {
        let Golden { kind, revision, .. } = found;
        format!("{name}: {} changed, but {kind} still has REVISION {revision}: raise it, then FLOW_BLESS=1", ports.join(", "))
    })
}

#[test]
fn outputs_are_those_on_record_on_any_number_of_threads() {
    let found: Vec<Goldens> = THREADS.into_iter().map(run).collect();
    for (threads, other) in THREADS.iter().zip(&found).skip(1) {
        for (name, golden) in &found[0] {
            assert_eq!(golden, &other[name], "{name} differs between 1 and {threads} threads");
        }
    }
    let promised: Goldens = found[0].clone().into_iter().filter(|(_, golden)| is_deterministic(&golden.kind)).collect();
    let recorded: Goldens = fs::read(place()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    if std::env::var_os("FLOW_BLESS").is_some() {
        let keep = |(name, golden): (&String, &Golden)| {
            let old = recorded.get(name).filter(|old| old.key == golden.key);
            (name.clone(), old.unwrap_or(golden).clone())
        };
        let blessed: Goldens = promised.iter().map(keep).collect();
        fs::write(place(), serde_json::to_string_pretty(&blessed).expect("serializes") + "\n").expect("writes");
    }
    let recorded: Goldens = serde_json::from_slice(&fs::read(place()).expect("outputs are on record")).expect("JSON");
    let complaints: Vec<String> =
        promised.iter().filter_map(|(name, golden)| complaint(name, golden, recorded.get(name))).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(recorded.keys().eq(promised.keys()), "stages on record: {:?}", recorded.keys());
}

#[test]
fn every_kind_whose_bytes_are_promised_is_on_record() {
    let recorded: Goldens = serde_json::from_str(&fixture("outputs.json")).expect("JSON");
    let covered: Vec<&str> = recorded.values().map(|golden| golden.kind.as_str()).collect();
    let registry = flow::registry();
    // The output of an approval says who decided when; what is pushed or served depends on what was before.
    let exempt = ["gate/approve", "registry/push", "serve/http"];
    for kind in registry.kinds().filter(|kind| !exempt.contains(&kind.name) && is_deterministic(kind.name)) {
        assert!(covered.contains(&kind.name), "add a stage of {} to tests/golden/workflow.yaml", kind.name);
    }
}

#[test]
fn other_bytes_under_the_same_key_are_a_failure_and_another_key_is_not() {
    let golden = |revision, key: &str, digest: &str| Golden {
        kind: "data/clean".to_owned(),
        revision,
        key: key.to_owned(),
        outputs: BTreeMap::from([("rows".to_owned(), digest.to_owned())]),
        exact: BTreeMap::new(),
    };
    let recorded = golden(1, "k1", "a");
    assert_eq!(complaint("clean", &golden(1, "k1", "a"), Some(&recorded)), None);
    let changed = complaint("clean", &golden(1, "k1", "b"), Some(&recorded)).expect("a complaint");
    assert!(changed.contains("rows changed, but data/clean still has REVISION 1: raise it"), "{changed}");
    let moved = complaint("clean", &golden(2, "k2", "b"), Some(&recorded)).expect("a complaint");
    assert!(moved.contains("not on record"), "{moved}");
}
