//! A short run as its events, for the tests of every exporter: one stage cached, one retried and then done, one skipped.

use std::path::Path;

use jiff::Timestamp;
use serde_json::json;

use super::{Account, StageAccount};
use crate::run::{Entry, RunPaths, RunState};

/// Stages of the run.
pub(crate) const STAGES: usize = 3;
/// Attempts that were started.
pub(crate) const ATTEMPTS: usize = 2;

/// The entries of the run.
pub(crate) fn entries() -> Vec<Entry> {
    let digest = |letter: &str| letter.repeat(64);
    let artifact = |letter: &str| json!({"kind": "file", "digest": digest(letter), "form": "blob", "bytes": 12});
    let stage = |name: &str, kind: &str, after: &[&str]| json!({"name": name, "kind": kind, "after": after});
    let error = json!({"kind": "resource", "message": "killed by signal 9", "help": null, "causes": []});
    let events = [
        json!({
            "type": "run-started",
            "run": "01KAV5R3P7M2X4Z8C9D0E1F2G3",
            "workflow": "toys",
            "request": {"workflow_file": "/p/workflow.yaml", "params": [["lr", "0.1"]], "only": [], "limit": null},
            "stages": [stage("data", "toy/emit", &[]), stage("train", "toy/concat", &["data"]), stage("serve", "toy/emit", &["train"])],
        }),
        json!({"type": "stage-cached", "stage": "data", "key": digest("a"), "hit": {"how": "cached"},
               "outputs": {"out": artifact("b")}, "metrics": {"bytes": 12.0}, "seconds": 0.5}),
        json!({"type": "stage-started", "stage": "train", "key": digest("c"), "attempt": 1, "pid": 41}),
        json!({"type": "stage-retried", "stage": "train", "attempt": 1, "error": error, "wait_seconds": 1.0}),
        json!({"type": "stage-started", "stage": "train", "key": digest("c"), "attempt": 2, "pid": 42}),
        json!({"type": "stage-succeeded", "stage": "train", "key": digest("c"), "attempt": 2,
               "outputs": {"out": artifact("d")}, "metrics": {"f1": 0.75}, "seconds": 2.5}),
        json!({"type": "stage-skipped", "stage": "serve", "reason": {"why": "condition", "expression": "false"}}),
        json!({"type": "run-finished", "outcome": "succeeded", "seconds": 4.0}),
    ];
    let begun: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
    let entry = |(seq, event): (usize, serde_json::Value)| Entry {
        seq: seq as u64,
        at: begun + jiff::SignedDuration::from_secs(i64::try_from(seq).unwrap()),
        event: serde_json::from_value(event).unwrap(),
    };
    events.into_iter().enumerate().map(entry).collect()
}

/// Shows the run to an observer, event by event.
pub(crate) fn replay(mut watch: impl FnMut(&Entry, &RunState)) -> RunState {
    let entries = entries();
    let mut state = RunState::begin(&entries[0]).unwrap();
    watch(&entries[0], &state);
    for entry in &entries[1..] {
        state.apply(entry).unwrap();
        watch(entry, &state);
    }
    state
}

/// The run as an account, with the pre-image of its second stage.
pub(crate) fn account() -> Account {
    let entries = entries();
    let state = replay(|_, _| {});
    let preimage = json!({
        "kind": "toy/concat", "revision": 1, "params": {"lr": 0.1}, "seed": 7,
        "inputs": [{"port": "parts", "kind": "file", "digest": "b".repeat(64)}],
        "sources": {"rows.txt": [{"name": "rows.txt", "digest": "e".repeat(64)}]},
    });
    let stages = state.stages.iter().map(|stage| StageAccount {
        name: stage.name.clone(),
        kind: stage.kind.clone(),
        after: stage.after.clone(),
        status: stage.status.clone(),
        key: stage.key,
        outputs: stage.outputs.clone(),
        metrics: stage.metrics.clone(),
        verdicts: Vec::new(),
        times: Some((entries[1].at, entries[5].at)),
        preimage: (stage.name == "train").then(|| preimage.clone()),
        result: None,
    });
    Account {
        run: state.run,
        stages: stages.collect(),
        texts: vec![("workflow.yaml".to_owned(), "flow: 1\n".to_owned())],
        lock: None,
        record: None,
        flow: None,
        params: [("lr".to_owned(), json!(0.1))].into(),
        paths: RunPaths::new(Path::new("/nowhere"), state.run),
        state,
        entries,
    }
}
