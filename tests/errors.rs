//! Bad input of every kind: a clear error with a way out, or patience, and nothing lost.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    fixtures::{PIPELINE, desk},
    support::{Outcome, TestProject},
};

const TO_TOKENS: [&str; 6] = ["run", "--quiet", "--approve", "approve", "--only", "tokenize"];

fn says(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(outcome.stderr.contains(word), "{word:?} is missing in:\n{}", outcome.stderr);
    }
}

#[test]
fn a_missing_model_is_named_and_a_restored_one_resumes() {
    let project = desk();
    let model = project.path().join("tiny");
    let aside = project.path().join("aside");
    fs::rename(&model, &aside).expect("moves");
    says(&project.flow(&TO_TOKENS).expect(1), &["file:tiny", "no such file or folder", "check the spelling"]);
    fs::rename(&aside, &model).expect("moves");
    project.flow(&["resume", "--quiet"]).expect(0);
    assert_eq!(project.standings()["split"], "cached", "what was done is kept");
}

#[test]
fn a_torn_model_file_is_named() {
    let project = desk();
    let weights = project.path().join("tiny/model.safetensors");
    let bytes = fs::read(&weights).expect("reads");
    fs::write(&weights, bytes.get(..bytes.len() / 2).expect("has bytes")).expect("writes");
    says(&project.flow(&TO_TOKENS).expect(1), &["model.safetensors", "cannot use"]);
}

#[test]
fn a_pickle_is_refused_by_name() {
    let project = desk();
    let folder = project.path().join("tiny");
    fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).expect("moves");
    says(&project.flow(&TO_TOKENS).expect(1), &["pytorch_model.bin", "pickle", ".safetensors"]);
}

#[test]
fn other_bytes_than_the_lock_pins_are_refused_with_both_hashes() {
    let project = desk();
    project.flow(&TO_TOKENS).expect(0);
    let lock = fs::read_to_string(project.path().join("flow.lock")).expect("a lock was written");
    let pinned = lock.lines().find_map(|line| line.strip_prefix("blake3 = \"")?.strip_suffix('"')).expect("a hash");
    crate::fixtures::tiny_llama(&project.path().join("tiny"), 2);
    says(&project.flow(&TO_TOKENS).expect(1), &["file:tiny", "flow.lock", pinned, "expected", "got"]);
    let after = fs::read_to_string(project.path().join("flow.lock")).expect("reads");
    assert_eq!(after, lock, "a refusal pins nothing");
}

#[test]
fn a_source_without_a_valid_row_names_the_first_bad_line() {
    let project = desk();
    project.write("desk.jsonl", &"not json\n".repeat(40));
    says(
        &project.flow(&["run", "--quiet"]).expect(1),
        &["no row could be read from 40 lines", "line 1 of desk.jsonl", "check `path`"],
    );
    project.write("desk.jsonl", "");
    says(&project.flow(&["run", "--quiet"]).expect(1), &["no row could be read"]);
}

#[test]
fn an_unknown_key_shows_file_line_and_suggestion() {
    let project = desk();
    let text = PIPELINE.replace("max_steps:", "max_stesp:");
    let line = text.lines().position(|line| line.contains("max_stesp")).expect("was replaced") + 1;
    project.write("workflow.yaml", &text);
    let place = format!("workflow.yaml:{line}:");
    says(&project.flow(&["run"]).expect(3), &["unknown key `max_stesp`", &place, "did you mean `max_steps`?"]);
    assert!(!project.path().join(".flow/runs").exists(), "nothing was begun");
}

#[test]
fn every_problem_of_a_file_is_told_at_once() {
    let project = desk();
    let text =
        PIPELINE.replace("max_steps:", "max_stesp:").replace("clean.rows", "clean.row").replace("data/split@1", "data/splitt@1");
    project.write("workflow.yaml", &text);
    says(&project.flow(&["check"]).expect(3), &["max_stesp", "clean.row", "data/splitt"]);
}

#[test]
fn wrong_usage_is_not_a_failed_stage() {
    let project = desk();
    project.flow(&["run", "--no-such-flag"]).expect(2);
    project.flow(&["run", "-p", "lr"]).expect(2);
    assert_ne!(project.flow(&["run", "nowhere.yaml"]).code, 0);
    assert_ne!(project.flow(&["resume"]).code, 0, "there is no run yet");
}

#[test]
fn two_runs_of_one_project_at_once_both_end_well() {
    let project = desk();
    let arguments = ["run", "--quiet", "--approve", "approve", "-p", "steps=20"];
    let spawn = || project.command(&arguments).stdout(Stdio::null()).spawn().expect("starts");
    let (mut one, mut two) = (spawn(), spawn());
    assert!(one.wait().expect("ends").success());
    assert!(two.wait().expect("ends").success());
    let models = project.json(&["models", "ls"]);
    assert_eq!(models.as_array().map(Vec::len), Some(1), "equal content is one version: {models}");
}

#[test]
fn a_secret_is_used_and_never_stored() {
    const SECRET: &str = "a-secret-of-the-site-0123456789";
    let project = desk();
    let with = r#"default_action: pseudonymize, test_values: treat_as_pii, key: "${secrets.PII_KEY}""#;
    project.write("workflow.yaml", &PIPELINE.replace("default_action: redact, test_values: treat_as_pii", with));
    let arguments = ["run", "--only", "bias"];
    says(&project.flow(&arguments).expect(1), &["PII_KEY", "set the environment variable"]);

    let run =
        |secret: &str| Outcome::from(project.command(&arguments).env("PII_KEY", secret).output().expect("starts")).expect(0);
    let outcome = run(SECRET);
    assert!(!outcome.stdout.contains(SECRET) && !outcome.stderr.contains(SECRET));
    assert!(project.stage("pii")["metrics"]["entities"].as_f64() > Some(0.0), "the key was put to use");
    let mut seen = 0;
    for folder in [project.store(), project.path()] {
        seen += without(&folder, SECRET.as_bytes());
    }
    assert!(seen > 20, "only {seen} files were searched");
}

/// How many files lie below a folder, none of which holds these bytes.
fn without(folder: &Path, bytes: &[u8]) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            seen += without(&path, bytes);
        } else if let Ok(content) = fs::read(&path) {
            assert!(!content.windows(bytes.len()).any(|window| window == bytes), "{} holds the secret", path.display());
            seen += 1;
        }
    }
    seen
}

/// A write that the system refuses, as a full disk does: here no file may grow beyond 16 KiB.
#[test]
fn a_refused_write_fails_its_stage_and_a_resume_goes_on() {
    let project = desk();
    // The machine is blamed, so the stage is tried again; the standard waits would make minutes.
    project.write("workflow.yaml", &format!("{PIPELINE}defaults: {{retry: {{infra: 1, backoff: 10ms}}}}\n"));
    let flow = project.command(&TO_TOKENS);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\""]).arg(flow.get_program()).args(flow.get_args());
    limited.current_dir(project.path()).env_clear().envs(flow.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let outcome = Outcome::from(limited.output().expect("sh starts")).expect(1);
    says(&outcome, &["tokenize", "File too large", "free space"]);

    project.flow(&["resume", "--quiet"]).expect(0);
    let undisturbed = desk();
    undisturbed.flow(&TO_TOKENS).expect(0);
    assert_eq!(project.digest("tokenize", "train"), undisturbed.digest("tokenize", "train"));
}

/// A file that flow cannot write to must not end a run with a panic.
#[test]
fn a_store_that_cannot_be_opened_is_an_error_with_a_sentence() {
    let project: TestProject = desk();
    fs::write(project.store(), "a file where a folder should be").expect("writes");
    let outcome = project.flow(&["run", "--quiet", "--approve", "approve"]);
    assert!(outcome.code > 0 && outcome.code != 101, "{}", outcome.code);
    assert!(!outcome.stderr.contains("panicked") && outcome.stderr.contains("store"), "{}", outcome.stderr);
}
