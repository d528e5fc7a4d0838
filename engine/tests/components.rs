//! A component is the same work from wherever it comes: by path or from a repository, in one project or in another.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

mod support;

use std::{fs, path::Path, process::Command};

use flow_engine::{
    plan::{Plan, PlanRequest},
    run::Outcome,
};
use serde_json::json;
use support::{Lab, cached, ran, registry};

#[test]
fn role() {
    support::play_role();
}

const SHOUT: &str = "\
flow: 1
inputs: {text: {kind: file}}
outputs: {loud: {from: again.loud, kind: file}}
stages:
  loud:
    uses: cmd@1
    in: {text: inputs.text}
    code: [tools/shout.sh]
    run: [sh, tools/shout.sh, '${in.text}', '${out.loud}']
    out: {loud: {path: loud.txt}}
  again: {uses: ./inner/again.yaml, in: {text: loud.loud}}
";
const AGAIN: &str = "\
flow: 1
inputs: {text: {kind: file}}
outputs: {loud: {from: twice.loud, kind: file}}
stages:
  twice:
    uses: cmd@1
    in: {text: inputs.text}
    code: [shout.sh]
    run: [sh, ./shout.sh, '${in.text}', '${out.loud}']
    out: {loud: {path: loud.txt}}
";

fn kit(folder: &Path) {
    let files = [
        ("shout.yaml", SHOUT),
        ("inner/again.yaml", AGAIN),
        ("tools/shout.sh", "tr a-z A-Z < \"$1\" > \"$2\"\n"),
        ("inner/shout.sh", "sed 's/$/!/' < \"$1\" > \"$2\"\n"),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").arg("-C").arg(folder).args(identity).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with the kit at tag `v1`.
fn repository(folder: &Path) {
    kit(&folder.join("parts"));
    git(folder, &["init", "--quiet"]);
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", "kit"]);
    git(folder, &["tag", "v1"]);
}

fn user(uses: &str) -> serde_json::Value {
    json!({
        "text": {"uses": "toy/emit@1", "with": {"text": "hello"}},
        "shout": {"uses": uses, "in": {"text": "text.out"}},
    })
}

#[test]
fn by_path_and_from_a_repository_the_keys_are_the_same() {
    let lab = Lab::new();
    kit(&lab.root.join("vendor/kit"));
    let first = lab.run(&user("./vendor/kit/shout.yaml"));
    assert_eq!(first.outcome, Outcome::Succeeded);
    assert!(ran(&first, "shout/loud") && ran(&first, "shout/again/twice"));

    let remote = tempfile::tempdir().unwrap();
    repository(remote.path());
    let other = lab.beside();
    let second = other.run(&user(&format!("git:file://{}//parts/shout@v1", remote.path().display())));
    for stage in ["text", "shout/loud", "shout/again/twice"] {
        assert!(cached(&second, stage), "{stage}");
    }
    let keys = |summary: &flow_engine::run::RunSummary| summary.stages.iter().map(|stage| stage.state.key).collect::<Vec<_>>();
    assert_eq!(keys(&first), keys(&second));

    // Pinned and kept: the repository may go.
    drop(remote);
    assert_eq!(other.run(&user(&uses_of(&other))).outcome, Outcome::Succeeded);
}

/// What the project's workflow names.
fn uses_of(lab: &Lab) -> String {
    let text = fs::read_to_string(lab.root.join("workflow.yaml")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["stages"]["shout"]["uses"].as_str().unwrap().to_owned()
}

#[test]
fn a_component_of_a_repository_stays_inside_it() {
    let remote = tempfile::tempdir().unwrap();
    let outside = "flow: 1\nstages:\n  a: {uses: ../../../../etc/passwd.yaml}\n";
    fs::write(remote.path().join("climb.yaml"), outside).unwrap();
    repository(remote.path());
    let lab = Lab::new();
    lab.write(&json!({"climb": {"uses": format!("git:file://{}//climb@v1", remote.path().display())}}));
    let (project, registry) = (lab.project(), registry());
    let request = PlanRequest { project: &project, registry: &registry, params: &[], profile: None, only: &[], limit: None };
    let problems = Plan::load(&request).unwrap_err();
    let codes: Vec<&str> = problems.problems().iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["flow::component::outside"]);
}

#[test]
fn a_reference_that_cannot_be_had_is_a_problem_at_its_place() {
    let lab = Lab::new();
    lab.write(&json!({"a": {"uses": "git:file:///nowhere/kit//a@v1"}, "b": {"uses": "git:kit//a"}}));
    let (project, registry) = (lab.project(), registry());
    let request = PlanRequest { project: &project, registry: &registry, params: &[], profile: None, only: &[], limit: None };
    let problems = Plan::load(&request).unwrap_err();
    for (problem, code) in problems.problems().iter().zip(["flow::component::git", "flow::component::reference"]) {
        assert_eq!(problem.code, code);
        let text = fs::read_to_string(lab.root.join("workflow.yaml")).unwrap();
        assert!(text[problem.span.start..problem.span.end].contains("git:"), "{problem}");
        assert!(!problem.help.is_empty());
    }
    assert_eq!(problems.problems().len(), 2);
}
