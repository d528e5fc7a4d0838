//! The shape of the repository: only the planned edges between crates, one owner a heavy dependency, files that fit in a head.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::support::repository;

/// Which of our crates each crate may depend on.
const EDGES: [(&str, &[&str]); 8] = [
    ("flow-engine", &[]),
    ("flow-cli", &["flow-engine"]),
    ("flow-text", &[]),
    ("flow-rows", &["flow-engine", "flow-text"]),
    ("flow-data", &["flow-engine", "flow-rows", "flow-text"]),
    ("flow-model", &["flow-engine", "flow-rows", "flow-text"]),
    ("flow-release", &["flow-engine", "flow-text"]),
    ("flow", &["flow-cli", "flow-data", "flow-engine", "flow-model", "flow-release", "flow-text"]),
];

/// The only crate that may name each heavy dependency.
const OWNERS: [(&str, &str); 8] = [
    ("petgraph", "flow-engine"),
    ("serde-saphyr", "flow-engine"),
    ("clap", "flow-cli"),
    ("indicatif", "flow-cli"),
    ("polars", "flow-data"),
    ("polars-arrow", "flow-rows"),
    ("burn", "flow-model"),
    ("axum", "flow-release"),
];

const LONGEST_FILE: usize = 500;

/// The normal dependencies of every workspace crate, by crate.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let normal = |package: &Value| {
        let kept = list(package, "dependencies").into_iter().filter(|one| one.get("kind").is_none_or(Value::is_null));
        kept.filter_map(|one| text(&one, "name")).collect()
    };
    list(&metadata, "packages").iter().filter_map(|package| Some((text(package, "name")?, normal(package)))).collect()
}

#[test]
fn only_the_planned_edges_between_crates_exist() {
    let found = dependencies();
    assert_eq!(found.len(), EDGES.len(), "a crate was added or removed: {:?}", found.keys());
    for (name, allowed) in EDGES {
        let ours = found.get(name).expect(name).iter().filter(|one| found.contains_key(*one));
        let beyond: Vec<&String> = ours.filter(|one| !allowed.contains(&one.as_str())).collect();
        assert!(beyond.is_empty(), "{name} must not depend on {beyond:?}");
    }
}

#[test]
fn each_heavy_dependency_has_one_owner() {
    for (name, dependencies) in dependencies() {
        for (heavy, owner) in OWNERS {
            let named = dependencies.iter().any(|one| one == heavy);
            assert!(!named || name == owner, "{name} names {heavy}, which belongs to {owner}");
        }
    }
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut complaints = Vec::new();
    for path in rust_files() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            complaints.push(format!("{} has {lines} lines", path.display()));
        }
        let is_test_module = path.file_name().is_some_and(|name| name == "tests.rs");
        if !is_test_module && !text.starts_with("//!") {
            complaints.push(format!("{} does not open with //!", path.display()));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn no_lint_is_silenced_without_a_reason() {
    for path in rust_files() {
        let text = fs::read_to_string(&path).expect("a readable file");
        let silenced = text.lines().filter(|line| line.trim_start().starts_with(concat!("#[", "allow(")));
        let debt: Vec<&str> = silenced.filter(|line| !line.contains("reason")).collect();
        assert!(debt.is_empty(), "{}: {debt:?}", path.display());
    }
}

fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["engine", "stages", "tests"] {
        collect(&repository().join(folder), &mut found);
    }
    assert!(found.len() > 50, "the walk found only {} files", found.len());
    found
}

fn collect(folder: &std::path::Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}
