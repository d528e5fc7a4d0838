//! Commands in a run: what their keys hold, what they may see, and that secrets stay out of everything that is kept.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use flow_engine::{
    ArtifactKind, Digest, SourceRef,
    plan::{Action, ActionInput, What},
    run::{Outcome, Reason, Sighting, undeclared, why},
    source::SourceFile,
};
use serde_json::{Value, json};
use support::{Lab, cached, digests, ran, stage};

#[test]
fn role() {
    support::play_role();
}

fn command(run: &Value, more: &Value) -> Value {
    let mut stage = json!({"uses": "cmd@1", "run": run, "out": {"o": {"path": "o.txt"}}});
    stage.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    stage
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A peer that keys on the command line alone serves what the old tool wrote.
#[test]
fn another_version_of_a_tool_runs_its_command_again_and_why_names_it() {
    let lab = Lab::new();
    let tools = lab.root.join("bin");
    fs::create_dir(&tools).unwrap();
    script(&tools.join("say"), "#!/bin/sh\necho one > \"$1\"\n");
    let search = format!("{}:/usr/bin:/bin", tools.display());
    let run = |more: Value| {
        let mut more = more;
        more["env"] = json!({"PATH": search.as_str()});
        lab.run(&json!({"say": command(&json!(["say", "${out.o}"]), &more)}))
    };
    assert!(ran(&run(json!({})), "say"));
    assert!(cached(&run(json!({})), "say"));
    script(&tools.join("say"), "#!/bin/sh\necho two > \"$1\"\n");
    assert!(ran(&run(json!({})), "say"));
    let answer = why(&lab.project(), "say", None).unwrap();
    let Reason::Changed { than } = answer.reason else { panic!("{:?}", answer.reason) };
    assert!(than.changes.iter().all(|change| change.to_string().contains("tool:say")), "{:?}", than.changes);
    assert!(ran(&run(json!({"tools": "loose"})), "say"));
    script(&tools.join("say"), "#!/bin/sh\necho three > \"$1\"\n");
    assert!(cached(&run(json!({"tools": "loose"})), "say"));
}

#[test]
fn a_program_that_nobody_installed_fails_with_where_it_was_looked_up() {
    let lab = Lab::new();
    let summary = lab.run(&json!({"a": command(&json!(["no-such-program", "x"]), &json!({}))}));
    let error = stage(&summary, "a").error.clone().unwrap();
    assert_eq!(error.message, "cannot find program no-such-program");
    assert!(error.help.unwrap().contains("/usr/local/bin"));
}

fn three_levels() -> Value {
    let cat = |level: &str| {
        command(
            &json!(["sh", "./tools/join.sh", "${in.text}", "${out.o}"]),
            &json!({"sandbox": level, "in": {"text": "text.out"}, "code": ["tools"]}),
        )
    };
    json!({
        "text": {"uses": "toy/emit@1", "with": {"text": "hello"}},
        "open": cat("none"), "private": cat("workdir"), "kept": cat("strict"),
    })
}

#[test]
fn the_same_commands_in_another_folder_under_other_names_are_all_cached() {
    let lab = Lab::new();
    let with_tools = |lab: &Lab| {
        fs::create_dir(lab.root.join("tools")).unwrap();
        fs::write(lab.root.join("tools/join.sh"), "cat \"$1\" > \"$2\"\n").unwrap();
    };
    with_tools(&lab);
    let first = lab.run(&three_levels());
    assert_eq!(first.outcome, Outcome::Succeeded, "{:?}", stage(&first, "kept").error);
    let outputs: Vec<_> = ["open", "private", "kept"].map(|name| digests(&first)[name].clone()).into();
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
    let moved = lab.beside();
    with_tools(&moved);
    let mut renamed = three_levels();
    let stages = renamed.as_object_mut().unwrap();
    for name in ["open", "private", "kept"] {
        let stage = stages.remove(name).unwrap();
        stages.insert(format!("{name}-renamed"), stage);
    }
    assert_eq!(moved.run(&renamed).cached(), 4);
}

/// Each level sees something else, so none may take the other's result.
#[test]
fn another_sandbox_level_is_another_key() {
    let lab = Lab::new();
    fs::create_dir(lab.root.join("tools")).unwrap();
    fs::write(lab.root.join("tools/join.sh"), "cat \"$1\" > \"$2\"\n").unwrap();
    let summary = lab.run(&three_levels());
    let keys: Vec<_> = ["open", "private", "kept"].map(|name| stage(&summary, name).key.unwrap()).into();
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

/// A process that left its command's session has the output open; what it wrote after the hash was taken would be served to all.
#[test]
fn nobody_who_left_the_session_of_a_command_outlives_it() {
    let lab = Lab::new();
    let told = lab.root.join("left");
    let left = format!("sh -c 'echo $$ > {0}.part; mv {0}.part {0}; sleep 60; echo late >&9'", told.display());
    let waits = format!("until [ -e {} ]; do sleep 0.02; done", told.display());
    let run = format!("exec 9> o.txt; echo one >&9; setsid {left} > /dev/null 2>&1 & {waits}");
    let summary = lab.run(&json!({"a": command(&json!(["sh", "-c", run]), &json!({}))}));
    assert_eq!(summary.outcome, Outcome::Succeeded, "{:?}", stage(&summary, "a").error);
    let state = format!("/proc/{}/stat", fs::read_to_string(told).unwrap().trim());
    let lives =
        || fs::read_to_string(&state).is_ok_and(|text| text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')));
    assert!(!lives(), "the process that left still runs");
}

/// The process that collects outputs may go where the command may not.
#[test]
fn a_command_cannot_have_files_from_elsewhere_collected_through_a_link() {
    let lab = Lab::new();
    fs::create_dir(lab.root.join("private")).unwrap();
    fs::write(lab.root.join("private/key"), "secret").unwrap();
    let script = format!("rm -r a; ln -s {} a", lab.root.join("private").display());
    let more = json!({"sandbox": "strict", "out": {"o": {"path": "a/key"}}});
    let summary = lab.run(&json!({"a": command(&json!(["sh", "-c", script]), &more)}));
    let error = stage(&summary, "a").error.clone().unwrap();
    assert!(error.message.contains("behind a link"), "{error}");
    assert_eq!(fs::read_to_string(lab.root.join("private/key")).unwrap(), "secret");
}

#[test]
fn code_that_is_a_link_is_laid_out_as_what_it_leads_to() {
    let lab = Lab::new();
    fs::create_dir_all(lab.root.join("tools")).unwrap();
    fs::write(lab.root.join("shared.sh"), "echo shared > o.txt").unwrap();
    std::os::unix::fs::symlink("../shared.sh", lab.root.join("tools/say.sh")).unwrap();
    let more = json!({"code": ["tools"], "sandbox": "strict"});
    let summary = lab.run(&json!({"a": command(&json!(["sh", "tools/say.sh"]), &more)}));
    assert_eq!(summary.outcome, Outcome::Succeeded, "{:?}", stage(&summary, "a").error);
}

#[test]
fn a_strict_command_that_reads_beyond_fails_and_the_message_says_how_to_find_out() {
    let lab = Lab::new();
    let secret = lab.root.join("undeclared.txt");
    fs::write(&secret, "x").unwrap();
    let run = json!(["sh", "-c", format!("cat {} > o.txt", secret.display())]);
    let summary = lab.run(&json!({"a": command(&run, &json!({"sandbox": "strict"}))}));
    let error = stage(&summary, "a").error.clone().unwrap();
    assert!(error.help.unwrap().contains("flow check --undeclared"));
    let open = lab.run(&json!({"a": command(&run, &json!({}))}));
    assert_eq!(open.outcome, Outcome::Succeeded);
}

#[test]
fn a_strict_command_starts_a_tool_that_counts_wherever_it_lies() {
    let lab = Lab::new();
    let tools = lab.root.join("bin");
    fs::create_dir(&tools).unwrap();
    script(&tools.join("say"), "#!/bin/sh\necho one > \"$1\"\n");
    let env = json!({"PATH": format!("{}:/usr/bin:/bin", tools.display())});
    let say = |tools: Value| command(&json!(["say", "${out.o}"]), &json!({"sandbox": "strict", "env": env, "tools": tools}));
    let summary = lab.run(&json!({"counts": say(json!([])), "loose": say(json!("loose"))}));
    assert!(ran(&summary, "counts"));
    let error = stage(&summary, "loose").error.clone().unwrap();
    assert!(error.message.contains("cannot start say"), "{error}");
}

/// The planted value, and the ways in which a careless command may write it.
const PLANTED: &str = "planted/secret+value 42";
const FORMS: [&str; 4] =
    [PLANTED, "planted%2Fsecret%2Bvalue%2042", "cGxhbnRlZC9zZWNyZXQrdmFsdWUgNDI", "bnRlZC9zZWNyZXQrdmFsdWUgND"];

#[test]
fn a_secret_is_in_nothing_that_is_kept() {
    let lab = Lab::new();
    let careless = "echo \"$TOKEN\"; printf '%.9s' \"$TOKEN\"; sleep 0.1; printf %s \"$TOKEN\" | cut -c10-; \
                    printf %s \"$TOKEN\" | base64; printf 'user:%s' \"$TOKEN\" | base64 >&2; \
                    printf %s \"$TOKEN\" | sed 's,/,%2F,;s,+,%2B,;s, ,%20,'; echo done > o.txt";
    let more = json!({"env": {"TOKEN": "${secrets.FLOW_TEST_PLANTED}"}});
    let fails = command(&json!(["sh", "-c", "echo \"$TOKEN\"; exit 1"]), &more);
    let leaks = command(&json!(["sh", "-c", "echo \"$TOKEN\" > o.txt"]), &more);
    lab.write(&json!({"careless": command(&json!(["sh", "-c", careless]), &more), "fails": fails, "leaks": leaks}));
    let summary = lab.execute(&lab.start(None), |options| {
        options.runner.environment.push(("FLOW_TEST_PLANTED".into(), PLANTED.into()));
    });
    let summary = summary.unwrap();
    assert!(ran(&summary, "careless"));
    assert!(stage(&summary, "leaks").error.clone().unwrap().message.contains("secret FLOW_TEST_PLANTED"));
    let mut logs = Vec::new();
    let mut files = 0;
    for folder in [&lab.root, &lab.store] {
        look(folder, &mut |path, bytes| {
            files += 1;
            let text = String::from_utf8_lossy(bytes);
            let found = FORMS.iter().find(|form| text.contains(*form));
            assert!(found.is_none(), "{} holds {found:?}", path.display());
            if path.ends_with("stdout") {
                logs.push(text.into_owned());
            }
        });
    }
    assert!(files > 10, "{files} files");
    assert!(logs.iter().any(|log| log.contains("\n***\n***\n***")), "{logs:?}");
}

fn look(folder: &Path, each: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, each);
        } else {
            each(&path, &fs::read(&path).unwrap());
        }
    }
}

fn watched(lab: &Lab, only: Option<&str>) -> Vec<Sighting> {
    let registry = Arc::new(support::registry());
    undeclared(&lab.plan(), (&lab.project(), &registry), only, &AtomicBool::new(false)).unwrap()
}

#[test]
fn watching_needs_the_inputs_and_then_tells_what_is_undeclared() {
    let lab = Lab::new();
    fs::write(lab.root.join("words.txt"), "w").unwrap();
    let run = json!(["sh", "-c", "f=words; read -r x < \"$f.txt\"; read -r y < \"$0\"; echo \"$x$y\" > o.txt", "${in.text}"]);
    lab.write(&json!({
        "text": {"uses": "toy/emit@1", "with": {"text": "hello"}},
        "join": command(&run, &json!({"in": {"text": "text.out"}})),
        "alone": command(&json!(["sh", "-c", "echo x > o.txt"]), &json!({})),
    }));
    let before = watched(&lab, Some("join"));
    assert!(before[0].failure.as_ref().unwrap().message.contains("text has not given yet"));
    lab.execute(&lab.start(None), |_| {}).unwrap();
    let after = watched(&lab, None);
    let told = |name: &str| after.iter().find(|sighting| sighting.stage == name).unwrap();
    assert!(told("alone").undeclared.is_empty() && told("alone").failure.is_none());
    let found: Vec<_> = told("join").undeclared.iter().map(|one| (one.what, one.name.as_str())).collect();
    assert_eq!(found, [(What::Missing, "words.txt")]);
    assert!(told("join").failure.is_none(), "with the file laid out the command goes through");
}

/// These must not change without a new revision of commands: every stored result of one would be lost.
#[cfg(target_arch = "x86_64")]
#[test]
fn keys_of_commands_are_the_same_as_ever() {
    let lab = Lab::new();
    lab.write(&json!({
        "text": {"uses": "toy/emit@1"},
        "join": command(&json!(["sh", "-c", "cat", "${in.text}"]), &json!({
            "in": {"text": "text.out"}, "env": {"N": 1, "EMPTY": "", "T": "${secrets.T}"}, "sandbox": "strict", "tools": ["jq"],
        })),
    }));
    let plan = lab.plan();
    let stage = &plan.graph[plan.find("join").unwrap()];
    let sources: BTreeMap<String, Vec<SourceFile>> = stage
        .stage
        .sources()
        .iter()
        .map(|source| {
            let SourceRef::Program(program) = source else { panic!("{source:?}") };
            let file = SourceFile { path: "/any".into(), name: program.name.clone(), digest: Digest::of(b"tool"), bytes: 4 };
            (source.name(), vec![file])
        })
        .collect();
    assert_eq!(sources.keys().collect::<Vec<_>>(), ["tool:jq", "tool:sh"]);
    let input = ActionInput { port: "text".to_owned(), kind: ArtifactKind::File, digest: Digest::of(b"hello") };
    let key = Action::new(stage, None, vec![input], sources).key().unwrap();
    assert_eq!(key.to_string(), "87dd9a83541a352708491d72ac87ae1ab855976fa421fe90f53b3189b3d0a8f3");
}
