//! Keys, approvals with roles, the audit log, and the policy, at the command line.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::{path::PathBuf, process::Command};

use serde_json::Value;

const WORKFLOW: &str = "\
flow: 1
name: review
stages:
  text: {uses: toy/emit@1, with: {text: hello}}
  ok:
    uses: toy/decide@1
    in: {review: [text.out]}
    with: {question: May it be read?, who: [\"role:steward\"], quorum: 2, four_eyes: true, expires: 7d}
  after: {uses: toy/emit@1, with: {text: published}, needs: [ok]}
";

/// A project, and a home for each person.
struct Office {
    folder: tempfile::TempDir,
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Office {
    fn new(workflow: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("project")).unwrap();
        let office = Self { folder };
        office.write("workflow.yaml", workflow);
        office.write("flow.toml", "");
        office
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join("project").join(name), text).unwrap();
    }

    #[must_use = "assert the exit code"]
    fn flow(&self, user: &str, arguments: &[&str]) -> Ended {
        let output = Command::new(program())
            .args(arguments)
            .current_dir(self.folder.path().join("project"))
            .env_clear()
            .env("HOME", self.folder.path().join(user))
            .env("USER", user)
            .env("FLOW_STORE", self.folder.path().join("store"))
            .env("COLUMNS", "160")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Makes a key for everybody and trusts it in a role.
    fn trust(&self, people: &[(&str, &str)]) {
        let line = |(name, role): &(&str, &str)| {
            let made = self.flow(name, &["keys", "new", name, "--json"]).ends(0).json();
            format!("{name} = {{key = {}, roles = [\"{role}\"]}}\n", made["key"])
        };
        self.write("flow.toml", &format!("[trust]\n{}", people.iter().map(line).collect::<Vec<_>>().concat()));
    }
}

impl Ended {
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "{text:?} is not in {}", self.out);
        self
    }

    fn warns(self, text: &str) -> Self {
        assert!(self.err.contains(text), "{text:?} is not in {}", self.err);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.out.lines().last().unwrap()).unwrap()
    }
}

/// The smallest binary around this crate; cargo builds examples before it runs tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(std::path::Path::parent).unwrap().join("examples/toyflow")
}

#[test]
fn keys_are_made_for_their_owner_and_listed() {
    let office = Office::new(WORKFLOW);
    office.flow("alice", &["keys", "ls"]).ends(0).says("flow keys new NAME");
    office.flow("alice", &["keys", "new", "alice"]).ends(0).says("[trust]").says("alice = {key = \"ed25519:");
    office.flow("alice", &["keys", "new", "alice"]).ends(2).warns("already");
    office.flow("alice", &["keys", "ls"]).ends(0).says("not trusted by name");
    office.write("flow.toml", "[trust]\nalice = {key = \"hunter2\"}\n");
    office.flow("alice", &["keys", "ls"]).ends(3).warns("is no public key");
}

#[test]
fn a_parked_run_says_who_may_decide_and_how_far_it_is() {
    let office = Office::new(WORKFLOW);
    office.trust(&[("alice", "steward"), ("bob", "steward"), ("carol", "engineer"), ("dan", "steward")]);
    office.flow("dan", &["run"]).ends(5).says("flow approve ok");
    let status = office.flow("dan", &["status"]).ends(0);
    let status = status.says("May it be read?").says("could decide: alice, bob)").says("0 of 2").says("for 7 days");
    assert!(!status.out.contains("self-approved"));
    office.flow("carol", &["approve", "ok"]).ends(2).warns("the stage asks role:steward").warns("could be decided by");
    office.flow("dan", &["approve", "ok"]).ends(2).warns("four eyes");
    office.flow("eve", &["approve", "ok"]).ends(2).warns("none of your keys");
    office.flow("alice", &["approve", "ok", "--by", "bob"]).ends(2).warns("none of your keys");
    office.flow("alice", &["approve", "ok", "--comment", "read it"]).ends(0).says("1 of 2").says("one more approval is needed");
    office.flow("alice", &["resume"]).ends(5).says("flow approve ok");
    let second = office.flow("bob", &["approve", "ok", "--json"]).ends(0).json();
    assert_eq!(second["question"]["tally"]["approvals"].as_array().unwrap().len(), 2);
    office.flow("dan", &["resume"]).ends(0).says("succeeded");
    let audit = office.flow("dan", &["audit"]).ends(0).says("approved").says("refused").says("run finished");
    assert!(audit.out.contains("alice") && audit.out.contains("bob"), "{}", audit.out);
    office.flow("dan", &["audit", "verify"]).ends(0).says("the log is whole");

    office.write("workflow.yaml", &WORKFLOW.replace("hello", "hullo"));
    office.flow("dan", &["run"]).ends(5).says("flow approve ok");
    office.flow("dan", &["status"]).ends(0).says("void").says("text.out changed since");
}

#[test]
fn a_tampered_log_ends_with_one() {
    let office = Office::new("flow: 1\nname: one\nstages:\n  text: {uses: toy/emit@1, with: {text: hello}}\n");
    office.flow("ada", &["run"]).ends(0).says("succeeded");
    let log = office.folder.path().join("project/.flow/audit.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("\"ada\"", "\"eve\"")).unwrap();
    office.flow("ada", &["audit", "verify"]).ends(1).says("was changed");
    let json = office.flow("ada", &["audit", "verify", "--json"]).ends(1).json();
    assert_eq!(json["findings"][0]["severity"], "broken");
}

#[test]
fn a_policy_is_asked_before_anything_runs() {
    let office = Office::new(WORKFLOW);
    office.write("flow.toml", "[policy]\nfile = \"policy.yaml\"\n");
    let policy = "policy: 1\nrules:\n  - {id: no-shouting, message: texts are quiet, when: stage.kind == 'toy/emit', \
        require: \"stage.with.text != 'hello'\", help: use another word}\n  - {id: short, message: few stages, severity: warn, \
        require: size(stages) < 2}\n";
    office.write("policy.yaml", policy);
    for command in [&["run"][..], &["plan"], &["check"], &["check", "--determinism", "text"]] {
        let refused = office.flow("ada", command).ends(3);
        let refused = refused.warns("policy rule `no-shouting` is not met by stage `text`: texts are quiet");
        assert!(refused.err.contains("use another word") && refused.err.contains("workflow.yaml"), "{}", refused.err);
    }
    assert!(!office.folder.path().join("project/.flow/runs").exists(), "nothing ran");
    office.flow("ada", &["audit"]).ends(0).says("policy broken").says("no-shouting: text");
    office.flow("ada", &["policy"]).ends(3).says("broken 1×").says("warns 1×");
    office.write("workflow.yaml", &WORKFLOW.replace("text: hello", "text: hi"));
    office.flow("ada", &["policy"]).ends(0).says("met 2×");
    office.flow("ada", &["run"]).ends(5).warns("few stages");
    office.write("policy.yaml", "policy: 1\nrules: [{id: x, message: y, require: nonsense}]\n");
    office.flow("ada", &["run"]).ends(3).warns("unknown name `nonsense`").warns("policy.yaml:2");
}

/// A bisection runs stages as well, in mixtures that nobody wrote.
#[test]
fn a_policy_is_asked_before_a_mixture_runs() {
    let workflow = "\
flow: 1
name: one
params: {word: {type: string, default: a}, more: {type: string, default: b}}
stages:
  text: {uses: toy/emit@1, with: {text: \"${params.word}${params.more}\"}}
";
    let office = Office::new(workflow);
    office.flow("ada", &["run"]).ends(0).says("succeeded");
    office.flow("ada", &["run", "-p", "word=aaa", "-p", "more=bbb"]).ends(0).says("succeeded");
    office.write("flow.toml", "[policy]\nfile = \"policy.yaml\"\n");
    office.write("policy.yaml", "policy: 1\nrules: [{id: closed, message: nothing runs today, require: size(stages) == 0}]\n");
    office.flow("ada", &["bisect", "--metric", "text.bytes"]).ends(3).warns("nothing runs today");
    office.flow("ada", &["audit"]).ends(0).says("policy broken").says("closed");
}

/// Who started a run counts for four eyes; that its record went is worth a record.
#[test]
fn a_run_that_is_forgotten_is_remembered_by_the_log() {
    let office = Office::new("flow: 1\nname: one\nstages:\n  text: {uses: toy/emit@1, with: {text: hello}}\n");
    office.flow("ada", &["run"]).ends(0).says("succeeded");
    office.flow("eve", &["runs", "rm", "latest"]).ends(0).says("forgot 1 run");
    office.flow("ada", &["audit"]).ends(0).says("eve").says("runs removed");
    office.flow("ada", &["audit", "verify"]).ends(0).says("the log is whole");
}
