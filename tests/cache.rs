//! What a second run computes again, and what it does not.

use std::{collections::BTreeMap, fs};

use serde_json::json;

use crate::{
    fixtures::{PIPELINE, desk},
    support::TestProject,
};

fn run(project: &TestProject, arguments: &[&str]) -> BTreeMap<String, String> {
    let start = ["run", "--quiet", "--approve", "approve", "-p", "steps=2"];
    project.flow(&[&start, arguments].concat()).expect(0);
    project.standings()
}

/// The stages that a standing names, in order of their names.
fn at<'a>(standings: &'a BTreeMap<String, String>, wanted: &str) -> Vec<&'a str> {
    standings.iter().filter(|(_, standing)| *standing == wanted).map(|(name, _)| name.as_str()).collect()
}

#[test]
fn only_what_depends_on_a_change_runs_again() {
    let project = desk();
    run(&project, &[]);
    let again = run(&project, &[]);
    assert_eq!(at(&again, "cached").len(), 12, "{again:?}");

    let faster = run(&project, &["-p", "lr=0.02"]);
    assert_eq!(at(&faster, "succeeded"), ["eval", "register", "serve", "train"]);
    assert_eq!(at(&faster, "cached").len(), 8, "{faster:?}");

    let why = project.json(&["why", "train"]);
    let changes = &why["reason"]["than"]["changes"];
    assert_eq!(*changes, json!([{"path": "params.optim.lr", "old": 0.01, "new": 0.02}]), "{why}");
    let told = project.flow(&["why", "train"]).expect(0);
    assert!(told.stdout.contains("params.optim.lr changed: 0.01 -> 0.02"), "{}", told.stdout);
}

#[test]
fn comments_the_order_of_keys_and_names_change_nothing() {
    let project = desk();
    run(&project, &[]);
    let rewritten = PIPELINE
        .replace("# Twelve stages.", "# Another comment.")
        .replace("{uses: data/clean@1, in: {rows: ingest.rows}}", "{in: {rows: ingest.rows}, uses: data/clean@1} # order")
        .replace("batch: {global: 4, micro: 4}", "batch: {micro: 4, global: 4}")
        .replace("dedup", "once")
        .replace("data/once", "data/dedup")
        .replace("name: tiny", "name: renamed");
    assert!(rewritten.contains("once.rows") && rewritten.contains("{micro: 4"), "the replacements found their place");
    project.write("workflow.yaml", &rewritten);
    let again = run(&project, &[]);
    assert_eq!(at(&again, "cached").len(), 12, "{again:?}");
}

#[test]
fn one_more_duplicate_row_is_cut_off_after_dedup() {
    let project = desk();
    run(&project, &[]);
    let rows = fs::read_to_string(project.path().join("desk.jsonl")).expect("reads");
    let last = rows.lines().last().expect("has rows");
    project.write("desk.jsonl", &format!("{rows}{last}\n"));
    let cut = run(&project, &[]);
    assert_eq!(at(&cut, "succeeded"), ["clean", "dedup", "ingest"]);
    assert_eq!(at(&cut, "cut-off"), ["pii"]);
    assert_eq!(at(&cut, "cached").len(), 8, "{cut:?}");
}

#[test]
fn a_plan_says_beforehand_what_a_run_then_does() {
    let project = desk();
    run(&project, &[]);
    let plan = project.json(&["plan", "-p", "steps=2", "-p", "lr=0.02"]);
    let will = |stage: &str| {
        let stages = plan["stages"].as_array().expect("a list");
        stages.iter().find(|one| one["stage"] == stage).expect("planned")["forecast"]["will"].clone()
    };
    assert_eq!([will("tokenize"), will("train"), will("eval")], ["cached", "run", "wait"]);
}

#[test]
fn outputs_are_the_same_in_another_folder_with_another_store() {
    let (one, two) = (desk(), desk());
    run(&one, &[]);
    run(&two, &[]);
    for (stage, port) in [("split", "train"), ("tokenize", "train"), ("train", "adapter"), ("eval", "items"), ("bias", "report")]
    {
        assert_eq!(one.digest(stage, port), two.digest(stage, port), "{stage}.{port}");
    }
}
