//! Every malformed workflow file gives its problems at once, each with its place, its reason, and what to do.

#![expect(clippy::unwrap_used, reason = "a broken fixture ends the test")]

use std::path::{Path, PathBuf};

use flow_engine::{
    plan::{Plan, PlanErrors, PlanRequest},
    project::Project,
    testing::toys,
};

/// Files that cannot hold a comment that says what to expect: code and line.
const WITHOUT_COMMENT: [(&str, &str, u64); 6] = [
    ("empty.yaml", "flow::workflow::empty", 1),
    ("encoding-latin1.yaml", "flow::workflow::encoding", 2),
    ("encoding-nul.yaml", "flow::workflow::syntax", 2),
    ("encoding-utf16.yaml", "flow::workflow::encoding", 1),
    ("not-utf8.yaml", "flow::workflow::encoding", 2),
    ("only-comment.yaml", "flow::workflow::empty", 1),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed")
}

fn home(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/nowhere".to_owned())
}

fn load(file: &Path, params: &[(&str, &str)], only: &[&str]) -> Result<Plan, PlanErrors> {
    let project = Project::locate(file, &home).unwrap();
    let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
    Plan::load(&PlanRequest { project: &project, registry: &toys(), params: &params, only: &only, limit: None, profile: None })
}

/// What a file says of itself: `#! CODE, CODE` at the end of a line, or `# expect: CODE@LINE, CODE` in its first line where a
/// comment cannot stand, without a line where the problem is not in this file.
fn expected(file: &Path) -> Vec<(String, Option<u64>)> {
    let name = file.file_name().unwrap().to_str().unwrap();
    if let Some((_, code, line)) = WITHOUT_COMMENT.iter().find(|(known, ..)| *known == name) {
        return vec![((*code).to_owned(), Some(*line))];
    }
    let text = std::fs::read_to_string(file).unwrap();
    let mut expected = Vec::new();
    for code in
        text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).into_iter().flat_map(|codes| codes.split(", "))
    {
        let (code, line) = code.split_once('@').map_or((code, None), |(code, line)| (code, Some(line.parse().unwrap())));
        expected.push((code.to_owned(), line));
    }
    for (line, codes) in (1..).zip(text.lines()).filter_map(|(line, text)| Some((line, text.split_once("#! ")?.1))) {
        expected.extend(codes.split(", ").map(|code| (code.to_owned(), Some(line))));
    }
    assert!(!expected.is_empty(), "{name} does not say what to expect");
    expected.sort();
    expected
}

/// Codes and lines of the problems in a file; no lines for those in others.
fn told(file: &Path, errors: &PlanErrors) -> Vec<(String, Option<u64>)> {
    let json = serde_json::to_value(errors).unwrap();
    let here = file.display().to_string();
    let one = |problem: &serde_json::Value| {
        let line = problem["line"].as_u64().filter(|_| problem["file"] == here.as_str());
        (problem["code"].as_str().unwrap().to_owned(), line)
    };
    let mut told: Vec<_> = json.as_array().unwrap().iter().map(one).collect();
    told.sort();
    told
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[test]
fn every_malformed_file_tells_exactly_its_problems() {
    let files = files();
    assert!(files.len() >= 300, "only {} files", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        let Err(errors) = load(file, &[], &[]) else {
            wrong.push(format!("{}: no problem at all", file.file_name().unwrap().display()));
            continue;
        };
        let (told, expected) = (told(file, &errors), expected(file));
        if told != expected {
            let texts: Vec<_> = errors.problems().iter().map(|problem| format!("  {problem}; {}", problem.help)).collect();
            let name = file.file_name().unwrap().display();
            wrong.push(format!("{name}:\n  told {told:?}\n  not  {expected:?}\n{}", texts.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_problem_has_its_file_line_reason_and_help() {
    for file in files() {
        let errors = load(&file, &[], &[]).unwrap_err();
        let json = serde_json::to_value(&errors).unwrap();
        for problem in json.as_array().unwrap() {
            let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
            assert!(text("file").contains("malformed"), "{problem}");
            assert!(problem["line"].as_u64() >= Some(1) && problem["column"].as_u64() >= Some(1), "{problem}");
            assert!(!text("message").is_empty() && !text("message").ends_with('.'), "{problem}");
            assert!(text("help").len() > 5, "{problem}");
        }
    }
}

#[test]
fn reports_render_with_the_text_around_each_problem() {
    let handler = miette::NarratableReportHandler::new();
    for file in files() {
        let errors = load(&file, &[], &[]).unwrap_err();
        let mut text = String::new();
        handler.render_report(&mut text, &errors).unwrap();
        for problem in errors.problems() {
            assert!(text.contains(&problem.help), "{text}");
        }
    }
}

/// The place of a problem is the exact word.
#[test]
fn spans_cover_the_word_that_is_wrong() {
    for (file, words) in [
        ("unknown-option.yaml", vec!["txet", "many"]),
        ("unknown-key.yaml", vec!["naem", "wiht"]),
        ("unknown-port.yaml", vec!["a.outt", "prats"]),
        ("unknown-kind.yaml", vec!["toy/emitt@1"]),
        ("kind-mismatch.yaml", vec!["b.report"]),
        ("component-as-workflow.yaml", vec!["text"]),
        ("params.yaml", vec!["fast", "base", "number", "m", "0"]),
        ("bad-duration.yaml", vec!["soon", "10 minutes"]),
    ] {
        let errors = load(&folder().join(file), &[], &[]).unwrap_err();
        let found: Vec<_> =
            errors.problems().iter().map(|problem| &problem.file.text()[problem.span.start..problem.span.end]).collect();
        assert_eq!(found, words, "{file}");
    }
}

#[test]
fn suggestions_name_the_word_that_was_meant() {
    for (file, word) in [
        ("unknown-option.yaml", "`text`"),
        ("unknown-key.yaml", "`with`"),
        ("unknown-port.yaml", "`parts`"),
        ("unknown-kind.yaml", "`toy/emit`"),
        ("unknown-stage.yaml", "`emit`"),
        ("unknown-param.yaml", "`learning_rate`"),
        ("bad-cel.yaml", "`metrics`"),
        ("bad-cel.yaml", "`min`"),
    ] {
        let errors = load(&folder().join(file), &[], &[]).unwrap_err();
        let helps: Vec<_> = errors.problems().iter().map(|problem| problem.help.as_str()).collect();
        assert!(helps.iter().any(|help| help.contains(word)), "{file}: {helps:?}");
    }
}

#[test]
fn wrong_arguments_are_problems_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("workflow.yaml");
    std::fs::write(
        &file,
        "flow: 1\nparams: {n: {type: int, default: 1}}\nstages: {a: {uses: toy/emit@1, with: {times: '${params.n}'}}}\n",
    )
    .unwrap();
    assert!(load(&file, &[("n", "3")], &["a"]).is_ok());
    let errors = load(&file, &[("n", "x"), ("m", "1")], &["b"]).unwrap_err();
    let codes: Vec<_> = errors.problems().iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["flow::params::unknown", "flow::params::value", "flow::plan::unknown_stage"]);
    assert!(errors.problems().iter().all(|problem| problem.file_name() == "command line"));
}
