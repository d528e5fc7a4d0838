//! The workflows of this repository: their data is what their scripts write, they pass `flow check`, and their parts are reusable.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{TestProject, repository};

fn python(script: &Path, arguments: &[&str]) -> std::process::Output {
    let command = Command::new("python3").arg("-B").arg(script).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").output();
    command.expect("python3 is installed")
}

fn quickstart(name: &str) -> PathBuf {
    repository().join("workflows/quickstart").join(name)
}

#[test]
fn the_quickstart_rows_are_what_the_script_writes() {
    let done = python(&quickstart("make_rows.py"), &["--check"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn the_quickstart_holds_out_families_that_exist() {
    let workflow = fs::read_to_string(repository().join("workflows/quickstart.yaml")).expect("reads");
    let list =
        workflow.lines().find_map(|line| line.trim().strip_prefix("values: [")?.strip_suffix(']')).expect("hold_out values");
    let rows = fs::read_to_string(quickstart("tickets.jsonl")).expect("reads");
    let families: Vec<&str> = list.split(", ").collect();
    for family in &families {
        assert!(rows.contains(&format!("\"family\": \"{family}\"")), "no ticket of {family}");
    }
    let held_out = |line: &&str| families.iter().any(|family| line.contains(&format!("\"family\": \"{family}\"")));
    assert!(rows.lines().filter(held_out).count() >= 60);
}

#[test]
fn every_workflow_passes_check() {
    let project = TestProject::new();
    project.copy("workflows");
    project.copy("tests/second-project");
    for file in ["workflows/quickstart.yaml", "workflows/debian-synopsis.yaml", "tests/second-project/workflow.yaml"] {
        let outcome = project.flow(&["check", file]);
        assert_eq!(outcome.code, 0, "{file}:\n{}{}", outcome.stdout, outcome.stderr);
    }
}

#[test]
fn a_second_project_reuses_the_curation_with_its_own_params() {
    let project = TestProject::new();
    project.copy("workflows/components");
    project.copy("tests/second-project");
    let file = "tests/second-project/workflow.yaml";
    project.flow(&["run", file, "--quiet"]).expect(0);
    let status = project.json(&["status", "--project", "tests/second-project"]);
    let text = status.to_string();
    for stage in ["ingest", "curate/clean", "curate/dedup", "curate/pii", "curate/bias", "split"] {
        assert!(text.contains(&format!("\"{stage}\"")), "no {stage} in {text}");
    }
    let stricter = project.json(&["plan", file, "-p", "near=0.9"]);
    assert!(runs(&stricter, "curate/dedup") && !runs(&stricter, "curate/clean"), "{stricter}");
}

/// Whether a plan says that a stage would run, or may have to.
fn runs(plan: &Value, stage: &str) -> bool {
    let stages = plan["stages"].as_array().expect("a plan lists its stages");
    let found = stages.iter().find(|entry| entry["stage"] == stage).expect("the stage is planned");
    found["forecast"]["will"] != "cached"
}

/// Without apt the extraction says what is missing, and writes nothing.
#[test]
fn without_apt_the_debian_extraction_ends_with_a_sentence() {
    let folder = tempfile::tempdir().expect("temp dir");
    let out = folder.path().join("pairs.jsonl");
    let script = repository().join("workflows/debian/extract.py");
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("python3 is installed");
    let done =
        Command::new(python).arg("-B").arg(script).arg(&out).env_clear().env("PATH", folder.path()).output().expect("starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && said.contains("this machine has no apt"), "{said}");
    assert!(!out.exists());
}
