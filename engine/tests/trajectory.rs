//! Checkpoints by trajectory: what a repeated, longer, or shorter run goes on from, and that it ends with the same bytes.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails its test")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use flow_engine::{
    run::{History, Outlook, Preimages, RunSummary, StageStatus, preview},
    store::{GcOptions, NodeEntry, Store},
};
use serde_json::{Value, json};
use support::{Lab, digests, stage};

#[test]
fn role() {
    support::play_role();
}

/// A walk with some of its options changed.
fn walk(changes: &Value) -> Value {
    let mut with = json!({"steps": 10, "every": 3});
    for (name, value) in changes.as_object().into_iter().flatten() {
        with[name] = value.clone();
    }
    json!({"walk": {"uses": "toy/walk@1", "with": with, "retry": {"infra": 0}}})
}

/// The step at which the walk of a run went on; none when it began at the start.
fn resumed(summary: &RunSummary) -> Option<f64> {
    let metrics = &stage(summary, "walk").metrics;
    metrics.get("volatile.resumed_from_step").copied()
}

/// The outcome of a run that found nothing to go on from.
fn undisturbed(changes: &Value) -> RunSummary {
    let summary = Lab::new().run(&walk(changes));
    assert_eq!(resumed(&summary), None);
    summary
}

/// The files of all checkpoint records of a store.
fn records(lab: &Lab) -> Vec<PathBuf> {
    let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let whole = |path: &PathBuf| path.extension().is_none();
    list(lab.store.join("ckpt")).flat_map(list).flat_map(list).filter(whole).collect()
}

fn outlook(lab: &Lab, changes: &Value) -> Option<Outlook> {
    lab.write(&walk(changes));
    preview(&lab.plan(), &lab.project(), &Arc::new(support::registry()), Preimages::Left).unwrap().remove(0).outlook
}

fn killed_at(lab: &Lab, step: u64, changes: &Value) {
    lab.write(&walk(changes));
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            let running = lab.wait_for("walk", |stage| stage.status == StageStatus::Running);
            let reached = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap()[..10].parse::<u64>().unwrap() >= step;
            while !records(lab).iter().any(reached) {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            let pid = running.pid.unwrap().to_string();
            assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        });
        lab.execute(&lab.start(None), |_| {}).unwrap()
    });
    assert_eq!(stage(&summary, "walk").status, StageStatus::Failed);
}

#[test]
fn a_killed_walk_loses_at_most_one_interval() {
    let lab = Lab::new();
    let slow = json!({"millis": 40});
    killed_at(&lab, 6, &slow);
    let again = lab.run(&walk(&slow));
    assert!(resumed(&again).unwrap() >= 6.0);
    assert_eq!(digests(&again), digests(&undisturbed(&slow)));
}

#[test]
fn a_longer_walk_begins_where_the_shorter_one_ended() {
    let lab = Lab::new();
    lab.run(&walk(&json!({"steps": 6})));
    assert_eq!(outlook(&lab, &json!({})), Some(Outlook::FromStep { step: 6 }));
    let longer = lab.run(&walk(&json!({})));
    assert_eq!(resumed(&longer), Some(6.0));
    assert_eq!(digests(&longer), digests(&undisturbed(&json!({}))));
    let shorter = lab.run(&walk(&json!({"steps": 7})));
    assert_eq!(resumed(&shorter), Some(6.0), "the end of the shorter one is kept");
    assert_eq!(digests(&shorter), digests(&undisturbed(&json!({"steps": 7}))));
}

#[test]
fn how_often_it_saves_does_not_change_the_way() {
    let lab = Lab::new();
    lab.run(&walk(&json!({"pace": "falling"})));
    let rarely = lab.run(&walk(&json!({"pace": "falling", "every": 5})));
    assert_eq!(resumed(&rarely), Some(10.0));
}

#[test]
fn another_way_shares_nothing() {
    let lab = Lab::new();
    lab.run(&walk(&json!({"steps": 6})));
    assert_eq!(outlook(&lab, &json!({"start": 1})), None);
    assert_eq!(resumed(&lab.run(&walk(&json!({"start": 1})))), None);
}

#[test]
fn a_pace_that_depends_on_the_length_starts_anew_and_the_plan_says_why() {
    let lab = Lab::new();
    lab.run(&walk(&json!({"steps": 6, "pace": "falling"})));
    let Some(Outlook::Anew { step: 6, because, help }) = outlook(&lab, &json!({"pace": "falling"})) else {
        panic!("{:?}", outlook(&lab, &json!({"pace": "falling"})))
    };
    assert!(because.contains("falling") && help.contains("steady"));
    let longer = lab.run(&walk(&json!({"pace": "falling"})));
    assert_eq!(resumed(&longer), None);
    assert_eq!(digests(&longer), digests(&undisturbed(&json!({"pace": "falling"}))));
}

#[test]
fn a_pace_that_settles_late_goes_on_from_before_it_settled() {
    let lab = Lab::new();
    lab.run(&walk(&json!({"steps": 20, "pace": "settling"})));
    let longer = lab.run(&walk(&json!({"steps": 30, "pace": "settling"})));
    assert_eq!(resumed(&longer), Some(16.0));
    assert_eq!(digests(&longer), digests(&undisturbed(&json!({"steps": 30, "pace": "settling"}))));
    let shorter = lab.run(&walk(&json!({"steps": 18, "pace": "settling"})));
    assert_eq!(resumed(&shorter), None, "at step 16 the shorter one has settled already");
}

#[test]
fn a_prefix_is_taken_when_asked_for_and_never_taken_for_the_real_thing() {
    let lab = Lab::new();
    lab.run(&walk(&json!({"steps": 6, "pace": "falling"})));
    let grafted = lab.run(&walk(&json!({"pace": "falling", "resume": "prefix"})));
    assert_eq!(resumed(&grafted), Some(6.0));
    let strict = lab.run(&walk(&json!({"pace": "falling"})));
    assert_eq!(resumed(&strict), None, "the checkpoints of the prefix run are not those of a run of ten steps");
    assert_eq!(digests(&strict), digests(&undisturbed(&json!({"pace": "falling"}))));
    assert_ne!(digests(&strict), digests(&grafted));
}

/// Writes into the record of a checkpoint.
fn damage_record(_: &Store, path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace("\"format\":1", "\"format\":2")).unwrap();
}

/// Writes other bytes of the same length into the file of a checkpoint, keeping its times.
fn damage_state(store: &Store, path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let record: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let node = store.cas().node(&record["state"]["digest"].as_str().unwrap().parse().unwrap()).unwrap();
    let Some(NodeEntry::File { digest, bytes, .. }) = node.entries.values().next() else { panic!("{node:?}") };
    let blob = store.cas().path(digest);
    let modified = blob.metadata().unwrap().modified().unwrap();
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&blob, "7".repeat(usize::try_from(*bytes).unwrap())).unwrap();
    fs::File::options().write(true).open(&blob).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    for damage in [damage_record, damage_state] {
        let lab = Lab::new();
        let slow = json!({"millis": 40});
        killed_at(&lab, 6, &slow);
        let mut found = records(&lab);
        found.sort();
        let [.., older, newest] = found.as_slice() else { panic!("{found:?}") };
        let step = older.file_name().unwrap().to_str().unwrap()[..10].parse::<f64>().unwrap();
        damage(&Store::open(&lab.store).unwrap(), newest);
        let again = lab.run(&walk(&slow));
        assert_eq!(resumed(&again), Some(step));
        assert_eq!(digests(&again), digests(&undisturbed(&slow)));
    }
}

#[test]
fn only_ends_are_kept_and_the_collector_keeps_what_runs_refer_to() {
    let lab = Lab::new();
    let first = lab.run(&walk(&json!({"steps": 9, "every": 1})));
    assert_eq!(records(&lab).len(), 1);
    let store = Store::open(&lab.store).unwrap();
    let now = std::time::Duration::ZERO;
    let referenced = History::referenced_in(&store).unwrap();
    store.collect(&GcOptions { referenced, older_than: now, grace: now, ..GcOptions::default() }).unwrap();
    assert_eq!(outlook(&lab, &json!({})), Some(Outlook::FromStep { step: 9 }));
    assert_eq!(resumed(&lab.run(&walk(&json!({})))), Some(9.0), "its objects are there too");
    assert!(stage(&first, "walk").key.is_some());
    store.collect(&GcOptions { older_than: now, grace: now, ..GcOptions::default() }).unwrap();
    assert_eq!(records(&lab).len(), 0);
    assert_eq!(outlook(&lab, &json!({"steps": 12})), None);
}

#[test]
fn letting_go_of_a_checkpoint_takes_its_objects_along() {
    let lab = Lab::new();
    lab.run(&walk(&json!({"steps": 40, "every": 1})));
    let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let objects = |kind: &str| list(lab.store.join(kind)).flat_map(list).count();
    assert_eq!((objects("cas"), objects("tree")), (2, 1), "one output, one checkpoint of one file");
}
