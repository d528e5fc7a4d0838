//! What changes while a run goes on, or between its halves: stages that are edited, and a policy that is written anew.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::fs;

use flow_engine::{
    govern::{AuditLog, Governance, Happening},
    history::StageEdit,
    run::{Event, History, Outcome, StageStatus},
};
use serde_json::{Value, json};
use support::{Lab, Witness, cached, ran, stage};

#[test]
fn role() {
    support::play_role();
}

fn half(text: &str, separator: &str) -> Value {
    json!({
        "first": {"uses": "toy/emit@1", "with": {"text": text}},
        "breaks": {"uses": "toy/fail@1", "with": {"how": "input", "times": 1}, "needs": ["first"]},
        "last": {"uses": "toy/concat@1", "in": {"parts": ["first.out"]}, "with": {"separator": separator}, "needs": ["breaks"]},
    })
}

/// Goes on with the latest run and gives what it says was edited.
fn resumed(lab: &Lab) -> (flow_engine::run::RunSummary, Vec<StageEdit>) {
    let witness = Witness::default();
    let summary = lab.watch(&lab.start(Some(lab.latest())), |_| {}, &witness).unwrap();
    let told = witness.events().into_iter().find_map(|event| match event {
        Event::RunResumed { edited } => Some(edited),
        _ => None,
    });
    (summary, told.unwrap())
}

/// A run that goes on with other options than it began with says which, of stages that were done and of stages to come.
#[test]
fn a_resumed_run_names_the_stages_that_were_edited_and_goes_on_with_what_they_say_now() {
    let lab = Lab::new();
    let first = lab.run(&half("abc", ","));
    assert_eq!(first.outcome, Outcome::Failed);
    lab.write(&half("abcd", ";"));
    let (summary, edited) = resumed(&lab);
    assert_eq!((summary.run, summary.outcome), (first.run, Outcome::Succeeded));
    let told: Vec<String> =
        edited.iter().flat_map(|edit| edit.changes.iter().map(move |change| format!("{}: {change}", edit.stage))).collect();
    assert_eq!(told, [r#"first: with.text "abc" -> "abcd""#, r#"last: with.separator "," -> ";""#]);
    assert!(ran(&summary, "first") && ran(&summary, "last"));
    assert_eq!(stage(&summary, "first").outputs.get("out").unwrap().bytes, 4);

    let entries = History::of(&lab.project()).entries(first.run).unwrap();
    assert!(entries.iter().any(|entry| matches!(&entry.event, Event::RunResumed { edited: kept } if *kept == edited)));
    assert!(fs::read_dir(lab.root.join(".flow/bisect")).unwrap().next().is_none(), "nothing is left of the earlier files");
}

#[test]
fn an_edit_that_asks_for_nothing_else_is_none() {
    let lab = Lab::new();
    lab.run(&half("abc", ","));
    let text = fs::read_to_string(lab.root.join("workflow.yaml")).unwrap();
    fs::write(lab.root.join("workflow.yaml"), format!("# A remark.\n{text}")).unwrap();
    let (summary, edited) = resumed(&lab);
    assert_eq!((summary.outcome, edited), (Outcome::Succeeded, Vec::new()));
    assert!(cached(&summary, "first"));
}

/// A command and a component hold folders in their configuration; where the earlier files are laid out must not show.
#[test]
fn an_edit_of_a_component_is_told_by_its_stages_and_places_are_none() {
    let lab = Lab::new();
    let component = |mark: &str| {
        format!(
            "flow: 1\noutputs: {{out: {{from: say.o, kind: file}}}}\nstages:\n  \
             say: {{uses: cmd@1, code: [say.sh], run: [sh, say.sh, '${{out.o}}'], env: {{MARK: '{mark}'}}, out: {{o: {{path: o}}}}}}\n"
        )
    };
    fs::create_dir(lab.root.join("parts")).unwrap();
    fs::write(lab.root.join("parts/say.sh"), "echo \"$MARK\" > \"$1\"\n").unwrap();
    let flow = json!({
        "part": {"uses": "./parts/part.yaml"},
        "plain": {"uses": "cmd@1", "code": ["parts/say.sh"], "run": ["sh", "parts/say.sh", "${out.o}"], "out": {"o": {"path": "o"}}},
        "breaks": {"uses": "toy/fail@1", "with": {"how": "input", "times": 1}, "needs": ["part", "plain"]},
    });
    fs::write(lab.root.join("parts/part.yaml"), component("one")).unwrap();
    assert_eq!(lab.run(&flow).outcome, Outcome::Failed);
    fs::write(lab.root.join("parts/part.yaml"), component("two")).unwrap();
    let (summary, edited) = resumed(&lab);
    assert_eq!(summary.outcome, Outcome::Succeeded);
    let stages: Vec<&str> = edited.iter().map(|edit| edit.stage.as_str()).collect();
    assert_eq!(stages, ["part/say"], "{edited:?}");
    assert!(edited[0].changes.iter().all(|change| change.to_string().contains("two")), "{edited:?}");
}

const FORBIDDEN: &str = "policy: 1\nrules:\n  - {id: no-joining, message: nothing is joined any more, \
                         when: stage.kind == 'toy/concat', require: 'false', help: ask the steward}\n";

/// A project with a policy that allows everything, and a run of it during which `change` is called.
fn while_running(change: impl FnOnce(&Lab) + Send) -> (Lab, flow_engine::run::RunSummary) {
    let mut lab = Lab::new();
    let file = lab.root.join("policy.yaml");
    fs::write(&file, FORBIDDEN.replace("'false'", "'true'")).unwrap();
    lab.governance = Governance { policy: Some(file), ..Governance::default() };
    lab.write(&json!({
        "slow": {"uses": "toy/sleep@1", "with": {"steps": 4, "millis": 300, "text": "t"}},
        "other": {"uses": "toy/judge@1", "in": {"in": "slow.out"}},
        "join": {"uses": "toy/concat@1", "in": {"parts": ["slow.out"]}},
    }));
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            lab.wait_for("slow", |stage| stage.status == StageStatus::Running);
            change(&lab);
        });
        lab.execute(&lab.start(None), |_| {}).unwrap()
    });
    (lab, summary)
}

#[test]
fn a_policy_that_is_changed_during_a_run_stops_the_stages_that_it_forbids() {
    let (lab, summary) = while_running(|lab| fs::write(lab.root.join("policy.yaml"), FORBIDDEN).unwrap());
    assert_eq!(summary.outcome, Outcome::Failed);
    assert!(ran(&summary, "slow") && ran(&summary, "other"), "what is allowed goes on");
    let error = stage(&summary, "join").error.clone().unwrap();
    assert!(error.message.contains("`no-joining`") && error.message.contains("nothing is joined any more"), "{error}");
    assert_eq!((error.help.as_deref(), stage(&summary, "join").attempts), (Some("ask the steward"), 0));
    let records = AuditLog::of(&lab.project()).records().unwrap();
    let checked = |record: &&flow_engine::govern::audit::Record| matches!(&record.event, Happening::PolicyChecked { broken, .. } if *broken == ["no-joining: join"]);
    assert_eq!(records.iter().filter(checked).count(), 1);
    fs::write(lab.root.join("policy.yaml"), FORBIDDEN.replace("'false'", "'true'")).unwrap();
    assert_eq!(lab.resume().outcome, Outcome::Succeeded);
}

/// Somebody who breaks or removes the file does not get around it.
#[test]
fn a_policy_that_cannot_be_asked_any_more_stops_whatever_comes_next() {
    let broken: [fn(&Lab); 2] = [
        |lab| fs::write(lab.root.join("policy.yaml"), "policy: 1\nrules: [{id: x, message: y, require: nonsense}]\n").unwrap(),
        |lab| fs::remove_file(lab.root.join("policy.yaml")).unwrap(),
    ];
    for change in broken {
        let (_, summary) = while_running(change);
        assert!(ran(&summary, "slow"));
        for name in ["other", "join"] {
            let error = stage(&summary, name).error.clone().unwrap();
            assert!(error.message.starts_with("the policy cannot be asked"), "{error}");
        }
    }
}

/// A policy that is written anew with the same words, as an editor or a checkout does, is no other policy.
#[test]
fn a_policy_that_says_the_same_stops_nothing() {
    let (lab, summary) = while_running(|lab| {
        let text = fs::read_to_string(lab.root.join("policy.yaml")).unwrap();
        fs::write(lab.root.join("new"), text).unwrap();
        fs::rename(lab.root.join("new"), lab.root.join("policy.yaml")).unwrap();
    });
    assert_eq!(summary.outcome, Outcome::Succeeded);
    let records = AuditLog::of(&lab.project()).records().unwrap();
    assert!(records.iter().all(|record| !matches!(record.event, Happening::PolicyChecked { .. })));
}
