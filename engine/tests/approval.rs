//! Approvals end to end: what voids them, who may give them, and what the audit log says afterwards.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

mod support;

use std::{fs, path::PathBuf, time::Duration};

use flow_engine::{
    context::Decision,
    govern::{
        AuditLog, GovernError, Governance, Happening, KeyRing, Person, PublicKey, Signatory, Starter, Trust,
        audit::{Severity, verify},
    },
    run::{ApprovalRecord, History, Outcome, RunError, RunRequest, RunSummary, StageStatus, Start, approve, question},
};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use support::{Lab, cached, stage};

/// Answers when this binary is started again as a runner.
#[test]
fn role() {
    support::play_role();
}

/// A project with people, each with a key ring of their own.
struct Office {
    lab: Lab,
    home: tempfile::TempDir,
}

impl Office {
    /// Names and roles; nobody is trusted by name when there are none.
    fn with(people: &[(&str, &str)]) -> Self {
        let mut office = Self { lab: Lab::new(), home: tempfile::tempdir().unwrap() };
        let trusted = people.iter().map(|(name, role)| {
            let key = office.ring(name).create(name).unwrap().0;
            ((*name).to_owned(), person(key, role))
        });
        let trusted: std::collections::BTreeMap<_, _> = trusted.collect();
        office.lab.governance = Governance { trust: Trust::try_from(trusted).unwrap(), policy: None };
        office
    }

    fn ring(&self, name: &str) -> KeyRing {
        KeyRing::new(self.home.path().join(name))
    }

    fn signatory(&self, name: &str) -> Signatory {
        Signatory::new(self.ring(name))
    }

    fn decide(&self, name: &str, decision: Decision) -> Result<ApprovalRecord, RunError> {
        let project = self.lab.project();
        approve(&project, (self.lab.latest(), "ok"), decision, &self.signatory(name))
    }

    fn approve(&self, name: &str) -> ApprovalRecord {
        self.decide(name, decision(true, Timestamp::now())).unwrap()
    }

    fn refused(&self, name: &str) -> (String, String) {
        match self.decide(name, decision(true, Timestamp::now())) {
            Err(RunError::Govern(GovernError::Refused { reason, help, .. })) => (reason, help),
            other => panic!("{other:?}"),
        }
    }

    fn start(&self, user: &str) -> RunSummary {
        let starter = Starter { user: user.to_owned(), ..Starter::default() };
        let workflow_file = self.lab.root.join("workflow.yaml");
        let request = RunRequest { workflow_file, started_by: Some(starter), ..RunRequest::default() };
        self.lab.execute(&Start::New(request), |_| {}).unwrap()
    }

    /// Why decisions about the latest run's stage do not count.
    fn void(&self) -> Vec<String> {
        let project = self.lab.project();
        let state = History::of(&project).load(self.lab.latest()).unwrap();
        let question = question(&project, &state, "ok").unwrap();
        question.tally.void.iter().map(|void| void.objection.to_string()).collect()
    }

    fn log(&self) -> Vec<&'static str> {
        let records = AuditLog::of(&self.lab.project()).records().unwrap();
        records.iter().map(|record| record.event.word()).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.lab.root.join(".flow/approvals")).unwrap();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    fn assert_log_holds(&self) {
        let inspection = verify(&self.lab.project()).unwrap();
        assert!(inspection.holds(), "{inspection:?}");
    }
}

fn person(key: PublicKey, role: &str) -> Person {
    Person { key, roles: vec![role.to_owned()], accounts: Vec::new() }
}

/// One trusted steward.
fn only(name: &str, key: PublicKey) -> Trust {
    let people: std::collections::BTreeMap<_, _> = [(name.to_owned(), person(key, "steward"))].into();
    Trust::try_from(people).unwrap()
}

fn decision(approved: bool, at: Timestamp) -> Decision {
    Decision { approved, by: "me".to_owned(), at: at.to_string(), comment: None, via: "command".to_owned(), signed: Vec::new() }
}

fn review(text: &str, terms: &Value) -> Value {
    json!({
        "data": {"uses": "toy/emit@1", "with": {"text": text}},
        "ok": {"uses": "toy/decide@1", "in": {"review": ["data.out"]}, "with": terms},
        "after": {"uses": "toy/emit@1", "with": {"text": "published"}, "needs": ["ok"]},
    })
}

#[test]
fn one_changed_byte_voids_an_approval_and_the_log_says_so() {
    let office = Office::with(&[("alice", "steward")]);
    let lab = &office.lab;
    assert_eq!(lab.run(&review("rows", &json!({}))).outcome, Outcome::Parked);
    let record = office.approve("alice");
    assert_eq!((record.decision.by.as_str(), record.question.tally.is_approved()), ("alice", true));
    let resumed = lab.resume();
    assert_eq!(resumed.outcome, Outcome::Succeeded);
    assert_eq!(stage(&resumed, "ok").decision.as_ref().map(|decision| decision.by.as_str()), Some("alice"));
    assert!(cached(&lab.run(&review("rows", &json!({}))), "ok"), "the same bytes are not asked about twice");

    let changed = lab.run(&review("rowz", &json!({})));
    assert_eq!((changed.outcome, &stage(&changed, "after").status), (Outcome::Parked, &StageStatus::Pending));
    let project = lab.project();
    let state = History::of(&project).load(changed.run).unwrap();
    let earlier = question(&project, &state, "ok").unwrap().earlier;
    assert_eq!((earlier[0].by.as_str(), earlier[0].changed.as_slice()), ("alice", ["data.out".to_owned()].as_slice()));
    assert!(office.log().ends_with(&["run started", "void", "run finished"]), "{:?}", office.log());
    office.assert_log_holds();
}

#[test]
fn an_approval_that_expired_is_asked_for_again_even_where_its_result_is_recorded() {
    let office = Office::with(&[("alice", "steward")]);
    let terms = json!({"expires": "7d"});
    office.lab.run(&review("rows", &terms));
    office.decide("alice", decision(true, Timestamp::now() - 169.hours())).unwrap();
    assert_eq!(office.lab.resume().outcome, Outcome::Parked);
    assert!(office.void()[0].starts_with("it expired at"), "{:?}", office.void());
    assert!(office.log().contains(&"expired"), "{:?}", office.log());

    let short = json!({"expires": "2s"});
    office.lab.run(&review("rows", &short));
    office.approve("alice");
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    std::thread::sleep(Duration::from_millis(2_100));
    assert_eq!(office.lab.run(&review("rows", &short)).outcome, Outcome::Parked);
    office.approve("alice");
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    office.assert_log_holds();
}

#[test]
fn the_wrong_role_is_refused_and_told_who_could() {
    let office = Office::with(&[("alice", "steward"), ("bob", "engineer")]);
    office.lab.run(&review("rows", &json!({"who": ["role:steward"]})));
    assert_eq!(office.refused("bob"), ("the stage asks role:steward".to_owned(), "could be decided by alice".to_owned()));
    let stranger = office.decide("eve", decision(true, Timestamp::now()));
    assert!(matches!(stranger, Err(RunError::Govern(GovernError::Untrusted { .. }))), "{stranger:?}");
    assert_eq!(office.lab.resume().outcome, Outcome::Parked);
    assert!(office.log().contains(&"refused"));
    office.approve("alice");
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    office.assert_log_holds();
}

#[test]
fn two_reviewers_have_to_be_two() {
    let office = Office::with(&[("alice", "steward"), ("bob", "steward")]);
    office.lab.run(&review("rows", &json!({"quorum": 2})));
    let first = office.approve("alice");
    assert_eq!((first.question.tally.missing(), first.question.eligible), (1, vec!["bob".to_owned()]));
    assert_eq!(office.approve("alice").question.tally.missing(), 1, "one person counts once");
    assert_eq!(office.lab.resume().outcome, Outcome::Parked);
    office.approve("bob");
    let resumed = office.lab.resume();
    assert_eq!(resumed.outcome, Outcome::Succeeded);
    assert_eq!(stage(&resumed, "ok").decision.as_ref().map(|decision| decision.by.as_str()), Some("alice, bob"));
    office.assert_log_holds();
}

#[test]
fn four_eyes_keep_the_one_who_started_the_run_away() {
    let office = Office::with(&[("alice", "steward"), ("bob", "steward")]);
    office.lab.write(&review("rows", &json!({"four_eyes": true})));
    assert_eq!(office.start("alice").outcome, Outcome::Parked);
    let (reason, help) = office.refused("alice");
    assert!(reason.contains("four eyes") && help.contains("bob"), "{reason}; {help}");
    office.approve("bob");
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    let unknown = office.lab.run(&review("other", &json!({"four_eyes": true})));
    assert_eq!(unknown.outcome, Outcome::Parked);
    assert_eq!(office.refused("bob").0, "it is not known who started the run (four eyes)");
}

#[test]
fn whoever_is_trusted_no_more_approved_nothing() {
    let mut office = Office::with(&[("alice", "steward"), ("bob", "steward")]);
    office.lab.run(&review("rows", &json!({})));
    office.approve("alice");
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    let bob = office.ring("bob").held()[0].key;
    office.lab.governance.trust = only("bob", bob);
    assert_eq!(office.lab.run(&review("rows", &json!({}))).outcome, Outcome::Parked);
    assert_eq!(office.void(), ["flow.toml does not name its key under [trust]"]);
}

#[test]
fn a_forged_signature_and_a_stolen_envelope_are_caught() {
    let office = Office::with(&[("alice", "steward")]);
    office.lab.run(&review("rows", &json!({})));
    office.approve("alice");
    let given = office.files().remove(0);
    let text = fs::read_to_string(&given).unwrap();

    // The envelope of the approved content, filed for other content.
    let other = office.lab.run(&review("poisoned", &json!({})));
    let key = stage(&other, "ok").key.unwrap();
    let folder = office.lab.root.join(".flow/approvals").join(key.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::copy(&given, folder.join("stolen.json")).unwrap();
    assert_eq!(office.lab.resume().outcome, Outcome::Parked);
    assert_eq!(office.void(), ["it is about other content"]);
    fs::remove_dir_all(&folder).unwrap();

    // The envelope with another signature of the same length.
    let mut envelope: Value = serde_json::from_str(&text).unwrap();
    let signature = envelope["signatures"][0]["sig"].as_str().unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    envelope["signatures"][0]["sig"] = format!("{flipped}{}", &signature[1..]).into();
    fs::write(&given, envelope.to_string()).unwrap();
    assert_eq!(office.lab.run(&review("rows", &json!({}))).outcome, Outcome::Parked);
    assert_eq!(office.void(), ["its signature does not match its content"]);
    let findings = verify(&office.lab.project()).unwrap().findings;
    let broken = findings.iter().filter(|finding| finding.severity == Severity::Broken);
    assert!(broken.clone().any(|finding| finding.message.contains("is forged")), "{:?}", broken.collect::<Vec<_>>());
}

#[test]
fn an_audit_log_that_was_cut_is_caught() {
    let office = Office::with(&[("alice", "steward")]);
    office.lab.run(&review("rows", &json!({})));
    office.approve("alice");
    office.lab.resume();
    office.assert_log_holds();
    let path = office.lab.root.join(".flow/audit.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(&path, lines[..lines.len() - 1].concat()).unwrap();
    let inspection = verify(&office.lab.project()).unwrap();
    assert!(inspection.findings.iter().any(|finding| finding.message.starts_with("the log was cut")), "{inspection:?}");
}

#[test]
fn a_decision_counts_in_another_project_only_if_that_project_trusts_the_person() {
    let office = Office::with(&[("alice", "steward")]);
    office.lab.run(&review("rows", &json!({})));
    office.approve("alice");
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    let trusting = office.lab.beside();
    assert!(cached(&trusting.run(&review("rows", &json!({}))), "ok"));
    let mut strict = office.lab.beside();
    let eve = KeyRing::new(office.home.path().join("eve")).create("eve").unwrap().0;
    strict.governance.trust = only("eve", eve);
    assert_eq!(strict.run(&review("rows", &json!({}))).outcome, Outcome::Parked);
    let mut alone = office.lab.beside();
    alone.governance = Governance::default();
    assert_eq!(alone.run(&review("rows", &json!({}))).outcome, Outcome::Parked, "elsewhere it is nobody's word");
}

#[test]
fn without_trust_a_decision_is_one_s_own_word_and_is_signed_all_the_same() {
    let office = Office::with(&[]);
    office.lab.run(&review("rows", &json!({"who": ["data steward"]})));
    let record = office.approve("ada");
    assert_eq!((record.decision.by.as_str(), record.question.tally.identified), ("me", false));
    assert_eq!(office.ring("ada").held()[0].name, "local");
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    office.lab.run(&review("rows", &json!({"quorum": 2})));
    assert!(office.refused("ada").1.contains("[trust]"));
    office.assert_log_holds();
}

#[test]
fn a_record_from_before_signing_stands_where_nobody_is_trusted_by_name() {
    let mut office = Office::with(&[]);
    let parked = office.lab.run(&review("rows", &json!({})));
    let key = stage(&parked, "ok").key.unwrap();
    let folder = office.lab.root.join(".flow/approvals");
    fs::create_dir_all(&folder).unwrap();
    let old = json!({"format": 1, "key": key, "stage": "ok", "workflow": "toys", "run": parked.run, "reviewed": [],
        "decision": {"approved": true, "by": "ada", "at": "2026-01-01T00:00:00Z", "comment": null, "via": "command"}});
    fs::write(folder.join(format!("{key}.json")), old.to_string()).unwrap();
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    assert!(cached(&office.lab.run(&review("rows", &json!({}))), "ok"));
    let alice = office.ring("alice").create("alice").unwrap().0;
    office.lab.governance.trust = only("alice", alice);
    assert_eq!(office.lab.run(&review("rows", &json!({}))).outcome, Outcome::Parked);
    assert_eq!(office.void(), ["it is not signed"]);
}

#[test]
fn an_approval_by_flag_needs_somebody_who_may_decide() {
    let office = Office::with(&[("alice", "steward"), ("bob", "engineer")]);
    office.lab.write(&review("rows", &json!({"who": ["role:steward"]})));
    let by = |name: &str| {
        let signatory = office.signatory(name);
        office.lab.execute(&office.lab.start(None), |options| {
            options.approve = vec!["ok".to_owned()];
            options.signatory = Some(signatory);
        })
    };
    assert!(matches!(by("bob"), Err(RunError::Govern(GovernError::Refused { .. }))));
    let summary = by("alice").unwrap();
    assert_eq!(summary.outcome, Outcome::Succeeded);
    assert_eq!(stage(&summary, "ok").decision.as_ref().map(|decision| decision.via.as_str()), Some("flag"));
    let records = AuditLog::of(&office.lab.project()).records().unwrap();
    assert!(
        records
            .iter()
            .any(|record| matches!(&record.event, Happening::Decided { via, by, .. } if via == "flag" && by == "alice"))
    );
}

#[test]
fn the_log_tells_which_secret_a_stage_was_given_and_never_its_value() {
    let office = Office::with(&[]);
    let summary = office.lab.run(&json!({
        "say": {"uses": "cmd@1", "run": ["sh", "-c", "test -n \"$TOKEN\" && echo done > out.txt"],
            "env": {"TOKEN": "${secrets.PATH}"}, "out": {"text": {"path": "out.txt"}}},
    }));
    assert_eq!(summary.outcome, Outcome::Succeeded);
    let records = AuditLog::of(&office.lab.project()).records().unwrap();
    let used = records.iter().find_map(|record| match &record.event {
        Happening::SecretUsed { stage, secret, .. } => Some((stage.as_str(), secret.as_str())),
        _ => None,
    });
    assert_eq!(used, Some(("say", "PATH")));
    let text = fs::read_to_string(office.lab.root.join(".flow/audit.jsonl")).unwrap();
    assert!(!text.contains(&std::env::var("PATH").unwrap()));
}

#[test]
fn a_plan_says_that_people_would_be_asked() {
    use flow_engine::run::{Forecast, Preimages, preview};
    let office = Office::with(&[("alice", "steward")]);
    let terms = json!({"who": ["role:steward"], "expires": "2s"});
    office.lab.run(&review("rows", &terms));
    let forecast = || {
        let previews = preview(&office.lab.plan(), &office.lab.project(), &support::registry().into(), Preimages::Left).unwrap();
        previews.into_iter().find(|preview| preview.stage == "ok").unwrap().forecast
    };
    assert!(matches!(forecast(), Forecast::Ask { of } if of == "role:steward"));
    office.approve("alice");
    assert_eq!(office.lab.resume().outcome, Outcome::Succeeded);
    std::thread::sleep(Duration::from_millis(2_100));
    assert!(matches!(forecast(), Forecast::Ask { .. }), "a recorded approval that expired is asked for again");
}
