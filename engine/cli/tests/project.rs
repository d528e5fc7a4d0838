//! Beginning, keeping, and looking after a project at the command line.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails like the test itself")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

struct Project(tempfile::TempDir);

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn flow(&self, arguments: &[&str], code: i32) -> Ended {
        let own = std::env::current_exe().unwrap();
        let output = Command::new(own.ancestors().nth(2).unwrap().join("examples/toyflow"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .env("COLUMNS", "200")
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ended = Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) };
        assert_eq!(ended.code, code, "{arguments:?}\nstdout:\n{}\nstderr:\n{}", ended.out, ended.err);
        ended
    }
}

impl Ended {
    #[track_caller]
    fn says(&self, part: &str) -> &Self {
        assert!(self.out.contains(part) || self.err.contains(part), "no {part:?} in:\n{}{}", self.out, self.err);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.out.lines().last().unwrap()).unwrap()
    }
}

#[test]
fn a_new_project_runs_at_once_and_then_from_the_cache() {
    let project = Project::new();
    project.flow(&["init", "counts"], 0).says("counts/workflow.yaml").says("cd counts").says("flow run");
    for name in ["workflow.yaml", "flow.toml", ".gitignore", "tools/count.sh", "data/monday.txt"] {
        assert!(project.path("counts").join(name).is_file(), "{name}");
    }
    let file = "counts/workflow.yaml";
    project.flow(&["check", file], 0).says("3 stages, no problem");
    project.flow(&["run", file], 0).says("3 ran");
    project.flow(&["run", file], 0).says("3 cached");
    project.flow(&["run", file, "-p", "top=2"], 0).says("2 cached");
    project.flow(&["init", "counts"], 2).says("exists already, and nothing is overwritten");
    project.flow(&["init", "--template", "quickstart", "counts/tune"], 0).says("tickets.jsonl");
    let rows = fs::read_to_string(project.path("counts/tune/tickets.jsonl")).unwrap();
    assert!(rows.lines().count() > 100, "rows to learn from");
}

#[test]
fn a_template_may_join_a_project_that_is_there() {
    let project = Project::new();
    fs::write(project.path("flow.toml"), "# mine\n").unwrap();
    project.flow(&["init"], 0);
    assert_eq!(fs::read_to_string(project.path("flow.toml")).unwrap(), "# mine\n");
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").arg("-C").arg(folder).args(identity).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_pin_moves_only_when_asked_to() {
    let project = Project::new();
    let kit = project.path("kit");
    fs::create_dir(&kit).unwrap();
    let component = "flow: 1\nstages:\n  a: {uses: toy/emit@1, with: {text: one}}\n";
    fs::write(kit.join("part.yaml"), component).unwrap();
    git(&kit, &["init", "--quiet"]);
    git(&kit, &["add", "."]);
    git(&kit, &["commit", "--quiet", "-m", "one"]);
    git(&kit, &["tag", "v1"]);
    let workflow = format!("flow: 1\nstages:\n  part: {{uses: \"git:file://{}//part@v1\"}}\n", kit.display());
    fs::write(project.path("workflow.yaml"), workflow).unwrap();
    project.flow(&["run"], 0).says("1 ran");
    assert!(fs::read_to_string(project.path("flow.lock")).unwrap().contains("commit = "));
    project.flow(&["update"], 0).says("still ");
    fs::write(kit.join("part.yaml"), component.replace("one", "two")).unwrap();
    git(&kit, &["commit", "--quiet", "-am", "two"]);
    git(&kit, &["tag", "--force", "v1"]);
    project.flow(&["run"], 0).says("1 cached");
    project.flow(&["update", "kit"], 0).says(" -> ").says("~ part.yaml");
    project.flow(&["run"], 0).says("1 ran");
    project.flow(&["update", "nothing"], 2).says("nothing in").says("it pins `git:file://");
    let unchanged = project.flow(&["update", "--json"], 0).json();
    assert_eq!(unchanged[0]["outcome"], "unchanged");
}

/// A person's line ends would make other bytes, and so other keys, of the same commit.
#[test]
fn a_component_has_the_line_ends_of_its_commit_whatever_git_is_set_to() {
    let project = Project::new();
    let kit = project.path("kit");
    fs::create_dir(&kit).unwrap();
    fs::write(kit.join("part.yaml"), "flow: 1\nstages:\n  a: {uses: toy/emit@1}\n").unwrap();
    fs::write(kit.join(".gitattributes"), "* text=auto\n").unwrap();
    git(&kit, &["init", "--quiet"]);
    git(&kit, &["add", "."]);
    git(&kit, &["commit", "--quiet", "-m", "one"]);
    git(&kit, &["tag", "v1"]);
    let workflow = format!("flow: 1\nstages:\n  part: {{uses: \"git:file://{}//part@v1\"}}\n", kit.display());
    fs::write(project.path("workflow.yaml"), workflow).unwrap();
    let pinned = |settings: &str| {
        fs::write(project.path(".gitconfig"), settings).unwrap();
        fs::remove_file(project.path("flow.lock")).ok();
        project.flow(&["check"], 0);
        fs::read_to_string(project.path("flow.lock")).unwrap()
    };
    assert_eq!(pinned("[core]\n\teol = lf\n"), pinned("[core]\n\teol = crlf\n"));
}

#[test]
fn an_old_file_is_shown_first_and_rewritten_on_request() {
    let project = Project::new();
    let old = "# Mine.\nversion: 0\nstages:\n  a: {uses: toy/emit, retries: 2}  # twice\n";
    fs::write(project.path("workflow.yaml"), old).unwrap();
    project.flow(&["migrate"], 0).says("-version: 0").says("+flow: 1").says("flow migrate workflow.yaml --write");
    assert_eq!(fs::read_to_string(project.path("workflow.yaml")).unwrap(), old);
    project.flow(&["migrate", "--write"], 0).says("flow check workflow.yaml");
    let new = "# Mine.\nflow: 1\nstages:\n  a: {uses: toy/emit@1, retry: {error: 2}}  # twice\n";
    assert_eq!(fs::read_to_string(project.path("workflow.yaml")).unwrap(), new);
    project.flow(&["check"], 0);
    project.flow(&["migrate"], 0).says("up to date");
    project.flow(&["migrate", "none.yaml"], 2).says("cannot read none.yaml");
}

#[test]
fn the_doctor_finds_nothing_on_a_sound_machine_and_names_a_broken_lock() {
    let project = Project::new();
    let sound = project.flow(&["doctor", "--json"], 0).json();
    let names: Vec<&str> = sound["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in [
        "settings", "lock", "runs", "leases", "store", "disk", "flush", "sharing", "clock", "cpus", "memory", "gpu", "sandbox",
        "git",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    fs::write(project.path("flow.lock"), "version = \"x\"\n").unwrap();
    project.flow(&["doctor"], 1).says("lock").says("fail").says("restore it from version control");
    fs::remove_file(project.path("flow.lock")).unwrap();
    fs::write(project.path("flow.toml"), "[regstry]\n").unwrap();
    project.flow(&["doctor"], 1).says("cannot parse").says("correct flow.toml");
}

#[test]
fn the_manual_is_a_page_for_every_command() {
    let project = Project::new();
    project.flow(&["man"], 0).says(".TH");
    project.flow(&["man", "pages"], 0).says("pages in pages");
    let page = fs::read_to_string(project.path("pages/flow-run.1")).unwrap();
    assert!(page.contains("Run a workflow") && page.contains("flow run"), "{page}");
}

#[test]
fn a_run_is_handed_on_and_checked_elsewhere() {
    let project = Project::new();
    project.flow(&["init"], 0);
    project.flow(&["run"], 0);
    project.flow(&["export"], 2).says("nothing is asked for");
    project.flow(&["export", "--capsule", "run.tar.zst"], 0).says("flow replay run.tar.zst");
    project.flow(&["export", "--capsule", "run.tar.zst"], 2).says("exists already");
    project.flow(&["export", "--ro-crate", "crate"], 0).says("crate/ro-crate-metadata.json");
    project.flow(&["export", "--ro-crate", "crate"], 2).says("is not empty");
    let lines = project.flow(&["export", "--provenance", "-"], 0).out;
    assert!(lines.lines().count() == 3 && lines.contains("https://in-toto.io/Statement/v1"), "{lines}");
    let signed = project.flow(&["export", "--provenance", "-", "--sign"], 0).out;
    for (line, plain) in signed.lines().zip(lines.lines()) {
        let envelope: flow_engine::govern::Envelope = serde_json::from_str(line).unwrap();
        let opened = envelope.open(flow_engine::govern::IN_TOTO).unwrap();
        assert_eq!(String::from_utf8(opened.payload).unwrap(), plain);
    }
    project.flow(&["export", "--sign"], 2).says("--provenance");
    let events = project.flow(&["export", "--openlineage", "-"], 0).out;
    assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["eventType"].is_string()), "{events}");

    let elsewhere = Project::new();
    fs::copy(project.path("run.tar.zst"), elsewhere.path("run.tar.zst")).unwrap();
    elsewhere.flow(&["replay", "run.tar.zst"], 0).says("holds").says("3 keys recomputed");
    elsewhere.flow(&["replay", "run.tar.zst", "--rerun"], 0).says("the same bytes");
    let mut bytes = fs::read(elsewhere.path("run.tar.zst")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(elsewhere.path("run.tar.zst"), bytes).unwrap();
    elsewhere.flow(&["replay", "run.tar.zst"], 1).says("is damaged");
}

/// Settings of the project send lineage events wherever the variables of the shell do not.
#[test]
fn the_settings_say_where_lineage_events_go() {
    let project = Project::new();
    project.flow(&["init"], 0);
    let settings = fs::read_to_string(project.path("flow.toml")).unwrap();
    fs::write(
        project.path("flow.toml"),
        format!("{settings}\n[openlineage]\nfile = \"out/lineage.ndjson\"\nnamespace = \"lab\"\n"),
    )
    .unwrap();
    project.flow(&["run"], 0).says("3 ran");
    let written = fs::read_to_string(project.path("out/lineage.ndjson")).unwrap();
    let events: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["eventType"] == "COMPLETE"), "{written}");
    assert!(events.iter().all(|event| event["job"]["namespace"] == "lab"), "{written}");
    let exported = project.flow(&["export", "--openlineage", "-"], 0).out;
    assert!(exported.lines().all(|line| line.contains("\"namespace\":\"lab\"")), "{exported}");
    fs::write(project.path("flow.toml"), "[openlineage]\nuri = \"http://x\"\n").unwrap();
    project.flow(&["run"], 3).says("cannot parse");
}
