//! Well-formed workflows become the plans that their text says, and keys depend on what matters only.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

#[path = "support/folder.rs"]
mod folder;

use std::{collections::BTreeMap, fmt::Write};

use flow_engine::{
    ArtifactKind, Digest, Secret,
    plan::{Action, ActionInput, Edge, Plan, difference, mixed_seed, restore_stage},
    source::SourceFile,
    testing::toys,
};
use folder::Folder;
use serde_json::json;

fn plan(text: &str) -> Plan {
    Folder::new(&[("workflow.yaml", text)]).plan(&[], &[]).unwrap()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.order.iter().map(|index| plan.graph[*index].name.as_str()).collect()
}

fn config(plan: &Plan, stage: &str) -> serde_json::Value {
    plan.graph[plan.find(stage).unwrap()].stage.config().into_owned()
}

fn key(plan: &Plan, stage: &str) -> Digest {
    Action::new(&plan.graph[plan.find(stage).unwrap()], plan.limit, Vec::new(), BTreeMap::new()).key().unwrap()
}

const TWO: &str = "
flow: 1
name: two
description: Two texts, joined.
seed: 7
params:
  greeting: {type: string, default: hello}
  count: {type: int, default: 2}
defaults: {timeout: 1h, retry: {infra: 4}}
stages:
  joined:
    uses: toy/concat@1
    in: {parts: [second.out, first.out]}
    needs: [ready]
    timeout: 90s
    retry: {error: 1, backoff: 2s}
    if: params.count > 1 && stages.first.metrics.bytes > 0
    gate: metrics.parts == params.count
    expect: {parts: '>= 2'}
  first: {uses: toy/emit@1, with: {text: '${params.greeting}', times: '${params.count}'}}
  second: {uses: toy/emit@1, with: {text: 'say ${params.greeting} $${x}', seed: 9}}
  ready: {uses: toy/emit@1}
";

#[test]
fn a_plan_holds_what_the_file_says() {
    let plan = plan(TWO);
    assert_eq!((plan.workflow.as_str(), plan.seed, plan.limit), ("two", 7, Some(5)));
    assert_eq!(names(&plan), ["first", "second", "ready", "joined"]);
    assert_eq!(config(&plan, "first"), json!({"text": "hello", "files": null, "times": 2}));
    assert_eq!(config(&plan, "second")["text"], json!("say hello ${x}"));
    let joined = &plan.graph[plan.find("joined").unwrap()];
    let from: Vec<_> = joined.inputs[0].from.iter().map(|(index, port)| format!("{}.{port}", plan.graph[*index].name)).collect();
    assert_eq!(from, ["second.out", "first.out"]);
    assert_eq!(
        (joined.operations.timeout.unwrap().as_secs(), joined.operations.retry.infra, joined.operations.retry.error),
        (90, 4, 1)
    );
    assert_eq!(plan.graph[plan.find("second").unwrap()].seed, 9);
    assert_eq!(joined.seed, 7);
    assert_eq!(joined.expectations[0].text, "metrics.parts >= 2");
}

#[test]
fn edges_say_whether_data_or_order_is_meant() {
    let plan = plan(TWO);
    let edge = |from: &str| plan.graph[plan.graph.find_edge(plan.find(from).unwrap(), plan.find("joined").unwrap()).unwrap()];
    assert_eq!((edge("first"), edge("second"), edge("ready")), (Edge::Data, Edge::Data, Edge::Order));
}

#[test]
fn parameters_of_the_command_line_win() {
    let folder = Folder::new(&[("workflow.yaml", TWO)]);
    let plan = folder.plan(&[("count", "1"), ("count", "3"), ("greeting", "5")], &[]).unwrap();
    assert_eq!(config(&plan, "first"), json!({"text": "5", "files": null, "times": 3}));
    assert_eq!(plan.params["count"], json!(3));
}

#[test]
fn only_keeps_a_stage_and_what_it_needs() {
    let folder = Folder::new(&[("workflow.yaml", TWO)]);
    assert_eq!(names(&folder.plan(&[], &["second"]).unwrap()), ["second"]);
    assert_eq!(names(&folder.plan(&[], &["joined"]).unwrap()).len(), 4);
    let both = folder.plan(&[], &["first", "ready"]).unwrap();
    assert_eq!(names(&both), ["first", "ready"]);
}

const USER: &str = "
flow: 1
seed: 3
stages:
  text: {uses: toy/emit@1, with: {text: a}}
  curate: {uses: ./parts/curate.yaml, in: {text: text.out}, with: {mark: '!'}, needs: [gatekeeper]}
  last: {uses: toy/concat@1, in: {parts: [curate.out]}, needs: curate}
  gatekeeper: {uses: toy/emit@1}
";
const CURATE: &str = "
flow: 1
params: {mark: {type: string}}
inputs: {text: {kind: file}, extra: {kind: file, optional: true}}
outputs: {out: {from: inner.out, kind: file}}
stages:
  tail: {uses: toy/emit@1, with: {text: '${params.mark}'}, if: stages.inner.metrics.parts > 0}
  inner: {uses: ./deeper.yaml, in: {one: inputs.text}}
";
const DEEPER: &str = "
flow: 1
inputs: {one: {kind: file}}
outputs: {out: {from: twice.out, kind: file}}
stages:
  twice: {uses: toy/concat@1, in: {parts: [inputs.one, inputs.one]}, gate: stages.twice.status == 'x' || metrics.parts == 2}
";

#[test]
fn components_become_stages_with_their_own_names_and_parameters() {
    let folder = Folder::new(&[
        ("workflow.yaml", USER),
        ("parts/curate.yaml", &CURATE.replace("stages.inner.metrics.parts > 0", "params.mark == '!'")),
        ("parts/deeper.yaml", &DEEPER.replace("stages.twice.status == 'x' || ", "")),
    ]);
    let plan = folder.plan(&[], &[]).unwrap();
    assert_eq!(names(&plan), ["text", "gatekeeper", "curate/tail", "curate/inner/twice", "last"]);
    let twice = &plan.graph[plan.find("curate/inner/twice").unwrap()];
    assert_eq!(twice.inputs[0].from, vec![(plan.find("text").unwrap(), "out".to_owned()); 2]);
    assert_eq!((twice.prefix.as_ref(), twice.seed), ("curate/inner/", 3));
    let last = &plan.graph[plan.find("last").unwrap()];
    assert_eq!(last.inputs[0].from, [(plan.find("curate/inner/twice").unwrap(), "out".to_owned())]);
    assert_eq!(config(&plan, "curate/tail")["text"], json!("!"));
    assert_eq!(plan.graph[plan.find("curate/tail").unwrap()].params["mark"], json!("!"));
    assert_eq!(names(&folder.plan(&[], &["curate"]).unwrap()), ["text", "gatekeeper", "curate/tail", "curate/inner/twice"]);
}

#[test]
fn an_expression_about_the_own_stage_is_a_circle() {
    let folder = Folder::new(&[("workflow.yaml", USER), ("parts/curate.yaml", CURATE), ("parts/deeper.yaml", DEEPER)]);
    let codes: Vec<_> = folder.plan(&[], &[]).unwrap_err().problems().iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["flow::plan::cycle"]);
}

#[test]
fn secrets_stay_names() {
    let plan = plan(
        "
flow: 1
stages:
  a: {uses: cmd@1, run: [sh, -c, 'x'], env: {TOKEN: '${secrets.API_TOKEN}'}, out: {o: {path: o}}}
",
    );
    let secret = Secret { secret: "API_TOKEN".to_owned() };
    assert_eq!(config(&plan, "a")["env"]["TOKEN"], serde_json::to_value(&secret).unwrap());
}

#[test]
fn names_comments_and_the_order_of_keys_do_not_change_a_key() {
    let one = plan("flow: 1\nstages:\n  a: {uses: toy/emit@1, with: {text: x, times: 2}}\n");
    let other = plan(
        "# A comment.\nstages:\n  renamed:\n    timeout: 3h\n    with:\n      times: 2\n      text: 'x'\n    uses: toy/emit@1\nflow: 1\nname: z\n",
    );
    assert_eq!(key(&one, "a"), key(&other, "renamed"));
    let third = plan("flow: 1\nstages:\n  a: {uses: toy/emit@1, with: {text: x, times: 3}}\n");
    assert_ne!(key(&one, "a"), key(&third, "a"));
    let seeded = plan("flow: 1\nseed: 1\nstages:\n  a: {uses: toy/emit@1, with: {text: x, times: 2}}\n");
    assert_ne!(key(&one, "a"), key(&seeded, "a"));
}

#[test]
fn keys_tell_ports_order_and_sources_apart() {
    let plan = plan("flow: 1\nstages:\n  a: {uses: toy/emit@1}\n  b: {uses: toy/concat@1, in: {parts: [a.out]}}\n");
    let stage = &plan.graph[plan.find("b").unwrap()];
    let input =
        |port: &str, byte: u8| ActionInput { port: port.to_owned(), kind: ArtifactKind::File, digest: Digest::of(&[byte]) };
    let key = |inputs: Vec<ActionInput>| Action::new(stage, None, inputs, BTreeMap::new()).key().unwrap();
    let keys = [
        key(vec![input("parts", 1), input("parts", 2)]),
        key(vec![input("parts", 2), input("parts", 1)]),
        key(vec![input("parts", 1), input("other", 2)]),
        key(vec![input("parts", 1)]),
    ];
    for (at, one) in keys.iter().enumerate() {
        assert!(keys.iter().skip(at + 1).all(|other| one != other));
    }
    let file = SourceFile { path: "/anywhere/x".into(), name: "x".to_owned(), digest: Digest::of(b"x"), bytes: 1 };
    let moved = SourceFile { path: "/elsewhere/x".into(), ..file.clone() };
    let with =
        |file: SourceFile| Action::new(stage, None, Vec::new(), BTreeMap::from([("*".to_owned(), vec![file])])).key().unwrap();
    assert_eq!(with(file.clone()), with(moved));
    assert_ne!(with(file.clone()), with(SourceFile { digest: Digest::of(b"y"), ..file }));
}

#[test]
fn a_change_is_explained_by_its_path() {
    let one = plan(
        "flow: 1\nstages:\n  a: {uses: toy/judge@1, in: {in: b.out}, with: {metrics: {lr: 0.0002}}}\n  b: {uses: toy/emit@1}\n",
    );
    let other = plan(
        "flow: 1\nstages:\n  a: {uses: toy/judge@1, in: {in: b.out}, with: {metrics: {lr: 0.0004}}}\n  b: {uses: toy/emit@1}\n",
    );
    let json = |plan: &Plan| Action::new(&plan.graph[plan.find("a").unwrap()], None, Vec::new(), BTreeMap::new()).to_json();
    let changes: Vec<_> = difference(&json(&one), &json(&other)).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["params.metrics.lr 0.0002 -> 0.0004"]);
}

/// These must not change without a new key context: every stored result would be lost.
#[test]
fn keys_and_seeds_are_the_same_as_ever() {
    let plan = plan("flow: 1\nseed: 42\nstages:\n  a: {uses: toy/emit@1, with: {text: x}}\n");
    assert_eq!(key(&plan, "a").to_string(), "e25f658e1a1545f1c24c9bb26f8ecfd577204c6d16080f0ad6f1ee3b8a89ca3a");
    assert_eq!(mixed_seed(42, "toy/emit").0, 260_506_690_013_585_490);
    assert_ne!(mixed_seed(42, "toy/emit"), mixed_seed(42, "toy/sleep"));
}

#[test]
fn a_stage_is_restored_from_its_recorded_configuration() {
    let plan = plan(
        "flow: 1\nstages:\n  a: {uses: toy/emit@1, with: {text: x}}\n  c: {uses: cmd@1, in: {a: a.out}, run: [cp, '${in.a}', '${out.o}'], out: {o: {path: o}}}\n",
    );
    for name in ["a", "c"] {
        let stage = &plan.graph[plan.find(name).unwrap()].stage;
        let restored = restore_stage(&toys(), stage.kind(), &stage.config()).unwrap();
        assert_eq!((restored.config(), restored.ports()), (stage.config(), stage.ports()));
    }
    assert!(restore_stage(&toys(), "no/such", &json!({})).is_err());
}

#[test]
fn ten_thousand_stages_are_planned() {
    let mut text = "flow: 1\nstages:\n  s0: {uses: toy/emit@1}\n".to_owned();
    for stage in 1..10_000 {
        writeln!(text, "  s{stage}: {{uses: toy/concat@1, in: {{parts: [s{}.out]}}}}", stage - 1).unwrap();
    }
    assert_eq!(plan(&text).order.len(), 10_000);
}
