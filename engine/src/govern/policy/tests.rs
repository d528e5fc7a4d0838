use std::path::PathBuf;

use super::*;
use crate::{
    govern::{SecretKey, Trust, testing},
    plan::PlanRequest,
    testing::toys,
};

const WORKFLOW: &str = r#"flow: 1
name: support
stages:
  raw: {uses: toy/emit@1, with: {text: a}}
  pinned: {uses: toy/pinned@1, with: {uri: "toy:base"}}
  approve:
    uses: toy/decide@1
    in: {review: [raw.out]}
    with: {who: ["role:steward"], quorum: 2, expires: 7d}
  train: {uses: toy/concat@1, in: {parts: [raw.out]}, needs: [approve]}
  loose: {uses: toy/concat@1, in: {parts: [raw.out, pinned.out]}}
"#;

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(policy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("workflow.yaml"), WORKFLOW).unwrap();
        std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
        Self { folder }
    }

    fn project(&self) -> Project {
        let mut project = testing::project(self.folder.path());
        project.governance.policy = Some(self.folder.path().join("policy.yaml"));
        project.governance.trust = trust();
        project
    }

    fn plan(&self) -> Plan {
        let (project, registry) = (self.project(), toys());
        let request = PlanRequest { project: &project, registry: &registry, params: &[], only: &[], limit: None, profile: None };
        Plan::load(&request).unwrap()
    }

    fn report(&self) -> PolicyReport {
        evaluate(&self.plan(), &self.project(), &["approve".to_owned()]).unwrap()
    }

    fn problems(&self) -> Vec<String> {
        let errors = evaluate(&self.plan(), &self.project(), &[]).unwrap_err();
        errors.problems().iter().map(|problem| format!("{} {}", problem.code, problem.message)).collect()
    }
}

fn trust() -> Trust {
    let key = || SecretKey::generate().unwrap().public();
    testing::trust(&[("alice", key(), "steward"), ("bob", key(), "steward")])
}

fn rule(text: &str) -> Case {
    Case::new(&format!("policy: 1\nrules:\n  - id: it\n    message: it holds\n    {}\n", text.replace('\n', "\n    ")))
}

#[test]
fn a_rule_about_stages_names_each_that_breaks_it_and_where_it_stands() {
    let case = rule("when: stage.kind == 'toy/concat'\nrequire: \"'toy/decide' in stage.upstream_kinds\"\nhelp: ask somebody");
    let report = case.report();
    assert_eq!((report.rules[0].applied, report.named(Severity::Error)), (2, vec!["it: loose".to_owned()]));
    let errors = report.enforced().unwrap_err();
    let problem = &errors.problems()[0];
    assert_eq!(problem.message, "policy rule `it` is not met by stage `loose`: it holds");
    assert_eq!((problem.code, problem.help.as_str()), ("flow::policy::broken", "ask somebody"));
    let place = problem.file.position(problem.span.start);
    assert_eq!((place.line, &problem.file.text()[problem.span.start..problem.span.end]), (11, "loose"));
}

#[test]
fn rules_see_the_whole_plan() {
    for (require, holds) in [
        ("stages['train'].upstream.exists(name, stages[name].kind == 'toy/decide')", true),
        ("stages['loose'].upstream.exists(name, stages[name].kind == 'toy/decide')", false),
        ("stages.all(name, stages[name].approve == null || stages[name].approve.quorum >= 2)", true),
        ("stages['approve'].approve.expires_seconds <= 604800 && 'role:steward' in stages['approve'].approve.who", true),
        ("stages['pinned'].sources.all(source, source.contains('@'))", false),
        ("stages['raw'].with.text == 'a' && workflow.name == 'support'", true),
        ("stages['train']['in'].parts == ['raw.out'] && stages['train'].after == ['approve', 'raw']", true),
        ("size(run.approve) == 0", false),
        ("'steward' in trust['alice']", true),
    ] {
        let report = rule(&format!("require: \"{require}\"")).report();
        assert_eq!(report.named(Severity::Error).is_empty(), holds, "{require}: {:?}", report.rules);
    }
}

#[test]
fn a_warning_lets_the_plan_pass() {
    let report = rule("severity: warn\nrequire: stage.kind != 'toy/pinned'").report();
    assert_eq!(report.named(Severity::Warn), ["it: pinned"]);
    assert_eq!(report.warnings().len(), 1);
    assert!(report.enforced().is_ok());
}

#[test]
fn a_rule_without_an_answer_is_broken() {
    let report = rule("require: stages['nowhere'].kind == 'x'").report();
    let errors = report.enforced().unwrap_err();
    assert!(errors.problems()[0].message.contains("cannot evaluate"), "{errors}");
    assert!(rule("require: size(stages)").report().enforced().is_err());
}

#[test]
fn every_problem_of_a_policy_file_is_told_with_its_place() {
    let text = "policy: 1\nrules:\n  - {id: a, message: x, require: \"stagee.kind == 'x'\"}\n  - {id: a, message: x, require: \"1 +\"}\n";
    let problems = Case::new(text).problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("unknown name `stagee`")));
    assert!(problems.iter().any(|problem| problem.starts_with("flow::policy::duplicate")));
    let shape = Case::new("policy: 2\nrules: [{id: a, mesage: x, require: 'true', severity: fatal}]\n").problems();
    assert!(shape.iter().any(|problem| problem.contains("unknown key `mesage`")), "{shape:?}");
    assert!(shape.iter().any(|problem| problem.contains("version 2")), "{shape:?}");
    let case = Case::new("");
    let project = Project {
        governance: crate::govern::Governance { policy: Some(PathBuf::from("/nowhere/policy.yaml")), ..Default::default() },
        ..case.project()
    };
    let missing = evaluate(&case.plan(), &project, &[]).unwrap_err();
    assert!(missing.problems()[0].message.starts_with("cannot read the policy"));
}

#[test]
fn a_gate_that_nobody_could_pass_is_found_before_anything_runs() {
    let case = Case::new("policy: 1\nrules: []\n");
    assert!(case.report().rules.is_empty());
    let mut project = case.project();
    project.governance.trust = testing::trust(&[("alice", SecretKey::generate().unwrap().public(), "steward")]);
    let errors = evaluate(&case.plan(), &project, &[]).unwrap().enforced().unwrap_err();
    assert_eq!(errors.problems()[0].message, "stage `approve` needs 2 of role:steward, and flow.toml names 1");
    project.governance.trust = Trust::default();
    let report = evaluate(&case.plan(), &project, &[]).unwrap();
    assert_eq!(report.warnings().len(), 1);
    assert!(report.enforced().is_ok());
}

#[test]
fn the_example_policies_of_the_manual_can_be_read() {
    let manual = include_str!("../../../../docs/governance.md");
    let blocks: Vec<&str> = manual.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let policies: Vec<&&str> = blocks.iter().filter(|block| block.contains("policy: 1")).collect();
    assert_eq!(policies.len(), 2);
    for text in policies {
        let case = Case::new(text);
        let count = check(&case.folder.path().join("policy.yaml")).unwrap_or_else(|errors| panic!("{:?}", errors.problems()));
        assert!(count >= 3);
    }
}
