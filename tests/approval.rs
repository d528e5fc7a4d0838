//! A person's decision: asked for, bound to what was reviewed, and kept.

use std::fs;

use crate::fixtures::desk;

#[test]
fn a_run_parks_until_it_is_approved_and_parks_again_on_other_data() {
    let project = desk();
    let parked = project.flow(&["run", "-p", "steps=2"]).expect(5);
    assert!(parked.stdout.contains("flow approve approve"), "{}", parked.stdout);
    assert_eq!(project.standings()["approve"], "parked");
    project.flow(&["resume", "--quiet"]).expect(5);

    project.flow(&["approve", "approve", "--by", "Ada", "--comment", "read both reports"]).expect(0);
    project.flow(&["resume", "--quiet"]).expect(0);
    assert_eq!(project.stage("approve")["decision"]["by"], "Ada");
    assert_eq!(project.stage("approve")["decision"]["via"], "command");
    project.flow(&["run", "--quiet", "-p", "steps=2"]).expect(0);

    let rows = fs::read_to_string(project.path().join("desk.jsonl")).expect("reads");
    let added = r#"{"topic": "rooms", "prompt": "Is the attic full of books that nobody reads?", "completion": "It is, sadly."}"#;
    project.write("desk.jsonl", &format!("{rows}{added}\n"));
    project.flow(&["run", "--quiet", "-p", "steps=2"]).expect(5);
    assert_eq!(project.standings()["split"], "pending", "nothing follows an open question");

    project.write("desk.jsonl", &rows);
    project.flow(&["run", "--quiet", "-p", "steps=2"]).expect(0);
}

#[test]
fn a_rejection_fails_the_run_and_names_its_reason() {
    let project = desk();
    project.flow(&["run", "--quiet"]).expect(5);
    project.flow(&["reject", "approve", "--by", "Ada", "--comment", "three numbers are left"]).expect(0);
    let outcome = project.flow(&["resume"]).expect(1);
    assert!(outcome.stdout.contains("Ada rejected the data: three numbers are left"), "{}", outcome.stdout);
    assert_eq!(project.standings()["approve"], "failed");
    assert_eq!(project.standings()["train"], "skipped");
}

#[test]
fn an_approval_by_flag_is_recorded_as_one() {
    let project = desk();
    project.flow(&["run", "--quiet", "--approve", "approve", "--only", "split"]).expect(0);
    let decision = project.stage("approve")["decision"].clone();
    assert_eq!(decision["approved"], true);
    assert_ne!(decision["via"], "command", "{decision}");
}

#[test]
fn a_stage_that_asks_nothing_cannot_be_approved() {
    let project = desk();
    project.flow(&["run", "--quiet"]).expect(5);
    let outcome = project.flow(&["approve", "train"]);
    assert_ne!(outcome.code, 0);
    assert!(outcome.stderr.contains("train"), "{}", outcome.stderr);
}
