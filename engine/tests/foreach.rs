//! `foreach:` makes instances that can be named, paired, and gathered, in an order that the file decides.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

#[path = "support/folder.rs"]
mod folder;

use flow_engine::plan::Plan;
use folder::Folder;
use serde_json::{Value, json};

fn plan(text: &str) -> Plan {
    Folder::of(text).plan(&[], &[]).unwrap_or_else(|errors| panic!("{:#?}", errors.problems()))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.order.iter().map(|index| plan.graph[*index].name.as_str()).collect()
}

fn config(plan: &Plan, stage: &str) -> Value {
    plan.graph[plan.find(stage).unwrap()].stage.config().into_owned()
}

/// What a port of a stage reads, in order.
fn reads(plan: &Plan, stage: &str) -> Vec<String> {
    let stage = &plan.graph[plan.find(stage).unwrap()];
    let all = stage.inputs.iter().flat_map(|binding| &binding.from);
    all.map(|(index, port)| format!("{}.{port}", plan.graph[*index].name)).collect()
}

fn waits(plan: &Plan, stage: &str) -> Vec<String> {
    let to = plan.find(stage).unwrap();
    let mut names: Vec<_> =
        plan.graph.neighbors_directed(to, petgraph::Direction::Incoming).map(|index| plan.graph[index].name.clone()).collect();
    names.sort();
    names
}

fn codes(text: &str) -> Vec<(&'static str, String)> {
    Folder::of(text).problems(None)
}

const LANGS: &str = "
flow: 1
params: {langs: {type: list, default: [fr, en]}}
stages:
  clean:
    foreach: {lang: '${params.langs}'}
    uses: toy/emit@1
    with: {text: 'lang=${each.lang}'}
    if: \"'${each.lang}' != 'de'\"
  count:
    foreach: {lang: '${params.langs}'}
    uses: toy/concat@1
    in: {parts: ['clean@${each.lang}.out']}
    gate: 'stages[\"clean@${each.lang}\"].metrics.bytes > 0'
  all: {uses: toy/concat@1, in: {parts: 'clean@*.out'}, needs: ['count@*']}
  one: {uses: toy/concat@1, in: {parts: [clean@en.out]}, if: 'stages[\"clean@en\"].metrics.bytes > 3'}
";

#[test]
fn instances_are_named_paired_and_gathered_in_the_order_of_the_axis() {
    let plan = plan(LANGS);
    assert_eq!(names(&plan), ["clean@fr", "clean@en", "count@fr", "count@en", "all", "one"]);
    assert_eq!(config(&plan, "clean@fr")["text"], json!("lang=fr"));
    assert_eq!(reads(&plan, "all"), ["clean@fr.out", "clean@en.out"]);
    assert_eq!(reads(&plan, "count@en"), ["clean@en.out"]);
    assert_eq!(waits(&plan, "all"), ["clean@en", "clean@fr", "count@en", "count@fr"]);
    assert_eq!(waits(&plan, "one"), ["clean@en"]);
    assert_eq!(plan.graph[plan.find("clean@en").unwrap()].condition.as_ref().unwrap().text, "'en' != 'de'");
}

#[test]
fn the_values_of_a_parameter_make_the_instances() {
    let plan = Folder::of(LANGS).plan(&[("langs", "en,de,it")], &[]).unwrap();
    assert_eq!(reads(&plan, "all"), ["clean@en.out", "clean@de.out", "clean@it.out"]);
}

#[test]
fn only_keeps_instances_by_name_and_by_pattern() {
    let folder = Folder::of(LANGS);
    let kept = |only: &[&str]| names(&folder.plan(&[], only).unwrap()).join(" ");
    assert_eq!(kept(&["clean@fr"]), "clean@fr");
    assert_eq!(kept(&["clean@*"]), "clean@fr clean@en");
    assert_eq!(kept(&["count"]), "clean@fr clean@en count@fr count@en");
    let errors = folder.plan(&[], &["clean@frr"]).unwrap_err();
    assert_eq!(errors.problems()[0].help, "did you mean `fr`? known instances: fr, en");
}

#[test]
fn a_stage_that_cannot_be_read_is_not_unknown_too() {
    for text in ["flow: 1\nstages: {a: [}\n", "flow: 1\nstages: {a: {foreach: {x: []}, uses: toy/emit@1}}\n"] {
        let errors = Folder::of(text).plan(&[], &["a@*"]).unwrap_err();
        assert_eq!(errors.problems().len(), 1, "{errors:?}");
    }
}

#[test]
fn several_axes_are_a_product_with_exclusions_and_inclusions() {
    let plan = plan(
        "
flow: 1
stages:
  fit:
    foreach:
      lang: [en, fr]
      size: {s: {deep: 1}, m: {deep: 2}}
      exclude: [{lang: fr, size: m}]
      include: [{lang: de, size: s, times: 5}, {size: s, times: 3}, {size: m, times: 1}]
    uses: toy/emit@1
    with: {text: '${each.lang}', times: '${each.times}'}
  of_en: {uses: toy/concat@1, in: {parts: 'fit@en,*.out'}}
  of_s: {uses: toy/concat@1, in: {parts: ['fit@*,s.out', 'fit@en,m.out']}}
",
    );
    assert_eq!(names(&plan)[..4], ["fit@en,s", "fit@en,m", "fit@fr,s", "fit@de,s"]);
    assert_eq!(config(&plan, "fit@en,s")["times"], json!(3));
    assert_eq!(config(&plan, "fit@de,s")["times"], json!(3));
    assert_eq!(reads(&plan, "of_en"), ["fit@en,s.out", "fit@en,m.out"]);
    assert_eq!(reads(&plan, "of_s"), ["fit@en,s.out", "fit@fr,s.out", "fit@de,s.out", "fit@en,m.out"]);
}

#[test]
fn values_keep_their_types_and_names_stand_in_references() {
    let plan = plan(
        "
flow: 1
stages:
  base:
    foreach: {times: [1, 2], loud: [true], model: {tiny: 'hf:org/model-a', big: 'hf:org/model-b'}}
    uses: toy/emit@1
    with: {times: '${each.times}', text: '${each.model} ${each.loud}'}
  next:
    foreach: {model: {tiny: x, big: y}, rate: [0.1, 1e-3]}
    uses: toy/concat@1
    in: {parts: 'base@2,true,${each.model}.out'}
    with: {separator: '${each.model}'}
    needs: 'base@1,true,${each.model}'
  last: {uses: toy/concat@1, in: {parts: 'next@big,0.1.out'}}
",
    );
    assert_eq!(config(&plan, "base@2,true,big"), json!({"text": "hf:org/model-b true", "files": null, "times": 2}));
    assert_eq!(reads(&plan, "next@tiny,0.001"), ["base@2,true,tiny.out"]);
    assert_eq!(config(&plan, "next@tiny,0.001")["separator"], json!("x"));
    assert_eq!(waits(&plan, "next@big,0.1"), ["base@1,true,big", "base@2,true,big"]);
    assert_eq!(reads(&plan, "last"), ["next@big,0.1.out"]);
}

#[test]
fn a_component_runs_once_for_every_value() {
    let folder = Folder::new(&[
        (
            "workflow.yaml",
            "
flow: 1
stages:
  text: {foreach: {lang: [en, fr]}, uses: toy/emit@1, with: {text: '${each.lang}'}}
  curate:
    foreach: {lang: [en, fr]}
    uses: ./curate.yaml
    in: {text: 'text@${each.lang}.out'}
    with: {mark: '${each.lang}!'}
  all: {uses: toy/concat@1, in: {parts: curate@*.out}, if: 'stages[\"curate@fr/mark\"].metrics.bytes > 0'}
",
        ),
        (
            "curate.yaml",
            "
flow: 1
params: {mark: {type: string}}
inputs: {text: {kind: file}}
outputs: {out: {from: join.out, kind: file}}
stages:
  mark: {uses: toy/emit@1, with: {text: '${params.mark}'}}
  join: {foreach: {n: [1, 2]}, uses: toy/concat@1, in: {parts: [inputs.text, mark.out]}}
",
        ),
    ]);
    let errors = folder.plan(&[], &[]).unwrap_err();
    assert!(errors.problems().iter().any(|problem| problem.message.contains("`join` has several instances")), "{errors:?}");
    let text = std::fs::read_to_string(folder.path().join("curate.yaml")).unwrap().replace("join.out", "join@2.out");
    folder.write("curate.yaml", &text);
    let plan = folder.plan(&[], &[]).unwrap();
    assert_eq!(
        names(&plan),
        [
            "text@en",
            "text@fr",
            "curate@en/mark",
            "curate@en/join@1",
            "curate@en/join@2",
            "curate@fr/mark",
            "curate@fr/join@1",
            "curate@fr/join@2",
            "all"
        ]
    );
    assert_eq!(reads(&plan, "all"), ["curate@en/join@2.out", "curate@fr/join@2.out"]);
    assert_eq!(reads(&plan, "curate@fr/join@1"), ["text@fr.out", "curate@fr/mark.out"]);
    assert_eq!(config(&plan, "curate@fr/mark")["text"], json!("fr!"));
    assert_eq!(names(&folder.plan(&[], &["curate@fr/mark"]).unwrap()), ["curate@fr/mark"]);
    assert_eq!(names(&folder.plan(&[], &["curate@fr"]).unwrap()).len(), 4);
}

#[test]
fn a_gathered_input_of_a_command_is_a_list_even_when_one_instance_is_left() {
    let text = |values: &str| {
        format!(
            "
flow: 1
stages:
  part: {{foreach: {{n: [{values}]}}, uses: toy/emit@1}}
  join: {{uses: cmd@1, in: {{parts: part@*.out}}, run: [cat, '${{in.parts}}', '${{out.o}}'], out: {{o: {{path: o}}}}}}
"
        )
    };
    for values in ["a", "a, b"] {
        assert_eq!(config(&plan(&text(values)), "join")["inputs"], json!({"parts": "many"}));
    }
}

#[test]
fn instances_share_keys_with_stages_that_are_written_out() {
    let one = plan("flow: 1\nstages:\n  a: {foreach: {x: [u, v]}, uses: toy/emit@1, with: {text: '${each.x}'}}\n");
    let other = plan("flow: 1\nstages:\n  b: {uses: toy/emit@1, with: {text: v}}\n");
    let key = |plan: &Plan, name: &str| {
        let stage = &plan.graph[plan.find(name).unwrap()];
        flow_engine::plan::Action::new(stage, None, Vec::new(), std::collections::BTreeMap::new()).key().unwrap()
    };
    assert_eq!(key(&one, "a@v"), key(&other, "b"));
}

#[test]
fn what_is_wrong_with_axes_is_told_at_its_place() {
    for (foreach, word, part) in [
        ("[en]", "foreach", "mapping of names to lists"),
        ("{}", "foreach", "names no axis"),
        ("{lang: []}", "lang", "empty list"),
        ("{lang: en}", "en", "not a list"),
        ("{lang: 3}", "3", "not a list"),
        ("{lang: [en, fr, en]}", "en", "twice"),
        ("{lang: [1, '1']}", "'1'", "twice"),
        ("{lang: ['a/b']}", "'a/b'", "cannot be part of a stage's name"),
        ("{lang: ['']}", "''", "cannot be part"),
        ("{lang: ['..']}", "'..'", "cannot be part"),
        ("{lang: ['a,b']}", "'a,b'", "cannot be part"),
        ("{lang: ['a@b']}", "'a@b'", "cannot be part"),
        ("{lang: ['*']}", "'*'", "cannot be part"),
        ("{lang: [ü]}", "ü", "cannot be part"),
        ("{lang: [{a: 1}]}", "{", "neither a text"),
        ("{lang: [null]}", "null", "neither a text"),
        ("{'a b': [x]}", "'a b'", "name of an axis"),
        ("{lang: [en], exclude: [{lang: en}]}", "foreach", "leaves no combination"),
        ("{lang: [en], exclude: [{lang: fr}]}", "{", "fits no combination"),
        ("{lang: [en], exclude: [{lnag: en}]}", "lnag", "unknown axis"),
        ("{lang: [en], exclude: {lang: en}}", "exclude", "list of combinations"),
        ("{lang: [en], exclude: [en]}", "en", "mapping of axes"),
        ("{lang: [en], include: [{lang: en}]}", "{", "adds nothing"),
        ("{lang: [en], size: [s], include: [{lang: fr}]}", "{", "does not name every axis"),
    ] {
        let found = codes(&format!("flow: 1\nstages:\n  a:\n    foreach: {foreach}\n    uses: toy/emit@1\n"));
        assert_eq!(found, [("flow::workflow::foreach", word.to_owned())], "{foreach}");
        let errors =
            Folder::of(&format!("flow: 1\nstages:\n  a:\n    foreach: {foreach}\n    uses: toy/emit@1\n")).plan(&[], &[]);
        assert!(errors.unwrap_err().problems()[0].message.contains(part), "{foreach}");
    }
}

#[test]
fn too_many_instances_are_refused_before_they_are_made() {
    let list = (0..500).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let found = codes(&format!("flow: 1\nstages:\n  a: {{foreach: {{x: [{list}], y: [{list}]}}, uses: toy/emit@1}}\n"));
    assert_eq!(found[0].0, "flow::workflow::foreach");
    let pairs = (0..1500).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let found = codes(&format!(
        "flow: 1\nstages:\n  a: {{foreach: {{x: [{pairs}]}}, uses: toy/emit@1}}\n  b: {{foreach: {{x: [{pairs}]}}, uses: toy/concat@1, in: {{parts: a@*.out}}}}\n"
    ));
    assert_eq!(found, [("flow::plan::too_many", "in".to_owned())]);
}

#[test]
fn wrong_references_to_instances_are_explained() {
    let stage = |line: &str| {
        let text = format!(
            "flow: 1\nstages:\n  a: {{foreach: {{x: [u, v]}}, uses: toy/emit@1}}\n  b: {{uses: toy/emit@1}}\n  c: {{uses: toy/concat@1, {line}}}\n  d: {{uses: toy/judge@1, in: {{in: b.out}}}}\n"
        );
        let errors = Folder::of(&text).plan(&[], &[]).unwrap_err();
        let found: Vec<_> =
            errors.problems().iter().map(|problem| (problem.code, problem.message.clone(), problem.help.clone())).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let (code, message, help) = stage("in: {parts: a.out}");
    assert_eq!((code, message.as_str()), ("flow::plan::reference", "stage `a` has several instances"));
    assert_eq!(help, "write `a@*` for all of its instances, or `a@u` for one");
    assert_eq!(stage("in: {parts: a@w.out}").2, "known instances: u, v");
    assert_eq!(stage("in: {parts: 'a@*,s.out'}").2, "`*` stands for one whole name; its instances are a@u, a@v");
    assert_eq!(stage("in: {parts: b@u.out}").1, "`b@u` names an instance, but stage `b` has no `foreach:`");
    assert_eq!(stage("in: {parts: aa@u.out}").1, "unknown stage `aa`");
    assert_eq!(stage("in: {parts: b.out}, if: 'stages.a.metrics.bytes > 1'").0, "flow::plan::expression");
    assert_eq!(stage("in: {parts: b.out}, if: 'stages[\"a@*\"].metrics.bytes > 1'").0, "flow::plan::expression");
    assert_eq!(stage("in: {parts: b.out}, with: {separator: '${each.x}'}").0, "flow::workflow::unknown_name");
    let one = "flow: 1\nstages:\n  a: {foreach: {x: [u]}, uses: toy/emit@1}\n  d: {uses: toy/judge@1, in: {in: a@*.out}}\n";
    assert_eq!(codes(one), [("flow::plan::arity", "a@*.out".to_owned())]);
}

#[test]
fn a_broken_axis_hides_no_other_problem() {
    let found = codes(
        "
flow: 1
stages:
  a: {foreach: {x: [u, u]}, uses: toy/emit@1, with: {txet: '${each.x}'}, needs: [zzz]}
  b: {uses: toy/concat@1, in: {parts: [a@u.out, q.out]}, if: 'stages[\"a@u\"].metrics.bytes > 0'}
",
    );
    let codes: Vec<_> = found.iter().map(|(code, _)| *code).collect();
    assert_eq!(
        codes,
        ["flow::workflow::foreach", "flow::workflow::unknown_field", "flow::plan::unknown_stage", "flow::plan::unknown_stage"]
    );
}

#[test]
fn ten_thousand_instances_are_planned() {
    let list = (0..10_000).map(|n| format!("n{n}")).collect::<Vec<_>>().join(", ");
    let plan = plan(&format!(
        "flow: 1\nstages:\n  a: {{foreach: {{x: [{list}]}}, uses: toy/emit@1, with: {{text: '${{each.x}}'}}}}\n  b: {{uses: toy/concat@1, in: {{parts: a@*.out}}}}\n"
    ));
    assert_eq!(plan.order.len(), 10_001);
    assert_eq!(reads(&plan, "b").len(), 10_000);
    assert_eq!(reads(&plan, "b")[9_999], "a@n9999.out");
}

#[test]
fn many_instances_tell_their_common_problem_once_and_many_problems_end() {
    let list = (0..2000).map(|n| format!("n{n}")).collect::<Vec<_>>().join(", ");
    let once = format!(
        "flow: 1\nstages:\n  a: {{foreach: {{x: [{list}]}}, uses: toy/emit@1, with: {{txet: 1}}}}\n  b: {{uses: toy/emitt@1}}\n"
    );
    assert_eq!(
        codes(&once),
        [("flow::workflow::unknown_field", "txet".to_owned()), ("flow::plan::unknown_kind", "toy/emitt@1".to_owned())]
    );
    let many = (0..2000).map(|n| format!("  s{n}: {{uses: toy/emit@1, needs: [z{n}]}}\n")).collect::<Vec<_>>().concat();
    let found = codes(&format!("flow: 1\nstages:\n{many}"));
    assert_eq!(found.len(), 501);
    assert_eq!(found.last().unwrap().0, "flow::workflow::too_many_problems");
}
