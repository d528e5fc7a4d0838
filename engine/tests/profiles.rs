//! Profiles change parameters and stages as if the file said so, and hooks are read and checked.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

#[path = "support/folder.rs"]
mod folder;

use flow_engine::{
    plan::Plan,
    workflow::{Channel, Hook},
};
use folder::Folder;
use serde_json::json;

const TWO: &str = "
flow: 1
params:
  epochs: {type: int, default: 3, min: 1}
  word: {type: string, default: hello}
profiles:
  smoke:
    params: {epochs: 1}
    set: {first.with.times: 2, 'first.with.text': '${params.word}!', last.timeout: 5s, last.expect.a.b: '> 0', last.gate.0: metrics.parts > 0}
  bare: {}
stages:
  first: {uses: toy/emit@1}
  last: {uses: toy/concat@1, in: {parts: [first.out]}, gate: ['metrics.parts > params.epochs']}
";

fn config(plan: &Plan, stage: &str) -> serde_json::Value {
    plan.graph[plan.find(stage).unwrap()].stage.config().into_owned()
}

#[test]
fn a_profile_sets_parameters_and_leaves_and_the_command_line_wins() {
    let folder = Folder::of(TWO);
    let plain = folder.ask(&[], &[], Some("bare")).unwrap();
    assert_eq!((&plain.params["epochs"], config(&plain, "first")["times"].clone()), (&json!(3), json!(1)));
    let smoke = folder.ask(&[], &[], Some("smoke")).unwrap();
    assert_eq!(smoke.params["epochs"], json!(1));
    assert_eq!(config(&smoke, "first"), json!({"text": "hello!", "files": null, "times": 2}));
    let last = &smoke.graph[smoke.find("last").unwrap()];
    assert_eq!((last.operations.timeout.unwrap().as_secs(), last.gates[0].text.as_str()), (5, "metrics.parts > 0"));
    assert_eq!(last.expectations[0].text, "metrics[\"a.b\"] > 0");
    let over = folder.ask(&[("epochs", "7"), ("word", "x")], &[], Some("smoke")).unwrap();
    assert_eq!((&over.params["epochs"], config(&over, "first")["text"].clone()), (&json!(7), json!("x!")));
}

#[test]
fn an_override_that_does_not_fit_is_shown_where_the_profile_writes_it() {
    let folder =
        Folder::of(&TWO.replace("first.with.times: 2", "first.with.times: lots, first.with.txet: 1, last.in.parts: frist.out"));
    assert!(folder.ask(&[], &[], None).is_ok());
    let found = folder.problems(Some("smoke"));
    let expected = [
        ("flow::workflow::invalid_value", "lots"),
        ("flow::workflow::unknown_field", "first.with.txet"),
        ("flow::plan::unknown_stage", "frist.out"),
    ];
    assert_eq!(found, expected.map(|(code, word)| (code, word.to_owned())));
}

#[test]
fn unused_profiles_are_checked_and_unknown_ones_are_refused() {
    let text = TWO.replace("bare: {}", "bare: {params: {epohcs: 1, epochs: 0, word: 3}, set: {frist.with.text: x, first: 1, last.in.0: x, first.uses.x: 1}, prams: {}}");
    let found = Folder::of(&text).problems(None);
    let expected = [
        ("flow::params::unknown", "1"),
        ("flow::params::value", "0"),
        ("flow::params::value", "3"),
        ("flow::plan::unknown_stage", "frist.with.text"),
        ("flow::workflow::profile", "first"),
        ("flow::workflow::profile", "first.uses.x"),
        ("flow::workflow::unknown_field", "prams"),
    ];
    assert_eq!(found, expected.map(|(code, word)| (code, word.to_owned())));
    let errors = Folder::of(TWO).ask(&[], &[], Some("smoek")).unwrap_err();
    let [problem] = errors.problems() else { panic!("{errors:?}") };
    assert_eq!((problem.code, problem.file_name()), ("flow::plan::unknown_profile", "command line"));
    assert!(problem.help.contains("did you mean `smoke`?"), "{}", problem.help);
}

#[test]
fn hooks_are_part_of_the_plan_and_their_mistakes_of_the_problems() {
    let text = "
flow: 1
params: {host: {type: string, default: example.org}}
hooks:
  failure: [{notify: 'webhook:https://${params.host}/${secrets.HOOK}'}, {run: [logger, '${params.host}'], env: {TOKEN: '${secrets.TOKEN}'}}]
  finished: [{run: [touch, done]}]
stages: {a: {uses: toy/emit@1}}
";
    let plan = Folder::of(text).ask(&[], &[], None).unwrap();
    assert_eq!((plan.hooks.failure.len(), plan.hooks.finished.len(), plan.hooks.success.len()), (2, 1, 0));
    let Hook::Notify(Channel::Webhook(url)) = &plan.hooks.failure[0] else { panic!("{:?}", plan.hooks) };
    assert_eq!(url.to_string(), "https://example.org/${secrets.HOOK}");
    let broken = "
flow: 1
hooks:
  failed: []
  failure: [{notify: 'mail:a@example.org'}, {notify: 'webhook:https://x', rnu: [a]}, {run: [a, '${secrets.X}']}]
  success: [{notify: 'webhook:https://${params.host}'}]
stages: {a: {uses: toy/emit@1}}
";
    let codes: Vec<_> = Folder::of(broken).problems(None).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes.iter().filter(|code| **code == "flow::workflow::unknown_field").count(), 2, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "flow::workflow::invalid_value").count(), 2, "{codes:?}");
    assert!(codes.contains(&"flow::workflow::unknown_param"), "{codes:?}");
}

#[test]
fn a_check_looks_at_every_profile_and_for_the_files() {
    let folder = Folder::of(
        "
flow: 1
params: {folder: {type: string, default: data}}
profiles: {good: {params: {folder: data}}, bad: {params: {folder: nowhere}, set: {a.with.txet: x}}}
stages:
  a: {uses: toy/emit@1, with: {files: '${params.folder}/*.txt'}}
  b: {uses: cmd@1, code: [tools], run: [sh, tools/x.sh], out: {o: {path: o}}}
",
    );
    folder.write("data/a.txt", "a");
    assert_eq!(folder.check(), [("flow::plan::missing_file", "no file matches \"tools\"".to_owned())]);
    folder.write("tools/x.sh", "");
    let found: Vec<_> = folder.check();
    let expected = [
        ("flow::workflow::unknown_field", "unknown key `txet` (with profile `bad`)"),
        ("flow::plan::missing_file", "no file matches \"nowhere/*.txt\" (with profile `bad`)"),
    ];
    assert_eq!(found, expected.map(|(code, message)| (code, message.to_owned())));
    assert!(folder.ask(&[], &[], Some("good")).is_ok());
}
