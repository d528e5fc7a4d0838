use std::{collections::BTreeMap, fs, path::Path, sync::Mutex};

use serde_json::json;

use super::*;
use crate::{
    Digest, Seed,
    context::{BoundInput, Invocation, Progress, Reporter},
    source::SourceFile,
    workflow::StageDocument,
};

/// Cancels after a number of questions, or never.
struct Patience(Mutex<Option<u32>>);

impl Reporter for Patience {
    fn progress(&self, _: &Progress) {}

    fn metric(&self, _: &str, _: f64) {}

    fn cancelled(&self) -> bool {
        match self.0.lock().unwrap().as_mut() {
            None => false,
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }
}

fn document(json: serde_json::Value) -> StageDocument {
    serde_json::from_value(json).unwrap()
}

fn site(folder: &Path) -> CommandSite<'_> {
    CommandSite { folder, relative: String::new() }
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("base/tools")).unwrap();
        fs::create_dir_all(folder.path().join("scratch")).unwrap();
        fs::write(folder.path().join("base/tools/join.sh"), "cat \"$1\" \"$2\" > \"$3\"\nenv | sort > env.txt\nls > ls.txt\n")
            .unwrap();
        fs::write(folder.path().join("a.txt"), "alpha\n").unwrap();
        fs::write(folder.path().join("b.txt"), "beta\n").unwrap();
        Self { folder }
    }

    fn base(&self) -> PathBuf {
        self.folder.path().join("base")
    }

    fn invocation(&self, stage: &CommandStage) -> Invocation {
        let bound = |name: &str| BoundInput { path: self.folder.path().join(name), digest: Digest::of(b""), from: String::new() };
        let source = |pattern: &str| SourceFile {
            path: self.base().join(pattern),
            name: pattern.to_owned(),
            digest: Digest::of(b""),
            bytes: 0,
        };
        let sources = stage.sources().into_iter().map(|source_ref| match source_ref {
            SourceRef::Files(pattern) => (pattern.clone(), vec![source(&pattern)]),
            SourceRef::Pinned(uri) => (uri, Vec::new()),
        });
        let outputs = stage.ports().outputs.into_iter().map(|port| (port.name.clone(), self.folder.path().join(port.name)));
        Invocation {
            inputs: BTreeMap::from([("parts".to_owned(), vec![bound("a.txt"), bound("b.txt")])]),
            outputs: outputs.collect(),
            sources: sources.collect(),
            seed: Seed(1),
            limit: None,
            scratch: self.folder.path().join("scratch"),
            site: Site { registry: self.base(), store: self.base(), base: self.base() },
            decision: None,
            ancestors: Vec::new(),
            workflow: "w".to_owned(),
        }
    }

    fn run(&self, stage: &CommandStage, patience: Option<u32>) -> Result<(), StageError> {
        let invocation = self.invocation(stage);
        stage.run(&mut StageContext::new(&invocation, &Patience(Mutex::new(patience))))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

fn join() -> StageDocument {
    document(json!({
        "uses": "cmd@1",
        "in": {"parts": ["x.out", "y.out"]},
        "code": ["./tools/join.sh"],
        "run": ["sh", "./tools/join.sh", "${in.parts}", "${out.joined}"],
        "env": {"LANG": "C.UTF-8", "N": 3},
        "out": {"joined": {"path": "out/joined.txt"}, "env": {"path": "env.txt"}, "ls": {"path": "ls.txt"}},
    }))
}

#[test]
fn a_command_sees_its_inputs_its_code_and_its_environment_only() {
    let bench = Bench::new();
    let stage = build(&join(), &site(&bench.base())).unwrap();
    bench.run(&stage, None).unwrap();
    assert_eq!(bench.read("joined"), "alpha\nbeta\n");
    let environment = bench.read("env");
    let names: Vec<_> = environment.lines().filter_map(|line| line.split('=').next()).filter(|name| *name != "_").collect();
    assert_eq!(names, ["HOME", "LANG", "N", "PATH", "PWD"]);
    assert_eq!(bench.read("ls"), "env.txt\nin\nls.txt\nout\ntools\n");
    assert!(!bench.folder.path().join("scratch/work").exists());
}

#[test]
fn a_recorded_configuration_makes_the_same_command() {
    let bench = Bench::new();
    let stage = build(&join(), &site(&bench.base())).unwrap();
    let restored = CommandStage::restore(stage.config().clone()).unwrap();
    assert_eq!(restored.config(), stage.config());
    assert_eq!(restored.ports(), stage.ports());
    bench.run(&restored, None).unwrap();
}

#[test]
fn a_failed_command_and_a_missing_output_are_told() {
    let bench = Bench::new();
    let shell = |script: &str| {
        let out = json!({"o": {"path": "o.txt"}});
        let stage = json!({"uses": "cmd@1", "in": {"parts": ["a.b", "c.d"]}, "run": ["sh", "-c", script], "out": out});
        build(&document(stage), &site(&bench.base())).unwrap()
    };
    let failed = bench.run(&shell("exit 3"), None).unwrap_err();
    assert!(failed.message.contains("status 3"), "{failed}");
    let silent = bench.run(&shell("true"), None).unwrap_err();
    assert!(silent.message.contains("\"o\""), "{silent}");
    assert!(bench.run(&shell("mkdir o.txt"), None).unwrap_err().message.contains("is not a file"));
    let killed = bench.run(&shell("kill -9 $$"), None).unwrap_err();
    assert_eq!(killed.kind, crate::StageErrorKind::Resource);
}

#[test]
fn an_unknown_program_is_told_with_where_it_was_looked_up() {
    let bench = Bench::new();
    let stage = json!({"uses": "cmd@1", "run": ["no-such-program-here"], "out": {"o": {"path": "o"}}});
    let error = bench.run(&build(&document(stage), &site(&bench.base())).unwrap(), None).unwrap_err();
    assert!(error.message.contains("no-such-program-here") && error.help.unwrap().contains("/usr/bin"));
}

#[test]
fn cancelling_ends_the_command_and_what_it_started() {
    let bench = Bench::new();
    let script = "sleep 600 & echo $! > pid; wait";
    let stage = json!({"uses": "cmd@1", "run": ["sh", "-c", script], "out": {"o": {"path": "o"}}});
    let stage = build(&document(stage), &site(&bench.base())).unwrap();
    let error = bench.run(&stage, Some(25)).unwrap_err();
    assert_eq!(error.kind, crate::StageErrorKind::Cancelled);
    let pid = bench.read("scratch/work/pid");
    let alive = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|state| !state.contains(") Z "));
    // The signal is sent; a busy machine may take a moment to deliver it.
    let gone = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        !alive()
    });
    assert!(gone, "process {pid} is still alive");
}

#[test]
fn everything_wrong_with_a_command_is_told_at_once() {
    let bench = Bench::new();
    let stage = document(json!({
        "uses": "cmd@1",
        "with": {"a": 1},
        "in": {"parts": ["a.b", "c.d"]},
        "code": ["../outside.py"],
        "env": {"A-B": "x"},
        "run": ["sh", "tools/join.sh", "--in=${in.parts}", "${in.part}", "${out.x"],
        "out": {"a": {"path": "/etc/passwd"}, "b": {"path": "x"}, "c": {"path": "./x/y"}, "d": {"path": "d", "kind": "any"}},
    }));
    let findings = build(&stage, &site(&bench.base())).err().unwrap();
    let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
    for part in [
        "no `with:`",
        "outside",
        "A-B",
        "does not declare",
        "cannot stand inside",
        "names none",
        "not closed",
        "leaves",
        "overlap",
        "`any`",
    ] {
        assert!(messages.iter().any(|message| message.contains(part)), "{part}: {messages:?}");
    }
    assert!(findings.iter().all(|finding| !finding.help.is_empty()));
}

#[test]
fn a_folder_of_code_stands_for_its_files() {
    let bench = Bench::new();
    let stage =
        document(json!({"uses": "cmd@1", "code": ["tools"], "run": ["sh", "tools/join.sh"], "out": {"o": {"path": "o"}}}));
    let stage = build(&stage, &CommandSite { folder: &bench.base(), relative: "../parts".to_owned() }).unwrap();
    assert_eq!(stage.sources(), [SourceRef::Files("../parts/tools/**/*".to_owned())]);
    assert_eq!(relative_folder(Path::new("/p/a"), Path::new("/p/b/c")), "../b/c");
    assert_eq!(relative_folder(Path::new("/p/a"), Path::new("/p/a")), "");
}
