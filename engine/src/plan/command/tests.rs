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
    CommandSite { folder, relative: String::new(), sightings: Box::leak(Box::default()) }
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
            SourceRef::Files(pattern) | SourceRef::Below { pattern, .. } => (pattern.clone(), vec![source(&pattern)]),
            other => (other.name(), Vec::new()),
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
        "env": {"N": 3},
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
    assert_eq!(names, ["HOME", "LANG", "N", "PATH", "PWD", "TMPDIR", "TZ"]);
    assert!(environment.contains("LANG=C.UTF-8\n") && environment.contains("TZ=UTC\n"));
    assert_eq!(bench.read("ls"), "env.txt\nin\nls.txt\nout\ntools\n");
    assert!(!bench.folder.path().join("scratch/work").exists());
}

#[test]
fn a_recorded_configuration_makes_the_same_command() {
    let bench = Bench::new();
    let stage = build(&join(), &site(&bench.base())).unwrap();
    let restored = CommandStage::restore(&stage.config()).unwrap();
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
    let script = format!("sleep 600 & echo $! > {}; wait", bench.folder.path().join("pid").display());
    let stage = json!({"uses": "cmd@1", "run": ["sh", "-c", script], "out": {"o": {"path": "o"}}});
    let stage = build(&document(stage), &site(&bench.base())).unwrap();
    let error = bench.run(&stage, Some(25)).unwrap_err();
    assert_eq!(error.kind, crate::StageErrorKind::Cancelled);
    let pid = bench.read("pid");
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
fn a_file_that_a_shell_script_names_must_be_declared_and_an_output_of_that_name_need_not() {
    let bench = Bench::new();
    fs::write(bench.base().join("notes.md"), "x").unwrap();
    let messages = |run: serde_json::Value, code: &[&str]| -> Vec<String> {
        let stage = json!({"uses": "cmd@1", "run": run, "code": code, "out": {"o": {"path": "notes.md"}}});
        let built = build(&document(stage), &site(&bench.base()));
        built.err().unwrap_or_default().into_iter().map(|finding| finding.message).collect()
    };
    let script = json!(["sh", "-c", "set -e; sh 'tools/join.sh' a b >notes.md"]);
    assert_eq!(messages(script.clone(), &[]), ["`tools/join.sh` is a file that the command does not declare"]);
    assert_eq!(messages(script, &["tools"]), [""; 0]);
    assert_eq!(messages(json!(["cp", "a", "notes.md"]), &[]), [""; 0]);
}

#[test]
fn a_folder_of_code_stands_for_its_files() {
    let bench = Bench::new();
    let stage =
        document(json!({"uses": "cmd@1", "code": ["tools"], "run": ["sh", "tools/join.sh"], "out": {"o": {"path": "o"}}}));
    let stage = build(&stage, &CommandSite { relative: "../parts".to_owned(), ..site(&bench.base()) }).unwrap();
    assert_eq!(stage.sources()[0], SourceRef::Below { folder: "../parts".into(), pattern: "tools/**/*".to_owned() });
    assert!(!stage.keyed().to_string().contains("../parts"), "where a component lies is not part of its key");
    assert_eq!(relative_folder(Path::new("/p/a"), Path::new("/p/b/c")), "../b/c");
    assert_eq!(relative_folder(Path::new("/p/a"), Path::new("/p/a")), "");
}

fn command(bench: &Bench, script: &str, more: &serde_json::Value) -> CommandStage {
    let mut stage = json!({"uses": "cmd@1", "run": ["bash", "-c", script], "out": {"o": {"path": "o.txt"}}});
    stage.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    build(&document(stage), &site(&bench.base())).unwrap()
}

#[test]
fn a_strict_command_reads_its_inputs_and_code_and_no_other_file() {
    let bench = Bench::new();
    let more = json!({"sandbox": "strict", "in": {"parts": ["x.out", "y.out"]}, "code": ["tools/join.sh"]});
    bench.run(&command(&bench, "cat in/parts/0 tools/join.sh > o.txt; echo done > /dev/stdout", &more), None).unwrap();
    assert!(bench.read("o").starts_with("alpha"));
    let outside = format!("cat {} > o.txt", bench.base().join("tools/join.sh").display());
    let refused = bench.run(&command(&bench, &outside, &more), None).unwrap_err();
    assert!(refused.message.contains("status 1"), "{refused}");
    let open = json!({"sandbox": "workdir"});
    bench.run(&command(&bench, &outside, &open), None).unwrap();
}

#[test]
fn a_command_without_a_sandbox_starts_in_the_project_and_writes_where_it_is_told() {
    let bench = Bench::new();
    let stage = document(json!({
        "uses": "cmd@1", "sandbox": "none", "in": {"parts": ["x.out", "y.out"]}, "code": ["tools/join.sh"],
        "run": ["sh", "-c", "cat tools/join.sh \"$0\" > \"$2\"", "${in.parts}", "${out.o}"],
        "out": {"o": {"path": "o.txt"}},
    }));
    bench.run(&build(&stage, &site(&bench.base())).unwrap(), None).unwrap();
    let written = bench.read("o");
    assert!(written.starts_with("cat \"$1\"") && written.ends_with("alpha\n"), "{written}");
    assert!(!bench.base().join("o.txt").exists(), "outputs lie in the private folder, wherever the command starts");
}

#[test]
fn programs_count_by_name_and_scripts_of_the_project_by_their_place() {
    let bench = Bench::new();
    let names = |run: serde_json::Value, more: serde_json::Value| {
        let mut stage = json!({"uses": "cmd@1", "run": run, "out": {"o": {"path": "o"}}});
        stage.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let stage = build(&document(stage), &CommandSite { relative: "parts".to_owned(), ..site(&bench.base()) }).unwrap();
        stage.config.programs().iter().map(SourceRef::name).collect::<Vec<_>>()
    };
    assert_eq!(names(json!(["sh", "-c", "x"]), json!({})), ["tool:sh"]);
    assert_eq!(names(json!(["sh", "-c", "x"]), json!({"tools": ["jq", "sh"]})), ["tool:sh", "tool:jq"]);
    assert_eq!(names(json!(["sh", "-c", "x"]), json!({"tools": "loose"})), [""; 0]);
    let code = json!({"code": ["tools/join.sh"]});
    assert_eq!(names(json!(["./tools/join.sh"]), code), ["tool:tools/join.sh"]);
    assert_eq!(names(json!(["${out.o}"]), json!({})), [""; 0]);
}

#[test]
fn an_output_that_holds_a_secret_is_refused() {
    let bench = Bench::new();
    let more = json!({"env": {"TOKEN": {"secret": "PATH"}}});
    let config = serde_json::to_value(command(&bench, "echo \"$TOKEN\" | base64 -w0 > o.txt", &more).config()).unwrap();
    let refused = bench.run(&CommandStage::restore(&config).unwrap(), None).unwrap_err();
    assert!(refused.message.contains("holds the value of secret PATH"), "{refused}");
    assert!(!refused.to_string().contains("/usr"), "{refused}");
}

#[test]
fn watching_lists_what_a_command_uses_and_how_to_declare_it() {
    let bench = Bench::new();
    fs::write(bench.base().join("words.txt"), "a\n").unwrap();
    let outside = bench.folder.path().join("a.txt");
    let script = format!("w=words t=tools; cat $w.txt $t/join.sh {} > o.txt && cp o.txt /etc/flow-undeclared", outside.display());
    let stage = command(&bench, &script, &json!({"external": [bench.folder.path().join("b.txt")]}));
    let invocation = bench.invocation(&stage);
    let patience = Patience(Mutex::new(None));
    let observed = observe(&stage, &StageContext::new(&invocation, &patience)).unwrap();
    let found: BTreeMap<(What, &str), &str> =
        observed.undeclared.iter().map(|one| ((one.what, one.name.as_str()), one.advice.as_str())).collect();
    assert_eq!(found[&(What::Missing, "words.txt")], "code: [words.txt]");
    assert_eq!(found[&(What::Missing, "tools/join.sh")], "code: [tools/join.sh]");
    let outside = outside.canonicalize().unwrap().display().to_string();
    assert_eq!(found[&(What::Read, outside.as_str())], format!("external: [{outside}]"));
    assert_eq!(found[&(What::Program, "cat")], "tools: [cat]");
    assert!(found.contains_key(&(What::Write, "/etc/flow-undeclared")), "{found:?}");
    assert!(observed.failure.is_some(), "the copy is refused");
    assert!(!bench.folder.path().join("scratch/work").exists() && !bench.folder.path().join("o").exists());
}

#[test]
fn a_command_that_declares_everything_shows_nothing() {
    let bench = Bench::new();
    let more = json!({"code": ["tools/join.sh"], "in": {"parts": ["x.out", "y.out"]}, "tools": ["cat"]});
    let stage = command(&bench, "cat tools/join.sh in/parts/0 > o.txt; [ -e /etc/nothing ] || true", &more);
    let mut invocation = bench.invocation(&stage);
    // As the engine resolves them.
    for source in stage.config.programs() {
        let SourceRef::Program(program) = &source else { continue };
        let file = crate::program::find(program, &bench.base()).unwrap();
        let parts = crate::program::parts(program, &file).into_iter();
        let files = parts.map(|part| SourceFile { path: part.path, name: part.name, digest: Digest::of(b""), bytes: 0 });
        invocation.sources.insert(source.name(), files.collect());
    }
    let observed = observe(&stage, &StageContext::new(&invocation, &Patience(Mutex::new(None)))).unwrap();
    assert!(observed.failure.is_none(), "{:?}", observed.failure);
    assert!(observed.undeclared.is_empty(), "{:?}", observed.undeclared);
}
